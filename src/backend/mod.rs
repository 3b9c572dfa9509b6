//! What computes. Each backend implements [`crate::core::Backend`] and knows nothing of the others.

pub mod cpu;
mod observed;
pub mod opencl;
pub mod reference;
#[cfg(test)]
mod tests;

pub use observed::{InputObserver, Named, Observed};
