//! Gemma 3, text only (Gemma Team 2025, arXiv 2503.19786): Gemma 2 with a norm of each head in place of limits, and five
//! layers with a window and a rotation of their own for each that sees all.

use super::gemma2::{CHECKPOINT, common, defaults, set_scalar};
use super::layer_types::{set_windows, sliding, window};
use super::{Family, Gguf};
use crate::models::config::{ConfigError, Fields, MAX_LAYERS, RopeContext};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::{ModelSpec, QkNorm};

pub(super) const FAMILY: Family = Family {
    name: "gemma3_text",
    aliases: &["gemma3"],
    classes: &["Gemma3ForCausalLM"],
    spec,
    checkpoint: CHECKPOINT,
    gguf: Gguf {
        architectures: &["gemma3"],
        keys: &[
            ("final_logit_softcapping", "final_logit_softcapping"),
            ("rope.freq_base_swa", "rope_local_base_freq"),
        ],
        windows: true,
        adjust: |config| set_scalar(config, 62),
        ..Gguf::NONE
    },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let defaults = Defaults { max_positions: 131_072, theta: 1e6, ..defaults() };
    let decoder = Decoder::without_rope(fields, &defaults)?;
    let mut spec = common(fields, &decoder, [None, None])?;
    let pattern = fields.integer("sliding_window_pattern", 1, MAX_LAYERS)?;
    let pattern = pattern.or(fields.integer("_sliding_window_pattern", 1, MAX_LAYERS)?).unwrap_or(6);
    let sliding = sliding(fields, spec.layers.len(), |layer| (layer + 1) % pattern != 0)?;
    set_windows(&mut spec, window(fields, Some(4096))?, &sliding);
    let global = decoder.rope_context(&defaults);
    let local = RopeContext { theta: 10_000.0, ..global };
    spec.ropes = vec![
        global.read_kind(fields, "full_attention", "rope_theta", true)?,
        local.read_kind(fields, "sliding_attention", "rope_local_base_freq", false)?,
    ];
    for (layer, sliding) in spec.layers.iter_mut().zip(sliding) {
        layer.attention.rope = Some(usize::from(sliding));
        layer.attention.qk_norm = QkNorm::PerHead;
    }
    Ok(spec)
}
