//! What can go wrong when a file is quantized.

use std::path::PathBuf;

use crate::core::CoreError;
use crate::engine::EngineError;
use crate::eval::EvalError;
use crate::format::FormatError;

/// Each is one sentence that names the file, the value and the way on.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A row cannot be converted.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A model cannot be run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A model's predictions cannot be compared.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A file does not suit what is asked for.
    #[error("'{path}' {reason}")]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// Why, and the way on.
        reason: String,
    },
    /// The work was given up on request; no file was made.
    #[error("interrupted: no file was written")]
    Interrupted,
    /// No threads.
    #[error("cannot start {threads} threads: {source}; use fewer")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's answer.
        source: rayon::ThreadPoolBuildError,
    },
}
