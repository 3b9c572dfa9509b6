//! How attention weighs what it sees.

use std::ops::Range;

use super::{CoreError, Result};

/// What differs in attention from model to model, and from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionParams {
    /// Factor of the products of queries and keys.
    pub scale: f32,
    /// How many slots a query sees at most, the last of which is [`Self::ahead`] after its own: at least its own. `None`:
    /// all from the first one on.
    pub window: Option<usize>,
    /// How many slots after its own a query sees, as far as its sequence has them: 0 where attention is causal.
    pub ahead: usize,
    /// After the scale a score becomes `cap * tanh(score / cap)`; greater than 0.
    pub softcap: Option<f32>,
}

impl AttentionParams {
    /// The scale `1 / sqrt(head_dim)`, causal, and neither a window nor a cap (Vaswani et al. 2017, arXiv 1706.03762).
    pub fn of_head_dim(head_dim: usize) -> Self {
        Self { scale: 1.0 / (head_dim as f32).sqrt(), window: None, ahead: 0, softcap: None }
    }

    /// The slots that a query in slot `slot` sees, of a sequence that has `held` of them, that one among them.
    pub fn visible(&self, slot: usize, held: usize) -> Range<usize> {
        let end = slot.saturating_add(1).saturating_add(self.ahead);
        self.window.map_or(0, |window| end.saturating_sub(window))..end.min(held)
    }

    /// Checks that a query sees at least itself.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`].
    pub fn check(&self, op: &'static str) -> Result<()> {
        let own = self.window.is_none_or(|window| window > self.ahead);
        CoreError::expect_eq(op, "slots of the window that are no later ones", usize::from(own), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_the_query_itself() {
        let of = |window| AttentionParams { window, ..AttentionParams::of_head_dim(64) };
        assert_eq!((of(None).visible(0, 10), of(None).visible(9, 10)), (0..1, 0..10));
        assert_eq!(
            (of(Some(1)).visible(9, 10), of(Some(4)).visible(2, 10), of(Some(4)).visible(9, 10)),
            (9..10, 0..3, 6..10)
        );
        assert_eq!((of(None).scale, of(Some(3)).check("test").is_ok()), (0.125, true));
        assert!(of(Some(0)).check("test").is_err());
    }

    #[test]
    fn later_slots_are_seen_as_far_as_there_are_any() {
        let plain = AttentionParams::of_head_dim(64);
        let all = AttentionParams { ahead: usize::MAX, ..plain };
        assert_eq!((all.visible(0, 10), all.visible(9, 10)), (0..10, 0..10));
        // Three on either side.
        let near = AttentionParams { window: Some(7), ahead: 3, ..plain };
        let seen = [0, 4, 9].map(|slot| near.visible(slot, 10));
        assert_eq!(seen, [0..4, 1..8, 6..10]);
        let without_itself = AttentionParams { window: Some(3), ..near };
        assert!(
            near.check("test").is_ok() && all.check("test").is_ok() && without_itself.check("test").is_err()
        );
    }
}
