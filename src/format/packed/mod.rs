//! One file with all that a model needs to run, its weights as the kernels read them. `docs/PACKED_FORMAT.md`
//! describes it byte for byte.
//!
//! ```text
//! header    64 bytes: magic, version, lengths, checksums
//! table     JSON: where the sections and the tensors lie
//! sections  config.json, the tokenizer, ...: bytes with a name
//! data      from a multiple of 64 KiB on: the tensors
//! ```

mod header;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use header::{LAYOUT, MAGIC, VERSION, is_packed};
pub use reader::PackedFile;
pub use writer::{BATCH, Packer};
