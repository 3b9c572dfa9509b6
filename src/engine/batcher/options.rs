//! How much a batcher may do at once.

use crate::engine::SessionOptions;

/// How a model is loaded for many texts.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// As for one text; [`SessionOptions::max_seq_len`] is the most of each, and [`SessionOptions::lookup`] does nothing.
    pub session: SessionOptions,
    /// The most texts that go through the model together.
    pub texts: usize,
    /// The most slots of keys and values for all texts, and for those that have ended: at least what one text may have.
    pub slots: usize,
    /// The most ended texts whose keys and values are kept for others that begin like them; 0 for none.
    pub prefixes: usize,
}

impl BatchOptions {
    /// The most tokens that a text holds.
    pub(super) fn held(&self) -> usize {
        self.session.eviction.map_or(self.session.max_seq_len, |eviction| eviction.window())
    }

    /// The most tokens of a prompt that go through the model at once.
    pub fn most_at_once(&self) -> usize {
        self.session.prefill_chunk.clamp(1, self.held().max(1))
    }

    /// The most tokens of a pass: a chunk of prompts, and a token of each text.
    pub fn rows(&self) -> usize {
        self.most_at_once().saturating_add(self.texts)
    }
}
