//! Texts that may only go on with some of the tokens.

use std::fmt::Debug;

/// Why a text with a rule cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MaskError(pub String);

/// What texts have to be, ready for any number of them.
pub trait Rule: Debug + Send + Sync {
    /// Begins with a text.
    ///
    /// # Errors
    /// It is too much to follow.
    fn begin(&self) -> Result<Box<dyn Mask>, MaskError>;
}

/// Decides token by token what one text may go on with.
///
/// A set is a bit per token: token `i` is bit `i % 32` of word `i / 32`. Tokens beyond its last word are not in it.
pub trait Mask: Send {
    /// The tokens that may come next, those that end the text included; `None` for any. May have been computed on another
    /// thread since [`Self::accept`].
    ///
    /// # Errors
    /// It takes more time or memory than a step may have.
    fn allowed(&mut self) -> Result<Option<&[u32]>, MaskError>;

    /// The text goes on with one of them, which does not end it.
    ///
    /// # Errors
    /// It is not one of them.
    fn accept(&mut self, id: u32) -> Result<(), MaskError>;

    /// Whether nothing but its end may come.
    fn is_finished(&self) -> bool;
}

/// Sets the logits of all tokens to -inf that are not in `set`; those that are NaN stay, to be found.
pub fn keep_only(logits: &mut [f32], set: &[u32]) {
    let rest = logits.len().min(set.len() * 32);
    for (logits, &word) in logits.chunks_mut(32).zip(set) {
        if word == u32::MAX {
            continue;
        }
        for (i, logit) in logits.iter_mut().enumerate() {
            if word >> i & 1 == 0 {
                rule_out(logit);
            }
        }
    }
    logits[rest..].iter_mut().for_each(rule_out);
}

/// Sets the logits of these tokens to -inf; those that are NaN stay, to be found.
pub fn exclude(logits: &mut [f32], ids: &[u32]) {
    for &id in ids {
        if let Some(logit) = logits.get_mut(id as usize) {
            rule_out(logit);
        }
    }
}

fn rule_out(logit: &mut f32) {
    if !logit.is_nan() {
        *logit = f32::NEG_INFINITY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::{Chain, SamplingParams, SeededRng};

    #[test]
    fn what_is_not_in_the_set_cannot_be_chosen() {
        let mut logits: Vec<f32> = (0..70).map(|i| i as f32).collect();
        keep_only(&mut logits, &[1 << 3 | 1 << 31, 1 << 1]);
        let left: Vec<usize> = (0..70).filter(|&i| logits[i] > f32::NEG_INFINITY).collect();
        assert_eq!(left, [3, 31, 33]);
        assert_eq!(logits[31], 31.0);
        // All of a word, none of what is beyond the set, and more words than tokens.
        let mut logits = vec![1.0; 40];
        keep_only(&mut logits, &[u32::MAX]);
        assert!(
            logits[..32].iter().all(|&x| x == 1.0) && logits[32..].iter().all(|&x| x == f32::NEG_INFINITY)
        );
        let mut logits = vec![1.0; 3];
        keep_only(&mut logits, &[0b101, u32::MAX]);
        assert_eq!(logits, [1.0, f32::NEG_INFINITY, 1.0]);
        let mut logits = vec![f32::NAN, 1.0];
        keep_only(&mut logits, &[]);
        assert!(logits[0].is_nan() && logits[1] == f32::NEG_INFINITY);
    }

    /// Frequencies of a draw among a few tokens are those that they have among each other without a set.
    #[test]
    fn sampling_goes_on_as_if_the_others_were_not_there() {
        let params =
            SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Default::default() };
        let all = [2.0_f32, 1.0, 0.5, 3.0, -1.0, 0.0];
        let few = [1.0_f32, 0.5, -1.0];
        let (mut masked, mut alone) = (Chain::new(&params).unwrap(), Chain::new(&params).unwrap());
        let (mut a, mut b) = (SeededRng::at(5, 0), SeededRng::at(5, 0));
        for _ in 0..200 {
            let mut logits = all.to_vec();
            keep_only(&mut logits, &[1 << 1 | 1 << 2 | 1 << 4]);
            let id = masked.sample(&mut logits, &[], &mut a).unwrap();
            let other = alone.sample(&mut few.to_vec(), &[], &mut b).unwrap();
            assert_eq!(id, [1, 2, 4][other as usize]);
        }
    }
}
