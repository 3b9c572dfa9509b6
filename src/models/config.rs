//! A model's config.json: its dimensions and constants, all checked.

mod fields;
mod rope;
mod unused;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::registry::{Architecture, UnknownArchitecture};
use crate::format::{FormatError, parse_json, read_bounded, shown};
pub(super) use fields::{Fields, whole};
pub use rope::{RopeConfig, RopeScaling};
pub use unused::unused_settings;

/// The most bytes of a configuration file. Real ones have a few thousand.
const MAX_CONFIG: u64 = 4 << 20;

/// Bounds of the dimensions: far above any model, and low enough that a product of two fits in 64 bits.
const MAX_DIM: usize = 1 << 24;
const MAX_LAYERS: usize = 4096;
const MAX_HEADS: usize = 1 << 16;
const MAX_HEAD_DIM: usize = 1 << 16;
const MAX_POSITIONS: usize = 1 << 30;

/// Errors of reading a model's configuration. `origin` is the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FormatError),
    /// The file is not JSON.
    #[error("'{origin}' is not JSON: {source}")]
    NotJson {
        /// The file.
        origin: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The file is JSON, but not an object.
    #[error("'{origin}' is not a JSON object")]
    NotAnObject {
        /// The file.
        origin: String,
    },
    /// A key that has no default is absent.
    #[error("'{key}' is missing in '{origin}'")]
    Missing {
        /// The file.
        origin: String,
        /// The key, with the outer one and a dot before it if it is an inner one.
        key: String,
    },
    /// A value has the wrong type or is out of range.
    #[error("'{key}' in '{origin}' is {got}, expected {expected}")]
    Wrong {
        /// The file.
        origin: String,
        /// The key.
        key: String,
        /// Its value.
        got: String,
        /// What it should be.
        expected: String,
    },
    /// Values that contradict each other, or that ask for what is not supported.
    #[error("in '{origin}': {reason}")]
    Invalid {
        /// The file.
        origin: String,
        /// Which values, and why not.
        reason: String,
    },
    /// The checkpoint is of another kind of model.
    #[error("in '{origin}': {source}")]
    Architecture {
        /// The file.
        origin: String,
        /// What it is, and what is known.
        source: UnknownArchitecture,
    },
}

/// Dimensions and constants of a model, named as config.json of transformers names them (shorter where
/// the meaning is plain). Every value is checked: counts are at least 1, `heads` is a multiple of `kv_heads`,
/// `head_dim` is even, no product of two dimensions overflows 64 bits, all numbers are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The code that runs it.
    pub architecture: Architecture,
    /// Rows of the embedding matrix.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward network's inner layer.
    pub intermediate_size: usize,
    /// `num_hidden_layers`.
    pub layers: usize,
    /// `num_attention_heads`: query heads.
    pub heads: usize,
    /// `num_key_value_heads`; as many as `heads` if absent. Each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of one head; `hidden_size / heads` if absent. `heads * head_dim` need not be `hidden_size`.
    pub head_dim: usize,
    /// Positions that the model was trained for; 2048 if absent.
    pub max_position_embeddings: usize,
    /// Added to the mean square before its root; 1e-6 if absent.
    pub rms_norm_eps: f32,
    /// The projections q, k, v and o may have biases.
    pub attention_bias: bool,
    /// The projections gate, up and down may have biases.
    pub mlp_bias: bool,
    /// Biases that there are none of although there may be, by the tensors' names. The file does not say: see
    /// [`llama::without_absent_biases`](crate::models::llama::without_absent_biases).
    pub absent_biases: BTreeSet<String>,
    /// The output matrix is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// The token before a text's first.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; may be empty.
    pub eos_token_ids: Vec<u32>,
    /// `torch_dtype` or `dtype`: what the weights were saved as. The tensors themselves decide.
    pub dtype: Option<String>,
    /// The rotary position embedding.
    pub rope: RopeConfig,
}

impl ModelConfig {
    /// Reads config.json.
    ///
    /// # Errors
    /// [`ConfigError`]: the file cannot be read, is not JSON, lacks a key, has a value of the wrong type or out
    /// of range, or describes a model that is not supported: another architecture, a quantized checkpoint, an
    /// activation other than SiLU, an unknown RoPE scaling.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read_bounded(path, MAX_CONFIG)?;
        Self::from_slice(&bytes, &path.display().to_string())
    }

    /// Reads the bytes of a config.json; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`Self::from_file`].
    pub fn from_slice(bytes: &[u8], origin: &str) -> Result<Self, ConfigError> {
        with_fields(bytes, origin, |fields| Self::read(fields, origin))
    }

    fn read(fields: &Fields<'_>, origin: &str) -> Result<Self, ConfigError> {
        let architecture = read_architecture(fields, origin)?;
        refuse_quantized(fields)?;
        // "swish" is the older name of the same function.
        if let Some(act) = fields.string("hidden_act")?
            && act != "silu"
            && act != "swish"
        {
            let act = shown(act);
            return Err(
                fields.invalid(format!("the activation '{act}' ('hidden_act') is not supported, only silu"))
            );
        }

        let hidden_size = fields.required("hidden_size", 1, MAX_DIM)?;
        let heads = fields.required("num_attention_heads", 1, MAX_HEADS)?;
        let kv_heads = fields.integer("num_key_value_heads", 1, MAX_HEADS)?.unwrap_or(heads);
        if heads % kv_heads != 0 {
            return Err(fields.invalid(format!(
                "'num_attention_heads' is {heads}, which is not a multiple of 'num_key_value_heads', {kv_heads}"
            )));
        }
        let head_dim = match fields.integer("head_dim", 1, MAX_HEAD_DIM)? {
            Some(n) => n,
            None if hidden_size % heads == 0 => hidden_size / heads,
            None => {
                return Err(fields.invalid(format!(
                    "'hidden_size' is {hidden_size}, which is not a multiple of 'num_attention_heads', {heads}, \
                     and no 'head_dim' is given"
                )));
            }
        };
        if head_dim % 2 != 0 {
            return Err(
                fields.invalid(format!("a head has {head_dim} values, but RoPE needs an even number"))
            );
        }
        if heads.checked_mul(head_dim).is_none_or(|n| n > MAX_DIM) {
            return Err(fields.invalid(format!(
                "{heads} heads of {head_dim} values are more than the {MAX_DIM} that are allowed"
            )));
        }
        let dtype = match fields.string("dtype")? {
            None => fields.string("torch_dtype")?,
            some => some,
        };

        Ok(Self {
            architecture,
            vocab_size: fields.required("vocab_size", 1, MAX_DIM)?,
            hidden_size,
            intermediate_size: fields.required("intermediate_size", 1, MAX_DIM)?,
            layers: fields.required("num_hidden_layers", 1, MAX_LAYERS)?,
            heads,
            kv_heads,
            head_dim,
            max_position_embeddings: fields
                .integer("max_position_embeddings", 1, MAX_POSITIONS)?
                .unwrap_or(2048),
            // The bounds keep it positive and finite as an f32.
            rms_norm_eps: fields.number("rms_norm_eps", 1e-30, 1.0)?.unwrap_or(1e-6) as f32,
            attention_bias: fields.boolean("attention_bias")?.unwrap_or(false),
            mlp_bias: fields.boolean("mlp_bias")?.unwrap_or(false),
            absent_biases: BTreeSet::new(),
            tie_word_embeddings: fields.boolean("tie_word_embeddings")?.unwrap_or(false),
            bos_token_id: fields.token_id("bos_token_id")?,
            eos_token_ids: fields.token_ids("eos_token_id")?,
            dtype: dtype.map(str::to_owned),
            rope: RopeConfig::read(fields)?,
        })
    }
}

/// Parses `bytes` as a JSON object and hands its fields to `read`.
pub(super) fn with_fields<T>(
    bytes: &[u8],
    origin: &str,
    read: impl FnOnce(&Fields<'_>) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let value: Value =
        parse_json(bytes).map_err(|source| ConfigError::NotJson { origin: origin.into(), source })?;
    match &value {
        Value::Object(map) => read(&Fields::new(origin, map)),
        _ => Err(ConfigError::NotAnObject { origin: origin.into() }),
    }
}

/// The bytes of an optional file beside config.json; `None` if nothing is at this path.
pub(super) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, ConfigError> {
    match read_bounded(path, MAX_CONFIG) {
        Ok(bytes) => Ok(Some(bytes)),
        // A link to a file that is gone is not an absent file.
        Err(FormatError::NotFound { .. }) if std::fs::symlink_metadata(path).is_err() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn read_architecture(fields: &Fields<'_>, origin: &str) -> Result<Architecture, ConfigError> {
    let classes = match fields.value("architectures") {
        None => Vec::new(),
        Some(v) => {
            let list = v.as_array().and_then(|a| a.iter().map(|c| c.as_str().map(str::to_owned)).collect());
            list.ok_or_else(|| fields.wrong("architectures", v, "a list of names".into()))?
        }
    };
    Architecture::find(fields.string("model_type")?, &classes)
        .map_err(|source| ConfigError::Architecture { origin: origin.into(), source })
}

/// Weights in a quantizer's own packing have other names, shapes and meanings.
fn refuse_quantized(fields: &Fields<'_>) -> Result<(), ConfigError> {
    for key in ["quantization_config", "compression_config", "quantization"] {
        if let Some(v) = fields.value(key) {
            let method = v.get("quant_method").and_then(Value::as_str).unwrap_or("unnamed method");
            return Err(fields.invalid(format!(
                "the weights are quantized ('{key}': {}), which is not read: use the original checkpoint",
                shown(method)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
