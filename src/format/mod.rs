//! Files of weights: names, types, shapes and byte ranges over a memory map. Nothing is copied.
//!
//! Knows nothing of models or backends; a file is taken as hostile until every length and offset in it has
//! been checked.

use crate::core::HostTensor;

/// A set of named tensors, wherever they are stored. Names are those of Hugging Face's checkpoints.
pub trait TensorSource {
    /// The tensor of that name, or `None`.
    fn get(&self, name: &str) -> Option<HostTensor>;

    /// All names, in no particular order.
    fn names(&self) -> Vec<&str>;

    /// The file that holds `name`, or where to look for it: for messages.
    fn location(&self, name: &str) -> String;
}
