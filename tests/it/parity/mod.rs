//! The whole model against Hugging Face's numbers (`reference.json` beside each checkpoint: transformers,
//! float32, eager attention).

mod bits;
mod embeddings;
mod families;
mod full_precision;
pub mod goldens;
mod opencl;
mod quantized;
mod tolerance;
