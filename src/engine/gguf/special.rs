//! The special tokens that a GGUF file names by id. What it leaves out, or names wrongly, its kind of vocabulary has
//! (llama.cpp's defaults).

use super::token_type::of;
use crate::engine::warning::ModelWarning;
use crate::format::FormatError;
use crate::format::gguf::{Metadata, Value};
use crate::tokenizer::PieceKind;

/// The ids, each one of the file's tokens.
#[derive(Debug, Default)]
pub(super) struct SpecialIds {
    pub bos: Option<u64>,
    pub eos: Option<u64>,
    pub eot: Option<u64>,
    pub eom: Option<u64>,
    pub unknown: Option<u64>,
    pub warnings: Vec<ModelWarning>,
}

impl SpecialIds {
    /// Reads them.
    ///
    /// # Errors
    /// Values that are no integers.
    pub fn of(metadata: &Metadata) -> Result<Self, FormatError> {
        let tokens = metadata.list("tokenizer.ggml.tokens")?.map_or(0, |tokens| tokens.len());
        let model = metadata.text("tokenizer.ggml.model")?;
        let sentence_piece = model == Some("llama");
        let types = metadata.list("tokenizer.ggml.token_type")?;
        let is_control =
            |id: u64| types.and_then(|t| t.iter().nth(id as usize)).map(of) == Some(PieceKind::Control);
        // Falcon's, the first of the other kind: only where it is no plain text.
        let byte_level = (model == Some("gpt2") && is_control(11)).then_some(11);
        let mut this = Self::default();
        let mut read = |key: &'static str, default: Option<u64>| -> Result<Option<u64>, FormatError> {
            let default = default.filter(|&id| (id as usize) < tokens);
            let given = match metadata.get(key) {
                None => return Ok(default),
                Some(Value::Unsigned(id)) => Ok(id),
                Some(Value::Signed(id)) => u64::try_from(id).map_err(|_| id),
                // For its sentence.
                Some(_) => return metadata.integer(key),
            };
            if let Some(id) = given.ok().filter(|&id| id < tokens as u64) {
                return Ok(Some(id));
            }
            let id = given.map_or_else(|id| id.to_string(), |id| id.to_string());
            this.warnings.push(ModelWarning::DefaultToken { key, id, tokens, instead: default });
            Ok(default)
        };
        let spm = |id: u64| if sentence_piece { Some(id) } else { None };
        let bos = read("tokenizer.ggml.bos_token_id", spm(1).or(byte_level))?;
        let eos = read("tokenizer.ggml.eos_token_id", spm(2).or(byte_level))?;
        let eot = read("tokenizer.ggml.eot_token_id", None)?;
        let eom = read("tokenizer.ggml.eom_token_id", None)?;
        let unknown = read("tokenizer.ggml.unknown_token_id", spm(0))?;
        Ok(Self { bos, eos, eot, eom, unknown, ..this })
    }

    /// Those that end a text.
    pub fn ends(&self) -> Vec<u64> {
        [self.eos, self.eot, self.eom].into_iter().flatten().collect()
    }
}
