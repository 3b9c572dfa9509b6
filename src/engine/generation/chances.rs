//! What is reported of a token that was chosen.

use super::{ChosenToken, Generation};
use crate::sampling::Likelihood;

impl Generation<'_> {
    /// What the model finds likely by these logits, before anything is done to them, if that is to be reported.
    pub(super) fn likelihood(&self, logits: &[f32]) -> Option<Likelihood> {
        let count = self.request.logprobs.filter(|_| !self.request.chances)?;
        Some(Likelihood::of(logits, count))
    }

    /// A token that was chosen right now, with its probability as the request wants it; `before` is the model's
    /// [likelihood](Self::likelihood).
    pub(super) fn chosen(&self, id: u32, before: Option<Likelihood>) -> Option<ChosenToken> {
        if let Some(likely) = before {
            return Some(ChosenToken { id, logprob: likely.logprob(id), top: likely.top });
        }
        let count = self.request.logprobs?;
        let chances = self.chain.chances(id);
        let logprob = chances.iter().find(|(token, _)| *token == id).map_or(0.0, |(_, chance)| chance.ln());
        let top = chances.into_iter().take(count).map(|(token, chance)| (token, chance.ln())).collect();
        Some(ChosenToken { id, logprob, top })
    }
}
