//! Vectors of texts, in each dialect.

use std::path::Path;

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::engine::{ModelFiles, Norm, Pooling, Session, SessionOptions};
use serde_json::{Value, json};

use super::client::Server;

const TEXT: &str = "Once upon a time";

fn vector(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

/// The demo model's own vector, with the weights that the server takes.
fn demo(pooling: Pooling, norm: Norm, text: &str) -> Vec<f32> {
    let files = ModelFiles::demo().unwrap();
    let ids = files.encode_text(text).unwrap();
    let cpu = CpuBackend::new(CpuOptions { threads: Some(1), isa: None }).unwrap();
    let mut session = Session::load(cpu, files, &SessionOptions::default(), &mut |_| ()).unwrap();
    let mut vector = session.embed(&ids, pooling).unwrap().remove(0);
    norm.apply(&mut vector);
    vector
}

/// Numbers of base64, four bytes each.
fn decoded(text: &str) -> Vec<f32> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(digit).collect();
    let bytes: Vec<u8> = digits
        .chunks(4)
        .flat_map(|four| {
            let bits = four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit));
            let bits = bits << (6 * (4 - four.len()));
            bits.to_be_bytes()[1..four.len()].to_vec()
        })
        .collect();
    bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

#[test]
fn every_dialect_gives_the_vector_of_the_library() {
    let server = Server::start(&[]);
    let expected = demo(Pooling::Last, Norm::Euclidean, TEXT);
    let openai = server.ask("/v1/embeddings", &json!({"model": "demo", "input": TEXT}));
    assert_eq!(vector(&openai["data"][0]["embedding"]), expected);
    assert_eq!((&openai["object"], &openai["data"][0]["object"]), (&json!("list"), &json!("embedding")));
    assert_eq!(openai["usage"], json!({"prompt_tokens": 5, "total_tokens": 5}));
    let base64 = server.ask("/v1/embeddings", &json!({"input": TEXT, "encoding_format": "base64"}));
    assert_eq!(decoded(base64["data"][0]["embedding"].as_str().unwrap()), expected);

    let ollama =
        server.ask("/api/embed", &json!({"model": "demo", "input": [TEXT, "x"], "options": {"num_ctx": 9}}));
    assert_eq!(vector(&ollama["embeddings"][0]), expected);
    assert_eq!(ollama["embeddings"].as_array().unwrap().len(), 2);
    assert!(
        ollama["total_duration"].as_u64().unwrap() > 0 && ollama["prompt_eval_count"].as_u64().unwrap() > 5
    );
    let old = server.ask("/api/embeddings", &json!({"model": "demo", "prompt": TEXT}));
    assert_eq!(vector(&old["embedding"]), demo(Pooling::Last, Norm::None, TEXT));

    for (path, field) in [("/embedding", "content"), ("/embeddings", "input")] {
        let llama = server.ask(path, &json!({ field: TEXT }));
        assert_eq!((vector(&llama[0]["embedding"][0]), &llama[0]["index"]), (expected.clone(), &json!(0)));
    }
    let largest = server.ask("/embedding", &json!({"content": TEXT, "embd_normalize": 0}));
    assert_eq!(vector(&largest[0]["embedding"][0]), demo(Pooling::Last, Norm::Largest, TEXT));
    assert_eq!(server.metric("llm_rs2_generated_tokens_total"), 0.0);
    assert_eq!(server.metric("llm_rs2_kv_pages_used"), 0.0, "they give back their memory");
}

#[test]
fn inputs_are_texts_or_tokens_or_lists_of_these() {
    let server = Server::start(&[]);
    let ids = server.ask("/tokenize", &json!({"content": TEXT, "add_special": true}))["tokens"].clone();
    let of = |input: Value| {
        let reply = server.ask("/v1/embeddings", &json!({"input": input}));
        reply["data"].as_array().unwrap().iter().map(|one| vector(&one["embedding"])).collect::<Vec<_>>()
    };
    let one = of(json!(TEXT)).remove(0);
    assert_eq!(of(ids.clone()), std::slice::from_ref(&one));
    assert_eq!(of(json!([TEXT, ids.clone()])), [one.clone(), one.clone()]);
    assert_eq!(of(json!([ids.clone()])), std::slice::from_ref(&one));
    // More than go through the model together, each in its place.
    let many: Vec<String> = (0..30).map(|i| format!("{TEXT}{}", " x".repeat(i % 7))).collect();
    let vectors = of(json!(many));
    assert_eq!(vectors.len(), 30);
    for (i, vector) in vectors.iter().enumerate() {
        assert!(*vector == vectors[i % 7], "text {i}");
    }
    assert_eq!(vectors[0], one);
    let short = server.ask("/v1/embeddings", &json!({"input": TEXT, "dimensions": 5}));
    let mut cut = one[..5].to_vec();
    Norm::Euclidean.apply(&mut cut);
    let got = vector(&short["data"][0]["embedding"]);
    assert!(got.len() == 5 && got.iter().zip(&cut).all(|(a, b)| (a - b).abs() < 1e-6));
    let nothing = server.ask("/api/embed", &json!({"model": "demo", "input": ""}));
    assert_eq!(nothing["embeddings"], json!([]));
}

#[test]
fn poolings_are_chosen_by_a_flag() {
    for pooling in [Pooling::Mean, Pooling::Cls] {
        let server = Server::start(&["--pooling", pooling.name()]);
        let got = server.ask("/v1/embeddings", &json!({"input": TEXT}));
        assert_eq!(vector(&got["data"][0]["embedding"]), demo(pooling, Norm::Euclidean, TEXT));
    }
    let server = Server::start(&["--pooling", "none"]);
    let rows = server.ask("/embedding", &json!({"content": TEXT}))[0]["embedding"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 5);
    assert_eq!(vector(&rows[4]), demo(Pooling::Last, Norm::None, TEXT));
    let refused = server.post("/v1/embeddings", &json!({"input": TEXT}));
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("--pooling none"));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let server = Server::start(&["--max-seq-len", "64"]);
    let field = |path: &str, body: Value, field: &str| {
        let reply = server.post(path, &body);
        let text = reply.text();
        assert_eq!(reply.status, 400, "{body}: {text}");
        assert!(text.contains(&format!("'{field}'")), "{body}: {text}");
    };
    field("/v1/embeddings", json!({}), "input");
    field("/v1/embeddings", json!({"input": []}), "input");
    field("/v1/embeddings", json!({"input": {"a": 1}}), "input");
    field("/v1/embeddings", json!({"input": [["x", 1.5]]}), "input");
    field("/v1/embeddings", json!({"input": vec!["x"; 2049]}), "input");
    field("/v1/embeddings", json!({"input": "x", "encoding_format": "int8"}), "encoding_format");
    field("/v1/embeddings", json!({"input": "x", "dimensions": 0}), "dimensions");
    field("/v1/embeddings", json!({"input": "x", "dimensions": 100_000}), "dimensions");
    field("/v1/embeddings", json!({"input": "x", "instruction": "y"}), "instruction");
    field("/api/embed", json!({"input": "x"}), "model");
    field("/embedding", json!({}), "content");
    field("/embedding", json!({"content": "x", "embd_normalize": -7}), "embd_normalize");
    let long = "x ".repeat(100);
    let reply = server.post("/v1/embeddings", &json!({"input": long}));
    assert!(reply.status == 400 && reply.text().contains("too large: it has 201 tokens"), "{}", reply.text());
    assert_eq!(
        server.post("/api/embed", &json!({"model": "demo", "input": long, "truncate": false})).status,
        400
    );
    let cut = server.ask("/api/embed", &json!({"model": "demo", "input": long}));
    assert_eq!(cut["prompt_eval_count"], 63);
    for path in ["/v1/rerank", "/rerank"] {
        let reply = server.post(path, &json!({"query": "x", "documents": ["y"]}));
        assert!(reply.status == 404 && reply.text().contains("does not rank texts"), "{}", reply.text());
    }
}

#[test]
fn a_model_that_reads_both_ways_gives_vectors_alone() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/embeddings/gemma3_text");
    let reference = std::fs::read(dir.join("reference.json")).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    let server = Server::start(&["-m", dir.to_str().unwrap(), "--weight-dtype", "f32"]);
    let cases = reference["cases"].as_array().unwrap();
    let inputs: Vec<&Value> = cases.iter().map(|case| &case["input_ids"]).collect();
    let got = server.ask("/v1/embeddings", &json!({"input": inputs}));
    for (got, case) in got["data"].as_array().unwrap().iter().zip(cases) {
        let (got, expected) = (vector(&got["embedding"]), vector(&case["embedding"]));
        assert_eq!(got.len(), 12, "dense layers follow the pooling");
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-2), "{got:?} {expected:?}");
    }
    // A text, with the special tokens around it.
    let text = server.ask("/v1/embeddings", &json!({"input": "t7 t9"}));
    let ids = server.ask("/v1/embeddings", &json!({"input": [1, 7, 9, 2]}));
    assert_eq!(text["data"], ids["data"]);
    assert_eq!(text["usage"]["prompt_tokens"], 4);
    let refused = server.post("/v1/completions", &json!({"prompt": "t7", "max_tokens": 1}));
    assert!(
        refused.status == 400 && refused.text().contains("cannot go on with a text"),
        "{}",
        refused.text()
    );
    assert_eq!(
        server.ask("/api/show", &json!({"model": "gemma3_text"}))["capabilities"],
        json!(["embedding"])
    );
    let server = Server::start(&["-m", dir.to_str().unwrap(), "--prefill-chunk", "8"]);
    let refused = server.post("/v1/embeddings", &json!({"input": vec![5; 9]}));
    assert!(
        refused.status == 400
            && refused.text().contains("9 tokens long, which is too large")
            && refused.text().contains("(--prefill-chunk)")
    );
}

#[test]
fn echoed_prompts_have_their_probabilities() {
    let server = Server::start(&[]);
    let body = |more: Value| {
        let mut body =
            json!({"prompt": TEXT, "echo": true, "logprobs": 2, "temperature": 0, "max_tokens": 3});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let whole = server.ask("/v1/completions", &body(json!({})));
    let choice = &whole["choices"][0];
    let columns = &choice["logprobs"];
    let list = |name: &str| columns[name].as_array().unwrap().clone();
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(list(name).len(), 5 + 3, "{name}");
    }
    assert_eq!((&list("token_logprobs")[0], &list("top_logprobs")[0]), (&Value::Null, &Value::Null));
    let text = choice["text"].as_str().unwrap();
    assert!(text.starts_with(TEXT));
    // Each token is where its offset says; the first one has no text.
    for (token, offset) in list("tokens").iter().zip(list("text_offset")).skip(1) {
        let (token, offset) = (token.as_str().unwrap(), offset.as_u64().unwrap() as usize);
        assert!(
            text[offset..].starts_with(token.trim_start()) || text[offset..].starts_with(token),
            "{token} {offset}"
        );
    }
    // What was chosen was the likeliest.
    for (own, top) in list("token_logprobs").iter().zip(list("top_logprobs")).skip(5) {
        let best = top.as_object().unwrap().values().filter_map(Value::as_f64).fold(f64::MIN, f64::max);
        assert_eq!(own.as_f64().unwrap(), best);
    }
    // Without an answer, and with a prompt whose beginning is known.
    let none = server.ask("/v1/completions", &body(json!({"max_tokens": 0})));
    let same = |name: &str, other: &Value| {
        assert_eq!(other["choices"][0]["logprobs"][name].as_array().unwrap()[..5], list(name)[..5], "{name}");
    };
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        same(name, &none);
        same(name, &server.ask("/v1/completions", &body(json!({}))));
    }
    assert_eq!((&none["choices"][0]["text"], &none["usage"]["completion_tokens"]), (&json!(TEXT), &json!(0)));
    // In a stream, with the repeated text.
    let events = server.post("/v1/completions", &body(json!({"stream": true}))).events();
    let first = &events[0]["choices"][0];
    assert_eq!((&first["text"], first["logprobs"]["tokens"].as_array().unwrap().len()), (&json!(TEXT), 5));
    same("token_logprobs", &events[0]);
    let told: usize = events
        .iter()
        .filter_map(|event| event["choices"][0]["logprobs"]["tokens"].as_array())
        .map(Vec::len)
        .sum();
    assert_eq!(told, 8);
    // The tokens that end texts are among those of an echoed one: clients count from the end.
    let vllm = server.ask("/v1/completions", &json!({"prompt": TEXT, "max_tokens": 1, "prompt_logprobs": 1}));
    let prompt = vllm["choices"][0]["prompt_logprobs"].as_array().unwrap();
    assert!(prompt.len() == 5 && prompt[0].is_null() && vllm["choices"][0]["logprobs"].is_null());
    for (own, entry) in list("token_logprobs").iter().zip(prompt).skip(1) {
        let values: Vec<f64> =
            entry.as_object().unwrap().values().filter_map(|v| v["logprob"].as_f64()).collect();
        assert!(values.contains(&own.as_f64().unwrap()));
    }
    let refused = server.post("/v1/completions", &body(json!({"prompt_logprobs": 1, "stream": true})));
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("prompt_logprobs")));
}
