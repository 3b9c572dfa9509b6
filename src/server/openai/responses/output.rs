//! The items of an answer.

use serde_json::{Value, json};

use super::super::{seconds, set};
use crate::engine::Finish;
use crate::server::answer::{CallPart, End};
use crate::server::router::Call;

/// What all objects of a response have, and what they repeat of the request.
pub(super) struct Head {
    /// Of this response alone; items have ids that are made of it.
    id: String,
    created: u64,
    model: String,
    /// Fields of the request.
    said: Vec<(&'static str, Value)>,
}

/// The parts of an answer that items hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reasoning,
    Text,
    /// A call: its own id, and the function's name.
    Call {
        id: String,
        name: String,
    },
}

impl Head {
    pub fn new(call: &Call, model: &str, said: Vec<(&'static str, Value)>) -> Self {
        let created = seconds(std::time::SystemTime::now());
        Self { id: call.id.to_string(), created, model: model.to_owned(), said }
    }

    /// A response as far as it has come; with `end` it has ended.
    pub fn response(&self, items: &[Value], end: Option<&End>) -> Value {
        let status = end.map_or("in_progress", status);
        let details = (status == "incomplete").then(|| json!({ "reason": "max_output_tokens" }));
        let mut value = json!({
            "id": format!("resp_{}", self.id), "object": "response", "created_at": self.created, "status": status,
            "background": false, "error": null, "incomplete_details": details, "model": self.model, "output": items,
            "previous_response_id": null, "store": false, "truncation": "disabled", "usage": end.map(usage),
        });
        for (name, said) in &self.said {
            set(&mut value, name, said.clone());
        }
        value
    }

    /// The id of an item.
    pub fn item_id(&self, kind: &Kind, index: usize) -> String {
        let prefix = match kind {
            Kind::Reasoning => "rs",
            Kind::Text => "msg",
            Kind::Call { .. } => "fc",
        };
        format!("{prefix}_{}_{index}", self.id)
    }

    /// An item; in a stream the first form of it has an empty text.
    pub fn item(&self, kind: &Kind, index: usize, text: &str, status: &str) -> Value {
        let id = self.item_id(kind, index);
        let parts = if status == "in_progress" { Vec::new() } else { vec![part(kind, text)] };
        match kind {
            Kind::Reasoning => {
                json!({ "id": id, "type": "reasoning", "summary": [], "content": parts, "status": status })
            }
            Kind::Text => {
                json!({ "id": id, "type": "message", "role": "assistant", "content": parts, "status": status })
            }
            Kind::Call { id: call, name } => json!({
                "id": id, "type": "function_call", "call_id": call, "name": name, "arguments": text, "status": status,
            }),
        }
    }
}

impl Kind {
    /// A call that begins.
    pub fn of_call(part: &CallPart) -> Self {
        Self::Call { id: part.id().to_owned(), name: part.name().to_owned() }
    }
}

/// The part of an item that has the text.
pub(super) fn part(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::Reasoning => json!({ "type": "reasoning_text", "text": text }),
        _ => json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }),
    }
}

/// How a response has ended.
pub(super) fn status(end: &End) -> &'static str {
    match end.finish {
        Finish::Length | Finish::ContextFull => "incomplete",
        _ => "completed",
    }
}

/// `usage`. Tokens of reasoning are not counted apart.
fn usage(end: &End) -> Value {
    json!({
        "input_tokens": end.prompt_tokens,
        "input_tokens_details": { "cached_tokens": end.cached_tokens, "cache_write_tokens": 0 },
        "output_tokens": end.generated_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": end.prompt_tokens + end.generated_tokens,
    })
}
