//! Files of weights: names, types, shapes and byte ranges over a memory map. Nothing is copied.
//!
//! Knows nothing of models or backends; a file is taken as hostile until every length and offset in it has
//! been checked.

mod checkpoint;
mod checksum;
mod error;
mod file;
pub mod gguf;
mod header_fault;
mod mapped;
mod output_file;
pub mod packed;
mod parts;
mod safetensors;
mod sample;
pub mod session;
mod text;
mod what_is_it;

pub use checkpoint::Checkpoint;
pub use checksum::{Checksum, checksum};
pub use error::FormatError;
pub(crate) use error::shown;
pub(crate) use file::read_bounded;
pub use output_file::{OutputFile, remove_unfinished};
pub(crate) use text::{parse_json, unmarked};

use crate::core::HostTensor;

/// A set of named tensors, wherever they are stored. Names are those of Hugging Face's checkpoints.
pub trait TensorSource {
    /// The tensor of that name, or `None`. Shares the source's memory; nothing is copied. The bytes may start
    /// at any address: nothing in the format aligns them.
    ///
    /// # Errors
    /// If the tensor is there but its element type or its rank has no form here. A source opens all the same:
    /// tensors that a model does not ask for do not matter.
    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError>;

    /// All names, in no particular order.
    fn names(&self) -> Vec<&str>;

    /// The file that holds `name`, or where to look for it: for messages.
    fn location(&self, name: &str) -> String;

    /// Bytes of all tensors together, as they are stored.
    fn total_bytes(&self) -> u64;
}
