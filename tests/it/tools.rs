//! Functions and calls in the prompts of real chat templates.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use llm_rs2::chat::tools::{Support, Tool};
use llm_rs2::chat::{ChatInput, ChatTemplate, Date, Message, SpecialTexts, ToolCall};
use serde_json::{Value, json};

use crate::skip::{shared, skipped};

fn special() -> SpecialTexts {
    SpecialTexts { bos: "<s>".into(), eos: "</s>".into() }
}

fn day() -> Date {
    "2026-01-31".parse().expect("a date")
}

fn tools() -> Vec<Tool> {
    let parameters = json!({
        "type": "object", "required": ["city"],
        "properties": {
            "city": { "type": "string", "description": "A city, e.g. Zürich" },
            "days": { "type": "integer", "description": "How many" },
        },
    });
    let tool = |name: &str, description: &str, parameters: Value| Tool {
        name: name.into(),
        description: description.into(),
        parameters,
        strict: false,
    };
    vec![tool("get_weather", "The weather <now>", parameters), tool("now", "The time", Tool::no_parameters())]
}

/// A conversation as a client of OpenAI's interface sends it: arguments as text, and a result that says nothing but the
/// call's id.
fn conversation() -> Vec<Message> {
    let arguments = json!("{\"city\": \"Paris\", \"days\": 2}");
    let call = ToolCall { id: "abc123def".into(), name: "get_weather".into(), arguments };
    vec![
        Message::new("user", "Weather in Paris?"),
        Message { calls: vec![call], ..Message::new("assistant", "") },
        Message { tool_call_id: Some("abc123def".into()), ..Message::new("tool", "{\"t\": 21}") },
    ]
}

/// Templates by name, what they know, and what they make of the conversation.
fn rendered(directory: &Path) -> BTreeMap<String, (Support, String)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("templates") {
        let path = entry.expect("readable").path();
        let source = fs::read_to_string(&path).expect("a template");
        let template = ChatTemplate::new(&source).expect("a template");
        // Some want more than messages.
        let plain = ChatInput::new(&[Message::new("user", "Hello")], true);
        if template.render(&plain, &special(), day()).is_err() {
            continue;
        }
        let support = template.tools(&special(), day()).clone();
        let input = support.adapt(ChatInput::new(&conversation(), true), &tools());
        let text = template.render(&input, &special(), day());
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        all.insert(name, (support, text));
    }
    all
}

#[test]
fn every_template_shows_functions_calls_and_results() {
    let Some(directory) = shared("every_template_shows_functions_calls_and_results", "templates") else {
        return;
    };
    let rendered = rendered(&directory);
    for (name, (_, text)) in &rendered {
        for part in ["get_weather", "The weather <now>", "How many", "Weather in Paris?"] {
            // Some templates escape what they show.
            let escaped = part.replace('<', "\\u003c").replace('>', "\\u003e");
            assert!(text.contains(part) || text.contains(&escaped), "{name} lacks {part:?}: {text}");
        }
        let (after, result) = (text.rfind("Paris"), text.rfind("21"));
        assert!(after < result, "{name} lacks the call or its result: {text}");
    }
    let form = |name: &str| rendered.get(name).map(|(support, _)| (support.form.name, support.is_native()));
    for (name, expected) in [
        ("meta-llama-Llama-3.1-8B-Instruct", ("Llama 3", true)),
        ("meta-llama-Llama-3.2-3B-Instruct", ("Llama 3", true)),
        ("Qwen-Qwen2.5-7B-Instruct", ("Hermes", true)),
        ("Qwen-Qwen3-0.6B", ("Hermes", true)),
        ("ibm-granite-granite-4.0", ("Hermes", true)),
        ("Qwen3-Coder", ("Qwen3-Coder", true)),
        ("Qwen3.5-4B", ("Qwen3-Coder", true)),
        ("mistralai-Mistral-Nemo-Instruct-2407", ("Mistral 7B and Nemo", true)),
        ("mistralai-Ministral-3-14B-Reasoning-2512", ("Mistral", true)),
        ("google-gemma-4-31B-it", ("Gemma 4", true)),
        ("openai-gpt-oss-120b", ("GPT-OSS", true)),
        ("LFM2-8B-A1B", ("LFM2", true)),
        ("LFM2.5-8B-A1B", ("LFM2", true)),
        ("ibm-granite-granite-3.3-2B-Instruct", ("Granite 3", true)),
        ("CohereForAI-c4ai-command-r7b-12-2024-tool_use", ("Command R7B", true)),
        ("ByteDance-Seed-OSS", ("Seed-OSS", true)),
        ("NVIDIA-Nemotron-Nano-v2", ("Nemotron Nano 2", true)),
        ("unsloth-Apriel-1.5", ("Apriel", true)),
        // They know of none, or write calls in ways that are not read.
        ("google-gemma-2-2b-it", ("generic", false)),
        ("microsoft-Phi-3.5-mini-instruct", ("generic", false)),
        ("GLM-4.6", ("generic", false)),
        ("deepseek-ai-DeepSeek-V3.1", ("generic", false)),
    ] {
        assert_eq!(form(name), Some(expected), "{name}");
    }
    // Calls that a template does not write are written as its model writes them.
    let text = |name: &str| rendered[name].1.as_str();
    let call = "<|tool_call_start|>[get_weather(city=\"Paris\", days=2)]<|tool_call_end|>";
    assert!(text("LFM2-8B-A1B").contains(call));
    let call =
        "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]";
    assert!(text("ibm-granite-granite-3.3-2B-Instruct").contains(call));
    let call = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_call>";
    assert!(text("google-gemma-2-2b-it").contains(call));
    assert!(text("google-gemma-2-2b-it").contains("<tool_response>\n{\"t\": 21}\n</tool_response>"));
}

#[test]
fn what_templates_are_particular_about_is_put_right() {
    let Some(directory) = shared("what_templates_are_particular_about_is_put_right", "templates") else {
        return;
    };
    let render = |name: &str, messages: &[Message]| {
        let source = fs::read_to_string(directory.join(name).with_extension("jinja")).expect("a template");
        let template = ChatTemplate::new(&source).expect("a template");
        let support = template.tools(&special(), day());
        let input = support.adapt(ChatInput::new(messages, true), &tools());
        template.render(&input, &special(), day()).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    // GPT-OSS: reasoning and text beside a call.
    let mut turns = conversation();
    turns[1].content = "I look.".into();
    turns[1].reasoning = Some("Hm.".into());
    let text = render("openai-gpt-oss-120b", &turns);
    assert!(
        text.contains("<|channel|>analysis<|message|>Hm.<|end|>")
            && text.contains("to=functions.get_weather")
    );
    // Mistral: ids of nine letters or digits, the same for a call and its result; Ollama's calls have none.
    for (call, result) in [("call_1", Some("call_1")), ("", None)] {
        let mut turns = conversation();
        turns[1].calls[0].id = call.into();
        turns[2].tool_call_id = result.map(str::to_owned);
        turns[2].name = Some("get_weather".into());
        let text = render("mistralai-Mistral-Nemo-Instruct-2407", &turns);
        let id = |before: &str| text.split_once(before).map(|(_, rest)| &rest[..9]);
        assert!(id("\"id\": \"").is_some() && id("\"id\": \"") == id("\"call_id\": \""), "{text}");
    }
}

#[test]
fn prompts_with_functions_are_those_of_transformers() {
    let test = "prompts_with_functions_are_those_of_transformers";
    let Some(directory) = shared(test, "templates") else { return };
    if !Command::new("python3").args(["-c", "import jinja2"]).output().is_ok_and(|o| o.status.success()) {
        return skipped(test, "there is no python3 with jinja2");
    }
    // What is written in another way than the template's own is none of transformers'.
    let own = |(name, (support, text)): (String, (Support, String))| {
        (support.is_native() && !name.starts_with("LFM2-") && name != "LFM2.5-Instruct")
            .then_some((name, text))
    };
    let texts: BTreeMap<String, String> = rendered(&directory).into_iter().filter_map(own).collect();
    let texts: BTreeMap<_, _> =
        texts.into_iter().filter(|(name, _)| !name.starts_with("ibm-granite-granite-3")).collect();
    assert!(texts.len() > 25, "{}", texts.len());
    let tools: Vec<Value> = tools().iter().map(Tool::json).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new("python3")
        .args(["-B", "tests/it/tools.py"])
        .arg(&directory)
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let given = json!({ "texts": texts, "tools": tools }).to_string();
    child.stdin.take().expect("it is piped").write_all(given.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
