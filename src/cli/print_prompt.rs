//! `--print-prompt`: what the model would be given.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;

use super::args::Args;
use super::output::Stream;
use crate::engine::{ChatFormat, ModelFiles};
use crate::tokenizer::{StreamDecoder, Tokenizer};

/// A prompt as text and as ids.
pub struct Prompt {
    /// As the template writes it, or as it was given.
    pub text: String,
    /// What goes through the model.
    pub ids: Vec<u32>,
}

/// Prints the text, then the ids, each with the text that it adds; with `--json` an object.
///
/// # Errors
/// Standard output that cannot be written.
pub fn print(
    args: &Args,
    files: &ModelFiles,
    format: Option<&ChatFormat>,
    prompt: &Prompt,
) -> Result<ExitCode> {
    let pieces = pieces(&files.tokenizer, &prompt.ids)?;
    let count = prompt.ids.len();
    let page = if args.json {
        let tokens: Vec<_> =
            prompt.ids.iter().zip(&pieces).map(|(id, piece)| json!({ "id": id, "piece": piece })).collect();
        json!({
            "text": prompt.text,
            "ids": prompt.ids,
            "tokens": tokens,
            "date": format.and_then(ChatFormat::date).map(|date| date.to_string()),
            "thinking": format.and_then(ChatFormat::thinking),
        })
        .to_string()
    } else {
        let mut page = format!("{}\n\n{count} token{}\n", prompt.text, if count == 1 { "" } else { "s" });
        for (id, piece) in prompt.ids.iter().zip(&pieces) {
            page.push_str(&format!("{id:>8}  {piece:?}\n"));
        }
        page
    };
    let mut out = Stream::new(Some(std::io::stdout()), true);
    let _ = out.write(&page);
    out.finish().context("cannot write the prompt to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The text that each id adds; where it adds none by itself, its name in the vocabulary.
fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Result<Vec<String>> {
    let mut decoder = StreamDecoder::new(false);
    let mut pieces = Vec::with_capacity(ids.len());
    for &id in ids {
        let piece = decoder.push(tokenizer, id)?;
        let name = || tokenizer.id_to_token(id).unwrap_or_default();
        pieces.push(if piece.is_empty() || tokenizer.is_special(id) { name() } else { piece });
    }
    Ok(pieces)
}
