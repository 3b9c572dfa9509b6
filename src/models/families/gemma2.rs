//! Gemma 2 (Gemma Team 2024, arXiv 2408.00118): norms before and after each half of a block, limited scores and logits, a
//! window in every other layer.

use serde_json::{Map, Value};

use super::layer_types::{set_windows, sliding, window};
use super::{Family, Gguf, Storage, Stored};
use crate::core::Activation;
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::{ModelSpec, NormPlan};

pub(super) const FAMILY: Family = Family {
    name: "gemma2",
    aliases: &[],
    classes: &["Gemma2ForCausalLM"],
    spec,
    checkpoint: CHECKPOINT,
    gguf: Gguf {
        architectures: &["gemma2"],
        keys: &[
            ("attn_logit_softcapping", "attn_logit_softcapping"),
            ("final_logit_softcapping", "final_logit_softcapping"),
        ],
        windows: true,
        adjust: |config| set_scalar(config, 46),
        ..Gguf::NONE
    },
};

/// Four norms a block, stored as what they have more than 1.
pub(super) const CHECKPOINT: Storage = Storage {
    parts: &[
        Stored::As { ours: "attention_output_norm", theirs: "post_attention_layernorm" },
        Stored::As { ours: "post_attention_layernorm", theirs: "pre_feedforward_layernorm" },
        Stored::As { ours: "feed_forward_output_norm", theirs: "post_feedforward_layernorm" },
    ],
    gains_less_one: true,
    interleaved: false,
};

/// What divides the scores is not in the file: the width of a head, but in the largest model, of so many layers, the share of
/// a head in the residual stream.
pub(super) fn set_scalar(config: &mut Map<String, Value>, layers_of_largest: u64) {
    let number = |key: &str| config.get(key).and_then(Value::as_u64).unwrap_or(0);
    let scalar = if number("num_hidden_layers") == layers_of_largest {
        number("hidden_size").checked_div(number("num_attention_heads")).unwrap_or(0)
    } else {
        number("head_dim")
    };
    config.insert("query_pre_attn_scalar".into(), scalar.into());
}

/// What all Gemma have where config.json does not say.
pub(super) fn defaults() -> Defaults {
    Defaults {
        head_dim: Some(256),
        max_positions: 8192,
        tied: true,
        activation: ("hidden_activation", Activation::GeluTanh),
        ..Defaults::default()
    }
}

/// What all Gemma have in common: the scales, the norms, the caps.
pub(super) fn common(
    fields: &Fields<'_>,
    decoder: &Decoder,
    caps: [Option<f64>; 2],
) -> Result<ModelSpec, ConfigError> {
    let attention_bias = fields.boolean("attention_bias")?.unwrap_or(false);
    let mut spec = Decoder { attention_bias, ..decoder.clone() }.spec();
    // `null` means none, an absent key the family's own.
    let cap = |key: &str, usual: Option<f64>| -> Result<Option<f32>, ConfigError> {
        let given = fields.number(key, 1e-6, 1e6)?;
        Ok(if fields.is_null(key) { None } else { given.or(usual) }.map(|cap| cap as f32))
    };
    let [scores, logits] = caps;
    let softcap = cap("attn_logit_softcapping", scores)?;
    // What the root of which divides the scores.
    let scalar = fields.number("query_pre_attn_scalar", 1e-6, 1e9)?.unwrap_or(256.0);
    for layer in &mut spec.layers {
        layer.attention.scale = (1.0 / scalar.sqrt()) as f32;
        layer.attention.softcap = softcap;
        layer.norms = NormPlan { before: true, after: true };
    }
    spec.output.softcap = cap("final_logit_softcapping", logits)?;
    spec.embedding_scale = (decoder.hidden_size as f32).sqrt();
    Ok(spec)
}

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let decoder = Decoder::read(fields, &defaults())?;
    let mut spec = common(fields, &decoder, [Some(50.0), Some(30.0)])?;
    let sliding = sliding(fields, spec.layers.len(), |layer| layer % 2 == 0)?;
    set_windows(&mut spec, window(fields, Some(4096))?, &sliding);
    Ok(spec)
}
