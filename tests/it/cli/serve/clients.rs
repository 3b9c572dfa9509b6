//! The clients that are published for the dialects, from PyPI.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::client::Server;
use crate::cli::models::Copy;
use crate::skip::skipped;

#[test]
fn published_clients_get_what_they_ask_for() {
    let has_all = Command::new("python3").args(["-c", "import anthropic, ollama, openai"]).output();
    if !has_all.is_ok_and(|output| output.status.success()) {
        return skipped(
            "published_clients_get_what_they_ask_for",
            "python3 lacks openai, ollama or anthropic",
        );
    }
    let copy = Copy::with_template();
    let args = ["-m", copy.path().to_str().unwrap(), "--alias", "tiny", "--api-key", "secret"];
    let server = Server::start(&args);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/serve/clients.py");
    let output = Command::new("python3")
        .arg(script)
        .args([&format!("http://{}", server.address), "secret", "tiny"])
        .output()
        .expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let got: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let body = json!({"messages": [{"role": "user", "content": "t5 t6"}], "max_tokens": 8, "temperature": 0});
    let key = [("authorization", "Bearer secret")];
    let reply = server.request("POST", "/v1/chat/completions", &key, body.to_string().as_bytes()).json();
    let (text, usage) = (&reply["choices"][0]["message"]["content"], &reply["usage"]);
    let (prompt, generated) = (&usage["prompt_tokens"], &usage["completion_tokens"]);
    let finish = &reply["choices"][0]["finish_reason"];
    let openai = &got["openai"];
    let joined: String = openai["tokens"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(joined.trim(), text.as_str().unwrap().trim());
    assert_eq!(openai["models"], json!(["tiny"]));
    for field in ["whole", "stream", "completion"] {
        assert_eq!(openai[field], *text, "{field}");
    }
    assert_eq!((&openai["finish"], &openai["usage"]), (finish, generated));
    assert_eq!(
        (&openai["refused"], &openai["unknown"]),
        (&json!("tools[0].type"), &json!("invalid_api_key"))
    );
    let body = json!({"input": "t5 t6"}).to_string();
    let reply = server.request("POST", "/v1/embeddings", &key, body.as_bytes()).json();
    let numbers = |vector: &Value| -> Vec<f32> {
        vector.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let expected = numbers(&reply["data"][0]["embedding"]);
    for vector in
        openai["vectors"].as_array().unwrap().iter().chain(got["ollama"]["vectors"].as_array().unwrap())
    {
        assert_eq!(numbers(vector), expected);
    }
    assert_eq!(openai["cut"], 7);
    assert_eq!(
        (&openai["refused"], &openai["unknown"]),
        (&json!("tools[0].type"), &json!("invalid_api_key"))
    );
    let ollama = &got["ollama"];
    for field in ["whole", "stream", "generated"] {
        assert_eq!(ollama[field], *text, "{field}");
    }
    assert_eq!((&ollama["models"], &ollama["running"]), (&json!(["tiny"]), &json!(["tiny"])));
    assert_eq!(
        (&ollama["finish"], &ollama["refused"], &ollama["shown"]),
        (finish, &json!(404), &json!("llama"))
    );
    let anthropic = &got["anthropic"];
    assert_eq!((&anthropic["whole"], &anthropic["stream"]), (text, text));
    assert_eq!((&anthropic["usage"], &anthropic["counted"]), (generated, prompt));
    assert_eq!(anthropic["refused"], "invalid_request_error");
}
