//! Probabilities of tokens, as dialects write them.

use serde_json::{Value, json};

use super::model::Model;
use crate::engine::ChosenToken;

/// A logarithm in JSON, which has no infinity.
fn number(logprob: f64) -> f64 {
    logprob.max(-9999.0)
}

/// A token with its text, its bytes and the logarithm of its probability.
fn token(model: &Model, id: u32, logprob: f64, with_id: bool) -> Value {
    let (text, bytes) = model.token(id);
    let mut value = json!({ "token": text, "bytes": bytes, "logprob": number(logprob) });
    if with_id && let Value::Object(map) = &mut value {
        map.insert("id".into(), json!(id));
    }
    value
}

/// As in OpenAI's chats, and with their ids in llama.cpp's completions: the chosen tokens, each with the likeliest ones.
pub(super) fn list(model: &Model, tokens: &[ChosenToken], with_id: bool) -> Vec<Value> {
    let one = |chosen: &ChosenToken| {
        let mut value = token(model, chosen.id, chosen.logprob, with_id);
        let top = chosen.top.iter().map(|(id, logprob)| token(model, *id, *logprob, with_id));
        if let Value::Object(map) = &mut value {
            map.insert("top_logprobs".into(), top.collect());
        }
        value
    };
    tokens.iter().map(one).collect()
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
