//! A grammar that begins after what a model says to itself.

use std::sync::Arc;

use super::text_mask::TextMask;
use crate::chat::ReasoningStart;
use crate::sampling::{Mask, MaskError};
use crate::tokenizer::Tokenizer;

enum State {
    /// Nothing was generated. Tokens that begin reasoning, and what ends it.
    Start(Vec<(u32, &'static str)>),
    /// Anything may come, until a marker.
    Free { end: &'static str, tail: Vec<u8> },
    /// The answer.
    Answer,
}

/// A text that may begin with reasoning.
pub(super) struct AfterReasoning {
    answer: TextMask,
    tokenizer: Arc<Tokenizer>,
    state: State,
    /// All tokens but those that end a text.
    anything: Vec<u32>,
    /// What may come at the start.
    first: Vec<u32>,
}

impl AfterReasoning {
    /// `vocab` tokens, of which `eos` end a text.
    pub fn new(
        answer: TextMask,
        reasoning: &ReasoningStart,
        tokenizer: &Arc<Tokenizer>,
        eos: &[u32],
        vocab: usize,
    ) -> Self {
        let state = match reasoning {
            ReasoningStart::Begun { end } => State::Free { end, tail: Vec::new() },
            ReasoningStart::Possible { markers } => State::Start(
                markers.iter().filter_map(|(open, end)| Some((first(tokenizer, open)?, *end))).collect(),
            ),
        };
        let mut anything = vec![u32::MAX; vocab.div_ceil(32)];
        eos.iter().for_each(|&id| set(&mut anything, id, false));
        Self { answer, tokenizer: Arc::clone(tokenizer), state, anything, first: Vec::new() }
    }
}

/// The token that a marker begins with, if it is one that is no part of other texts.
fn first(tokenizer: &Tokenizer, marker: &str) -> Option<u32> {
    let ids = tokenizer.encode(marker, false).ok()?;
    ids.first().copied().filter(|&id| tokenizer.is_added(id))
}

fn set(set: &mut [u32], id: u32, allowed: bool) {
    if let Some(word) = set.get_mut(id as usize / 32) {
        let bit = 1 << (id % 32);
        *word = if allowed { *word | bit } else { *word & !bit };
    }
}

impl Mask for AfterReasoning {
    fn allowed(&mut self) -> Result<Option<&[u32]>, MaskError> {
        match &self.state {
            State::Start(markers) if !markers.is_empty() => {
                self.first.clear();
                self.first.extend_from_slice(self.answer.allowed()?.unwrap_or_default());
                markers.iter().for_each(|(id, _)| set(&mut self.first, *id, true));
                Ok(Some(&self.first))
            }
            State::Free { .. } => Ok(Some(&self.anything)),
            State::Start(_) | State::Answer => self.answer.allowed(),
        }
    }

    fn accept(&mut self, id: u32) -> Result<(), MaskError> {
        let bytes = || self.tokenizer.token_bytes(id).map_err(|error| MaskError(error.to_string()));
        let rest = match &mut self.state {
            State::Start(markers) => match markers.iter().find(|(token, _)| *token == id) {
                Some(&(_, end)) => {
                    self.state = State::Free { end, tail: bytes()? };
                    None
                }
                None => {
                    self.state = State::Answer;
                    return self.answer.accept(id);
                }
            },
            State::Free { end, tail } => {
                tail.extend_from_slice(&bytes()?);
                let end = end.as_bytes();
                let found = tail.windows(end.len()).position(|window| window == end);
                let rest = found.map(|at| tail[at + end.len()..].trim_ascii_start().to_vec());
                // What could be the beginning of the marker.
                let keep = tail.len().saturating_sub(end.len() - 1);
                tail.drain(..keep);
                rest
            }
            State::Answer => return self.answer.accept(id),
        };
        if let Some(rest) = rest {
            self.state = State::Answer;
            self.answer.accept_bytes(&rest)?;
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        matches!(self.state, State::Answer) && self.answer.is_finished()
    }
}
