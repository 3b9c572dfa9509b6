//! One text after the other in one sequence of a runner.

use super::EngineError;
use super::memory_watch::MemoryWatch;
use super::runner::{Held, Part, Runner, SequenceId, Stage};
use crate::core::{KvSequence, Result};
use crate::kv::{EvictionStats, Evictor, Positions};
use crate::models::TextSpan;

/// A sequence with the tokens that went through it, and what keeps it within its window.
pub(super) struct Sequence {
    pub id: SequenceId,
    pub evictor: Option<Evictor>,
    pub memory: Option<MemoryWatch>,
    /// The tokens seen, whose keys and values it holds but for those evicted.
    pub seen: Vec<u32>,
    /// Tokens of a prompt that go through the model at once.
    pub chunk: usize,
    max_len: usize,
}

impl Sequence {
    /// An empty sequence of `runner` that holds up to `max_len` tokens. Of a pass no more than `drafts` tokens are taken
    /// back.
    ///
    /// # Errors
    /// A policy that the backend cannot serve, no memory.
    pub fn open(
        runner: &mut dyn Runner,
        evictor: Option<Evictor>,
        max_len: usize,
        chunk: usize,
        drafts: usize,
    ) -> Result<Self, EngineError> {
        let id = runner.open(max_len)?;
        if let Some(evictor) = evictor.as_ref().filter(|evictor| evictor.wants_attention()) {
            let policy = evictor.settings().policy().name;
            runner.accumulate_attention(id, drafts).map_err(|why| EngineError::Policy { policy, why })?;
        }
        Ok(Self { id, evictor, memory: None, seen: Vec::new(), chunk, max_len })
    }

    /// The sequence `id` of a runner, whose tokens are `seen`, none of them evicted; else as [`Self::open`].
    pub fn of_fork(
        id: SequenceId,
        seen: Vec<u32>,
        evictor: Option<Evictor>,
        max_len: usize,
        chunk: usize,
    ) -> Self {
        Self { id, evictor, memory: None, seen, chunk, max_len }
    }

    /// The sequence as `runner` holds it.
    pub fn held<'r>(&self, runner: &'r dyn Runner) -> Result<&'r Held> {
        runner.held(self.id)
    }

    /// Tokens held, and seen.
    pub fn counts(&self, runner: &dyn Runner) -> (usize, usize) {
        self.held(runner).map_or((0, 0), |held| (held.slots.len(), held.slots.position()))
    }

    /// The most tokens held.
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// What was evicted from the last text.
    pub fn eviction_stats(&self) -> EvictionStats {
        self.evictor.as_ref().map(Evictor::stats).unwrap_or_default()
    }

    /// Forgets the text before: the next one goes through the model from its first token on.
    pub fn forget(&mut self, runner: &mut dyn Runner) {
        self.seen.clear();
        if let Some(evictor) = &mut self.evictor {
            evictor.restart();
        }
        runner.clear(self.id);
    }

    /// Brings the sequence back to the longest beginning of `prompt` that the text before had too, and gives its length:
    /// less than that of the prompt, whose last token has to go through the model for its logits. Nothing is left of
    /// the text before where a token after that beginning was evicted for.
    pub fn keep_common(&mut self, runner: &mut dyn Runner, prompt: &[u32]) -> Result<usize> {
        let same = self.seen.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = same.min(prompt.len().saturating_sub(1));
        if kept == 0 || !self.held(runner)?.can_rewind(kept) {
            self.forget(runner);
            return Ok(0);
        }
        runner.rewind(self.id, kept)?;
        self.seen.truncate(kept);
        Ok(kept)
    }

    /// How many tokens fit after those held: at least one where a full cache gives up old ones. What would be evicted before
    /// `early` more tokens are in is evicted now.
    pub fn make_room(&mut self, runner: &mut dyn Runner, early: usize) -> Result<usize> {
        let (len, position) = self.counts(runner);
        let is_short = self.memory.as_mut().and_then(|memory| memory.is_short(position));
        self.keep_prefix(runner)?;
        let Some(evictor) = &mut self.evictor else { return Ok(self.max_len - len) };
        evictor.hear_of_memory(len, KvSequence::GROWTH, is_short);
        if evictor.is_full(len, early) {
            let attention = runner.held_mut(self.id)?.watched.accumulated_attention(len);
            if let Some(due) = evictor.due(len, early, attention)? {
                runner.retain(self.id, due.plan.ranges(), due.room)?;
                if due.turns_prefix {
                    runner.turn_prefix(self.id, position - due.plan.kept())?;
                }
            }
        }
        Ok(evictor.room(runner.held(self.id)?.slots.len()))
    }

    /// Makes an empty sequence keep the first tokens unrotated, where the policy will turn them.
    pub fn keep_prefix(&self, runner: &mut dyn Runner) -> Result<()> {
        let Some(evictor) = self.evictor.as_ref().filter(|e| e.positions() == Positions::Cache) else {
            return Ok(());
        };
        let protected = evictor.settings().protected();
        let held = runner.held(self.id)?;
        if held.slots.is_empty() && held.watched.prefix_tokens() != protected {
            let layouts = runner.layouts().to_vec();
            runner.held_mut(self.id)?.watched.keep_prefix(protected, &layouts);
        }
        Ok(())
    }

    /// Positions that lie between a text's tokens and those that they see, at most.
    pub fn positions_in_force(&self, runner: &dyn Runner) -> usize {
        let (len, position) = self.counts(runner);
        match self.evictor.as_ref().map(Evictor::positions) {
            Some(Positions::Cache) => len,
            _ => position,
        }
    }

    /// The position at which a text ends for want of room.
    pub fn end_of_context(&self) -> usize {
        if self.evictor.is_some() { usize::MAX } else { self.max_len }
    }

    /// The span of a text of so many tokens. One that is evicted from has no length, and counts as long.
    fn span_of(&self, runner: &dyn Runner, tokens: usize) -> TextSpan {
        let spec = runner.spec();
        match spec.rope_switch() {
            None => TextSpan::Original,
            Some(_) if self.evictor.is_some() => TextSpan::Beyond(spec.max_positions),
            Some(switch) if tokens > switch => TextSpan::Beyond(self.max_len),
            Some(_) => TextSpan::Original,
        }
    }

    /// Makes the rotary embeddings those of a text of so many tokens. Whether keys that are held belong to others now.
    pub fn set_span(&self, runner: &mut dyn Runner, tokens: usize) -> Result<bool> {
        let span = self.span_of(runner, tokens);
        let held = runner.held_mut(self.id)?;
        Ok(std::mem::replace(&mut held.span, span) != span)
    }

    /// Tokens that fit after `held` ones without another span.
    pub fn room_in_span(&self, runner: &dyn Runner, held: usize) -> Result<usize> {
        Ok(match (self.held(runner)?.span, runner.spec().rope_switch()) {
            (TextSpan::Original, Some(switch)) => switch.saturating_sub(held).max(1),
            _ => usize::MAX,
        })
    }

    /// Takes in all of `ids` but the last one again, if with it the text is of another span than before: its keys are
    /// computed anew, so that its logits depend on its tokens alone and not on how it came to be so long.
    pub fn outgrow(&mut self, runner: &mut dyn Runner, ids: &[u32]) -> Result<()> {
        if !self.set_span(runner, ids.len())? {
            return Ok(());
        }
        self.forget(runner);
        let mut done = 0;
        while done + 1 < ids.len() {
            let room = self.make_room(runner, 0)?;
            let end = (ids.len() - 1).min(done + self.chunk.min(room));
            let ids = &ids[done..end];
            runner.forward(&[Part { sequence: self.id, ids, wanted: 0, stage: Stage::Decode }])?;
            done = end;
        }
        Ok(())
    }
}
