//! Embeddings: what the dialects have in common. Texts go to the model like all others, some at a time.

mod llama_cpp;
mod ollama;
mod openai;

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

pub(super) use self::llama_cpp::embedding;
pub(super) use self::ollama::{embed, embeddings};
pub(super) use self::openai::embeddings as openai_embeddings;
use super::ask::{Ask, Prompt};
use super::fields::{Fields, ids, wrong};
use super::llama_cpp::mixed;
use super::model::Model;
use super::refusal::{Kind, Refusal};
use super::router::Call;
use crate::engine::{Norm, Pooling, PromptRows};

/// The most texts of a request.
const MOST: usize = 2048;

/// What is asked for.
struct Wanted {
    prompts: Vec<Prompt>,
    /// Vectors are cut to so many elements.
    dimensions: Option<usize>,
    norm: Norm,
    /// Texts that are too long are cut.
    truncate: bool,
}

/// What has come of a text.
struct Embedded {
    /// One vector, or without pooling one for each token.
    rows: Vec<Vec<f32>>,
    tokens: usize,
}

/// A text, a list of token ids (and texts), or a list of either.
fn inputs(model: &Model, name: &str, value: Value) -> Result<Vec<Prompt>, Refusal> {
    let expected = "a text, a list of token ids, or a list of these";
    let list = match value {
        Value::String(text) => return Ok(vec![Prompt::Text(text)]),
        Value::Array(list) if list.iter().any(Value::is_number) => return Ok(vec![one(model, name, list)?]),
        Value::Array(list) => list,
        other => return Err(wrong(name, expected, &other)),
    };
    if list.len() > MOST {
        let why = format!("'{name}' has {} texts, more than the {MOST} of a request", list.len());
        return Err(Refusal::field(name, why));
    }
    let prompt = |value| match value {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Array(list) => one(model, name, list),
        other => Err(wrong(name, expected, &other)),
    };
    list.into_iter().map(prompt).collect()
}

/// Token ids, with texts among them.
fn one(model: &Model, name: &str, list: Vec<Value>) -> Result<Prompt, Refusal> {
    Ok(Prompt::Ids(match ids(&list) {
        Some(ids) => ids,
        None => mixed(model, name, list)?,
    }))
}

/// `dimensions`.
fn dimensions(model: &Model, fields: &mut Fields) -> Result<Option<usize>, Refusal> {
    const NAME: &str = "dimensions";
    let (given, size) = (fields.whole(NAME)?, model.embeddings.size);
    match given {
        Some(n) if n == 0 || n > size => {
            let why =
                format!("'{NAME}' has to be 1 to {size}, as many as a vector of this model has, not {n}");
            Err(Refusal::field(NAME, why))
        }
        Some(_) if model.embeddings.pooling == Pooling::None => {
            Err(Refusal::unsupported(NAME, "without pooling (--pooling none)"))
        }
        given => Ok(given),
    }
}

/// Refuses to give a vector for each token where one for the whole text is expected.
fn expect_pooling(model: &Model) -> Result<(), Refusal> {
    if model.embeddings.pooling == Pooling::None {
        let why = "this server gives a vector for each token (--pooling none), which has no place in this answer; \
                   ask /embedding, or start it with another --pooling";
        return Err(Refusal::new(Kind::Invalid, why));
    }
    Ok(())
}

/// The vectors of all texts, in their order.
async fn vectors(call: &Call, model: &Arc<Model>, wanted: Wanted) -> Result<Vec<Embedded>, Refusal> {
    let Wanted { prompts, dimensions, norm, truncate } = wanted;
    let pooling = model.embeddings.pooling;
    let ask =
        |prompt| Ask { rows: PromptRows::Hidden(pooling), truncate, max_tokens: Some(0), ..Ask::new(prompt) };
    let mut asks: Vec<Ask> = prompts.into_iter().map(ask).collect();
    let mut all = Vec::with_capacity(asks.len());
    // As many as go through the model together: the queue is for others too.
    while !asks.is_empty() {
        let later = asks.split_off(asks.len().min(call.shared.settings.parallel.max(1)));
        let asked = call.ask(model, std::mem::replace(&mut asks, later)).await;
        let mut answers = asked.map_err(too_large)?;
        for (_, end) in answers.whole().await? {
            let finished = |mut row: Vec<f32>| {
                row.truncate(dimensions.unwrap_or(row.len()));
                if pooling != Pooling::None {
                    norm.apply(&mut row);
                }
                row
            };
            let rows = end.hidden.into_iter().map(finished).collect();
            all.push(Embedded { rows, tokens: end.prompt_tokens });
        }
    }
    Ok(all)
}

/// A text that does not fit, in words for inputs.
fn too_large(refusal: Refusal) -> Refusal {
    let Kind::TooLong { tokens, context } = refusal.kind else { return refusal };
    let message = format!(
        "the input is too large: it has {tokens} tokens, which leave no room in a context of {context}; shorten it, or start \
         the server with a larger --max-seq-len"
    );
    Refusal { message, ..refusal }
}

/// A vector in JSON, each number as short as it can be.
fn numbers(vector: &[f32]) -> Value {
    let number = |x: &f32| json!(x.to_string().parse().unwrap_or(f64::from(*x)));
    vector.iter().map(number).collect()
}

/// Paths that compare texts with a question, for which models of another kind are made.
pub(super) async fn rerank(_call: Call) -> Result<Response, Refusal> {
    let why = "this server does not rank texts, for which a model of another kind is made; compare their embeddings \
               (/v1/embeddings)";
    Err(Refusal::new(Kind::NotFound, why))
}
