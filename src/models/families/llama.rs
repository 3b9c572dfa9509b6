//! Llama 1 to 3.3 (Touvron et al. 2023, arXiv 2302.13971; Llama 3: arXiv 2407.21783), text only, and what is built the
//! same way.

use super::{Family, Gguf, Storage};
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    name: "llama",
    aliases: &[],
    classes: &["LlamaForCausalLM", "LlamaModel"],
    spec,
    checkpoint: Storage::PLAIN,
    gguf: Gguf {
        architectures: &["llama"],
        storage: Storage { interleaved: true, ..Storage::PLAIN },
        ..Gguf::NONE
    },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    Ok(Decoder::read(fields, &Defaults::default())?.with_biases(fields)?.spec())
}
