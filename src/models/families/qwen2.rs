//! Qwen 2 and 2.5 (Yang et al. 2024, arXiv 2407.10671): Llama with biases of q, k and v, and in some versions a window in
//! the later layers.

use super::layer_types::{set_windows, sliding, window};
use super::{Family, Gguf, Storage};
use crate::models::config::{ConfigError, Fields, MAX_LAYERS};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::{AttentionBiases, ModelSpec};

pub(super) const FAMILY: Family = Family {
    name: "qwen2",
    aliases: &[],
    classes: &["Qwen2ForCausalLM"],
    spec,
    checkpoint: Storage::PLAIN,
    gguf: Gguf { architectures: &["qwen2"], ..Gguf::NONE },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let defaults = Defaults { max_positions: 32_768, ..Defaults::default() };
    let mut spec = Decoder::read(fields, &defaults)?.spec();
    for layer in &mut spec.layers {
        layer.attention.biases = AttentionBiases { q: true, k: true, v: true, o: false };
    }
    later_windows(fields, &mut spec)?;
    Ok(spec)
}

/// A window in the layers from `max_window_layers` on, where `use_sliding_window` asks for it.
pub(super) fn later_windows(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), ConfigError> {
    let used = fields.boolean("use_sliding_window")?.unwrap_or(false);
    let window = window(fields, Some(4096))?.filter(|_| used);
    let first = fields.integer("max_window_layers", 0, MAX_LAYERS)?.unwrap_or(28);
    let sliding = sliding(fields, spec.layers.len(), |layer| window.is_some() && layer >= first)?;
    set_windows(spec, window, &sliding);
    Ok(())
}
