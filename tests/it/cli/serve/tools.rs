//! Calls of functions, in every dialect.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::client::{Reply, Server};
use crate::cli::models::Copy;
use crate::cli::program::generate;
use crate::skip::skipped;

/// What the model says: a word, and a call of the function "t10". The text goes on where the prompt ends, with a space.
const SAID: [&str; 8] = [
    "Hm.",
    "<tool_call>",
    "{\"name\":",
    "\"t10\",",
    "\"arguments\":",
    "{\"city\":",
    "\"Paris\"}}",
    "</tool_call>",
];

const ARGUMENTS: &str = "{\"city\": \"Paris\"}";

/// Functions, calls and results in words that the tiny checkpoint has.
const TEMPLATE: &str = "{% for t in tools or [] %}t9 {{ t.function.name }} {% endfor %}\
    {% for m in messages %}{{ {'user': 't8', 'assistant': 't7', 'tool': 't11', 'system': 't12'}[m.role] }} \
    {{ m.content }} {% for c in m.tool_calls or [] %}<tool_call> {{ c.function.name }} \
    {{ c.function.arguments | tojson }} </tool_call> {% endfor %}{% endfor %}\
    {% if add_generation_prompt %}t7{% endif %}";

/// The tiny checkpoint, which calls a function: the tokens that it answers with say it now.
struct Caller {
    copy: Copy,
    /// What the user says to it.
    word: String,
}

impl Caller {
    /// With `special` the markers are special tokens, which are not part of a text by themselves.
    fn new(special: bool) -> Self {
        let answer = |word: &str| {
            let prompt = format!("t9 t10 t8 {word} t7");
            let output = generate()
                .args(["--temperature", "0", "--ignore-eos", "--json", "-q", "-n", "9", "-m"])
                .arg(Copy::new().path())
                .args(["-p", &prompt])
                .output()
                .expect("the program starts");
            let value: Value = serde_json::from_slice(&output.stdout).expect("one object");
            let ids: Vec<u64> =
                value["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
            ids
        };
        // Tokens that are all others, and not those of the prompt.
        let all_differ = |ids: &[u64], own: u64| {
            let all: HashSet<u64> = ids.iter().copied().chain([7, 8, 9, 10, 11, own]).collect();
            all.len() == ids.len() + 6
        };
        let found = (20..60).find_map(|own| {
            let ids = answer(&format!("t{own}"));
            all_differ(&ids, own).then_some((ids, format!("t{own}")))
        });
        let (ids, word) = found.expect("some answer has no token twice");
        let copy = Copy::new().json("tokenizer.json", |tokenizer| {
            let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
            let mut added = Vec::new();
            for (id, said) in ids.iter().zip(SAID) {
                vocab.retain(|_, other| *other != json!(id));
                vocab.insert(said.into(), json!(id));
                if special && said.contains("tool_call") {
                    added.push(json!({
                        "id": id, "content": said, "single_word": false, "lstrip": false, "rstrip": false,
                        "normalized": false, "special": true,
                    }));
                }
            }
            if !added.is_empty() {
                tokenizer["added_tokens"] = added.into();
            }
        });
        let copy = copy.json("generation_config.json", |config| config["eos_token_id"] = json!(ids[8]));
        fs::write(copy.file("tokenizer_config.json"), json!({ "chat_template": TEMPLATE }).to_string())
            .unwrap();
        Self { copy, word }
    }

    fn serve(&self) -> Server {
        Server::start(&["-m", self.copy.path().to_str().unwrap(), "--alias", "m", "--temperature", "0"])
    }

    fn messages(&self) -> Value {
        json!([{ "role": "user", "content": self.word }])
    }
}

fn schema() -> Value {
    json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] })
}

fn function() -> Value {
    json!({ "type": "function", "function": { "name": "t10", "description": "t13", "parameters": schema() } })
}

/// The events of a stream that has names.
fn named(reply: &Reply) -> Vec<(String, Value)> {
    let text = reply.text();
    let names = text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned);
    names.zip(reply.events()).collect()
}

#[test]
fn calls_are_what_each_dialect_has_for_them() {
    for special in [false, true] {
        let caller = Caller::new(special);
        let server = caller.serve();
        openai(&server, &caller);
        ollama(&server, &caller);
        anthropic(&server, &caller);
        responses(&server, &caller);
    }
}

fn openai(server: &Server, caller: &Caller) {
    let body = json!({"messages": caller.messages(), "tools": [function()], "max_tokens": 30});
    let choice = server.ask("/v1/chat/completions", &body)["choices"][0].clone();
    let message = &choice["message"];
    assert_eq!(
        (&choice["finish_reason"], &message["content"]),
        (&json!("tool_calls"), &json!(" Hm.")),
        "{choice}"
    );
    let call = &message["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "t10", "arguments": ARGUMENTS}));
    assert!(call["type"] == "function" && call["id"].as_str().unwrap().starts_with("call_"), "{call}");
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = server.post("/v1/chat/completions", &streamed).events();
    let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    let content: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!(content, " Hm.");
    let calls: Vec<&Value> = deltas.iter().filter_map(|delta| delta["tool_calls"].get(0)).collect();
    assert!(calls.iter().all(|call| call["index"] == 0));
    assert_eq!((&calls[0]["function"]["name"], &calls[0]["type"]), (&json!("t10"), &json!("function")));
    assert!(calls.len() > 1 && calls[1..].iter().all(|call| call.get("id").is_none()), "{calls:?}");
    let arguments: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(arguments, ARGUMENTS);
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    // Without functions, or with none to choose, the text is what it is.
    let mut plain = json!({"messages": caller.messages(), "tools": [function()], "tool_choice": "none"});
    let prompt = server.ask("/apply-template", &plain)["prompt"].clone();
    assert_eq!(prompt, format!("t8 {} t7", caller.word));
    plain["max_tokens"] = json!(9);
    let message = server.ask("/v1/chat/completions", &plain)["choices"][0]["message"].clone();
    assert!(message["content"].is_string() && message.get("tool_calls").is_none(), "{message}");
    // Cut off in its arguments it is no call.
    let cut = json!({"messages": caller.messages(), "tools": [function()], "max_tokens": 6});
    let choice = server.ask("/v1/chat/completions", &cut)["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "length");
    assert!(choice["message"]["content"].as_str().unwrap().ends_with("{\"city\":"), "{choice}");
    assert!(choice["message"].get("tool_calls").is_none(), "{choice}");
    // The call and its result go to the template, arguments as an object.
    let call = json!({"id": "a", "type": "function", "function": {"name": "t10", "arguments": ARGUMENTS}});
    let turns = json!([
        {"role": "user", "content": "t20"}, {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "t21"},
    ]);
    let prompt =
        server.ask("/apply-template", &json!({"messages": turns, "tools": [function()]}))["prompt"].clone();
    assert_eq!(prompt, format!("t9 t10 t8 t20 t7  <tool_call> t10 {ARGUMENTS} </tool_call> t11 t21 t7"));
}

fn ollama(server: &Server, caller: &Caller) {
    let body = json!({"model": "m", "messages": caller.messages(), "tools": [function()]});
    let mut whole = body.clone();
    whole["stream"] = json!(false);
    let message = server.ask("/api/chat", &whole)["message"].clone();
    let expected = json!({"name": "t10", "arguments": {"city": "Paris"}});
    assert_eq!((&message["content"], &message["tool_calls"][0]["function"]), (&json!(" Hm."), &expected));
    let lines = server.post("/api/chat", &body).lines();
    let calls: Vec<&Value> = lines.iter().filter_map(|line| line["message"]["tool_calls"].get(0)).collect();
    assert_eq!(calls.len(), 1, "a call comes as a whole");
    assert_eq!(calls[0]["function"], expected);
    assert_eq!(lines.last().unwrap()["done_reason"], "stop");
    let result = json!({"role": "tool", "tool_name": "t10", "content": "t21"});
    let turn = json!({"role": "assistant", "content": "", "tool_calls": [{"function": expected}]});
    let again = json!([{"role": "user", "content": "t20"}, turn, result]);
    let reply =
        server.post("/api/chat", &json!({"model": "m", "messages": again, "options": {"num_predict": 1}}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let shown = server.ask("/api/show", &json!({"model": "m"}));
    assert!(shown["capabilities"].as_array().unwrap().contains(&json!("tools")));
}

fn anthropic(server: &Server, caller: &Caller) {
    let tool = json!({"name": "t10", "description": "t13", "input_schema": schema()});
    let body = json!({"model": "m", "max_tokens": 30, "messages": caller.messages(), "tools": [tool]});
    let message = server.ask("/v1/messages", &body);
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(message["content"][0], json!({"type": "text", "text": " Hm."}));
    let call = &message["content"][1];
    assert_eq!(
        (&call["type"], &call["name"], &call["input"]),
        (&json!("tool_use"), &json!("t10"), &json!({"city": "Paris"}))
    );
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = named(&server.post("/v1/messages", &streamed));
    let starts: Vec<&Value> =
        events.iter().filter(|(name, _)| name == "content_block_start").map(|(_, v)| v).collect();
    assert_eq!((&starts[1]["content_block"]["type"], &starts[1]["index"]), (&json!("tool_use"), &json!(1)));
    let json: String =
        events.iter().filter_map(|(_, event)| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(json, ARGUMENTS);
    let last = &events[events.len() - 2].1;
    assert_eq!(last["delta"]["stop_reason"], "tool_use");
    // Functions are part of what is counted.
    let count =
        |body: &Value| server.ask("/v1/messages/count_tokens", body)["input_tokens"].as_u64().unwrap();
    let with = json!({"model": "m", "messages": caller.messages(), "tools": [tool]});
    assert_eq!(count(&with), count(&json!({"model": "m", "messages": caller.messages()})) + 2);
    let turns = json!([
        {"role": "user", "content": "t20"}, {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "t21"}]},
    ]);
    let reply = server.post("/v1/messages", &json!({"model": "m", "max_tokens": 1, "messages": turns}));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn responses(server: &Server, caller: &Caller) {
    let tool = json!({"type": "function", "name": "t10", "description": "t13", "parameters": schema()});
    let body = json!({"model": "m", "input": caller.word, "tools": [tool], "max_output_tokens": 30});
    let response = server.ask("/v1/responses", &body);
    assert_eq!((&response["status"], &response["object"]), (&json!("completed"), &json!("response")));
    assert_eq!(response["output"][0]["content"][0]["text"], " Hm.");
    let call = &response["output"][1];
    assert_eq!(
        (&call["type"], &call["name"], &call["arguments"]),
        (&json!("function_call"), &json!("t10"), &json!(ARGUMENTS))
    );
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = named(&server.post("/v1/responses", &streamed));
    assert!(
        events.iter().enumerate().all(|(at, (name, v))| v["type"] == *name && v["sequence_number"] == at)
    );
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names[..5],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
        ]
    );
    let end = ["response.function_call_arguments.done", "response.output_item.done", "response.completed"];
    assert_eq!(names[names.len() - 3..], end);
    let output = &events.last().unwrap().1["response"]["output"];
    assert_eq!(
        (&output[0]["content"], &output[1]["arguments"]),
        (&response["output"][0]["content"], &json!(ARGUMENTS))
    );
    // Cut off it is incomplete, and the text that there is comes in the same pieces.
    let cut = json!({"model": "m", "input": caller.word, "max_output_tokens": 3});
    let response = server.ask("/v1/responses", &cut);
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    let items = json!([
        {"role": "user", "content": "t20"},
        {"type": "function_call", "call_id": "a", "name": "t10", "arguments": ARGUMENTS},
        {"type": "function_call_output", "call_id": "a", "output": "t21"},
    ]);
    let again =
        json!({"model": "m", "input": items, "tools": [tool], "instructions": "t22", "max_output_tokens": 1});
    let reply = server.post("/v1/responses", &again);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn calls_that_have_to_come_do() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let template = dir.path().join("story.jinja");
    fs::write(&template, "{% for m in messages %}{{ m.content }}{% endfor %}").expect("writable");
    let server = Server::start(&["--chat-template", template.to_str().unwrap(), "--temperature", "0"]);
    let tool = |name: &str, strict: bool| {
        let city = json!({ "enum": ["Paris", "Rome"] });
        let schema = json!({
            "type": "object", "properties": { "city": city }, "required": ["city"], "additionalProperties": false,
        });
        json!({ "type": "function", "function": { "name": name, "parameters": schema, "strict": strict } })
    };
    let ask = |choice: Value, strict: bool| {
        let body = json!({
            "messages": [{"role": "user", "content": "Once"}], "tools": [tool("go", strict), tool("stay", strict)],
            "tool_choice": choice, "parallel_tool_calls": false, "max_tokens": 40,
        });
        server.ask("/v1/chat/completions", &body)["choices"][0].clone()
    };
    // The model would tell a story. It may fill a call with white space up to the limit, and so break it off.
    for (choice, names) in [
        (json!("required"), &["go", "stay"][..]),
        (json!({"type": "function", "function": {"name": "stay"}}), &["stay"][..]),
    ] {
        let answer = ask(choice, false);
        let said = answer["message"]["content"].as_str().unwrap_or_default();
        let begins = |name: &&str| {
            said.starts_with(&format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {{"))
                || answer["message"]["tool_calls"][0]["function"]["name"] == **name
        };
        assert!(names.iter().any(begins), "{answer}");
    }
    // Text is free where there need be no call.
    assert!(ask(json!("auto"), true)["message"]["content"].is_string());
}

#[test]
fn published_clients_call_functions() {
    let test = "published_clients_call_functions";
    let has_all = Command::new("python3").args(["-c", "import anthropic, ollama, openai"]).output();
    if !has_all.is_ok_and(|output| output.status.success()) {
        return skipped(test, "python3 lacks openai, ollama or anthropic");
    }
    let caller = Caller::new(true);
    let server = caller.serve();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/serve/tool_clients.py");
    let output = Command::new("python3")
        .arg(script)
        .args([&format!("http://{}", server.address), "m", &caller.word])
        .output()
        .expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let got: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let whole = json!({"text": " Hm.", "name": "t10", "arguments": {"city": "Paris"}});
    for (client, ways) in got.as_object().unwrap() {
        for (way, value) in ways.as_object().unwrap() {
            assert_eq!(*value, whole, "{client}, {way}");
        }
    }
    assert_eq!(got.as_object().unwrap().len(), 4, "{got}");
}

#[test]
fn what_cannot_be_called_is_named() {
    let copy = Copy::with_template();
    let server = Server::start(&["-m", copy.path().to_str().unwrap(), "--alias", "m"]);
    let user = json!([{"role": "user", "content": "t5"}]);
    let refused = |path: &str, mut body: Value, part: &str| {
        body["model"] = json!("m");
        let reply = server.post(path, &body);
        let text = reply.text();
        assert!(reply.status == 400 && text.contains(part), "{path}: {text}");
    };
    let chat = |name: &str, value: Value| {
        let mut body = json!({"messages": user, "tools": [function()]});
        body[name] = value;
        body
    };
    let path = "/v1/chat/completions";
    refused(path, chat("tool_choice", json!("some")), "tool_choice");
    refused(path, chat("tool_choice", json!({"type": "function", "function": {"name": "t11"}})), "'t11'");
    refused(path, chat("tools", json!([{"type": "function"}])), "tools[0].function");
    refused(path, chat("tools", json!([{"type": "custom", "custom": {}}])), "tools[0].type");
    refused(
        "/api/chat",
        chat("tools", json!([{"type": "function", "function": {}}])),
        "tools[0].function.name",
    );
    let tool = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    refused("/v1/messages", json!({"messages": user, "max_tokens": 1, "tools": tool}), "tools[0].type");
    for (field, value) in
        [("previous_response_id", json!("resp_1")), ("store", json!(true)), ("background", json!(true))]
    {
        let mut body = json!({"input": "t5"});
        body[field] = value;
        refused("/v1/responses", body, field);
    }
}
