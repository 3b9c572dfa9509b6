//! SmolLM 3: Llama with layers that have no positions.

use serde_json::Value;

use super::layer_types::{set_windows, sliding, window};
use super::{Family, Gguf, Storage};
use crate::models::config::{ConfigError, Fields, MAX_LAYERS};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    name: "smollm3",
    aliases: &[],
    classes: &["SmolLM3ForCausalLM"],
    spec,
    checkpoint: Storage::PLAIN,
    gguf: Gguf {
        architectures: &["smollm3"],
        storage: Storage { interleaved: true, ..Storage::PLAIN },
        ..Gguf::NONE
    },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let defaults = Defaults { max_positions: 32_768, theta: 2e6, tied: true, ..Defaults::default() };
    let mut spec = Decoder::read(fields, &defaults)?.with_biases(fields)?.spec();
    let turned = turned(fields, spec.layers.len())?;
    for (layer, turned) in spec.layers.iter_mut().zip(&turned) {
        layer.attention.rope = turned.then_some(0);
    }
    let used = fields.boolean("use_sliding_window")?.unwrap_or(false);
    let window = window(fields, None)?.filter(|_| used);
    let sliding = sliding(fields, spec.layers.len(), |layer| window.is_some() && !turned[layer])?;
    set_windows(&mut spec, window, &sliding);
    Ok(spec)
}

/// Which layers have positions: `no_rope_layers` has a 1 for each of them.
fn turned(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>, ConfigError> {
    let key = "no_rope_layers";
    let Some(value) = fields.value(key) else {
        let every = fields.integer("no_rope_layer_interval", 1, MAX_LAYERS)?.unwrap_or(4);
        return Ok((0..layers).map(|layer| (layer + 1) % every != 0).collect());
    };
    let list = value.as_array().filter(|list| list.len() >= layers);
    let flags: Option<Vec<bool>> =
        list.and_then(|list| list.iter().map(|flag| Value::as_u64(flag).map(|n| n != 0)).collect());
    flags.ok_or_else(|| fields.wrong(key, value, format!("a list of 0 or 1 for each of {layers} layers")))
}
