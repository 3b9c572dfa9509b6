//! Dimensions and constants: the keys of a GGUF file under the names of config.json.

use serde_json::{Value, json};

use super::special::SpecialIds;
use crate::format::gguf::GgufFile;
use crate::format::{FormatError, shown};
use crate::models::{Rope, RopeConfig, RopeScaling};

/// Llama 3.1 and its successors: how the frequencies of the rotary embedding were stretched. Their GGUF files do not
/// have these numbers but what follows from them, a divisor for each frequency in `rope_freqs.weight`.
const LLAMA3: (f64, f64, usize) = (1.0, 4.0, 8192);

/// The key of a Llama.
fn key(name: &str) -> String {
    format!("llama.{name}")
}

/// config.json for a file.
pub(super) fn config(file: &GgufFile) -> Result<Value, FormatError> {
    let metadata = file.metadata();
    let family = metadata.text("general.architecture")?;
    match metadata.required("general.architecture", family)? {
        "llama" => {}
        other => {
            return Err(metadata.fault(format!(
                "holds a model of the architecture '{}', which is not supported; known is llama",
                shown(other)
            )));
        }
    }
    let integer = |name: &str| metadata.integer(&key(name));
    let needed = |name: &str| metadata.required(&key(name), integer(name)?);
    if let Some(experts @ 1..) = integer("expert_count")? {
        return Err(metadata.fault(format!("holds a mixture of {experts} experts, which is not supported")));
    }
    let (heads, width) = (needed("attention.head_count")?, needed("embedding_length")?);
    let head_dim = integer("attention.key_length")?.or_else(|| width.checked_div(heads)).unwrap_or(0);
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(other) = integer(name)?.filter(|&n| n != head_dim) {
            return Err(metadata.fault(format!(
                "has '{}' = {other}, but a head has {head_dim} values, and other combinations are not supported",
                key(name)
            )));
        }
    }
    let embedding = file.get("model.embed_tokens.weight")?;
    let rows = embedding.map(|t| t.matrix_dims().0 as u64);
    let eps = metadata.number(&key("attention.layer_norm_rms_epsilon"))?;
    let theta = metadata.number(&key("rope.freq_base"))?.unwrap_or(10_000.0);
    let special = SpecialIds::of(metadata)?;
    let has = |name: &str| file.get(name).map(|t| t.is_some());
    Ok(json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "vocab_size": metadata.required("token_embd.weight", rows)?,
        "hidden_size": width,
        "intermediate_size": needed("feed_forward_length")?,
        "num_hidden_layers": needed("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": integer("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": needed("context_length")?,
        "rms_norm_eps": metadata.required(&key("attention.layer_norm_rms_epsilon"), eps)?,
        "rope_theta": theta,
        "rope_scaling": scaling(file, head_dim, theta)?,
        "attention_bias": has("model.layers.0.self_attn.q_proj.bias")?,
        "mlp_bias": has("model.layers.0.mlp.gate_proj.bias")?,
        "tie_word_embeddings": !has("lm_head.weight")?,
        "bos_token_id": special.bos,
        "eos_token_id": special.ends(),
    }))
}

/// `rope_scaling` of config.json.
fn scaling(file: &GgufFile, head_dim: u64, theta: f64) -> Result<Value, FormatError> {
    let metadata = file.metadata();
    let linear = match metadata.text(&key("rope.scaling.type"))? {
        None | Some("none") => None,
        Some("linear") => {
            let factor = metadata.number(&key("rope.scaling.factor"))?;
            let factor = metadata.required(&key("rope.scaling.factor"), factor)?;
            Some(json!({"rope_type": "linear", "factor": factor}))
        }
        Some(other) => {
            return Err(metadata.fault(format!(
                "scales its rotary embedding by '{}', which is not supported; known are none and linear",
                shown(other)
            )));
        }
    };
    let Some(tensor) = file.get("rope_freqs.weight")? else { return Ok(linear.unwrap_or(Value::Null)) };
    let divisors: Vec<f64> =
        tensor.bytes().as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    let fault = |why: &str| metadata.fault(format!("has a tensor 'rope_freqs.weight' {why}"));
    if tensor.dtype() != crate::core::DType::F32 || divisors.len() as u64 != head_dim / 2 {
        return Err(fault("that does not have one f32 number for each pair of values of a head"));
    }
    if divisors.iter().all(|&d| d == 1.0) {
        return Ok(linear.unwrap_or(Value::Null));
    }
    let factor = divisors.iter().copied().fold(1.0, f64::max);
    let (low_freq_factor, high_freq_factor, original_max_position_embeddings) = LLAMA3;
    let scaling =
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings };
    if linear.is_some() || !gives(scaling, theta, &divisors) {
        return Err(fault(
            "with other numbers than Llama 3.1 to 3.3 have, which is not supported: use the safetensors checkpoint",
        ));
    }
    Ok(json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low_freq_factor,
        "high_freq_factor": high_freq_factor,
        "original_max_position_embeddings": original_max_position_embeddings,
    }))
}

/// Whether a scaling divides the frequencies by these numbers, to the precision of an f32.
fn gives(scaling: RopeScaling, theta: f64, divisors: &[f64]) -> bool {
    // What the checks of config.json will refuse has no frequencies to compare.
    if !(1.0..=1e15).contains(&theta) {
        return false;
    }
    let frequencies = |scaling| Rope::new(&RopeConfig { theta, scaling }, 2 * divisors.len());
    let (plain, scaled) = (frequencies(RopeScaling::None), frequencies(scaling));
    let pairs = plain.frequencies().iter().zip(scaled.frequencies()).zip(divisors);
    pairs.into_iter().all(|((plain, scaled), divisor)| (plain / scaled / divisor - 1.0).abs() < 1e-5)
}
