//! What the rows of a prompt give besides the next token, as they go through the model.

use std::ops::Range;

use super::EngineError;
use super::embedding::{EmbeddingHead, Pool, Pooling};
use super::generation::Shared;
use super::request::{ChosenToken, Observer};
use crate::sampling::{Likelihood, SamplingError};

/// Tokens whose logits are computed at once where those of all are wanted.
pub(super) const SCORED_ROWS: usize = 32;

/// What of a prompt is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptRows {
    /// Nothing but the token that follows.
    #[default]
    Nothing,
    /// How likely each of its tokens was, but the first: [`Observer::prompt_token`], with the probabilities of so many of the
    /// most likely ones.
    Logprobs(usize),
    /// Its hidden states, pooled: [`super::Outcome::hidden`]. No token follows.
    Hidden(Pooling),
}

impl PromptRows {
    /// Whether all of a prompt has to go through the model, whatever was computed for earlier texts.
    pub(super) fn need_all(self) -> bool {
        self != Self::Nothing
    }

    /// Whether the rows are hidden states.
    pub(super) fn are_hidden(self) -> bool {
        matches!(self, Self::Hidden(_))
    }
}

/// Reads the rows of a prompt.
pub(super) struct RowReader {
    what: PromptRows,
    /// The tokens whose rows are needed.
    needed: Range<usize>,
    /// Those up to here are read. A text that begins again after an interruption does not read them again.
    done: usize,
    pool: Option<Pool>,
    hidden: Vec<f32>,
}

impl RowReader {
    /// For a prompt of so many tokens.
    pub fn new(what: PromptRows, tokens: usize, hidden_size: usize) -> Self {
        let (needed, pool) = match what {
            PromptRows::Nothing => (0..0, None),
            // Row i is what token i + 1 is expected by.
            PromptRows::Logprobs(_) => (0..tokens.saturating_sub(1), None),
            PromptRows::Hidden(pooling) => (pooling.needs(tokens), Some(Pool::new(pooling))),
        };
        let hidden = vec![0.0; if pool.is_some() { hidden_size } else { 0 }];
        Self { what, needed, done: 0, pool, hidden }
    }

    /// What is wanted.
    pub fn what(&self) -> PromptRows {
        self.what
    }

    /// The tokens among `chunk` whose rows are read.
    fn among(&self, chunk: &Range<usize>) -> Range<usize> {
        let first = self.needed.start.max(self.done).max(chunk.start);
        first..self.needed.end.min(chunk.end).max(first)
    }

    /// How many of the last tokens of `chunk` are wanted of a pass.
    pub fn wanted(&self, chunk: &Range<usize>) -> usize {
        let among = self.among(chunk);
        if among.is_empty() { 0 } else { chunk.end - among.start }
    }

    /// Reads those that the last pass has given: `row` is that of token `first` of the text `ids`.
    ///
    /// # Errors
    /// Logits or hidden states that are not numbers, what the backend reports.
    pub fn read(
        &mut self,
        shared: &mut Shared<'_>,
        ids: &[u32],
        chunk: &Range<usize>,
        (row, first): (usize, usize),
        observer: &mut dyn Observer,
    ) -> Result<(), EngineError> {
        let Shared { runner, logits, .. } = shared;
        for token in self.among(chunk) {
            let row = row + token - first;
            match (self.what, &mut self.pool) {
                (PromptRows::Logprobs(top), _) => {
                    runner.logits(row, logits)?;
                    if let Some(token) = logits.iter().position(|logit| logit.is_nan()) {
                        return Err(SamplingError::NanLogit { token: token as u32 }.into());
                    }
                    let id = ids[token + 1];
                    let likely = Likelihood::of(logits, top);
                    let logprob = likely.logprob(id);
                    observer.prompt_token(ChosenToken { id, logprob, top: likely.top });
                }
                (_, Some(pool)) => {
                    runner.hidden(row, &mut self.hidden)?;
                    if !self.hidden.iter().all(|x| x.is_finite()) {
                        return Err(EngineError::HiddenNotFinite { token });
                    }
                    pool.add(&self.hidden);
                }
                _ => {}
            }
            self.done = token + 1;
        }
        Ok(())
    }

    /// The pooled hidden states through what follows pooling; those of each token as they are.
    pub fn finish(self, head: &EmbeddingHead) -> Vec<Vec<f32>> {
        let rows = self.pool.map(Pool::finish).unwrap_or_default();
        match self.what {
            PromptRows::Hidden(Pooling::None) => rows,
            _ => rows.into_iter().map(|pooled| head.finish(pooled)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_of_a_chunk_is_its_end() {
        let of = |what, chunk| RowReader::new(what, 10, 4).wanted(&chunk);
        assert_eq!(of(PromptRows::Nothing, 0..10), 0);
        let logprobs = PromptRows::Logprobs(0);
        assert_eq!((of(logprobs, 0..4), of(logprobs, 4..10), of(logprobs, 9..10)), (4, 6, 0));
        let hidden = PromptRows::Hidden;
        assert_eq!((of(hidden(Pooling::Last), 0..9), of(hidden(Pooling::Last), 4..10)), (0, 1));
        assert_eq!((of(hidden(Pooling::Cls), 0..4), of(hidden(Pooling::Cls), 4..10)), (4, 0));
        assert_eq!((of(hidden(Pooling::Mean), 0..4), of(hidden(Pooling::Mean), 4..10)), (4, 6));
        // After an interruption.
        let mut reader = RowReader::new(hidden(Pooling::Mean), 10, 4);
        reader.done = 6;
        assert_eq!((reader.wanted(&(0..4)), reader.wanted(&(4..9)), reader.among(&(4..9))), (0, 3, 6..9));
    }
}
