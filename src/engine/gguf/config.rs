//! Dimensions and constants: the keys of a GGUF file under the names of config.json.

use serde_json::{Value, json};

use super::key::key;
use super::special::SpecialIds;
use super::{rope, unused};
use crate::format::gguf::GgufFile;
use crate::format::{FormatError, shown};

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
    unused::refuse(metadata, head_dim)?;
    let embedding = file.get("model.embed_tokens.weight")?;
    let rows = embedding.map(|t| t.matrix_dims().0 as u64);
    let eps = metadata.number(&key("attention.layer_norm_rms_epsilon"))?;
    let theta = metadata.number(&key("rope.freq_base"))?.unwrap_or(10_000.0);
    let special = SpecialIds::of(metadata)?;
    let has = |name: &str| file.get(name).map(|t| t.is_some());
    let has_bias = |part: &str| file.names().any(|name| name.contains(part) && name.ends_with("_proj.bias"));
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
        "rope_scaling": rope::scaling(file, head_dim, theta)?,
        "attention_bias": has_bias(".self_attn."),
        "mlp_bias": has_bias(".mlp."),
        "tie_word_embeddings": !has("lm_head.weight")?,
        "bos_token_id": special.bos,
        "eos_token_id": special.ends(),
    }))
}
