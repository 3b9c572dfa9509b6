//! Dimensions and constants: the keys of a GGUF file under the names of config.json.

use serde_json::{Map, Value, json};

use super::key::Keys;
use super::special::SpecialIds;
use super::{rope, unused};
use crate::format::gguf::{GgufFile, Value as Stored};
use crate::format::{FormatError, TensorSource};

/// config.json for a file.
pub(super) fn config(file: &GgufFile, tensors: &dyn TensorSource) -> Result<Value, FormatError> {
    let metadata = file.metadata();
    let keys = Keys::of(metadata)?;
    let (heads, width) = (keys.needed("attention.head_count")?, keys.needed("embedding_length")?);
    let head_dim = keys.integer("attention.key_length")?.or_else(|| width.checked_div(heads)).unwrap_or(0);
    if let Some(other) = keys.integer("attention.value_length")?.filter(|&n| n != head_dim) {
        return Err(metadata.fault(format!(
            "has '{}' = {other}, but a head has {head_dim} values, and other combinations are not supported",
            keys.full("attention.value_length")
        )));
    }
    unused::refuse(keys, head_dim)?;
    let embedding = tensors.get("model.embed_tokens.weight")?;
    let rows = embedding.map(|t| t.matrix_dims().0 as u64);
    let eps = keys.number("attention.layer_norm_rms_epsilon")?;
    let special = SpecialIds::of(metadata)?;
    let has = |name: &str| tensors.get(name).map(|t| t.is_some());
    let names = tensors.names();
    let has_bias = |part: &str| names.iter().any(|name| name.contains(part) && name.ends_with("_proj.bias"));
    let layers = keys.needed("block_count")?;
    let mut config = Map::new();
    let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
    set("vocab_size", metadata.required("token_embd.weight", rows)?.into());
    set("hidden_size", width.into());
    set("intermediate_size", keys.needed("feed_forward_length")?.into());
    set("num_hidden_layers", layers.into());
    set("num_attention_heads", heads.into());
    set("num_key_value_heads", keys.integer("attention.head_count_kv")?.unwrap_or(heads).into());
    set("head_dim", head_dim.into());
    set("max_position_embeddings", keys.needed("context_length")?.into());
    set("rms_norm_eps", metadata.required(&keys.full("attention.layer_norm_rms_epsilon"), eps)?.into());
    set("rope_theta", keys.number("rope.freq_base")?.unwrap_or(10_000.0).into());
    set("rope_scaling", rope::scaling(tensors, keys, head_dim)?);
    set("attention_bias", has_bias(".self_attn.").into());
    set("mlp_bias", has_bias(".mlp.").into());
    set("tie_word_embeddings", (!has("lm_head.weight")?).into());
    set("bos_token_id", json!(special.bos));
    set("eos_token_id", json!(special.ends()));
    if let Some(turned) = keys.integer("rope.dimension_count")?.filter(|&n| n != head_dim && head_dim > 0) {
        set("partial_rotary_factor", (turned as f64 / head_dim as f64).into());
    }
    let window = keys.integer("attention.sliding_window")?;
    if let Some(window) = window {
        // None is something else than a file that does not say.
        set("sliding_window", if window == 0 { Value::Null } else { window.into() });
    }
    let pattern = "attention.sliding_window_pattern";
    if let Some(list) = keys.list(pattern) {
        let sliding = list.iter().map(|value| matches!(value, Stored::Bool(true)));
        let name = |sliding| if sliding { "sliding_attention" } else { "full_attention" };
        set("layer_types", sliding.take(layers as usize).map(name).collect());
    } else if let Some(period) = keys.integer(pattern)? {
        set("sliding_window_pattern", period.into());
    }
    for (key, name) in keys.family.gguf.keys {
        if let Some(number) = keys.number(key)? {
            set(name, number.into());
        }
    }
    let family = match keys.family.gguf.with_window {
        Some(other) if window.is_some_and(|window| window > 0) => other,
        _ => keys.family.name,
    };
    set("model_type", family.into());
    (keys.family.gguf.adjust)(&mut config);
    Ok(config.into())
}
