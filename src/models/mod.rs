//! The models: what their files say, as data, and the transformer that runs it on top of a [`crate::core::Backend`].
//!
//! Knows the names and shapes of a checkpoint's tensors; knows no device.

mod config;
mod decoder;
mod error;
mod families;
mod generation_config;
mod gguf_tensors;
pub mod llama;
mod noise;
mod random;
mod rope;
mod spec;
mod stored;
mod weight_plan;

pub use config::{ConfigError, ModelConfig};
pub use decoder::Decoder;
pub use error::ModelError;
pub use families::{Family, Gguf, UnknownFamily};
pub use generation_config::GenerationConfig;
pub use noise::{noise, repeated_rows};
pub use random::{NamedShape, RandomWeights, UnknownShape, random_ids};
pub use rope::{Rope, RopeScaling, TextSpan};
pub use spec::{
    AttentionBiases, AttentionSpec, FfnBiases, FfnSpec, LayerSpec, ModelSpec, NormPlan, OutputSpec, QkNorm,
    QueryGrowth, RopeSpec,
};
pub use stored::StoredTensors;
pub use weight_plan::{TensorRole, WeightMix, WeightPlan, for_columns};
