//! What the rules of a mix have to know of a model.

use crate::format::FormatError;
use crate::format::gguf::{Metadata, Value};

/// Figures of a model, from its file's keys. What a file does not say counts as 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFacts {
    /// `general.architecture`.
    pub architecture: String,
    /// Layers.
    pub layers: usize,
    /// Heads of queries to a head of keys, in the first layer.
    pub group: usize,
    /// Experts of a layer.
    pub experts: usize,
}

impl ModelFacts {
    /// Those of the file with these keys.
    ///
    /// # Errors
    /// No architecture, or values of other types.
    pub fn of(metadata: &Metadata) -> Result<Self, FormatError> {
        let architecture =
            metadata.required("general.architecture", metadata.text("general.architecture")?)?;
        let key = |name: &str| format!("{architecture}.{name}");
        let number = |name: &str| Ok::<_, FormatError>(metadata.integer(&key(name))?.unwrap_or(0) as usize);
        // A number, or one for each layer.
        let first = |name: &str| match metadata.get(&key(name)) {
            Some(Value::Array(list)) => match list.iter().next() {
                Some(Value::Unsigned(n)) => n as usize,
                Some(Value::Signed(n)) => usize::try_from(n).unwrap_or(0),
                _ => 0,
            },
            Some(Value::Unsigned(n)) => n as usize,
            _ => 0,
        };
        let heads = first("attention.head_count");
        let kv_heads = match first("attention.head_count_kv") {
            0 => heads,
            some => some,
        };
        Ok(Self {
            layers: number("block_count")?,
            group: heads.checked_div(kv_heads).unwrap_or(0),
            experts: number("expert_count")?,
            architecture: architecture.to_owned(),
        })
    }
}
