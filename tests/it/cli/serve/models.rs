//! Several models in one server.

use serde_json::{Value, json};

use super::client::{Server, serve};
use crate::cli::models::Copy;

struct Two {
    first: Copy,
    second: Copy,
}

impl Two {
    fn new() -> Self {
        Self { first: Copy::with_template(), second: Copy::with_template() }
    }

    fn start(&self, more: &[&str]) -> Server {
        let named = |name: &str, copy: &Copy| format!("{name}={}", copy.path().to_str().unwrap());
        let (first, second) = (named("one", &self.first), named("two", &self.second));
        let args = [&["-m", &first, "-m", &second, "--temperature", "0"], more].concat();
        Server::start(&args)
    }
}

fn ask(model: &str) -> Value {
    json!({"model": model, "prompt": "t5 t6", "max_tokens": 6})
}

/// Names of the models that are loaded.
fn loaded(server: &Server) -> Vec<String> {
    let list = server.get("/v1/models").json()["data"].clone();
    let is_loaded = |model: &&Value| model["status"]["value"] == "loaded";
    let name = |model: &Value| model["id"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().filter(is_loaded).map(name).collect()
}

#[test]
fn a_model_is_loaded_when_it_is_asked_for() {
    let two = Two::new();
    let server = two.start(&[]);
    assert_eq!(loaded(&server), ["one"]);
    let by_default = server.ask("/v1/completions", &json!({"prompt": "t5 t6", "max_tokens": 6}));
    assert_eq!(by_default["model"], "one");
    let answer = server.ask("/v1/completions", &ask("two"));
    assert_eq!((&answer["model"], &answer["choices"]), (&json!("two"), &by_default["choices"]));
    assert_eq!(loaded(&server), ["one", "two"]);
    let names = |path: &str| -> Vec<Value> {
        let models = server.get(path).json()["models"].as_array().unwrap().clone();
        models.into_iter().map(|model| model["name"].clone()).collect()
    };
    assert_eq!(
        (names("/api/tags"), names("/api/ps")),
        (vec![json!("one"), json!("two")], vec![json!("one"), json!("two")])
    );
    // Names have to be right where there are several models, in every dialect.
    for (path, pointer) in [
        ("/v1/completions", "/error/message"),
        ("/completion", "/error/message"),
        ("/api/generate", "/error"),
    ] {
        let reply = server.post(path, &ask("three"));
        assert_eq!(reply.status, 404);
        let message = reply.json().pointer(pointer).unwrap().as_str().unwrap().to_owned();
        assert!(message.contains("'three'") && message.contains("'two'"), "{message}");
    }
    // Without a prompt and with nothing to wait for, a model goes.
    let gone = server.ask("/api/generate", &json!({"model": "two", "keep_alive": 0}));
    assert_eq!(gone["done_reason"], "unload");
    server.wait("the model to go", |server| loaded(server) == ["one"]);
    assert_eq!(server.ask("/v1/completions", &ask("two"))["choices"], by_default["choices"]);
}

#[test]
fn the_model_that_was_not_used_for_the_longest_time_makes_room() {
    let two = Two::new();
    let server = two.start(&["--models-max", "1"]);
    let expected = server.ask("/v1/completions", &ask("one"))["choices"].clone();
    for name in ["two", "one", "two"] {
        assert_eq!(server.ask("/v1/completions", &ask(name))["choices"], expected);
        assert_eq!(loaded(&server), [name]);
    }
    // One that is at work stays.
    let long =
        json!({"model": "two", "prompt": "t5", "n_predict": 100_000, "ignore_eos": true, "stream": true});
    let held = server.send("POST", "/completion", &[], long.to_string().as_bytes());
    server.wait("a text", |server| server.metric("llm_rs2_active_texts") == 1.0);
    let reply = server.post("/v1/completions", &ask("one"));
    // Its context may have come to an end meanwhile.
    if reply.status != 200 {
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("10")));
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("--models-max"));
    }
    drop(held);
    server.wait("the text to end", |server| server.metric("llm_rs2_active_texts") == 0.0);
    assert_eq!(server.ask("/v1/completions", &ask("one"))["choices"], expected);
}

#[test]
fn a_model_that_nobody_asks_goes_and_comes_again() {
    let two = Two::new();
    let server = two.start(&["--unload-after", "0.005"]);
    let expected = server.ask("/v1/completions", &ask("two"))["choices"].clone();
    server.wait("both to go", |server| loaded(server).is_empty());
    assert_eq!(server.ask("/v1/completions", &ask("two"))["choices"], expected);
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn models_that_cannot_be_are_named_at_the_start() {
    let copy = Copy::with_template();
    let path = copy.path().to_str().unwrap();
    for (args, part) in [
        (vec!["-m", path, "-m", path], "two models are called"),
        (vec!["-m", path, "-m", "other=/nothing/here"], "'/nothing/here'"),
        (vec!["-m", path, "-m", "other=/nothing/here", "--alias", "x"], "--alias"),
    ] {
        let output = serve(&args).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(part), "{stderr}");
    }
    // One that turns out to be broken is a sentence, and the others go on.
    let broken = tempfile::tempdir().unwrap();
    std::fs::write(broken.path().join("broken.gguf"), b"GGUF no more").unwrap();
    let file = format!("broken={}", broken.path().join("broken.gguf").display());
    let server = Server::start(&["-m", path, "-m", &file]);
    let reply = server.post("/v1/completions", &ask("broken"));
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert!(reply.text().contains("broken.gguf"), "{}", reply.text());
    let name = server.get("/v1/models").json()["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.post("/v1/completions", &ask(&name)).status, 200);
}
