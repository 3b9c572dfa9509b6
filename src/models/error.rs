//! Why a model could not be loaded or run.

use crate::core::CoreError;
use crate::format::FormatError;

/// Errors of loading and running a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The files of weights.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The backend.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A tensor that the architecture needs is nowhere.
    #[error(
        "{location} holds no tensor '{name}', which config.json asks for; the checkpoint is incomplete or of another architecture"
    )]
    MissingTensor {
        /// Name as in Hugging Face checkpoints.
        name: String,
        /// File or directory searched.
        location: String,
    },
    /// A tensor disagrees with config.json.
    #[error(
        "tensor '{name}' in {location} has shape {got}, but config.json asks for {expected}; the two do not belong together"
    )]
    WrongShape {
        /// Name as in Hugging Face checkpoints.
        name: String,
        /// File that holds it.
        location: String,
        /// Its shape, as `[rows, columns]`.
        got: String,
        /// The shape that follows from the configuration.
        expected: String,
    },
}
