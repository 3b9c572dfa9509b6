//! The models: their configuration and the transformer on top of a [`crate::core::Backend`].
//!
//! Knows the names and shapes of a checkpoint's tensors; knows no device.

mod config;
mod generation_config;
mod registry;

pub use config::{ConfigError, ModelConfig, RopeConfig, RopeScaling};
pub use generation_config::GenerationConfig;
pub use registry::{Architecture, UnknownArchitecture};
