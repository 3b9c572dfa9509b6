//! What was computed for one key, or for one `cache_salt`, is not used for another.

use std::fs;
use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use super::client::{Reply, Server, serve};

const STORY: &str = "The old fox had a red ball. The old fox lived in a small house. ";

/// Keys that the server knows.
const KEYS: [&str; 3] = ["key-of-anna", "key-of-ben", "key-of-cleo"];

fn start(more: &[&str]) -> Server {
    let keys = KEYS.iter().flat_map(|key| ["--api-key", key]);
    Server::start(&keys.chain(more.iter().copied()).collect::<Vec<_>>())
}

fn post(server: &Server, key: &str, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {key}");
    server.request("POST", path, &[("authorization", bearer.as_str())], body.to_string().as_bytes())
}

/// What a key asks for; the answer, and how many tokens of the prompt were not computed.
fn ask(server: &Server, key: &str, salt: Option<&str>) -> (Value, u64) {
    let mut body = json!({"prompt": STORY.repeat(6), "max_tokens": 12, "seed": 3, "ignore_eos": true});
    if let Some(salt) = salt {
        body["cache_salt"] = json!(salt);
    }
    let reply = post(server, key, "/v1/completions", &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let value = reply.json();
    let cached = value["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    (value["choices"].clone(), cached)
}

#[test]
fn keys_share_nothing_where_they_are_isolated() {
    let server = start(&["--isolate-keys"]);
    let (answer, cached) = ask(&server, KEYS[0], None);
    assert_eq!(cached, 0);
    for key in &KEYS[1..] {
        assert_eq!(ask(&server, key, None), (answer.clone(), 0), "the same answer, computed again");
    }
    for key in KEYS {
        let (again, cached) = ask(&server, key, None);
        assert!(again == answer && cached > 64, "{key}: {cached}");
    }
    // The other header for the same key.
    let body = json!({"prompt": STORY.repeat(6), "n_predict": 1});
    let other = server.request("POST", "/completion", &[("x-api-key", KEYS[0])], body.to_string().as_bytes());
    assert!(other.json()["timings"]["cache_n"].as_u64().unwrap() > 64);
    // Without the flag they do.
    let server = start(&[]);
    assert_eq!(ask(&server, KEYS[0], None).1, 0);
    assert!(ask(&server, KEYS[1], None).1 > 64);
}

#[test]
fn every_dialect_isolates_keys() {
    let template = tempfile::NamedTempFile::new().unwrap();
    fs::write(template.path(), "{% for m in messages %}{{ m.content }}{% endfor %}").unwrap();
    let server = start(&["--isolate-keys", "--chat-template", template.path().to_str().unwrap()]);
    let kinds = [
        ("/v1/chat/completions", "/usage/prompt_tokens_details/cached_tokens"),
        ("/v1/responses", "/usage/input_tokens_details/cached_tokens"),
        ("/v1/messages", "/usage/cache_read_input_tokens"),
        ("/completion", "/timings/cache_n"),
    ];
    for (at, (path, cached)) in kinds.into_iter().enumerate() {
        // A text of its own for each dialect, with names for it in all of them.
        let text = format!("{at} {}", STORY.repeat(6));
        let said = json!([{"role": "user", "content": text}]);
        let body = match path {
            "/v1/responses" => json!({"input": text, "max_output_tokens": 1}),
            "/completion" => json!({"prompt": text, "n_predict": 1}),
            _ => json!({"model": "demo", "messages": said, "max_tokens": 1}),
        };
        let cached = |key: &str| {
            let reply = post(&server, key, path, &body);
            reply.json().pointer(cached).and_then(Value::as_u64).unwrap_or_else(|| panic!("{}", reply.text()))
        };
        assert_eq!((cached(KEYS[0]), cached(KEYS[1])), (0, 0), "{path}");
        assert!(cached(KEYS[0]) > 64, "{path}");
    }
    // Ollama's answers do not say how much was cached; those of another dialect do.
    let options = json!({"num_predict": 1});
    let body =
        json!({"model": "demo", "prompt": STORY.repeat(6), "raw": true, "stream": false, "options": options});
    assert_eq!(post(&server, KEYS[1], "/api/generate", &body).status, 200);
    assert_eq!(ask(&server, KEYS[2], None).1, 0);
    assert!(ask(&server, KEYS[1], None).1 > 64);
}

#[test]
fn a_salt_keeps_requests_apart() {
    let server = start(&["--isolate-keys"]);
    let [anna, ben, _] = KEYS;
    // With a key, with each of its salts, and with the same salts of another key: each is the first of its kind.
    let all = [(anna, None), (anna, Some("x")), (anna, Some("y")), (ben, None), (ben, Some("x"))];
    let answers: Vec<_> = all.into_iter().map(|(key, salt)| ask(&server, key, salt)).collect();
    assert!(answers.iter().all(|answer| *answer == (answers[0].0.clone(), 0)), "{answers:?}");
    for (key, salt) in all {
        assert!(ask(&server, key, salt).1 > 64, "{key} {salt:?}");
    }
    for (value, why) in [(json!(""), "empty"), (json!(5), "a text")] {
        for (path, error) in [("/v1/completions", "/error/param"), ("/completion", "/error/message")] {
            let reply = post(&server, anna, path, &json!({"prompt": "x", "cache_salt": value}));
            assert_eq!(reply.status, 400);
            let value = reply.json();
            assert!(value.pointer(error).unwrap().as_str().unwrap().contains("cache_salt"), "{value}");
            assert!(value["error"]["message"].as_str().unwrap().contains(why), "{value}");
        }
    }
    // It needs no keys.
    let server = Server::start(&[]);
    let ask = |salt: Value| {
        let body = json!({"prompt": STORY.repeat(6), "n_predict": 1, "cache_salt": salt});
        server.ask("/completion", &body)["timings"]["cache_n"].as_u64().unwrap()
    };
    assert_eq!((ask(Value::Null), ask(json!("x")), ask(json!("y"))), (0, 0, 0));
    assert!(ask(json!("x")) > 64 && ask(Value::Null) > 64);
}

#[test]
fn a_text_in_progress_is_of_its_key_alone() {
    let server = start(&["--isolate-keys", "--parallel", "4"]);
    let body = json!({"prompt": STORY.repeat(6), "max_tokens": 300, "ignore_eos": true, "stream": true});
    let bearer = format!("Bearer {}", KEYS[0]);
    let sent =
        server.send("POST", "/v1/completions", &[("authorization", &bearer)], body.to_string().as_bytes());
    let mut reading = BufReader::new(sent);
    let mut line = String::new();
    while !line.contains("\"text\"") {
        line.clear();
        assert!(reading.read_line(&mut line).unwrap() > 0, "no text comes");
    }
    assert_eq!(ask(&server, KEYS[1], None).1, 0);
    assert!(ask(&server, KEYS[0], None).1 > 64);
}

#[test]
fn files_are_of_their_key_too() {
    let folder = tempfile::tempdir().unwrap();
    let disk = ["--isolate-keys", "--kv-disk", folder.path().to_str().unwrap()];
    let server = start(&disk);
    let (answer, _) = ask(&server, KEYS[0], None);
    ask(&server, KEYS[0], Some("salt-of-anna"));
    server.signal(libc::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    for secret in [KEYS[0], "salt-of-anna"] {
        for file in &files {
            let bytes = fs::read(file).unwrap();
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{file:?}");
            assert!(!file.to_string_lossy().contains(secret));
        }
    }
    let server = start(&disk);
    assert_eq!(ask(&server, KEYS[1], None), (answer.clone(), 0));
    assert_eq!(ask(&server, KEYS[1], Some("salt-of-anna")).1, 0);
    let (again, cached) = ask(&server, KEYS[0], None);
    assert!(again == answer && cached > 64, "{cached}");
    assert!(ask(&server, KEYS[0], Some("salt-of-anna")).1 > 64);
    drop(server);
    // A server that isolates nothing finds none of them.
    assert_eq!(ask(&start(&disk[1..]), KEYS[0], None).1, 0);
}

#[test]
fn without_keys_there_is_nothing_to_isolate() {
    let output = serve(&["--isolate-keys", "--port", "0"]).output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("--isolate-keys") && stderr.contains("--api-key-file"), "{stderr}");
}
