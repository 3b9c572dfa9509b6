//! Qwen 3, dense (Yang et al. 2025, arXiv 2505.09388): Qwen 2 with a norm of each head of queries and keys in place of
//! biases.

use super::qwen2::later_windows;
use super::{Family, Gguf, Storage};
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::{ModelSpec, QkNorm};

pub(super) const FAMILY: Family = Family {
    name: "qwen3",
    aliases: &[],
    classes: &["Qwen3ForCausalLM", "Qwen3Model"],
    spec,
    checkpoint: Storage::PLAIN,
    gguf: Gguf { architectures: &["qwen3"], ..Gguf::NONE },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let defaults = Defaults { head_dim: Some(128), max_positions: 32_768, ..Defaults::default() };
    let mut spec = Decoder::read(fields, &defaults)?.with_biases(fields)?.spec();
    for layer in &mut spec.layers {
        layer.attention.qk_norm = QkNorm::PerHead;
    }
    later_windows(fields, &mut spec)?;
    Ok(spec)
}
