//! What can go wrong in a backend or in the tensors that it is given.

use super::{DType, Remedy};

/// Errors of the core layer and of every [`super::Backend`].
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// Two operands of an operation do not fit each other. A fault of the caller, not of its input files.
    #[error("{op}: {what} is {got}, expected {expected}")]
    Mismatch {
        /// The operation.
        op: &'static str,
        /// Which quantity disagrees.
        what: &'static str,
        /// Its value.
        got: usize,
        /// The value that the other operands ask for.
        expected: usize,
    },
    /// An operation has no form for this element type.
    #[error("{op} does not work on {dtype} data")]
    Unsupported {
        /// The operation.
        op: &'static str,
        /// The type it was given.
        dtype: DType,
    },
    /// A backend does not offer an operation that only some have.
    #[error("the {backend} backend cannot {what}")]
    Lacking {
        /// Which backend.
        backend: &'static str,
        /// What it would have to do.
        what: &'static str,
    },
    /// A tensor's bytes are not what its shape and type ask for.
    #[error("tensor '{name}': {reason}")]
    BadTensor {
        /// The tensor's name in its file.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// An allocation was refused or its size does not fit the address space.
    #[error(
        "cannot allocate {bytes} bytes for {what}; use a smaller format of the weights or a shorter context"
    )]
    OutOfMemory {
        /// What for.
        what: &'static str,
        /// How much (`usize::MAX` where the size itself overflows).
        bytes: usize,
    },
    /// The key/value cache has no room for more tokens.
    #[error("the context is full: {len} of {max} tokens are used and {more} more do not fit")]
    CacheFull {
        /// Tokens held.
        len: usize,
        /// The limit.
        max: usize,
        /// How many were to be added.
        more: usize,
    },
    /// A token id outside of the embedding matrix.
    #[error("token id {id} is outside of the model's vocabulary of {vocab}")]
    BadToken {
        /// The id.
        id: u32,
        /// Rows of the embedding matrix.
        vocab: usize,
    },
    /// The backend itself failed (a worker died, a device was lost).
    #[error("{backend} backend: {reason}")]
    Backend {
        /// Which backend.
        backend: &'static str,
        /// What happened, and advice in plain terms.
        reason: String,
        /// The settings that the advice is about.
        remedies: &'static [Remedy],
    },
}

/// Result of a core operation.
pub type Result<T, E = CoreError> = std::result::Result<T, E>;

impl CoreError {
    /// The settings that the error's advice is about.
    pub fn remedies(&self) -> &'static [Remedy] {
        match self {
            CoreError::OutOfMemory { .. } => &[Remedy::WeightFormat, Remedy::ContextLength],
            CoreError::Backend { remedies, .. } => remedies,
            _ => &[],
        }
    }

    /// Checks that `all` elements are whole groups of `each`.
    ///
    /// # Errors
    /// [`Self::Mismatch`].
    pub fn expect_groups(op: &'static str, all: usize, each: usize) -> Result<()> {
        Self::expect_eq(op, "elements beyond whole groups", all.checked_rem(each).unwrap_or(all), 0)
    }

    /// `Ok` if `got == expected`, else a [`CoreError::Mismatch`] that says so.
    pub fn expect_eq(op: &'static str, what: &'static str, got: usize, expected: usize) -> Result<()> {
        if got == expected { Ok(()) } else { Err(CoreError::Mismatch { op, what, got, expected }) }
    }
}
