//! What is answered, as JSON Schema.

use serde_json::{Map, Value, json};

/// An object that has all of these fields; it may have more.
fn of(fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": names })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn any() -> Value {
    json!({ "type": "object" })
}

/// What several answers have, by the names that they are referred to.
pub fn components() -> Value {
    json!({
        "OpenAiError": of(&[("error", of(&[("message", text()), ("type", text())]))]),
        "LlamaCppError": of(&[("error", of(&[("code", count()), ("message", text()), ("type", text())]))]),
        "OllamaError": of(&[("error", text())]),
        "AnthropicError": of(&[("type", json!({ "const": "error" })), ("error", of(&[("type", text()), ("message", text())]))]),
        "Usage": of(&[("prompt_tokens", count()), ("completion_tokens", count()), ("total_tokens", count())]),
        "Timings": of(&[
            ("cache_n", count()), ("prompt_n", count()), ("prompt_ms", number()), ("prompt_per_second", number()),
            ("predicted_n", count()), ("predicted_ms", number()), ("predicted_per_second", number()),
        ]),
    })
}

fn shared(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn of_openai(choice: Value) -> Value {
    of(&[
        ("id", text()),
        ("object", text()),
        ("created", count()),
        ("model", text()),
        ("choices", list(choice)),
        ("usage", shared("Usage")),
    ])
}

fn finish() -> Value {
    json!({ "enum": ["stop", "length", "tool_calls"] })
}

pub fn chat() -> Value {
    let message = of(&[("role", json!({ "const": "assistant" })), ("content", text())]);
    of_openai(of(&[("index", count()), ("message", message), ("finish_reason", finish())]))
}

pub fn completions() -> Value {
    of_openai(of(&[("index", count()), ("text", text()), ("finish_reason", finish())]))
}

pub fn responses() -> Value {
    of(&[
        ("id", text()),
        ("object", json!({ "const": "response" })),
        ("created_at", count()),
        ("model", text()),
        ("status", text()),
        ("output", list(any())),
    ])
}

fn vector() -> Value {
    list(number())
}

pub fn embeddings() -> Value {
    let vector = json!({ "anyOf": [vector(), text()] });
    let one = of(&[("object", json!({ "const": "embedding" })), ("index", count()), ("embedding", vector)]);
    let usage = of(&[("prompt_tokens", count()), ("total_tokens", count())]);
    of(&[("object", json!({ "const": "list" })), ("data", list(one)), ("model", text()), ("usage", usage)])
}

pub fn embedding() -> Value {
    list(of(&[("index", count()), ("embedding", list(vector()))]))
}

pub fn embed_of_ollama() -> Value {
    of(&[("model", text()), ("embeddings", list(vector())), ("prompt_eval_count", count())])
}

pub fn embeddings_of_ollama() -> Value {
    of(&[("embedding", vector())])
}

fn model_of_openai() -> Value {
    of(&[("id", text()), ("object", json!({ "const": "model" })), ("created", count()), ("owned_by", text())])
}

pub fn models() -> Value {
    of(&[("object", json!({ "const": "list" })), ("data", list(model_of_openai()))])
}

pub fn model() -> Value {
    model_of_openai()
}

pub fn health() -> Value {
    of(&[("status", json!({ "const": "ok" }))])
}

pub fn props() -> Value {
    of(&[
        ("default_generation_settings", of(&[("n_ctx", count()), ("params", any())])),
        ("total_slots", count()),
        ("model_alias", text()),
        ("chat_template", text()),
        ("build_info", text()),
    ])
}

pub fn slots() -> Value {
    list(of(&[("id", count()), ("n_ctx", count()), ("is_processing", json!({ "type": "boolean" }))]))
}

pub fn completion() -> Value {
    of(&[
        ("content", text()),
        ("stop", json!({ "type": "boolean" })),
        ("tokens_predicted", count()),
        ("tokens_evaluated", count()),
        ("stop_type", text()),
        ("timings", shared("Timings")),
        ("generation_settings", any()),
    ])
}

pub fn tokenize() -> Value {
    let piece = json!({ "anyOf": [text(), list(count())] });
    let token = json!({ "anyOf": [count(), of(&[("id", count()), ("piece", piece)])] });
    of(&[("tokens", list(token))])
}

pub fn detokenize() -> Value {
    of(&[("content", text())])
}

pub fn apply_template() -> Value {
    of(&[("prompt", text())])
}

pub fn messages() -> Value {
    let usage =
        of(&[("input_tokens", count()), ("cache_read_input_tokens", count()), ("output_tokens", count())]);
    of(&[
        ("id", text()),
        ("type", json!({ "const": "message" })),
        ("role", json!({ "const": "assistant" })),
        ("model", text()),
        ("content", list(of(&[("type", text())]))),
        ("stop_reason", text()),
        ("usage", usage),
    ])
}

pub fn count_tokens() -> Value {
    of(&[("input_tokens", count())])
}

fn of_ollama(name: &str, schema: Value) -> Value {
    of(&[("model", text()), ("created_at", text()), (name, schema), ("done", json!({ "type": "boolean" }))])
}

pub fn generate() -> Value {
    of_ollama("response", text())
}

pub fn chat_of_ollama() -> Value {
    of_ollama("message", of(&[("role", text()), ("content", text())]))
}

pub fn tags() -> Value {
    of(&[("models", list(of(&[("name", text()), ("model", text()), ("size", count()), ("details", any())])))])
}

pub fn show() -> Value {
    of(&[("template", text()), ("details", any()), ("model_info", any()), ("capabilities", list(text()))])
}

pub fn pull() -> Value {
    of(&[("status", text())])
}

pub fn version() -> Value {
    of(&[("version", text())])
}

pub fn document() -> Value {
    of(&[("openapi", text()), ("info", any()), ("paths", any())])
}
