//! Ministral 3: Mistral with YaRN, and queries that grow with their position.

use super::layer_types::{window, window_in_all};
use super::{Family, Gguf, Storage};
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    name: "ministral3",
    aliases: &[],
    classes: &["Ministral3ForCausalLM"],
    spec,
    checkpoint: Storage::PLAIN,
    gguf: Gguf {
        architectures: &["mistral3"],
        windows: true,
        storage: Storage { interleaved: true, ..Storage::PLAIN },
        ..Gguf::NONE
    },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let defaults = Defaults {
        head_dim: Some(128),
        max_positions: 262_144,
        norm_eps: 1e-5,
        theta: 1e6,
        ..Defaults::default()
    };
    let mut spec = Decoder::read(fields, &defaults)?.spec();
    window_in_all(&mut spec, window(fields, None)?);
    Ok(spec)
}
