//! Which prompts a loaded model can take.

use super::EngineError;
use crate::tokenizer::Tokenizer;

/// What a prompt has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// Tokens that the model has an embedding for.
    pub vocab: usize,
    /// The most tokens of prompt and answer together; `None` where a full cache gives up old ones.
    pub context: Option<usize>,
}

impl TextLimits {
    /// Every token of a text has to have an embedding: a tokenizer may know more tokens than its model.
    ///
    /// # Errors
    /// [`EngineError::UnknownToken`].
    pub fn check_tokens(&self, ids: &[u32], tokenizer: &Tokenizer) -> Result<(), EngineError> {
        match ids.iter().find(|id| **id as usize >= self.vocab) {
            Some(&id) => {
                let token = tokenizer.id_to_token(id);
                Err(EngineError::UnknownToken { token, id, vocab: self.vocab })
            }
            None => Ok(()),
        }
    }

    /// Whether a prompt can be gone on from.
    ///
    /// # Errors
    /// [`EngineError::UnknownToken`], [`EngineError::EmptyPrompt`], [`EngineError::PromptTooLong`].
    pub fn check_prompt(&self, prompt: &[u32], tokenizer: &Tokenizer) -> Result<(), EngineError> {
        self.check_tokens(prompt, tokenizer)?;
        match (prompt.len(), self.context) {
            (0, _) => Err(EngineError::EmptyPrompt),
            (tokens, Some(max)) if tokens >= max => Err(EngineError::PromptTooLong { tokens, max }),
            _ => Ok(()),
        }
    }
}
