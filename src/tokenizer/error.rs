//! What can go wrong between text and token ids.

use std::path::{Path, PathBuf};

/// Errors of the tokenizer layer. Each message is one sentence and names the file where there is one.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file could not be read.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The tokenizer's JSON does not hold a tokenizer.
    #[error("'{origin}' is not a usable tokenizer.json: {reason}")]
    BadTokenizer {
        /// The file, or what stands for one.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// A `tokenizer.model` does not hold a tokenizer that can be used.
    #[error("'{origin}' is not a usable tokenizer.model of SentencePiece: {reason}")]
    BadModel {
        /// The file.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// `tokenizer_config.json` does not hold what it should.
    #[error("'{origin}' is not a usable tokenizer_config.json: {reason}")]
    BadConfig {
        /// The file, or what stands for one.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer of '{origin}' cannot encode the text: {reason}")]
    Encode {
        /// The tokenizer's file.
        origin: String,
        /// What it said.
        reason: String,
    },
    /// The tokenizer refused a sequence of ids.
    #[error("the tokenizer of '{origin}' cannot decode the tokens: {reason}")]
    Decode {
        /// The tokenizer's file.
        origin: String,
        /// What it said.
        reason: String,
    },
}

/// Result of a tokenizer operation.
pub type Result<T, E = TokenizerError> = std::result::Result<T, E>;

/// All bytes of a file; the error names it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })
}
