//! How a model wants to see a prompt.

use super::{ChatFormat, EngineError};
use crate::chat::{Date, Message};
use crate::tokenizer::{Tokenizer, TokenizerConfig};

/// The token before a text's first, and what belongs around messages. Kept by whoever still makes prompts when the
/// model's files have gone into a session.
#[derive(Clone, Debug)]
pub struct PromptForm {
    /// The token before a text's first.
    pub bos: Option<u32>,
    /// Special tokens and the chat template.
    pub config: TokenizerConfig,
}

impl PromptForm {
    /// A text as the model was trained to see it: its first-token marker, then the text.
    ///
    /// # Errors
    /// What the tokenizer cannot encode.
    pub fn encode_text(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, EngineError> {
        Ok(tokenizer.encode_prompt(text, self.bos, &self.config)?)
    }

    /// A conversation through the model's chat template, up to where the answer begins.
    ///
    /// # Errors
    /// No template, or one that refuses these messages.
    pub fn encode_chat(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<u32>, EngineError> {
        ChatFormat::new(&self.config, None, Date::today())?.encode(tokenizer, messages)
    }
}
