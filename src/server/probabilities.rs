//! Probabilities of tokens, as dialects write them.

use serde_json::{Value, json};

use super::model::Model;
use crate::engine::ChosenToken;
use crate::tokenizer::StreamDecoder;

/// A logarithm in JSON, which has no infinity.
fn number(logprob: f64) -> f64 {
    logprob.max(-9999.0)
}

/// How a token and its probability are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As in OpenAI's chats.
    OpenAi,
    /// As in llama.cpp's completions: with the token's id.
    LlamaCpp,
    /// Likewise, with the chance that it had in the draw in place of a logarithm.
    Chances,
}

/// A token with its text, its bytes and its probability.
fn token(model: &Model, id: u32, logprob: f64, style: Style) -> Value {
    let (text, bytes) = model.token(id);
    let mut value = json!({ "token": text, "bytes": bytes });
    match style {
        Style::Chances => value["prob"] = json!(logprob.exp()),
        _ => value["logprob"] = json!(number(logprob)),
    }
    if style != Style::OpenAi {
        value["id"] = json!(id);
    }
    value
}

/// The chosen tokens, each with the likeliest ones.
pub(super) fn list(model: &Model, tokens: &[ChosenToken], style: Style) -> Vec<Value> {
    let others = if style == Style::Chances { "top_probs" } else { "top_logprobs" };
    let one = |chosen: &ChosenToken| {
        let mut value = token(model, chosen.id, chosen.logprob, style);
        let top = chosen.top.iter().map(|(id, logprob)| token(model, *id, *logprob, style));
        value[others] = top.collect();
        value
    };
    tokens.iter().map(one).collect()
}

/// What OpenAI's completions have of a prompt whose text is repeated: its tokens in columns, the first one without
/// probabilities. Offsets are those in the prompt's text, in characters.
pub(super) fn of_prompt(model: &Model, ids: &[u32], rest: &[ChosenToken]) -> Value {
    let mut decoder = StreamDecoder::new(true);
    let mut offset = 0;
    let mut offsets = Vec::with_capacity(ids.len());
    for &id in ids {
        offsets.push(offset);
        offset += decoder.push(&model.tokenizer, id).map_or(0, |piece| piece.chars().count());
    }
    let mut all = columns(model, rest, &mut 0);
    let first = ids.first().map(|&id| model.token(id).0).unwrap_or_default();
    for (name, first) in
        [("tokens", json!(first)), ("token_logprobs", Value::Null), ("top_logprobs", Value::Null)]
    {
        if let Some(column) = all[name].as_array_mut() {
            column.insert(0, first);
        }
    }
    all["text_offset"] = json!(offsets);
    all
}

/// Columns with others after them.
pub(super) fn append(to: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    for (name, column) in more {
        if let (Some(to), Value::Array(more)) = (to[&name].as_array_mut(), column) {
            to.extend(more);
        }
    }
}

/// As vLLM has them: for each token of the prompt an object of ids, its own and the likeliest ones; the first has none.
pub(super) fn prompt_logprobs(model: &Model, rest: &[ChosenToken], top: usize) -> Value {
    let one = |chosen: &ChosenToken| {
        let of = |id: u32, logprob: f64, rank: Option<usize>| {
            let text = model.token(id).0;
            (id.to_string(), json!({ "logprob": number(logprob), "rank": rank, "decoded_token": text }))
        };
        let rank = chosen.top.iter().position(|(id, _)| *id == chosen.id).map(|at| at + 1);
        let top = chosen.top.iter().take(top).enumerate();
        let top = top.map(|(at, (id, logprob))| of(*id, *logprob, Some(at + 1)));
        Value::Object(std::iter::once(of(chosen.id, chosen.logprob, rank)).chain(top).collect())
    };
    std::iter::once(Value::Null).chain(rest.iter().map(one)).collect()
}

/// As in OpenAI's completions: columns. `offset` is where the first token stands in the answer, in characters; afterwards
/// where the next one does.
pub(super) fn columns(model: &Model, tokens: &[ChosenToken], offset: &mut usize) -> Value {
    let (mut texts, mut logprobs, mut tops, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for chosen in tokens {
        let (text, _) = model.token(chosen.id);
        offsets.push(*offset);
        *offset += text.chars().count();
        texts.push(text);
        logprobs.push(number(chosen.logprob));
        let top = chosen.top.iter().map(|(id, logprob)| (model.token(*id).0, json!(number(*logprob))));
        tops.push(Value::Object(top.collect()));
    }
    json!({ "tokens": texts, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets })
}
