//! A text of any length, in pieces that a context holds.

use std::ops::Range;

use super::EvalError;

/// How a text is split: windows of `size` tokens, each beginning `stride` tokens after the last one. Every token is
/// scored once, by the first window that has it, so that (after the first window) it follows `size - stride`
/// tokens at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    size: usize,
    stride: usize,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its tokens, without what stands before every window.
    pub tokens: Range<usize>,
    /// The first token that it scores.
    pub scored: usize,
}

impl Windows {
    /// Windows of `size` tokens, which include the one that stands before every window if there is such a one.
    ///
    /// # Errors
    /// A size below 2, or a stride that is not between 1 and `size - 1`.
    pub fn new(size: usize, stride: usize) -> Result<Self, EvalError> {
        if size < 2 || stride == 0 || stride >= size {
            return Err(EvalError::Windows { size, stride });
        }
        Ok(Self { size, stride })
    }

    /// Tokens of a window.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Tokens from the beginning of one window to that of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The windows of a text of `tokens` tokens; `prefixed` where each begins with one more, which then also lets the
    /// text's first token be scored.
    pub fn over(self, tokens: usize, prefixed: bool) -> impl Iterator<Item = Window> {
        let room = self.size - usize::from(prefixed);
        let mut next = (tokens > 0).then_some((0, usize::from(!prefixed)));
        std::iter::from_fn(move || {
            let (start, scored) = next?;
            let end = tokens.min(start + room);
            next = (end < tokens).then_some((start + self.stride, end));
            Some(Window { tokens: start..end, scored })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_overlap_and_score_what_is_new() {
        let of = |size, stride, tokens, prefixed| -> Vec<(Range<usize>, usize)> {
            let windows = Windows::new(size, stride).unwrap().over(tokens, prefixed);
            windows.map(|w| (w.tokens, w.scored)).collect()
        };
        assert_eq!(of(4, 2, 7, false), [(0..4, 1), (2..6, 4), (4..7, 6)]);
        assert_eq!(of(4, 2, 7, true), [(0..3, 0), (2..5, 3), (4..7, 5)]);
        assert_eq!(of(4, 3, 6, true), [(0..3, 0), (3..6, 3)], "no overlap, but for what stands before");
        assert_eq!(of(9, 4, 5, false), [(0..5, 1)]);
        assert_eq!(of(9, 4, 0, true), []);
        for (size, stride) in [(1, 1), (0, 0), (4, 0), (4, 4), (4, 5)] {
            assert!(Windows::new(size, stride).is_err(), "{size} {stride}");
        }
    }

    proptest! {
        #[test]
        fn every_token_is_scored_once_with_enough_before_it(
            (size, stride) in (2usize..40).prop_flat_map(|size| (Just(size), 1..size)),
            tokens in 0usize..300,
            prefixed: bool,
        ) {
            let mut next = usize::from(!prefixed);
            for (i, w) in Windows::new(size, stride).unwrap().over(tokens, prefixed).enumerate() {
                prop_assert_eq!(w.scored, next.max(w.tokens.start), "window {}", i);
                prop_assert!(w.tokens.len() + usize::from(prefixed) <= size);
                let before = w.scored - w.tokens.start + usize::from(prefixed);
                let least = if i == 0 { 1 } else { size - stride };
                prop_assert!(before >= least);
                next = w.tokens.end;
            }
            prop_assert_eq!(next.max(usize::from(!prefixed)), tokens.max(usize::from(!prefixed)));
        }
    }
}
