//! Files of quantized weights from files of others: which tensor gets which type, and how the file is made.
//!
//! - [`Mix`]: the usual mixes by their usual names; [`Plan`]: the type of each tensor of a model, by llama.cpp's rules.
//! - [`Importance`]: what a model's columns are worth, from an importance matrix; [`collect()`] makes one of a text.
//! - [`budget`](mod@budget): the mix of least divergence for a size.
//! - [`write()`]: the file, tensor by tensor.
//! - [`check`](mod@check): whether a file's tensors hold what they should.

pub mod budget;
pub mod check;
mod collect;
mod error;
mod facts;
mod importance;
mod mix;
mod plan;
mod rules;
mod tensors;
#[cfg(test)]
mod tests;
mod write;

pub use collect::{Chunks, collect};
pub use error::QuantizeError;
pub use facts::ModelFacts;
pub use importance::{Importance, InputSums};
pub use mix::Mix;
pub use plan::{Choices, Pattern, Plan, Planned};
pub use write::{Step, Written, write};
