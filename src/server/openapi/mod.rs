//! `GET /openapi.json`: what there is to ask, in OpenAPI 3.1.
//!
//! It is made from the table of routes. Tests compare the fields with those that the readers of requests take.

pub(super) mod answers;
mod kinds;
pub(super) mod requests;
#[cfg(test)]
mod tests;

use axum::response::Response;
use serde_json::{Map, Value, json};

use self::Said::{Events, Json, Lines, Nothing, Text};
use self::kinds::{Field, object};
use super::dialect::{Dialect, answer};
use super::refusal::Refusal;
use super::router::Call;
use super::routes::routes;

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
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

/// What there is to say of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described {
    pub about: &'static str,
    /// The groups of fields of a body; a GET has none.
    pub request: Option<&'static [&'static [Field]]>,
    pub said: Said,
}

/// `GET /openapi.json`.
pub(super) async fn openapi(_call: Call) -> Result<Response, Refusal> {
    Ok(answer(&document()))
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in routes() {
        let Some(described) = route.described else { continue };
        for path in route.paths {
            // A name may have slashes in it, which OpenAPI has no sign for.
            let path = path.replace("{*", "{");
            let method = route.method.as_str().to_lowercase();
            let operation = described.describe(&path, route.open);
            let methods = paths.entry(path).or_insert_with(|| json!({}));
            methods[method] = operation;
        }
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

impl Described {
    /// At this path, which needs no key if it is `open`.
    fn describe(&self, path: &str, open: bool) -> Value {
        let dialect = Dialect::of_path(path);
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
        if !open {
            described["security"] = json!([{ "bearer": [] }, { "key": [] }, {}]);
        }
        if let Some(groups) = self.request {
            let content = json!({ "application/json": { "schema": object(groups) } });
            described["requestBody"] = json!({ "required": true, "content": content });
        }
        if let Some((_, name)) = path.split_once('{') {
            described["parameters"] = json!([{
                "name": name.trim_end_matches('}'), "in": "path", "required": true, "schema": { "type": "string" },
            }]);
        }
        described
    }
}
