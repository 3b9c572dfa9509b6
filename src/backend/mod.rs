//! What computes. Each backend implements [`crate::core::Backend`] and knows nothing of the others.

pub mod cpu;
pub mod opencl;
pub mod reference;
#[cfg(test)]
mod tests;
