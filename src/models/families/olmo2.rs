//! OLMo 2 (OLMo Team 2024, arXiv 2501.00656): Llama with norms after each half of a block in place of before, and one of
//! all queries and of all keys. GGUF files of OLMo 3 are of the same architecture: only they have a window.

use super::{Family, Gguf, Storage, Stored};
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::{ModelSpec, NormPlan, QkNorm};

pub(super) const FAMILY: Family = Family {
    name: "olmo2",
    aliases: &[],
    classes: &["Olmo2ForCausalLM"],
    spec,
    checkpoint: CHECKPOINT,
    gguf: Gguf { architectures: &["olmo2"], windows: true, with_window: Some("olmo3"), ..Gguf::NONE },
};

/// Norms of what each half of a block gives.
pub(super) const CHECKPOINT: Storage = Storage {
    parts: &[
        Stored::As { ours: "attention_output_norm", theirs: "post_attention_layernorm" },
        Stored::As { ours: "feed_forward_output_norm", theirs: "post_feedforward_layernorm" },
    ],
    ..Storage::PLAIN
};

/// What both have where config.json does not say.
pub(super) fn defaults() -> Defaults {
    Defaults { norm_eps: 1e-5, ..Defaults::default() }
}

/// What both have in common.
pub(super) fn common(decoder: &Decoder) -> ModelSpec {
    let mut spec = decoder.spec();
    for layer in &mut spec.layers {
        layer.norms = NormPlan { before: false, after: true };
        layer.attention.qk_norm = QkNorm::Whole;
    }
    spec
}

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    Ok(common(&Decoder::read(fields, &defaults())?.with_biases(fields)?))
}
