//! Keys of other models that a GGUF file may carry along.

use super::key::Keys;
use crate::engine::warning::ModelWarning;
use crate::format::FormatError;
use crate::format::gguf::Value;

/// Keys that llama.cpp does not use for every architecture either, each with the number beside 0 that changes nothing.
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
pub(super) fn refuse(keys: Keys<'_>, head_dim: u64) -> Result<(), FormatError> {
    let metadata = keys.metadata;
    if let Some(experts @ 1..) = keys.integer("expert_count")? {
        return Err(metadata.fault(format!("holds a mixture of {experts} experts, which is not supported")));
    }
    if keys.boolean("attention.causal")? == Some(false) {
        return Err(metadata.fault(format!(
            "holds a model that reads a text in both directions ('{}'), which is not supported",
            keys.full("attention.causal")
        )));
    }
    if is_used(keys, "attention.scale") {
        return Ok(());
    }
    let scale = keys.number("attention.scale")?.filter(|&scale| scale != 0.0);
    let usual = 1.0 / (head_dim.max(1) as f64).sqrt();
    match scale.filter(|scale| (scale / usual - 1.0).abs() > 1e-5) {
        Some(scale) => Err(metadata.fault(format!(
            "has '{}' = {scale}, but only one over the root of a head's width is supported",
            keys.full("attention.scale")
        ))),
        None => Ok(()),
    }
}

fn is_used(keys: Keys<'_>, name: &str) -> bool {
    keys.family.gguf.keys.iter().any(|(key, _)| *key == name)
}

/// A warning for each key that is set and not used.
///
/// # Errors
/// Values that are no numbers.
pub(super) fn warnings(keys: Keys<'_>) -> Result<Vec<ModelWarning>, FormatError> {
    let metadata = keys.metadata;
    let mut found = Vec::new();
    let mut add = |name: &str, value: String| {
        let origin = metadata.path().display().to_string();
        let why =
            "models of this family have no use for it, so the answers may be worse than the model's own";
        found.push(ModelWarning::UnusedSetting { origin, key: keys.full(name), value, why });
    };
    for (name, neutral) in UNUSED.into_iter().filter(|(name, _)| !is_used(keys, name)) {
        let value = match metadata.get(&keys.full(name)) {
            Some(Value::Bool(on)) => f64::from(on),
            Some(_) => keys.number(name)?.unwrap_or(0.0),
            None => continue,
        };
        if value != 0.0 && value != neutral {
            add(name, value.to_string());
        }
    }
    let context = keys.integer("context_length")?.unwrap_or(u64::MAX);
    let window = keys.integer("attention.sliding_window")?;
    let window = window.filter(|&window| window > 0 && window < context && !keys.family.gguf.windows);
    if let Some(window) = window {
        add("attention.sliding_window", window.to_string());
    }
    Ok(found)
}
