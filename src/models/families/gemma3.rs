//! Gemma 3, text only (Gemma Team 2025, arXiv 2503.19786): Gemma 2 with a norm of each head in place of limits, and five
//! layers with a window and a rotation of their own for each that sees all. EmbeddingGemma (Schechter Vera et al. 2025, arXiv
//! 2509.20354) is the same with tokens that see later ones too.

use super::gemma2::{CHECKPOINT, common, defaults, set_scalar};
use super::layer_types::{set_windows, sliding, window};
use super::{Family, Gguf};
use crate::models::config::{ConfigError, Fields, MAX_LAYERS, RopeContext};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::AttentionSpec;
use crate::models::spec::{ModelSpec, QkNorm};

pub(super) const FAMILY: Family = Family {
    name: "gemma3_text",
    aliases: &["gemma3"],
    classes: &["Gemma3ForCausalLM", "Gemma3TextModel"],
    spec,
    checkpoint: CHECKPOINT,
    gguf: Gguf {
        architectures: &["gemma3"],
        keys: KEYS,
        windows: true,
        adjust: |config| set_scalar(config, 62),
        ..Gguf::NONE
    },
};

/// The same for embeddings: GGUF files of it have an architecture of their own.
pub(super) const EMBEDDING: Family = Family {
    name: "gemma_embedding",
    aliases: &[],
    classes: &[],
    gguf: Gguf {
        architectures: &["gemma-embedding"],
        adjust: |config| {
            set_scalar(config, 62);
            config.insert(BOTH_WAYS.into(), true.into());
        },
        ..FAMILY.gguf
    },
    ..FAMILY
};

const KEYS: &[(&str, &str)] =
    &[("final_logit_softcapping", "final_logit_softcapping"), ("rope.freq_base_swa", "rope_local_base_freq")];

/// Whether tokens see later ones.
const BOTH_WAYS: &str = "use_bidirectional_attention";

/// Lets tokens see later ones: in a layer with a window as many as before them, which are half of it.
fn see_both_ways(attention: &mut AttentionSpec) {
    let half = attention.window.map(|window| window / 2);
    attention.window = half.map(|half| 2 * half + 1);
    attention.ahead = half.unwrap_or(usize::MAX);
}

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
    if fields.boolean(BOTH_WAYS)? == Some(true) {
        spec.layers.iter_mut().for_each(|layer| see_both_ways(&mut layer.attention));
    }
    Ok(spec)
}
