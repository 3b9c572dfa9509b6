//! Texts that follow a JSON schema or a grammar.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Server;
use crate::skip::skipped;

/// The demo model with a chat template.
fn server(dir: &TempDir, template: &str, args: &[&str]) -> Server {
    let file = dir.path().join("template.jinja");
    std::fs::write(&file, template).expect("writable");
    let file = file.to_str().expect("UTF-8");
    Server::start(&[&["--chat-template", file, "--log", "off"], args].concat())
}

const TEMPLATE: &str = "{% for m in messages %}{{ m.content }}{% endfor %}";

/// Schemas whose texts have an end that any model comes to.
fn schemas() -> Vec<Value> {
    let short = json!({"type": "string", "maxLength": 6});
    vec![
        json!({
            "type": "object", "additionalProperties": false, "required": ["name", "age", "colour"],
            "properties": {
                "name": short, "age": {"type": "integer", "minimum": 3, "maximum": 120},
                "colour": {"enum": ["red", "green", null, 7]}, "done": {"type": "boolean"},
            },
        }),
        json!({"type": "array", "minItems": 2, "maxItems": 3, "items": {"enum": ["fox", "owl", "cat"]}}),
        json!({
            "$defs": {"point": {
                "type": "object", "additionalProperties": false, "required": ["x", "y"],
                "properties": {"x": {"type": "integer", "minimum": -9, "maximum": 9}, "y": {"const": 1}},
            }},
            "type": "object", "additionalProperties": false, "required": ["from"],
            "properties": {"from": {"$ref": "#/$defs/point"}, "to": {"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]}},
        }),
        json!({"type": "string", "pattern": "^[a-f]{2,4}-[0-9]{3}$"}),
        json!({"type": "string", "format": "date"}),
    ]
}

/// Whether all pairs of a schema and a text are valid, says another program.
fn validate(test: &str, pairs: &[(Value, String)]) {
    const SCRIPT: &str = "import json, sys, jsonschema
for schema, text in json.load(sys.stdin):
    jsonschema.validate(json.loads(text), schema, jsonschema.Draft202012Validator)";
    let has = Command::new("python3").args(["-c", "import jsonschema"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        return skipped(test, "python3 lacks jsonschema, which says whether texts are valid");
    }
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    python.stdin.take().unwrap().write_all(json!(pairs).to_string().as_bytes()).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn answers_are_valid_in_every_dialect() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir, TEMPLATE, &[]);
    let mut pairs: Vec<(Value, String)> = Vec::new();
    for (i, schema) in schemas().into_iter().enumerate() {
        for (temperature, seed) in [(0.0_f64, 1), (1.0, 2), (2.0, 3)] {
            let messages = json!([{"role": "user", "content": "Once upon a time"}]);
            let format = json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": schema}});
            let chat = json!({
                "messages": messages, "response_format": format, "temperature": temperature, "seed": seed, "max_tokens": 300,
            });
            let whole = server.ask("/v1/chat/completions", &chat);
            let choice = &whole["choices"][0];
            let text = choice["message"]["content"].as_str().unwrap().to_owned();
            assert_eq!(choice["finish_reason"], "stop", "{text}");
            let mut stream = chat.clone();
            stream["stream"] = json!(true);
            let events = server.post("/v1/chat/completions", &stream).events();
            let joined: String =
                events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
            assert_eq!(joined, text);
            let own = json!({
                "prompt": "Once upon a time", "json_schema": schema, "temperature": temperature, "seed": seed, "n_predict": 300,
            });
            let completed = server.ask("/completion", &own);
            assert_eq!(completed["stop_type"], "eos");
            assert_eq!(completed["content"], text.as_str(), "the same prompt and settings");
            let options = json!({"temperature": temperature, "seed": seed, "num_predict": 300});
            let ollama = json!({"model": "demo", "messages": messages, "format": schema, "stream": false, "options": options});
            let said = server.ask("/api/chat", &ollama);
            assert_eq!(said["done_reason"], "stop");
            pairs.push((schema.clone(), said["message"]["content"].as_str().unwrap().to_owned()));
            if i < 2 {
                let anthropic = json!({
                    "model": "demo", "messages": messages, "max_tokens": 300, "temperature": temperature.min(1.0),
                    "output_config": {"format": {"type": "json_schema", "schema": schema}},
                });
                let said = server.ask("/v1/messages", &anthropic);
                assert_eq!(said["stop_reason"], "end_turn");
                pairs.push((schema.clone(), said["content"][0]["text"].as_str().unwrap().to_owned()));
            }
            pairs.push((schema.clone(), text));
        }
    }
    let different: std::collections::BTreeSet<&str> = pairs.iter().map(|(_, text)| text.as_str()).collect();
    assert!(different.len() > 10, "{different:?}");
    validate("answers_are_valid_in_every_dialect", &pairs);
    // Any object: it may be longer than there is room for, and is the beginning of one then.
    let any =
        json!({"prompt": "Once", "response_format": {"type": "json_object"}, "max_tokens": 40, "seed": 4});
    let choice = server.ask("/v1/completions", &any)["choices"][0].clone();
    let text = choice["text"].as_str().unwrap();
    assert!(text.starts_with('{'), "{text}");
    let whole = serde_json::from_str::<Value>(text).is_ok();
    assert_eq!(choice["finish_reason"] == "stop", whole, "{text}");
}

#[test]
fn answers_are_texts_of_their_grammar() {
    let server = Server::start(&["--log", "off"]);
    let grammar = "root ::= word (\", \" word){2} \".\"\nword ::= \"fox\" | \"owl\" | [0-9]{2}";
    for seed in 0..6 {
        let body = json!({"prompt": "Once upon a time there was a", "grammar": grammar, "seed": seed, "temperature": 1.5});
        let value = server.ask("/completion", &body);
        let text = value["content"].as_str().unwrap();
        let words: Vec<&str> = text.strip_suffix('.').expect("an end").split(", ").collect();
        let is_word = |word: &&str| {
            ["fox", "owl"].contains(word) || word.len() == 2 && word.bytes().all(|b| b.is_ascii_digit())
        };
        assert!(words.len() == 3 && words.iter().all(is_word), "{text}");
        assert_eq!(value["stop_type"], "eos");
    }
    // Recursion, in the other form.
    let lark = "%llguidance {}\nstart: \"(\" inner? \")\"\ninner: \"a\" | start";
    let body = json!({"prompt": "x", "grammar": lark, "seed": 1, "max_tokens": 60, "ignore_eos": true});
    let choice = server.ask("/v1/completions", &body)["choices"][0].clone();
    let text = choice["text"].as_str().unwrap();
    let opened = text.matches('(').count();
    assert!(
        text.starts_with('(') && (choice["finish_reason"] == "length" || text.matches(')').count() == opened),
        "{text}"
    );
}

#[test]
fn probabilities_are_those_of_the_model() {
    let server = Server::start(&["--log", "off"]);
    let body = json!({"prompt": "Once upon a time", "max_tokens": 3, "temperature": 0, "logprobs": 5});
    let free = server.ask("/v1/completions", &body)["choices"][0]["logprobs"].clone();
    let mut held = body.clone();
    held["grammar"] = json!("root ::= [0-9]{3}");
    let held = server.ask("/v1/completions", &held)["choices"][0]["logprobs"].clone();
    assert_eq!(held["top_logprobs"][0], free["top_logprobs"][0]);
    let chosen = held["tokens"][0].as_str().unwrap();
    assert!(chosen.bytes().all(|b| b.is_ascii_digit()), "{chosen}");
    assert!(
        held["token_logprobs"][0].as_f64() < free["token_logprobs"][0].as_f64(),
        "a digit is unlikely there"
    );
}

#[test]
fn an_answer_is_the_same_in_a_crowd() {
    let bodies: Vec<Value> = (0..18)
        .map(|i| {
            let mut body = json!({
                "prompt": "Once upon a time there was a small house. ".repeat(1 + i % 3), "max_tokens": 50 + i, "seed": i / 2,
                "temperature": ([0.0, 0.8, 1.5][i % 3]), "repeat_penalty": ([1.0, 1.2][i / 6 % 2]), "ignore_eos": true,
            });
            match i % 4 {
                0 => body["json_schema"] = schemas()[i % 5].clone(),
                1 => body["grammar"] = json!("root ::= (word \" \")* \"end\"\nword ::= [a-z]+ | \"(\" root \")\""),
                2 => body["response_format"] = json!({"type": "json_object"}),
                _ => {}
            }
            body
        })
        .collect();
    let said = |server: &Server, body: &Value| {
        let value = server.ask("/v1/completions", body);
        json!([value["choices"], value["usage"]["completion_tokens"]])
    };
    let single = Server::start(&["--kept-texts", "0", "--log", "off"]);
    let alone: Vec<Value> = bodies.iter().map(|body| said(&single, body)).collect();
    drop(single);
    for args in [&["--parallel", "6"][..], &["--parallel", "8", "--kv-budget-mb", "1"]] {
        let server = Arc::new(Server::start(&[args, &["--log", "off"]].concat()));
        let threads: Vec<_> = bodies
            .iter()
            .map(|body| {
                let (server, body) = (Arc::clone(&server), body.clone());
                thread::spawn(move || said(&server, &body))
            })
            .collect();
        let together: Vec<Value> =
            threads.into_iter().map(|thread| thread.join().expect("an answer")).collect();
        assert_eq!(together, alone, "{args:?}");
    }
}

#[test]
fn a_constraint_waits_for_the_end_of_the_reasoning() {
    let dir = TempDir::new().unwrap();
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>{% endif %}\
                    {# </think> #}";
    let server = server(&dir, template, &[]);
    let body = json!({
        "messages": [{"role": "user", "content": "Once upon a time"}], "response_format": {"type": "json_object"},
        "max_tokens": 20, "temperature": 0,
    });
    // The demo model does not know how to end it.
    let choice = server.ask("/v1/chat/completions", &body)["choices"][0].clone();
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("length"), &json!("")));
    assert!(choice["message"]["reasoning_content"].as_str().is_some_and(|text| text.len() > 10), "{choice}");
}

#[test]
fn what_cannot_be_followed_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir, TEMPLATE, &[]);
    let refused = |path: &str, body: Value, part: &str| {
        let reply = server.post(path, &body);
        let text = reply.text();
        assert_eq!(reply.status, 400, "{path}: {text}");
        assert!(text.contains(part), "{path}: {text} has no {part}");
        reply.json()
    };
    let messages = json!([{"role": "user", "content": "x"}]);
    let not = json!({"type": "object", "properties": {"a": {"not": {"type": "string"}}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": not}});
    let body = json!({"messages": messages, "response_format": format});
    let error = refused("/v1/chat/completions", body, "'not' at 'properties.a' is not supported");
    assert_eq!(error["error"]["param"], "response_format");
    refused("/completion", json!({"prompt": "x", "json_schema": {"uniqueItems": true}}), "'uniqueItems'");
    refused("/completion", json!({"prompt": "x", "grammar": "root ::= \"a"}), "line 1, column 12");
    refused("/completion", json!({"prompt": "x", "grammar": "a ::= \"b\""}), "no rule 'root'");
    refused("/v1/completions", json!({"prompt": "x", "grammar": "%llguidance {}\nstart: b"}), "unknown name");
    let both = json!({"prompt": "x", "grammar": "root ::= \"a\"", "json_schema": {}});
    refused("/completion", both, "'grammar' and 'json_schema'");
    let ollama = |format: Value| json!({"model": "demo", "messages": messages, "format": format});
    refused("/api/chat", ollama(json!("yaml")), "'format'");
    refused("/api/generate", json!({"model": "demo", "prompt": "x", "format": {"if": {}}}), "'if'");
    let output = json!({"format": {"type": "json_schema", "schema": {"contains": {}}}});
    let body = json!({"model": "demo", "max_tokens": 5, "messages": messages, "output_config": output});
    let error = refused("/v1/messages", body, "'contains'");
    assert_eq!(error["error"]["type"], "invalid_request_error");
    // A schema of an attacker.
    let deep: Value = (0..2000)
        .map(|i| (format!("d{i}"), json!({"$ref": format!("#/$defs/d{}", i + 1)})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    refused(
        "/completion",
        json!({"prompt": "x", "json_schema": {"$ref": "#/$defs/d0", "$defs": deep}}),
        "'#/$defs/d2000'",
    );
    assert_eq!(
        server.ask("/completion", &json!({"prompt": "x", "n_predict": 2, "ignore_eos": true}))["tokens_predicted"],
        2
    );
}

#[test]
fn published_clients_get_their_types() {
    let test = "published_clients_get_their_types";
    let has = Command::new("python3")
        .args(["-c", "import anthropic, instructor, ollama, openai, pydantic"])
        .output();
    if !has.is_ok_and(|output| output.status.success()) {
        return skipped(test, "python3 lacks openai, ollama, anthropic, instructor or pydantic");
    }
    let dir = TempDir::new().unwrap();
    // The package instructor puts the schema into the prompt.
    let server = server(&dir, TEMPLATE, &["--max-seq-len", "2048"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/serve/structured_clients.py");
    let url = format!("http://{}", server.address);
    let output = Command::new("python3").arg(script).args([&url, "demo"]).output().expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let got: Value = serde_json::from_slice(&output.stdout).expect("one object");
    for client in ["openai", "instructor", "ollama", "anthropic"] {
        assert_eq!(got[client]["kind"], "animal", "{got}");
        assert!(got[client]["legs"].as_u64().is_some_and(|legs| legs <= 8), "{got}");
    }
}
