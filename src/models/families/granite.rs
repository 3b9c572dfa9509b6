//! Granite 3 and 4, dense: Llama with a factor for the embedding, the scores, each half of a block and the logits.

use super::{Family, Gguf, Storage};
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    name: "granite",
    aliases: &[],
    classes: &["GraniteForCausalLM"],
    spec,
    checkpoint: Storage::PLAIN,
    gguf: Gguf {
        architectures: &["granite"],
        keys: &[
            ("attention.scale", "attention_multiplier"),
            ("embedding_scale", "embedding_multiplier"),
            ("residual_scale", "residual_multiplier"),
            ("logit_scale", "logits_scaling"),
        ],
        storage: Storage { interleaved: true, ..Storage::PLAIN },
        ..Gguf::NONE
    },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let mut spec = Decoder::read(fields, &Defaults::default())?.with_biases(fields)?.spec();
    let factor = |key: &str| fields.number(key, 1e-6, 1e6).map(|given| given.unwrap_or(1.0) as f32);
    let (scores, halves) = (factor("attention_multiplier")?, factor("residual_multiplier")?);
    for layer in &mut spec.layers {
        (layer.attention.scale, layer.residual_scale) = (scores, halves);
    }
    spec.embedding_scale = factor("embedding_multiplier")?;
    spec.output.scale = 1.0 / factor("logits_scaling")?;
    Ok(spec)
}
