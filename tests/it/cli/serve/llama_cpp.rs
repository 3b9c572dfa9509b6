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
