//! The Llama architecture (Touvron et al. 2023, arXiv 2302.13971; Llama 3: arXiv 2407.21783), on top of any
//! [`crate::core::Backend`].

mod attention;
mod ffn;
mod model;
mod numerics;
mod prefix;
mod tensors;
#[cfg(test)]
mod tests;
mod weights;
mod workspace;

pub use model::Llama;
pub use numerics::NonFinite;
pub use tensors::{TensorSpec, find_tensor, tensor_specs, without_absent_biases};
pub use weights::{LoadProgress, parameter_count};
pub use workspace::Workspace;
