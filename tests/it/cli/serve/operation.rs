//! How a server ends, and what it reports.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Server;

/// A text in progress: its reader, after the first event.
fn reading(server: &Server, tokens: usize) -> BufReader<TcpStream> {
    let body = json!({"prompt": "Once", "ignore_eos": true, "stream": true, "max_tokens": tokens, "seed": 1});
    let mut reader = BufReader::new(server.send("POST", "/v1/completions", &[], body.to_string().as_bytes()));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        reader.read_line(&mut line).expect("an event");
    }
    reader
}

fn rest(reader: BufReader<TcpStream>) -> Vec<String> {
    reader.lines().map_while(Result::ok).collect()
}

#[test]
fn texts_in_progress_end_before_the_server_does() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let server = Server::start(&["--drain-seconds", "600"]);
        let reader = reading(&server, 100);
        server.signal(signal);
        let lines = rest(reader);
        assert!(lines.iter().any(|line| line == "data: [DONE]"), "the text is whole");
        assert!(lines.iter().any(|line| line.contains("\"finish_reason\":\"length\"")));
        let (status, lines) = server.end();
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        assert_eq!(lines.last().map(String::as_str), Some("ended"));
    }
}

#[test]
fn a_server_ends_in_the_time_that_it_has() {
    // Text without end.
    let args = ["--eviction-policy", "streaming", "--eviction-window", "128", "--drain-seconds", "1"];
    let server = Server::start(&args);
    let reader = reading(&server, 10_000_000);
    let start = Instant::now();
    server.signal(libc::SIGTERM);
    let (status, lines) = server.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(start.elapsed() >= Duration::from_millis(900), "the text had its second");
    assert!(start.elapsed() < Duration::from_secs(60));
    drop(reader);
    // A second signal does not wait.
    let server = Server::start(&["--eviction-policy", "streaming", "--eviction-window", "128"]);
    let reader = reading(&server, 10_000_000);
    server.signal(libc::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    server.signal(libc::SIGINT);
    assert_eq!(server.end().0.code(), Some(130));
    drop(reader);
}

#[test]
fn requests_are_reported_without_what_they_say() {
    let server = Server::start(&["--log", "json"]);
    let reply = server.request(
        "POST",
        "/v1/completions",
        &[("x-request-id", "my-id-1")],
        json!({"prompt": "Once upon a secret", "max_tokens": 5, "seed": 1}).to_string().as_bytes(),
    );
    assert_eq!((reply.status, reply.header("x-request-id")), (200, Some("my-id-1")));
    let text = reply.json()["choices"][0]["text"].as_str().unwrap().trim().to_owned();
    server.get("/nothing");
    server.signal(libc::SIGTERM);
    let (_, lines) = server.end();
    let records: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |what: &str, id: &str| {
        let found = records.iter().find(|record| record["what"] == what && record["id"] == id);
        found.unwrap_or_else(|| panic!("{lines:#?}")).clone()
    };
    let request = of("request", "my-id-1");
    assert_eq!((&request["status"], &request["path"]), (&json!(200), &json!("/v1/completions")));
    let record = of("text", "my-id-1");
    assert_eq!((&record["generated_tokens"], &record["finish"]), (&json!(5), &json!("length")));
    assert!(records.iter().any(|record| record["status"] == 404));
    assert!(lines.iter().all(|line| !line.contains("secret") && !line.contains(&text)), "{lines:#?}");
}

#[test]
fn metrics_are_numbers_that_grow() {
    let server = Server::start(&["--parallel", "2"]);
    let before = server.metric("llm_rs2_generated_tokens_total");
    server.ask("/v1/completions", &json!({"prompt": "Once", "max_tokens": 7, "ignore_eos": true}));
    assert_eq!(server.metric("llm_rs2_generated_tokens_total") - before, 7.0);
    assert_eq!(server.metric("llm_rs2_time_to_first_token_seconds_count"), 1.0);
    assert_eq!(server.metric("llm_rs2_time_between_tokens_seconds_count"), 6.0);
    assert_eq!(server.metric("llm_rs2_texts_total{finish=\"length\"}"), 1.0);
    assert!(server.metric("llm_rs2_kv_pages_most") > 1.0);
    let reply = server.get("/metrics");
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(reply.text().ends_with("# EOF\n"));
}

#[test]
fn an_open_door_is_warned_of() {
    let server = Server::start(&["--host", "0.0.0.0"]);
    // The warning came before the line that says where it listens; that it is reachable is enough here.
    assert!(server.address.ip().is_unspecified());
    let output =
        super::client::serve(&["--host", "0.0.0.0", "--port", "0", "-m", "/nowhere"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("warning: everybody who can reach 0.0.0.0"), "{stderr}");
    let args = ["--host", "0.0.0.0", "--port", "0", "-m", "/nowhere", "--api-key", "k"];
    let output = super::client::serve(&args).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("warning"));
}
