//! Tokens that end a text. A GGUF file names one or two; a model that was taught to chat has more.

use super::token_type::{CONTROL, of};
use crate::format::FormatError;
use crate::format::gguf::{Metadata, Value};

/// Keys that name one.
const KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Control tokens that end a text or a turn wherever they are in a vocabulary (llama.cpp's `special_eog_ids`).
const TEXTS: [&str; 6] =
    ["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>", "<end_of_turn>"];

/// Their ids in ascending order.
pub(super) fn ids(metadata: &Metadata) -> Result<Vec<u64>, FormatError> {
    let mut ids = Vec::new();
    for key in KEYS {
        ids.extend(metadata.integer(key)?);
    }
    let tokens = metadata.list("tokenizer.ggml.tokens")?;
    let types = metadata.list("tokenizer.ggml.token_type")?;
    if let (Some(tokens), Some(types)) = (tokens, types) {
        let ends = tokens.iter().zip(types.iter()).enumerate().filter(|(_, (token, kind))| {
            matches!(token, Value::Text(text) if TEXTS.contains(text)) && of(*kind) == CONTROL
        });
        ids.extend(ends.map(|(id, _)| id as u64));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
