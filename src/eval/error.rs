//! Why a model could not be evaluated.

use std::path::PathBuf;

use crate::core::Remedy;
use crate::engine::EngineError;

/// Errors of an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The model.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Windows that do not score every token after another one.
    #[error(
        "a window of {size} tokens and a stride of {stride} do not go together; \
         a window has 2 tokens at least, and the stride is between 1 and one less than the window"
    )]
    Windows {
        /// Tokens of a window.
        size: usize,
        /// From one to the next.
        stride: usize,
    },
    /// Nothing to score.
    #[error(
        "there are {tokens} tokens; a token's likelihood needs another one before it, so give at least 2"
    )]
    TooShort {
        /// Tokens that were given.
        tokens: usize,
    },
    /// Logits without a meaning.
    #[error(
        "the logit of token {token} after {before} tokens is {value}: the weights are damaged, or too large for the type of keys and values"
    )]
    NotFinite {
        /// The token.
        token: usize,
        /// Where in the text.
        before: usize,
        /// The logit.
        value: f32,
    },
    /// Logits of another run that cannot be used.
    #[error("'{}' {reason}", path.display())]
    Dump {
        /// Their file.
        path: PathBuf,
        /// What is wrong, and advice in plain terms.
        reason: String,
        /// The settings that the advice is about.
        remedies: &'static [Remedy],
    },
}

impl EvalError {
    /// The settings that the error's advice is about.
    pub fn remedies(&self) -> &'static [Remedy] {
        match self {
            EvalError::Engine(e) => e.remedies(),
            EvalError::Windows { .. } => &[Remedy::Windows],
            EvalError::Dump { remedies, .. } => remedies,
            EvalError::TooShort { .. } | EvalError::NotFinite { .. } => &[],
        }
    }
}
