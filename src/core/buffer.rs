//! Memory that belongs to a backend.

use super::DType;

/// A run of elements in memory that one backend owns.
///
/// Nothing here gives out a pointer: only the backend that made a buffer touches its contents, and
/// [`super::Backend::upload`] and [`super::Backend::download`] are the ways in and out. So a buffer that
/// lives on a device cannot be read by the host by mistake.
pub trait Buffer: Send {
    /// The elements' type.
    fn dtype(&self) -> DType;

    /// Number of elements.
    fn len(&self) -> usize;

    /// Whether there are no elements.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes.
    fn size_bytes(&self) -> usize {
        self.dtype().bytes_for(self.len()).unwrap_or(usize::MAX)
    }
}
