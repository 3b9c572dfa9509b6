//! Mistral 7B and its kin (Jiang et al. 2023, arXiv 2310.06825): Llama with a window in some versions. GGUF files of them are
//! Llama's.

use super::layer_types::{window, window_in_all};
use super::{Family, Gguf, Storage};
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    name: "mistral",
    aliases: &[],
    classes: &["MistralForCausalLM", "MistralModel"],
    spec,
    checkpoint: Storage::PLAIN,
    gguf: Gguf { written_as: Some("llama"), ..Gguf::NONE },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let defaults = Defaults { max_positions: 4096 * 32, ..Defaults::default() };
    let mut spec = Decoder::read(fields, &defaults)?.spec();
    window_in_all(&mut spec, window(fields, Some(4096))?);
    Ok(spec)
}
