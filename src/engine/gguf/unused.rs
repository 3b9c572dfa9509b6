//! Keys of other models that a Llama's GGUF file may carry along.

use super::key::key;
use crate::engine::warning::ModelWarning;
use crate::format::FormatError;
use crate::format::gguf::{Metadata, Value};

/// Keys that llama.cpp does not use for this architecture either, each with the number beside 0 that changes nothing.
const UNUSED: [(&str, f64); 9] = [
    ("logit_scale", 1.0),
    ("attn_logit_softcapping", 0.0),
    ("final_logit_softcapping", 0.0),
    ("residual_scale", 1.0),
    ("embedding_scale", 1.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.output_scale", 1.0),
    ("use_parallel_residual", 0.0),
];

/// Refuses what llama.cpp computes with and we do not.
///
/// # Errors
/// A sentence that names the key.
pub(super) fn refuse(metadata: &Metadata, head_dim: u64) -> Result<(), FormatError> {
    if let Some(experts @ 1..) = metadata.integer(&key("expert_count"))? {
        return Err(metadata.fault(format!("holds a mixture of {experts} experts, which is not supported")));
    }
    if metadata.boolean(&key("attention.causal"))? == Some(false) {
        return Err(metadata.fault(
            "holds a model that reads a text in both directions ('llama.attention.causal'), which is not supported"
                .into(),
        ));
    }
    let scale = metadata.number(&key("attention.scale"))?.filter(|&scale| scale != 0.0);
    let usual = 1.0 / (head_dim.max(1) as f64).sqrt();
    match scale.filter(|scale| (scale / usual - 1.0).abs() > 1e-5) {
        Some(scale) => Err(metadata.fault(format!(
            "has 'llama.attention.scale' = {scale}, but only one over the root of a head's width is supported"
        ))),
        None => Ok(()),
    }
}

/// A warning for each key that is set and not used.
///
/// # Errors
/// Values that are no numbers.
pub(super) fn warnings(metadata: &Metadata) -> Result<Vec<ModelWarning>, FormatError> {
    let mut found = Vec::new();
    let mut add = |key: String, value: String| {
        let origin = metadata.path().display().to_string();
        let why = "a plain Llama has no use for it, so the answers may be worse than the model's own";
        found.push(ModelWarning::UnusedSetting { origin, key, value, why });
    };
    for (name, neutral) in UNUSED {
        let value = match metadata.get(&key(name)) {
            Some(Value::Bool(on)) => f64::from(on),
            Some(_) => metadata.number(&key(name))?.unwrap_or(0.0),
            None => continue,
        };
        if value != 0.0 && value != neutral {
            add(key(name), value.to_string());
        }
    }
    let context = metadata.integer(&key("context_length"))?.unwrap_or(u64::MAX);
    let window = metadata.integer(&key("attention.sliding_window"))?;
    if let Some(window) = window.filter(|&window| window > 0 && window < context) {
        add(key("attention.sliding_window"), window.to_string());
    }
    Ok(found)
}
