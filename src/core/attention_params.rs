//! How attention weighs what it sees.

use std::ops::Range;

use super::{CoreError, Result};

/// What differs in attention from model to model, and from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionParams {
    /// Factor of the products of queries and keys.
    pub scale: f32,
    /// How many slots a query sees at most, its own and those before it: at least one. `None`: all.
    pub window: Option<usize>,
    /// After the scale a score becomes `cap * tanh(score / cap)`; greater than 0.
    pub softcap: Option<f32>,
}

impl AttentionParams {
    /// The scale `1 / sqrt(head_dim)`, and neither a window nor a cap (Vaswani et al. 2017, arXiv 1706.03762).
    pub fn of_head_dim(head_dim: usize) -> Self {
        Self { scale: 1.0 / (head_dim as f32).sqrt(), window: None, softcap: None }
    }

    /// The slots that a query in slot `slot` sees.
    pub fn visible(&self, slot: usize) -> Range<usize> {
        let end = slot.saturating_add(1);
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Checks that a query sees at least itself.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`].
    pub fn check(&self, op: &'static str) -> Result<()> {
        CoreError::expect_eq(op, "slots of the window", self.window.map_or(1, |window| window.min(1)), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_the_query_itself() {
        let of = |window| AttentionParams { window, ..AttentionParams::of_head_dim(64) };
        assert_eq!((of(None).visible(0), of(None).visible(9)), (0..1, 0..10));
        assert_eq!(
            (of(Some(1)).visible(9), of(Some(4)).visible(2), of(Some(4)).visible(9)),
            (9..10, 0..3, 6..10)
        );
        assert_eq!((of(None).scale, of(Some(3)).check("test").is_ok()), (0.125, true));
        assert!(of(Some(0)).check("test").is_err());
    }
}
