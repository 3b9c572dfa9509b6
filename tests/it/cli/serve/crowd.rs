//! An answer is the same, whoever else is asking and whatever was asked before.

use std::io::Read;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use super::client::{Reply, Server};

const STORY: &str =
    "Once upon a time there was an old fox who lived in a small house by the river with a red ball. ";

/// How many requests there are.
const REQUESTS: usize = 200;

/// Requests of all kinds, sampled.
fn bodies() -> Vec<Value> {
    let starts = ["Once", "One day, a girl named Lily found a", STORY];
    (0..REQUESTS)
        .map(|i| {
            let mut prompt = starts[i % 3].repeat(1 + i % 4);
            if i % 5 == 0 {
                prompt.push_str("The");
            }
            let (temperature, top_k) = ([0.7, 1.0, 1.5, 0.0][i % 4], [40, 0, 8][i / 2 % 3]);
            let penalty = if i % 6 == 0 { 1.2 } else { 1.0 };
            let logprobs = if i % 9 == 0 { json!(2) } else { Value::Null };
            json!({
                "prompt": prompt,
                "max_tokens": (1 + (i * 29) % 40),
                "seed": (i / 3),
                "temperature": temperature,
                "top_k": top_k,
                "repeat_penalty": penalty,
                "ignore_eos": (i % 2 == 0),
                "logprobs": logprobs,
            })
        })
        .collect()
}

/// What of an answer must not depend on others.
fn said(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let value = reply.json();
    json!([value["choices"], value["usage"]["prompt_tokens"], value["usage"]["completion_tokens"]])
}

/// One request after the other.
fn in_turn(server: &Server) -> Vec<Value> {
    bodies().iter().map(|body| said(&server.post("/v1/completions", body))).collect()
}

/// All requests at once, in the order of `order`.
fn at_once(server: &Arc<Server>, order: impl Iterator<Item = usize>) -> Vec<Value> {
    let bodies = bodies();
    let mut threads: Vec<(usize, thread::JoinHandle<Value>)> = order
        .map(|i| {
            let (server, body) = (Arc::clone(server), bodies[i].clone());
            (i, thread::spawn(move || said(&server.post("/v1/completions", &body))))
        })
        .collect();
    threads.sort_by_key(|(i, _)| *i);
    threads.into_iter().map(|(_, thread)| thread.join().expect("an answer")).collect()
}

/// A server that lets all requests wait.
fn start(args: &[&str]) -> Arc<Server> {
    Arc::new(Server::start(&[&["--queue", "300", "--log", "off"], args].concat()))
}

#[test]
fn an_answer_depends_on_its_request_alone() {
    let alone = in_turn(&start(&["--kept-texts", "0"]));
    let folder = tempfile::tempdir().unwrap();
    let disk = ["--kv-disk", folder.path().to_str().unwrap()];
    let crowd = start(&[&["--parallel", "6"][..], &disk].concat());
    assert_eq!(at_once(&crowd, 0..REQUESTS), alone, "all at once");
    assert!(crowd.metric("llm_rs2_batch_texts_sum") > crowd.metric("llm_rs2_batch_texts_count") * 1.5);
    assert_eq!(at_once(&crowd, (0..REQUESTS).rev()), alone, "in another order");
    let hits = crowd.metric("llm_rs2_prefix_hits_total");
    assert_eq!(in_turn(&crowd), alone, "with beginnings kept");
    // All whose prompts have a page, which are half of every third.
    let hits = crowd.metric("llm_rs2_prefix_hits_total") - hits;
    assert!(hits >= 30.0, "{hits}");
    crowd.signal(libc::SIGTERM);
    let (status, lines) = Arc::into_inner(crowd).expect("all have their answers").end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    let again = start(&[&["--parallel", "6"][..], &disk].concat());
    assert_eq!(at_once(&again, 0..REQUESTS), alone, "after a restart, with beginnings from files");
    drop(again);
    // So little memory that texts have to give theirs up.
    let small = start(&["--parallel", "16", "--kv-budget-mb", "1"]);
    assert_eq!(at_once(&small, 0..REQUESTS), alone, "short of memory");
    assert!(small.metric("llm_rs2_interruptions_total") > 0.0);
}

#[test]
fn a_beginning_that_is_known_is_not_computed_again() {
    let server = Server::start(&[]);
    let prompt = STORY.repeat(6);
    let ask = |prompt: &str| {
        let value = server.ask("/v1/completions", &json!({"prompt": prompt, "max_tokens": 3, "seed": 1}));
        let usage = &value["usage"];
        (
            usage["prompt_tokens"].as_u64().unwrap(),
            usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap(),
        )
    };
    let (tokens, cached) = ask(&prompt);
    assert_eq!(cached, 0);
    assert_eq!(ask(&prompt), (tokens, tokens - 1), "all but the last, whose logits are needed");
    let (longer, cached) = ask(&format!("{prompt}The fox"));
    assert!(longer > tokens && cached >= tokens - 1);
    // Another text at the very beginning.
    assert_eq!(ask(&format!("A. {prompt}")).1, 0);
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let server = Server::start(&["--parallel", "1", "--queue", "2"]);
    let body =
        json!({"prompt": "Once", "max_tokens": 100_000, "ignore_eos": true, "stream": true, "seed": 1});
    let endless = || server.send("POST", "/v1/completions", &[], body.to_string().as_bytes());
    let active =
        |server: &Server| server.metric("llm_rs2_active_texts") + server.metric("llm_rs2_waiting_texts");
    for _ in 0..3 {
        let mut reading = endless();
        let mut some = [0; 300];
        reading.read_exact(&mut some).expect("a beginning");
        // One more that waits, and leaves before its turn.
        let waiting = endless();
        drop(waiting);
        drop(reading);
        server.wait("an empty server", |server| active(server) == 0.0);
    }
    let next = server.ask("/v1/completions", &json!({"prompt": "Once", "max_tokens": 4}));
    assert_eq!(next["usage"]["completion_tokens"], 4);
}

#[test]
fn texts_go_on_while_a_long_prompt_comes_in() {
    let server = Arc::new(Server::start(&[]));
    // With the context of the demo model a text of 500 tokens is as long as it may be.
    let body = json!({"prompt": "Once", "max_tokens": 400, "ignore_eos": true, "stream": true, "seed": 2});
    let expected = server.post("/v1/completions", &body).events().len();
    let other = Arc::clone(&server);
    let reading = thread::spawn(move || other.post("/v1/completions", &body).events().len());
    let long = json!({"prompt": STORY.repeat(10), "max_tokens": 1});
    for _ in 0..5 {
        server.ask("/v1/completions", &long);
    }
    assert_eq!(reading.join().expect("a text"), expected);
}
