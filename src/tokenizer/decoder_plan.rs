//! How a tokenizer's decoder can be run piece by piece, and which decoders are refused.

use serde_json::Value;
use tokenizers::{DecoderWrapper, PostProcessorWrapper};

/// Stands before a segment so that what a decoder does to the first piece alone does not happen to it.
pub(super) const ANCHOR: &str = "\u{1}";

/// How decoding splits over pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecoderPlan {
    /// No decoder: pieces with a space between.
    Spaced,
    /// GPT-2's byte alphabet: bytes, one after the other.
    ByteLevel,
    /// As SentencePiece: pieces one after the other, but a run of `<0x..>` pieces is one unit, and the start
    /// of the text is treated in its own way.
    Segments {
        /// Whether `<0x..>` pieces are bytes.
        byte_fallback: bool,
        /// What ends the special start: any piece (`Metaspace`), or the first character (`Strip`).
        start: Start,
    },
    /// Any other decoder: nothing is known before the end.
    Whole,
}

/// Until when a decoder treats the text as its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Until there has been a piece.
    Piece,
    /// Until there has been a character.
    Character,
}

/// The plan for a tokenizer's decoder.
///
/// # Errors
/// The reason why the tokenizer cannot be used: parts on which the `tokenizers` crate would panic.
pub(super) fn check(
    post_processor: Option<&PostProcessorWrapper>,
    decoder: Option<&DecoderWrapper>,
) -> Result<DecoderPlan, String> {
    let json = |value: serde_json::Result<Value>| value.map_err(|e| e.to_string());
    if let Some(processor) = post_processor {
        check_post_processor(&json(serde_json::to_value(processor))?)?;
    }
    match decoder {
        Some(decoder) => plan(&json(serde_json::to_value(decoder))?),
        None => Ok(DecoderPlan::Spaced),
    }
}

/// A template may only name special tokens that it defines, and for one text only that text.
fn check_post_processor(processor: &Value) -> Result<(), String> {
    for inner in list(&processor["processors"]) {
        check_post_processor(inner)?;
    }
    if processor["type"] == "TemplateProcessing" {
        if list(&processor["single"]).iter().any(|piece| piece["Sequence"]["id"] == "B") {
            return Err("the post-processor wants a second text beside the prompt".into());
        }
        for piece in list(&processor["single"]).iter().chain(list(&processor["pair"])) {
            if let Some(name) = piece["SpecialToken"]["id"].as_str()
                && processor["special_tokens"].get(name).is_none()
            {
                return Err(format!("the post-processor uses '{name}' but does not define it"));
            }
        }
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn plan(decoder: &Value) -> Result<DecoderPlan, String> {
    let steps = match decoder["type"].as_str() {
        Some("Sequence") => list(&decoder["decoders"]),
        _ => std::slice::from_ref(decoder),
    };
    // One pass for what is refused, through nested sequences; a second for the plan.
    refuse_strip_from_end(decoder)?;
    if let [only] = steps
        && only["type"] == "ByteLevel"
    {
        return Ok(DecoderPlan::ByteLevel);
    }
    let (mut byte_fallback, mut metaspace, mut strip, mut fused) = (false, false, false, false);
    for (i, step) in steps.iter().enumerate() {
        let local = match step["type"].as_str() {
            Some("Metaspace") => {
                metaspace = true;
                i == 0
            }
            Some("Replace") => {
                // After Fuse a longer pattern could match across pieces.
                step["pattern"]["String"].as_str().is_some_and(|pattern| {
                    let chars = pattern.chars().count();
                    !pattern.contains(ANCHOR) && chars > 0 && (chars == 1 || !fused)
                })
            }
            Some("ByteFallback") => {
                byte_fallback = true;
                !fused
            }
            Some("Fuse") => {
                fused = true;
                true
            }
            Some("Strip") => {
                strip = true;
                fused && step["start"].as_u64().is_some_and(|n| n <= 1) && step["content"] != ANCHOR
            }
            _ => false,
        };
        if !local {
            return Ok(DecoderPlan::Whole);
        }
    }
    Ok(match (metaspace, strip) {
        (true, true) => DecoderPlan::Whole,
        (true, false) => DecoderPlan::Segments { byte_fallback, start: Start::Piece },
        (false, _) => DecoderPlan::Segments { byte_fallback, start: Start::Character },
    })
}

fn refuse_strip_from_end(decoder: &Value) -> Result<(), String> {
    for inner in list(&decoder["decoders"]) {
        refuse_strip_from_end(inner)?;
    }
    if decoder["type"] == "Strip" && decoder["stop"] != 0 {
        return Err("its decoder strips characters from the end of tokens, which is not supported".into());
    }
    Ok(())
}
