//! `GET /openapi.json`: what there is to ask, in OpenAPI 3.1.
//!
//! Tests compare the list here with the routes, and the fields with those that the readers of requests take.

mod answers;
mod kinds;
mod requests;
#[cfg(test)]
mod tests;

use axum::response::Response;
use serde_json::{Map, Value, json};

use self::Said::{Events, Json, Lines, Nothing, Text};
use self::kinds::{Field, object};
use super::dialect::{Dialect, answer};
use super::refusal::Refusal;
use super::router::Call;

/// What is answered.
#[derive(Clone, Copy, Debug)]
enum Said {
    Json(fn() -> Value),
    /// Such an object, or events if `stream` is true.
    Events(fn() -> Value),
    /// Lines with such objects, or one object if `stream` is false.
    Lines(fn() -> Value),
    /// A text of this type.
    Text(&'static str),
    /// Nothing but the status.
    Nothing,
}

/// Something that can be asked.
#[derive(Clone, Copy, Debug)]
struct Operation {
    method: &'static str,
    path: &'static str,
    about: &'static str,
    /// The groups of fields of a body; a GET has none.
    request: Option<&'static [&'static [Field]]>,
    said: Said,
}

const fn get(path: &'static str, about: &'static str, said: Said) -> Operation {
    Operation { method: "get", path, about, request: None, said }
}

const fn post(
    path: &'static str,
    about: &'static str,
    request: &'static [&'static [Field]],
    said: Said,
) -> Operation {
    Operation { method: "post", path, about, request: Some(request), said }
}

const fn delete(path: &'static str, about: &'static str, request: &'static [&'static [Field]]) -> Operation {
    Operation { method: "delete", path, about, request: Some(request), said: Nothing }
}

/// Everything that can be asked, beside the page.
const OPERATIONS: &[Operation] = &[
    get("/health", "Whether the model is loaded.", Json(answers::health)),
    get("/v1/health", "Whether the model is loaded.", Json(answers::health)),
    get("/metrics", "Numbers for Prometheus.", Text("application/openmetrics-text")),
    get("/openapi.json", "This description.", Json(answers::document)),
    get("/props", "What the server has by itself.", Json(answers::props)),
    get("/slots", "How many texts are in progress, unless --no-slots.", Json(answers::slots)),
    post("/completion", "Goes on with a text.", requests::COMPLETION, Events(answers::completion)),
    post("/completions", "Goes on with a text.", requests::COMPLETION, Events(answers::completion)),
    post("/embedding", "Vectors of texts.", requests::EMBEDDING, Json(answers::embedding)),
    post("/embeddings", "Vectors of texts.", requests::EMBEDDING, Json(answers::embedding)),
    post("/tokenize", "The token ids of a text.", requests::TOKENIZE, Json(answers::tokenize)),
    post("/detokenize", "The text of token ids.", requests::DETOKENIZE, Json(answers::detokenize)),
    post(
        "/apply-template",
        "A conversation as the model gets it.",
        requests::APPLY_TEMPLATE,
        Json(answers::apply_template),
    ),
    get("/v1/models", "The names of the models.", Json(answers::models)),
    get("/v1/models/{name}", "A model by one of its names.", Json(answers::model)),
    get("/models", "The names of the models.", Json(answers::models)),
    post("/v1/chat/completions", "Answers a conversation.", requests::CHAT, Events(answers::chat)),
    post("/chat/completions", "Answers a conversation.", requests::CHAT, Events(answers::chat)),
    post(
        "/v1/chat/completions/input_tokens",
        "How many tokens a conversation has.",
        requests::CHAT,
        Json(answers::count_tokens),
    ),
    post(
        "/chat/completions/input_tokens",
        "How many tokens a conversation has.",
        requests::CHAT,
        Json(answers::count_tokens),
    ),
    post("/v1/completions", "Goes on with texts.", requests::COMPLETIONS, Events(answers::completions)),
    post("/v1/embeddings", "Vectors of texts.", requests::EMBEDDINGS, Json(answers::embeddings)),
    post("/v1/responses", "Answers a conversation.", requests::RESPONSES, Events(answers::responses)),
    post("/responses", "Answers a conversation.", requests::RESPONSES, Events(answers::responses)),
    post(
        "/v1/messages",
        "Answers a conversation.",
        requests::MESSAGES_OF_ANTHROPIC,
        Events(answers::messages),
    ),
    post(
        "/v1/messages/count_tokens",
        "How many tokens a conversation has.",
        requests::COUNT_TOKENS,
        Json(answers::count_tokens),
    ),
    post("/api/generate", "Goes on with a text.", requests::GENERATE, Lines(answers::generate)),
    post("/api/chat", "Answers a conversation.", requests::CHAT_OF_OLLAMA, Lines(answers::chat_of_ollama)),
    post("/api/embed", "Vectors of texts.", requests::EMBED_OF_OLLAMA, Json(answers::embed_of_ollama)),
    post(
        "/api/embeddings",
        "The vector of a text.",
        requests::EMBEDDINGS_OF_OLLAMA,
        Json(answers::embeddings_of_ollama),
    ),
    get("/api/tags", "The names of the models.", Json(answers::tags)),
    post("/api/show", "What the model is.", requests::SHOW, Json(answers::show)),
    post("/api/pull", "Fetches a model from a hub.", requests::PULL, Lines(answers::pull)),
    post("/api/copy", "Gives a model another name.", requests::COPY, Nothing),
    delete("/api/delete", "Removes a model, or a name that it was given.", requests::DELETE),
    get("/api/ps", "The models that are loaded.", Json(answers::tags)),
    get("/api/version", "The program's version.", Json(answers::version)),
];

/// `GET /openapi.json`.
pub(super) async fn openapi(_call: Call) -> Result<Response, Refusal> {
    Ok(answer(&document()))
}

fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.method] = operation.describe();
    }
    let tags = ["OpenAI", "Anthropic", "Ollama", "llama.cpp"].map(|name| json!({ "name": name }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "llm_rs2",
            "summary": "A language model on this machine, for clients of OpenAI, Ollama, Anthropic and llama.cpp.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": answers::components(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "key": { "type": "apiKey", "in": "header", "name": "X-Api-Key" },
            },
        },
    })
}

impl Operation {
    fn describe(&self) -> Value {
        let dialect = Dialect::of_path(self.path);
        let (tag, error) = match dialect {
            Dialect::OpenAi => ("OpenAI", "OpenAiError"),
            Dialect::Anthropic => ("Anthropic", "AnthropicError"),
            Dialect::Ollama => ("Ollama", "OllamaError"),
            Dialect::LlamaCpp => ("llama.cpp", "LlamaCppError"),
        };
        let stream = |kind: &str, schema: fn() -> Value| json!({ "application/json": { "schema": schema() }, kind: { "schema": { "type": "string" } } });
        let content = match self.said {
            Json(schema) => json!({ "application/json": { "schema": schema() } }),
            Events(schema) => stream("text/event-stream", schema),
            Lines(schema) => stream("application/x-ndjson", schema),
            Nothing => Value::Null,
            Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
        };
        let error = json!({ "$ref": format!("#/components/schemas/{error}") });
        let mut described = json!({
            "summary": self.about,
            "tags": [tag],
            "responses": {
                "200": { "description": "The answer.", "content": content },
                "default": {
                    "description": "Why there is none.",
                    "content": { "application/json": { "schema": error } },
                },
            },
        });
        if matches!(self.said, Nothing) {
            described["responses"]["200"] = json!({ "description": "It is done." });
        }
        // A server without keys asks for none.
        if !self.path.ends_with("/health") {
            described["security"] = json!([{ "bearer": [] }, { "key": [] }, {}]);
        }
        if let Some(groups) = self.request {
            let content = json!({ "application/json": { "schema": object(groups) } });
            described["requestBody"] = json!({ "required": true, "content": content });
        }
        if let Some((_, name)) = self.path.split_once('{') {
            described["parameters"] = json!([{
                "name": name.trim_end_matches('}'), "in": "path", "required": true, "schema": { "type": "string" },
            }]);
        }
        described
    }
}
