//! Texts that outgrow the length that their model was first trained for, where its rotary embeddings are others then: the
//! keys of such a text are computed anew, so that its logits depend on its tokens alone and not on how it came to be so long.

use super::EngineError;
use super::partner::{Turn, Wanted};
use super::session::Session;
use crate::core::{Backend, Result};
use crate::models::TextSpan;

impl<B: Backend> Session<B> {
    /// The span of a text of so many tokens. One that is evicted from has no length, and counts as long.
    fn span_of(&self, tokens: usize) -> TextSpan {
        let spec = self.model.spec();
        match spec.rope_switch() {
            None => TextSpan::Original,
            Some(_) if self.evictor.is_some() => TextSpan::Beyond(spec.max_positions),
            Some(switch) if tokens > switch => TextSpan::Beyond(self.cache.max_len()),
            Some(_) => TextSpan::Original,
        }
    }

    /// Makes the rotary embeddings those of a text of so many tokens. Whether keys that are held belong to others now.
    pub(super) fn set_span(&mut self, tokens: usize) -> bool {
        let span = self.span_of(tokens);
        if span == self.workspace.span() {
            return false;
        }
        self.workspace.set_span(self.model.spec(), span);
        if let Some(hybrid) = &mut self.hybrid {
            hybrid.partner.set_span(span);
        }
        true
    }

    /// Tokens that fit after `held` ones without another span.
    pub(super) fn room_in_span(&self, held: usize) -> usize {
        match (self.workspace.span(), self.model.spec().rope_switch()) {
            (TextSpan::Original, Some(switch)) => switch.saturating_sub(held).max(1),
            _ => usize::MAX,
        }
    }

    /// Takes in all of `ids` but the last one again, if with it the text is of another span than before.
    pub(super) fn outgrow(&mut self, turn: Turn, ids: &[u32]) -> Result<(), EngineError> {
        if !self.set_span(ids.len()) {
            return Ok(());
        }
        self.forget();
        let mut done = 0;
        while done + 1 < ids.len() {
            let room = self.make_room()?;
            let end = (ids.len() - 1).min(done + self.chunk.min(room));
            self.pass(turn, &ids[done..end], Wanted::Nothing)?;
            done = end;
        }
        Ok(())
    }
}
