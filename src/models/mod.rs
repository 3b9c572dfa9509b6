//! The models: their configuration and the transformer on top of a [`crate::core::Backend`].
//!
//! Knows the names and shapes of a checkpoint's tensors; knows no device.

mod config;
mod error;
mod generation_config;
pub mod llama;
mod noise;
mod random;
mod registry;
mod rope;

pub use config::{ConfigError, ModelConfig, RopeConfig, RopeScaling, unused_settings};
pub use error::ModelError;
pub use generation_config::GenerationConfig;
pub use noise::{noise, repeated_rows};
pub use random::{NamedShape, RandomWeights, UnknownShape, random_ids};
pub use registry::{Architecture, UnknownArchitecture};
pub use rope::Rope;
