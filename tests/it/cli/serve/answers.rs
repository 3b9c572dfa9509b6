//! Each dialect gives the text that `generate` gives.

use serde_json::{Value, json};

use super::client::Server;
use crate::cli::models::Copy;
use crate::cli::program::generate;
use crate::cli::reasoning::Thinker;

const PROMPT: &str = "Once upon a time";

/// What `generate` makes of it, with the ids.
fn generated(args: &[&str]) -> Value {
    let output = generate().args(["--json", "-q"]).args(args).output().expect("the program starts");
    serde_json::from_slice(&output.stdout).expect("one object")
}

/// The text of a field in each of some values, one after the other.
fn joined(values: &[Value], pointer: &str) -> String {
    values.iter().filter_map(|value| value.pointer(pointer)?.as_str()).collect()
}

#[test]
fn completions_are_the_text_of_generate() {
    let plain = generated(&["-p", PROMPT, "--seed", "7", "-n", "60"]);
    let expected = plain["text"].as_str().unwrap();
    let server = Server::start(&[]);

    let body = json!({"model": "demo", "prompt": PROMPT, "seed": 7, "max_tokens": 60});
    let whole = server.ask("/v1/completions", &body);
    assert_eq!(whole["choices"][0]["text"], expected);
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    let tokens = plain["ids"].as_array().unwrap().len();
    assert_eq!(
        (&whole["usage"]["completion_tokens"], &whole["usage"]["prompt_tokens"]),
        (&json!(tokens), &json!(5))
    );
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let reply = server.post("/v1/completions", &streamed);
    assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"));
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
    let events = reply.events();
    assert_eq!(joined(&events, "/choices/0/text"), expected);
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], tokens);
    assert!(events.len() > 20, "it comes bit by bit");

    let body = json!({"prompt": PROMPT, "seed": 7, "n_predict": 60});
    let whole = server.ask("/completion", &body);
    assert_eq!((&whole["content"], &whole["stop_type"]), (&json!(expected), &json!("limit")));
    assert_eq!((&whole["tokens_predicted"], &whole["tokens_evaluated"]), (&json!(tokens), &json!(5)));
    let events =
        server.post("/completion", &json!({"prompt": PROMPT, "seed": 7, "n_predict": 60, "stream": true}));
    let events = events.events();
    assert_eq!(joined(&events, "/content"), expected);
    assert_eq!(events.last().unwrap()["stop"], true);

    let options = json!({"seed": 7, "num_predict": 60});
    let lines = server.post("/api/generate", &json!({"model": "demo", "prompt": PROMPT, "options": options}));
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let lines = lines.lines();
    assert_eq!(joined(&lines, "/response"), expected);
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["done"], &last["done_reason"], &last["eval_count"]),
        (&json!(true), &json!("length"), &json!(tokens))
    );
    let body = json!({"model": "demo:latest", "prompt": PROMPT, "options": options, "stream": false});
    assert_eq!(server.ask("/api/generate", &body)["response"], expected);
}

#[test]
fn settings_mean_what_they_mean_to_generate() {
    let server = Server::start(&[]);
    let text = |body: Value| {
        let mut all = json!({"prompt": PROMPT, "seed": 3, "max_tokens": 40});
        all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        server.ask("/v1/completions", &all)["choices"][0].clone()
    };
    let flags = |flags: &[&str]| {
        let args = [&["-p", PROMPT, "--seed", "3", "-n", "40"], flags].concat();
        generated(&args)["text"].clone()
    };
    assert_eq!(text(json!({"temperature": 0}))["text"], flags(&["--temperature", "0"]));
    assert_eq!(
        text(json!({"temperature": 1.4, "top_p": 0.8, "top_k": 0, "min_p": 0.05}))["text"],
        flags(&["--temperature", "1.4", "--top-p", "0.8", "--top-k", "0", "--min-p", "0.05"])
    );
    assert_eq!(
        text(
            json!({"repeat_penalty": 1.3, "repeat_last_n": 20, "frequency_penalty": 0.5, "presence_penalty": 0.2})
        )["text"],
        flags(&[
            "--repetition-penalty",
            "1.3",
            "--repetition-window",
            "20",
            "--frequency-penalty",
            "0.5",
            "--presence-penalty",
            "0.2",
        ])
    );
    let stopped = text(json!({"stop": ["named", "zzz"], "max_tokens": 300}));
    let stops = ["-p", PROMPT, "--seed", "3", "-n", "300", "--stop", "named", "--stop", "zzz"];
    let expected = generated(&stops);
    let finish = if expected["finish"] == "length" { "length" } else { "stop" };
    assert_eq!((&stopped["text"], &stopped["finish_reason"]), (&expected["text"], &json!(finish)));
    assert!(!stopped["text"].as_str().unwrap().contains("named"));
    assert_eq!(text(json!({"echo": true}))["text"], format!("{PROMPT}{}", flags(&[]).as_str().unwrap()));
    // A bias that leaves nothing else.
    let ids = generated(&["-p", PROMPT, "--temperature", "0", "-n", "1"])["ids"].clone();
    let id = ids[0].as_u64().unwrap();
    let banned = server.ask(
        "/v1/completions",
        &json!({"prompt": PROMPT, "temperature": 0, "max_tokens": 1, "logit_bias": {id.to_string(): -100}}),
    );
    assert_ne!(
        banned["choices"][0]["text"],
        generated(&["-p", PROMPT, "--temperature", "0", "-n", "1"])["text"]
    );
    let forced = server.ask(
        "/completion",
        &json!({"prompt": PROMPT, "n_predict": 3, "logit_bias": [[id, 1000]], "return_tokens": true}),
    );
    assert_eq!(forced["tokens"], json!([id, id, id]));
}

#[test]
fn several_answers_are_those_of_several_seeds() {
    let server = Server::start(&[]);
    let one = |seed: u64, prompt: &str| {
        let seed = seed.to_string();
        generated(&["-p", prompt, "--seed", &seed, "-n", "20"])["text"].clone()
    };
    let body = json!({"prompt": [PROMPT, "One day"], "n": 2, "seed": 5, "max_tokens": 20});
    let whole = server.ask("/v1/completions", &body);
    let texts: Vec<_> =
        whole["choices"].as_array().unwrap().iter().map(|choice| choice["text"].clone()).collect();
    let expected = [one(5, PROMPT), one(6, PROMPT), one(5, "One day"), one(6, "One day")];
    assert_eq!(texts, expected);
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = server.post("/v1/completions", &streamed).events();
    for (index, expected) in expected.iter().enumerate() {
        let of = |event: &&Value| event["choices"][0]["index"] == index;
        let own: Vec<Value> = events.iter().filter(of).cloned().collect();
        assert_eq!(joined(&own, "/choices/0/text"), *expected, "{index}");
    }
}

#[test]
fn probabilities_are_those_of_the_model() {
    let server = Server::start(&[]);
    let body = json!({"prompt": PROMPT, "temperature": 0, "max_tokens": 5, "logprobs": 3});
    let choice = server.ask("/v1/completions", &body)["choices"][0].clone();
    let logprobs = &choice["logprobs"];
    assert_eq!(logprobs["tokens"].as_array().unwrap().len(), 5);
    let text: String = logprobs["tokens"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(text, choice["text"].as_str().unwrap());
    for at in 0..5 {
        let own = logprobs["token_logprobs"][at].as_f64().unwrap();
        let tops = logprobs["top_logprobs"][at].as_object().unwrap();
        let best = tops.values().filter_map(Value::as_f64).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = tops.values().filter_map(Value::as_f64).map(f64::exp).sum();
        assert!(own <= 0.0 && (own - best).abs() < 1e-9 && sum <= 1.0 + 1e-9, "{logprobs}");
    }
    // The same in llama.cpp's form.
    let body = json!({"prompt": PROMPT, "temperature": 0, "n_predict": 5, "n_probs": 3});
    let list = server.ask("/completion", &body)["completion_probabilities"].clone();
    for at in 0..5 {
        assert_eq!(list[at]["logprob"], logprobs["token_logprobs"][at]);
        assert_eq!(list[at]["top_logprobs"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn conversations_are_those_of_generate_in_every_dialect() {
    let copy = Copy::with_template();
    let path = copy.path().to_str().unwrap();
    let plain = ["-m", path, "--chat", "--system", "t20 t21", "-p", "t5 t6", "-n", "8", "--temperature", "0"];
    let expected = generated(&plain)["text"].clone();
    let server = Server::start(&["-m", path, "--alias", "tiny", "--alias", "other", "--temperature", "0"]);
    let messages = json!([{"role": "system", "content": "t20 t21"}, {"role": "user", "content": "t5 t6"}]);
    let body = json!({"model": "other", "messages": messages, "max_tokens": 8});
    let whole = server.ask("/v1/chat/completions", &body);
    assert_eq!(whole["choices"][0]["message"]["content"], expected);
    assert_eq!((&whole["model"], &whole["object"]), (&json!("other"), &json!("chat.completion")));
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = server.post("/v1/chat/completions", &streamed).events();
    assert_eq!(joined(&events, "/choices/0/delta/content"), expected.as_str().unwrap());
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);

    let body = json!({"model": "tiny", "messages": messages, "options": {"num_predict": 8}});
    assert_eq!(
        joined(&server.post("/api/chat", &body).lines(), "/message/content"),
        expected.as_str().unwrap()
    );
    let body = json!({"model": "tiny", "system": "t20 t21", "prompt": "t5 t6", "stream": false, "options": {"num_predict": 8}});
    assert_eq!(server.ask("/api/generate", &body)["response"], expected);

    let user = json!([{"role": "user", "content": [{"type": "text", "text": "t5 t6"}]}]);
    let body = json!({"model": "tiny", "max_tokens": 8, "system": "t20 t21", "messages": user});
    let message = server.ask("/v1/messages", &body);
    assert_eq!(message["content"], json!([{"type": "text", "text": expected}]));
    let usage = &message["usage"];
    let input = usage["input_tokens"].as_u64().unwrap() + usage["cache_read_input_tokens"].as_u64().unwrap();
    let counted = json!({"model": "tiny", "system": "t20 t21", "messages": user});
    assert_eq!(server.ask("/v1/messages/count_tokens", &counted)["input_tokens"], input);
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let reply = server.post("/v1/messages", &streamed);
    assert_eq!(joined(&reply.events(), "/delta/text"), expected.as_str().unwrap());
    let text = reply.text();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names[..3], ["message_start", "ping", "content_block_start"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);

    let prompt = server.ask("/apply-template", &json!({"messages": messages}))["prompt"].clone();
    assert_eq!(prompt, "t9 t20 t21 t8 t5 t6 t7");
    let tokens = server.ask("/tokenize", &json!({"content": prompt}))["tokens"].clone();
    assert_eq!(tokens, json!([9, 20, 21, 8, 5, 6, 7]));
    assert_eq!(server.ask("/detokenize", &json!({"tokens": tokens}))["content"], prompt);
    // A prompt as ids is the same prompt.
    let by_ids = server.ask("/v1/completions", &json!({"prompt": tokens, "max_tokens": 8}));
    assert_eq!(by_ids["choices"][0]["text"], expected);
}

#[test]
fn reasoning_is_apart_from_the_answer() {
    let thinker = Thinker::new("{% for m in messages %}t8 {{ m.content }} {% endfor %}t7{# </think> #}");
    let server = Server::start(&["-m", thinker.model(), "--alias", "m", "--temperature", "0"]);
    let (reasoning, answer) = (json!(thinker.reasoning), json!(thinker.answer));
    let messages = json!([{"role": "user", "content": "t5"}]);
    let body = json!({"messages": messages, "max_tokens": 10, "ignore_eos": true});
    let message = server.ask("/v1/chat/completions", &body)["choices"][0]["message"].clone();
    assert_eq!((&message["reasoning_content"], &message["content"]), (&reasoning, &answer));
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = server.post("/v1/chat/completions", &streamed).events();
    assert_eq!(joined(&events, "/choices/0/delta/reasoning_content"), thinker.reasoning);
    assert_eq!(joined(&events, "/choices/0/delta/content"), thinker.answer);
    let body = json!({"model": "m", "max_tokens": 10, "messages": messages});
    let content = server.ask("/v1/messages", &body)["content"].clone();
    assert_eq!((&content[0]["type"], &content[0]["thinking"]), (&json!("thinking"), &reasoning));
    assert_eq!(content[1]["text"], answer);
    let lines = server
        .post("/api/chat", &json!({"model": "m", "messages": messages, "options": {"num_predict": 10}}));
    assert_eq!(joined(&lines.lines(), "/message/thinking"), thinker.reasoning);
    // Without a template there is nothing to take apart, nor are markers shown that are no text.
    let plain =
        server.ask("/completion", &json!({"prompt": "t8 t5 t7", "n_predict": 10, "ignore_eos": true}));
    assert!(plain["content"].as_str().unwrap().contains("</think>"));
}

#[test]
fn models_describe_themselves() {
    let server = Server::start(&["--alias", "a", "--alias", "b", "--parallel", "3"]);
    let models = server.get("/v1/models").json();
    assert_eq!((&models["data"][0]["id"], &models["data"][0]["aliases"]), (&json!("a"), &json!(["a", "b"])));
    assert_eq!(server.get("/v1/models/b").json()["id"], "b");
    assert_eq!(server.get("/health").json(), json!({"status": "ok"}));
    assert_eq!(server.get("/props").json()["total_slots"], 3);
    assert_eq!(server.get("/slots").json().as_array().unwrap().len(), 3);
    assert_eq!(server.get("/api/tags").json()["models"][1]["name"], "b");
    assert_eq!(server.get("/api/ps").json()["models"][0]["name"], "a");
    assert_eq!(server.get("/api/version").json()["version"], env!("CARGO_PKG_VERSION"));
    let shown = server.ask("/api/show", &json!({"model": "a"}));
    assert_eq!(shown["details"]["family"], "llama");
    assert_eq!(server.ask("/api/generate", &json!({"model": "a"}))["done_reason"], "load");
}
