//! What computes: each submodule implements [`crate::core::Backend`].

pub mod cpu;
