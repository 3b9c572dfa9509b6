//! What ends a text and what of it is shown.

use std::sync::Arc;

use super::embedding::EmbeddingHead;
use crate::tokenizer::Tokenizer;

/// The same for all texts of a model.
pub(super) struct TextRules {
    pub tokenizer: Arc<Tokenizer>,
    pub eos: Vec<u32>,
    /// What follows pooling.
    pub head: EmbeddingHead,
    /// Special tokens that are part of a generated text.
    pub shown: Vec<u32>,
}

impl TextRules {
    /// The stop texts that are exactly one special token: such a token has no text to be found in.
    pub fn stop_tokens(&self, stop: &[String]) -> Vec<(u32, String)> {
        let token =
            |text: &String| self.tokenizer.token_to_id(text).filter(|&id| self.tokenizer.is_special(id));
        stop.iter().filter_map(|text| Some((token(text)?, text.clone()))).collect()
    }
}
