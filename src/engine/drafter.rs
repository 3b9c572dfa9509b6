//! Guessing what follows in a text, to verify several tokens in one pass.
//!
//! Decode is bound by reading the weights, so that one pass over a token and a draft costs little more than one over the
//! token. The sampling chain then chooses at each row as it would have without a draft; while it chooses what was drafted,
//! the next row's logits are valid.
//!
//! That is rejection sampling (Leviathan et al. 2023, arXiv 2211.17192) for a draft that puts all probability on
//! one token x: x is to be accepted with probability min(1, p(x) / 1) = p(x), and otherwise a token is drawn
//! from p without x, renormalized. Drawing once from p and comparing with x does exactly this. It even spends
//! one random number a token, as without a draft: so the text is not merely equally distributed but the same,
//! as far as the backend's results do not depend on how many rows a pass has.

/// Drafts the next tokens of one text.
pub(super) trait Drafter {
    /// The last token of `history` was chosen, whether it was drafted or not.
    fn chosen(&mut self, history: &[u32]);

    /// Adds to `draft`, which is empty, up to `room` tokens that may follow `history`: none if that does not promise to pay.
    fn propose(&mut self, history: &[u32], room: usize, draft: &mut Vec<u32>);
}

/// What became of drafts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DraftStats {
    /// Passes that verified a draft.
    pub passes: usize,
    /// Tokens drafted.
    pub drafted: usize,
    /// Drafted tokens that were chosen, each of which saved a pass.
    pub accepted: usize,
}
