//! The forward pass: Llama's (Touvron et al. 2023, arXiv 2302.13971), with all that a [`crate::models::ModelSpec`] may ask
//! for, on top of any [`crate::core::Backend`].

mod attention;
mod ffn;
mod model;
mod numerics;
mod prefix;
mod share;
mod tensors;
#[cfg(test)]
mod tests;
mod weights;
mod workspace;

pub use model::Llama;
pub use numerics::NonFinite;
pub use share::Share;
pub use tensors::{TensorSpec, find_tensor, parameter_count, tensor_specs};
pub(in crate::models) use tensors::{layer_name, layer_part};
pub use weights::LoadProgress;
pub use workspace::Workspace;
