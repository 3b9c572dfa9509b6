//! A model's config.json: its values, all checked.

mod fields;
mod rope;
mod unused;

use std::cell::RefCell;
use std::path::Path;

use serde_json::Value;

use super::decoder::Decoder;
use super::families::{self, Family, UnknownFamily};
use super::spec::ModelSpec;
use crate::format::{FormatError, parse_json, read_bounded, shown};
pub(super) use fields::{Fields, whole};
pub(super) use rope::RopeContext;

/// The most bytes of a configuration file. Real ones have a few thousand.
const MAX_CONFIG: u64 = 4 << 20;

/// Bounds of the dimensions: far above any model, and low enough that a product of two fits in 64 bits.
pub(super) const MAX_DIM: usize = 1 << 24;
pub(super) const MAX_LAYERS: usize = 4096;
pub(super) const MAX_HEADS: usize = 1 << 16;
pub(super) const MAX_HEAD_DIM: usize = 1 << 16;
pub(super) const MAX_POSITIONS: usize = 1 << 30;

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
    Family {
        /// The file.
        origin: String,
        /// What it is, and what is known.
        source: UnknownFamily,
    },
}

/// What a config.json says: the model as data, and what belongs to its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// What it calls itself.
    pub family: &'static Family,
    /// What it is made of.
    pub spec: ModelSpec,
    /// `tie_word_embeddings` is given as false: an output matrix has to be there.
    pub(super) untied: bool,
    /// The token before a text's first.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; may be empty.
    pub eos_token_ids: Vec<u32>,
    /// `torch_dtype` or `dtype`: what the weights were saved as. The tensors themselves decide.
    pub dtype: Option<String>,
    /// Settings that change the result of other models, that are set, and that nothing here has read: key and value.
    pub unused: Vec<(String, String)>,
}

impl ModelConfig {
    /// Reads config.json.
    ///
    /// # Errors
    /// [`ConfigError`]: the file cannot be read, is not JSON, lacks a key, has a value of the wrong type or out
    /// of range, or describes a model that is not supported: another family, a quantized checkpoint, an unknown
    /// activation or RoPE scaling.
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

    /// A Llama of these dimensions, which is in no file.
    pub fn llama(decoder: &Decoder) -> Self {
        Self {
            family: families::LLAMA,
            spec: decoder.spec(),
            untied: false,
            bos_token_id: None,
            eos_token_ids: Vec::new(),
            dtype: None,
            unused: Vec::new(),
        }
    }

    fn read(fields: &Fields<'_>, origin: &str) -> Result<Self, ConfigError> {
        let family = read_family(fields, origin)?;
        refuse_quantized(fields)?;
        let dtype = match fields.string("dtype")? {
            None => fields.string("torch_dtype")?,
            some => some,
        };
        Ok(Self {
            family,
            spec: (family.spec)(fields)?,
            untied: fields.boolean("tie_word_embeddings")? == Some(false) && !lacks_output(fields),
            bos_token_id: fields.token_id("bos_token_id")?,
            eos_token_ids: fields.token_ids("eos_token_id")?,
            dtype: dtype.map(str::to_owned),
            unused: unused::settings(fields),
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
        Value::Object(map) => read(&Fields::new(origin, map, &RefCell::default())),
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

fn read_family(fields: &Fields<'_>, origin: &str) -> Result<&'static Family, ConfigError> {
    let classes = match fields.value("architectures") {
        None => Vec::new(),
        Some(v) => {
            let list = v.as_array().and_then(|a| a.iter().map(|c| c.as_str().map(str::to_owned)).collect());
            list.ok_or_else(|| fields.wrong("architectures", v, "a list of names".into()))?
        }
    };
    Family::find(fields.string("model_type")?, &classes)
        .map_err(|source| ConfigError::Family { origin: origin.into(), source })
}

/// Whether its class says that it has no output matrix: transformers' names for models that end before one, as those for
/// embeddings do.
fn lacks_output(fields: &Fields<'_>) -> bool {
    let ends_before = |class: &Value| class.as_str().is_some_and(|class| class.ends_with("Model"));
    let classes = fields.value("architectures").and_then(Value::as_array);
    classes.is_some_and(|classes| classes.iter().any(ends_before))
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
