//! What cannot be answered is refused in the dialect's own words, and names what is wrong.

use std::io::Write;

use serde_json::{Value, json};

use super::client::{Reply, Server, serve};

#[track_caller]
fn refused(reply: &Reply, status: u16, pointer: &str, part: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let value = reply.json();
    let message = value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    assert!(message.contains(part), "'{part}' is not in {value}");
    assert!(reply.header("x-request-id").is_some());
}

#[test]
fn every_dialect_has_its_own_errors() {
    let server = Server::start(&["--max-body-mb", "1", "--max-tokens", "50"]);
    let message = "/error/message";
    let paths = [
        ("/v1/chat/completions", message),
        ("/v1/completions", message),
        ("/completion", message),
        ("/tokenize", message),
        ("/v1/messages", message),
        ("/api/generate", "/error"),
        ("/api/chat", "/error"),
    ];
    let huge = vec![b'a'; 2 << 20];
    for (path, pointer) in paths {
        refused(&server.request("POST", path, &[], b"{\"a\":"), 400, pointer, "no JSON");
        refused(&server.request("POST", path, &[], b"[]"), 400, pointer, "an object");
        refused(&server.request("POST", path, &[], b"{\"prompt\": \"\xff\"}"), 400, pointer, "no JSON");
        refused(&server.request("POST", path, &[], &huge), 413, pointer, "1048576 bytes");
        refused(&server.get(path), 405, pointer, "GET");
    }
    refused(&server.get("/v1/nothing"), 404, message, "/v1/nothing");
    refused(&server.get("/nothing"), 404, message, "/nothing");
    refused(&server.get("/api/nothing"), 404, "/error", "/api/nothing");
    refused(&server.get("/v1/models/x"), 404, message, "'x'");
    let invalid = |path: &str, body: Value, part: &str| {
        let pointer = if path.starts_with("/api") { "/error" } else { message };
        refused(&server.post(path, &body), 400, pointer, part);
    };
    let prompt = |field: &str, value: Value| json!({"model": "demo", "prompt": "Once", field: value});
    invalid("/v1/completions", prompt("zzz", json!(1)), "'zzz'");
    invalid("/v1/completions", prompt("suffix", json!("x")), "'suffix'");
    invalid("/v1/completions", prompt("temperature", json!("hot")), "'temperature'");
    invalid("/v1/completions", prompt("temperature", json!(-1)), "temperature");
    invalid("/v1/completions", prompt("top_p", json!(2)), "top-p");
    invalid("/v1/completions", prompt("prompt", json!([1_000_000])), "1000000");
    invalid("/v1/completions", prompt("prompt", json!([])), "'prompt'");
    let long = prompt("prompt", json!("a ".repeat(2000)));
    invalid("/v1/completions", long.clone(), "exceeds the available context size of 512");
    let error = &server.post("/v1/completions", &long).json()["error"];
    assert_eq!(error["code"], "context_length_exceeded");
    let error = &server.post("/completion", &long).json()["error"];
    assert_eq!((&error["type"], &error["n_ctx"]), (&json!("exceed_context_size_error"), &json!(512)));
    assert!(error["n_prompt_tokens"].as_u64().unwrap() > 512);
    invalid("/v1/completions", prompt("logit_bias", json!({"999999": 1})), "999999");
    invalid("/completion", prompt("grammar", json!("root ::= x")), "the rule 'x'");
    invalid("/completion", prompt("mirostat", json!(2)), "'mirostat'");
    invalid("/tokenize", json!({"content": "x", "parse_special": false}), "'parse_special'");
    invalid("/api/generate", prompt("options", json!({"num_ctx": 1_000_000})), "num_ctx");
    invalid("/api/generate", prompt("format", json!("yaml")), "'format'");
    invalid("/api/generate", prompt("options", json!({"zzz": 1})), "'options.zzz'");
    let user = json!([{"role": "user", "content": "x"}]);
    // The demo model knows no conversations.
    for (path, extra) in
        [("/v1/chat/completions", "n"), ("/v1/messages", "max_tokens"), ("/api/chat", "none")]
    {
        let mut body = json!({"model": "demo", "messages": user, extra: 1});
        if extra == "none" {
            body.as_object_mut().unwrap().remove(extra);
        }
        invalid(path, body, "chat template");
    }
    invalid(
        "/v1/chat/completions",
        json!({"messages": user, "tools": [{"type": "function"}]}),
        "'tools[0].function'",
    );
    invalid(
        "/v1/chat/completions",
        json!({"messages": user, "response_format": {"type": "xml"}}),
        "'response_format.type'",
    );
    invalid("/v1/messages", json!({"model": "demo", "messages": user}), "'max_tokens'");
    refused(&server.post("/api/generate", &json!({"model": "llama3"})), 404, "/error", "'llama3'");
    let unknown = server.post("/v1/completions", &prompt("zzz", json!(1))).json();
    assert_eq!(
        (&unknown["error"]["param"], &unknown["error"]["type"]),
        (&json!("zzz"), &json!("invalid_request_error"))
    );
    // It answers still, and no answer is longer than the limit of the server.
    for (asked, given) in [(1, 1), (51, 50)] {
        let body = json!({"prompt": "Once", "max_tokens": asked, "ignore_eos": true});
        assert_eq!(server.ask("/v1/completions", &body)["usage"]["completion_tokens"], given);
    }
}

#[test]
fn a_key_is_needed_where_one_is_set() {
    let server = Server::start(&["--api-key", "secret-1", "--api-key", "secret-2"]);
    let with = |headers: &[(&str, &str)], path: &str| server.request("GET", path, headers, b"");
    assert_eq!(server.get("/health").status, 200);
    for path in ["/v1/models", "/api/tags", "/props", "/metrics", "/nothing"] {
        for headers in [
            &[][..],
            &[("authorization", "Bearer secret-3")],
            &[("x-api-key", "")],
            &[("authorization", "secret-1")],
        ] {
            let pointer = if path.starts_with("/api") { "/error" } else { "/error/message" };
            refused(&with(headers, path), 401, pointer, "key");
        }
    }
    for headers in [("authorization", "Bearer secret-1"), ("x-api-key", "secret-2")] {
        assert_eq!(with(&[headers], "/v1/models").status, 200);
    }
    server.signal(libc::SIGTERM);
    let (_, lines) = server.end();
    assert!(lines.iter().all(|line| !line.contains("secret")), "{lines:#?}");
}

#[test]
fn pages_of_other_places_may_ask_where_they_are_named() {
    let origin = ("origin", "https://example.com");
    let closed = Server::start(&[]);
    refused(&closed.request("GET", "/v1/models", &[origin], b""), 403, "/error/message", "--cors-origin");
    let own = format!("http://{}", closed.address);
    assert_eq!(closed.request("GET", "/v1/models", &[("origin", &own)], b"").status, 200);
    let open = Server::start(&["--cors-origin", "https://example.com"]);
    let reply = open.request("GET", "/v1/models", &[origin], b"");
    assert_eq!(
        (reply.status, reply.header("access-control-allow-origin")),
        (200, Some("https://example.com"))
    );
    let other = open.request("GET", "/v1/models", &[("origin", "https://example.org")], b"");
    assert_eq!(other.status, 403);
    let asks = [
        origin,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let reply = open.request("OPTIONS", "/v1/chat/completions", &asks, b"");
    assert_eq!(reply.status, 200);
    assert!(reply.header("access-control-allow-headers").is_some());
}

#[test]
fn pages_of_this_machine_may_ask_where_all_of_them_are_named() {
    let server = Server::start(&["--cors-origin", "localhost"]);
    for (origin, status) in [
        ("http://localhost:3000", 200),
        ("https://127.0.0.1", 200),
        ("http://[::1]:5173", 200),
        ("http://localhost.evil.example", 403),
        ("http://notlocalhost", 403),
    ] {
        let reply = server.request("GET", "/v1/models", &[("origin", origin)], b"");
        let allowed = (status == 200).then_some(origin);
        assert_eq!(
            (reply.status, reply.header("access-control-allow-origin")),
            (status, allowed),
            "{origin}"
        );
    }
}

#[test]
fn more_than_may_wait_is_told_when_to_come_again() {
    let server = Server::start(&["--parallel", "1", "--queue", "0"]);
    let body = json!({"prompt": "Once", "ignore_eos": true, "stream": true, "n_predict": 100_000});
    let mut held = server.send("POST", "/completion", &[], body.to_string().as_bytes());
    server.wait("a text", |server| server.metric("llm_rs2_active_texts") == 1.0);
    let prompt = json!({"model": "demo", "prompt": "x"});
    for (path, status, pointer) in [
        ("/v1/completions", 429, "/error/message"),
        ("/completion", 429, "/error/message"),
        ("/api/generate", 503, "/error"),
    ] {
        let reply = server.post(path, &prompt);
        // The text may have come to its end: the demo model's context is short.
        if reply.status == 200 {
            continue;
        }
        refused(&reply, status, pointer, "try again later");
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    let many = json!({"prompt": "x", "n": 3});
    refused(&server.post("/v1/completions", &many), 400, "/error/message", "3 texts");
    let _ = held.flush();
}

#[test]
fn half_requests_and_noise_do_no_harm() {
    let server = Server::start(&[]);
    let mut open = Vec::new();
    for bytes in
        [&b"POST /completion HTTP/1.1\r\n"[..], b"\x00\xff\xfe\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b""]
    {
        let mut stream = server.connect();
        let _ = stream.write_all(bytes);
        open.push(stream);
    }
    let half = b"POST /completion HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"prompt\":";
    for _ in 0..50 {
        let mut stream = server.connect();
        let _ = stream.write_all(half);
        open.push(stream);
    }
    assert_eq!(server.ask("/completion", &json!({"prompt": "x", "n_predict": 1}))["tokens_predicted"], 1);
}

#[test]
fn what_cannot_be_served_is_said_before_the_model_is_loaded() {
    let fails = |args: &[&str], part: &str| {
        let output = serve(args).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}");
        let last = stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(last.contains(part) && !stderr.contains("panicked"), "{args:?}: {stderr}");
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().unwrap().port().to_string();
    fails(&["--port", &port], &format!("cannot listen on 127.0.0.1:{port}"));
    fails(&["--port", "0", "-m", "/nowhere"], "/nowhere");
    fails(&["--port", "0", "--api-key-file", "/nowhere/keys"], "/nowhere/keys");
    fails(&["--port", "0", "--backend", "hybrid"], "one backend");
    fails(&["--port", "0", "--top-p", "3"], "top-p is 3");
    fails(&["--port", "0", "--chat-template", "/nowhere/t"], "/nowhere/t");
    fails(
        &["--port", "0", "--eviction-policy", "sliding", "--eviction-window", "600"],
        "larger than the context",
    );
}
