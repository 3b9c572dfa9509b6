//! What clients of llama.cpp's server send and read besides the rest.

use serde_json::{Value, json};

use super::client::Server;
use crate::cli::models::Copy;

const PROMPT: &str = "Once upon a time";

#[test]
fn several_prompts_have_a_list_of_answers() {
    let server = Server::start(&["--temperature", "0"]);
    let ask = |prompt: Value| server.ask("/completion", &json!({"prompt": prompt, "n_predict": 6}));
    let alone = ask(json!(PROMPT));
    let ids = server.ask("/tokenize", &json!({"content": PROMPT, "add_special": true}))["tokens"].clone();
    let all = ask(json!([PROMPT, ids, {"prompt_string": PROMPT}, "One day"]));
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 4);
    for (at, answer) in all.iter().enumerate() {
        assert_eq!(answer["index"], at);
        assert_eq!(answer["content"] == alone["content"], at < 3, "{answer}");
    }
    // Ids and texts in one list are one prompt.
    let mixed = server.ask("/completion", &json!({"prompt": [ids[0], ids[1], " day"], "n_predict": 1}));
    assert!(mixed["content"].is_string());
    let mut streamed = json!({"prompt": [PROMPT, "One day"], "n_predict": 6, "stream": true});
    let events = server.post("/completion", &streamed).events();
    let text = |index: usize| -> String {
        let own = events.iter().filter(|event| event["index"] == index && event["stop"] == false);
        own.filter_map(|event| event["content"].as_str()).collect()
    };
    assert_eq!(
        (text(0), text(1)),
        (alone["content"].as_str().unwrap().into(), all[3]["content"].as_str().unwrap().into())
    );
    let count = |event: &Value| event["tokens"].as_array().map_or(0, Vec::len);
    assert_eq!(events.iter().map(count).sum::<usize>(), 12);
    streamed["prompt"] = json!([]);
    assert_eq!(server.post("/completion", &streamed).status, 400);
}

#[test]
fn an_answer_has_the_fields_that_are_wanted() {
    let server = Server::start(&[]);
    let wanted = ["content", "generation_settings/n_predict", "prompt", "none/such"];
    let body = json!({"prompt": PROMPT, "n_predict": 3, "response_fields": wanted});
    let answer = server.ask("/completion", &body);
    let names: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, wanted[..3]);
    assert_eq!(answer["generation_settings/n_predict"], 3);
    assert!(answer["prompt"].as_str().unwrap().ends_with(PROMPT));
    let settings = |ignore: bool| {
        let body = json!({"prompt": PROMPT, "n_predict": 1, "ignore_eos": ignore, "logit_bias": [[5, 1.5]]});
        server.ask("/completion", &body)["generation_settings"]["logit_bias"].clone()
    };
    assert_eq!(settings(false), json!([{"token": 5, "bias": 1.5}]));
    let more = settings(true);
    assert!(more.as_array().unwrap().len() > 1 && more[1]["bias"].is_null(), "{more}");
}

#[test]
fn progress_is_told_from_the_first_token_of_the_prompt_to_the_last() {
    let server = Server::start(&["--prefill-chunk", "16"]);
    let prompt = "Once upon a time there was a dog. ".repeat(8);
    let body = json!({"prompt": prompt, "stream": true, "return_progress": true, "n_predict": 2});
    let events = server.post("/completion", &body).events();
    let all: Vec<&Value> = events.iter().filter_map(|event| event.get("prompt_progress")).collect();
    let done: Vec<u64> = all.iter().map(|progress| progress["processed"].as_u64().unwrap()).collect();
    let total = all[0]["total"].as_u64().unwrap();
    assert_eq!((done[0], done.last().copied()), (all[0]["cache"].as_u64().unwrap(), Some(total)));
    assert!(done.len() > 3 && done.windows(2).all(|pair| pair[0] < pair[1]), "{done:?}");
}

#[test]
fn conversations_are_taken_at_all_their_paths_and_by_any_name() {
    let copy = Copy::with_template();
    let path = copy.path().to_str().unwrap();
    let server =
        Server::start(&["-m", path, "--alias", "tiny", "--temperature", "0", "--prefill-chunk", "4"]);
    let messages = json!([{"role": "system", "content": "t20 t21"}, {"role": "user", "content": "t5 t6"}]);
    let body = json!({"model": "gpt-3.5-turbo", "messages": messages, "n_predict": 6, "verbose": true});
    let answer = server.ask("/chat/completions", &body);
    assert_eq!((&answer["model"], &answer["usage"]["completion_tokens"]), (&json!("tiny"), &json!(6)));
    assert_eq!(answer["__verbose"]["prompt"], "t9 t20 t21 t8 t5 t6 t7");
    assert!(answer["system_fingerprint"].is_string());
    let counted = server.ask("/v1/chat/completions/input_tokens", &json!({"messages": messages}));
    assert_eq!(counted["input_tokens"], 7);
    assert_eq!(server.get("/models").json()["data"][0]["id"], "tiny");
    let body = json!({"messages": messages, "max_tokens": 2, "stream": true, "return_progress": true});
    let events = server.post("/v1/chat/completions", &body).events();
    let mut done = events.iter().filter_map(|event| event["prompt_progress"]["processed"].as_u64());
    assert_eq!(done.next_back(), Some(7));
}

#[test]
fn an_answer_goes_on_with_a_message_that_is_begun() {
    let copy = Copy::with_template();
    let path = copy.path().to_str().unwrap();
    let server = Server::start(&["-m", path, "--alias", "tiny", "--temperature", "0"]);
    let begun = json!([{"role": "user", "content": "t5 t6"}, {"role": "assistant", "content": "t30 t31"}]);
    let render = |more: Value| {
        let mut body = json!({"messages": begun});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.ask("/apply-template", &body)["prompt"].as_str().unwrap().to_owned()
    };
    let prompt = render(json!({}));
    assert!(prompt.ends_with("t30 t31") && prompt.starts_with("t8 t5 t6"), "{prompt}");
    assert_eq!(render(json!({"add_generation_prompt": false, "continue_final_message": true})), prompt);
    assert_ne!(render(json!({"add_generation_prompt": true})), prompt);
    // In every dialect the same.
    let expected = server.ask("/completion", &json!({"prompt": prompt, "n_predict": 5}))["content"].clone();
    let chat = server.ask("/v1/chat/completions", &json!({"messages": begun, "max_tokens": 5}));
    assert_eq!(chat["choices"][0]["message"]["content"], expected);
    let message = server.ask("/v1/messages", &json!({"model": "tiny", "messages": begun, "max_tokens": 5}));
    assert_eq!(message["content"][0]["text"], expected);
    let body = json!({"model": "tiny", "messages": begun, "stream": false, "options": {"num_predict": 5}});
    assert_eq!(server.ask("/api/chat", &body)["message"]["content"], expected);
    let both = json!({"messages": begun, "add_generation_prompt": true, "continue_final_message": true});
    assert_eq!(server.post("/v1/chat/completions", &both).status, 400);
    let twice = json!({"messages": [begun[1], begun[1]]});
    assert_eq!(server.post("/v1/chat/completions", &twice).status, 400);
}

#[test]
fn chances_are_those_of_the_draw() {
    let server = Server::start(&[]);
    let ask = |more: Value| {
        let mut body = json!({
            "prompt": PROMPT, "n_predict": 4, "n_probs": 3, "seed": 7, "temperature": 1, "top_k": 3, "top_p": 1, "min_p": 0,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.ask("/completion", &body)
    };
    let all = |answer: &Value| answer["completion_probabilities"].as_array().unwrap().clone();
    let (own, drawn) = (ask(json!({})), ask(json!({"post_sampling_probs": true})));
    assert_eq!(own["content"], drawn["content"]);
    let (own, drawn) = (all(&own), all(&drawn));
    assert_eq!((own.len(), drawn.len()), (4, 4));
    for (own, drawn) in own.iter().zip(&drawn) {
        // Three candidates at temperature 1: their own probabilities, by the sum of the three.
        let likely: Vec<f64> = own["top_logprobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["logprob"].as_f64().unwrap().exp())
            .collect();
        let sum: f64 = likely.iter().sum();
        let top = drawn["top_probs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        for ((likely, token), other) in likely.iter().zip(top).zip(own["top_logprobs"].as_array().unwrap()) {
            assert_eq!(token["id"], other["id"]);
            assert!((token["prob"].as_f64().unwrap() - likely / sum).abs() < 1e-5, "{own} {drawn}");
        }
        let chosen =
            top.iter().find(|token| token["id"] == drawn["id"]).expect("it is one of the candidates");
        assert_eq!(chosen["prob"], drawn["prob"]);
        assert!(drawn.get("logprob").is_none() && drawn.get("top_logprobs").is_none());
    }
    let certain = all(&ask(json!({"post_sampling_probs": true, "temperature": 0})));
    assert!(
        certain.iter().all(|token| token["prob"] == 1.0 && token["top_probs"].as_array().unwrap().len() == 1)
    );
    let refused = server.post("/v1/completions", &json!({"prompt": PROMPT, "post_sampling_probs": true}));
    assert_eq!(
        (refused.status, refused.json()["error"]["param"].clone()),
        (400, json!("post_sampling_probs"))
    );
}

#[test]
fn each_piece_has_the_times_so_far_where_they_are_wanted() {
    let copy = Copy::with_template();
    let server = Server::start(&["-m", copy.path().to_str().unwrap(), "--temperature", "0"]);
    let messages = json!([{"role": "user", "content": "t5 t6"}]);
    for (path, mut body) in [
        ("/completion", json!({"prompt": "t5 t6"})),
        ("/v1/completions", json!({"prompt": "t5 t6"})),
        ("/v1/chat/completions", json!({"messages": messages})),
        ("/v1/responses", json!({"input": "t5 t6"})),
    ] {
        let of = |body: &Value| server.post(path, body).events();
        body.as_object_mut().unwrap().extend([
            ("stream".to_owned(), json!(true)),
            ("max_tokens".to_owned(), json!(4)),
            ("ignore_eos".to_owned(), json!(true)),
        ]);
        let silent = of(&body).iter().filter(|event| event.get("timings").is_some()).count();
        assert_eq!(silent, 1, "{path}: the end has them");
        body["timings_per_token"] = json!(true);
        let events = of(&body);
        let tokens: Vec<u64> =
            events.iter().filter_map(|event| event["timings"]["predicted_n"].as_u64()).collect();
        assert!(tokens.len() > 2 && tokens.is_sorted() && tokens.last() == Some(&4), "{path}: {tokens:?}");
        if path.ends_with("chat/completions") {
            assert!(events[0].get("timings").is_none(), "the role comes first");
        }
    }
}

#[test]
fn what_a_server_is_started_without_is_a_501() {
    let server = Server::start(&["--no-slots"]);
    let refused = server.get("/slots");
    assert_eq!(
        (refused.status, refused.json()["error"]["type"].clone()),
        (501, json!("not_supported_error"))
    );
    let refused = server.post("/slots/0?action=save", &json!({"filename": "x"}));
    assert_eq!(refused.status, 501);
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("--kv-disk"));
}

#[test]
fn an_answer_has_as_many_tokens_as_the_server_gives_it_by_itself() {
    let server = Server::start(&["--default-max-tokens", "3", "--max-seq-len", "24"]);
    let count = |limit: Value| {
        let body = json!({"prompt": PROMPT, "n_predict": limit, "ignore_eos": true});
        server.ask("/completion", &body)["tokens_predicted"].as_u64().unwrap()
    };
    assert_eq!((count(Value::Null), count(json!(5))), (3, 5));
    assert!(count(json!(-1)) > 10, "as many as fit");
}

#[test]
fn a_text_that_gave_up_its_beginning_is_marked() {
    let server =
        Server::start(&["--eviction-policy", "sliding", "--max-seq-len", "32", "--temperature", "0"]);
    let truncated = |tokens: usize| {
        let body = json!({"prompt": PROMPT, "n_predict": tokens, "ignore_eos": true});
        server.ask("/completion", &body)["truncated"].clone()
    };
    assert_eq!((truncated(3), truncated(60)), (json!(false), json!(true)));
}

#[test]
fn flags_give_templates_variables_and_answers_their_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template.jinja");
    std::fs::write(
        &template,
        "{{ word | default('none') }}:{% for m in messages %}{{ m.content }}{% endfor %}",
    )
    .unwrap();
    let template = template.to_str().unwrap();
    let variables = r#"{"word": "server", "messages": []}"#;
    let server =
        Server::start(&["--chat-template", template, "--chat-template-kwargs", variables, "--verbose"]);
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let render = |more: Value| {
        let body = json!({"messages": messages, "chat_template_kwargs": more});
        server.ask("/apply-template", &body)["prompt"].clone()
    };
    assert_eq!(
        (render(json!({})), render(json!({"word": "own"}))),
        (json!("server:Hello"), json!("own:Hello"))
    );
    let answer = server.ask("/v1/chat/completions", &json!({"messages": messages, "max_tokens": 1}));
    assert!(answer["__verbose"]["prompt"].as_str().unwrap().ends_with("server:Hello"), "{answer}");
}

#[test]
fn a_model_is_described_by_the_name_of_its_file_alone() {
    let copy = Copy::with_template();
    let server = Server::start(&["-m", copy.path().to_str().unwrap(), "--alias", "tiny"]);
    let name = copy.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(server.get("/props").json()["model_path"], name);
}
