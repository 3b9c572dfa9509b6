//! OLMo 3: OLMo 2 with a window in three of four layers; the others may have a scaled rotation.

use super::layer_types::{set_windows, sliding, window};
use super::olmo2::{CHECKPOINT, common, defaults};
use super::{Family, Gguf};
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    name: "olmo3",
    aliases: &[],
    classes: &["Olmo3ForCausalLM"],
    spec,
    checkpoint: CHECKPOINT,
    gguf: Gguf { written_as: Some("olmo2"), ..Gguf::NONE },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let defaults = Defaults { theta: 500_000.0, ..defaults() };
    let decoder = Decoder::without_rope(fields, &defaults)?.with_biases(fields)?;
    let mut spec = common(&decoder);
    let sliding = sliding(fields, spec.layers.len(), |layer| (layer + 1) % 4 != 0)?;
    set_windows(&mut spec, window(fields, Some(4096))?, &sliding);
    let rope = decoder.rope_context(&defaults);
    spec.ropes = vec![
        rope.read_kind(fields, "full_attention", "rope_theta", true)?,
        rope.read_kind(fields, "sliding_attention", "rope_theta", false)?,
    ];
    for (layer, sliding) in spec.layers.iter_mut().zip(sliding) {
        layer.attention.rope = Some(usize::from(sliding));
    }
    Ok(spec)
}
