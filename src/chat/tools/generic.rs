//! Functions for models whose template knows of none: all of it as plain messages.

use serde_json::{Map, Value, json};

use super::history::object;
use super::write::{self, spaced};
use super::{Form, Tool};

/// What the prompt says before the functions.
const BEFORE: &str = "You can call functions. These are the functions, one in each line, with the JSON schemas of their \
                      arguments:\n\n";

/// What it says after them.
const AFTER: &str = "\n\nTo call a function, answer with its name and an object of arguments in exactly this form, once for each \
                     call:\n<tool_call>\n{\"name\": \"NAME\", \"arguments\": {\"ARGUMENT\": \"VALUE\"}}\n</tool_call>\nThe next \
                     message has the results in <tool_response> tags. Where no function is needed, answer as usual.";

/// The functions in words.
pub fn described(tools: &[Tool]) -> String {
    let lines: Vec<String> = tools.iter().map(|tool| spaced(&tool.json()["function"])).collect();
    format!("{BEFORE}{}{AFTER}", lines.join("\n"))
}

/// Puts words before a conversation: into its system message where the template writes these, or else before what the user
/// says first.
pub fn say_first(messages: &mut Vec<Value>, words: &str, knows_system: bool) {
    let role = if knows_system { "system" } else { "user" };
    let place =
        if knows_system { Some(0) } else { messages.iter().position(|message| message["role"] == "user") };
    let place = place.filter(|&place| messages.get(place).is_some_and(|message| message["role"] == role));
    match place.and_then(|place| messages[place].get_mut("content")) {
        Some(Value::String(content)) if knows_system => *content = format!("{content}\n\n{words}"),
        Some(Value::String(content)) => *content = format!("{words}\n\n{content}"),
        _ => messages.insert(0, json!({ "role": role, "content": words })),
    }
}

/// Makes calls part of what the assistant has said.
pub fn write_calls(message: &mut Value, form: &Form) {
    let Value::Object(fields) = message else { return };
    let Some(Value::Array(list)) = fields.shift_remove("tool_calls") else { return };
    let call = |call: &Value| {
        let name = call["function"]["name"].as_str()?.to_owned();
        let arguments = &call["function"]["arguments"];
        Some((
            name,
            object(arguments).unwrap_or_else(|| Map::from_iter([("arguments".into(), arguments.clone())])),
        ))
    };
    let calls: Vec<_> = list.iter().filter_map(call).collect();
    if calls.is_empty() {
        return;
    }
    let said = fields.get("content").and_then(Value::as_str).unwrap_or_default();
    let between = if said.is_empty() { "" } else { "\n" };
    let content = format!("{said}{between}{}", write::calls(form, &calls));
    fields.insert("content".into(), content.into());
}

/// Makes results messages of the user; those that follow each other become one.
pub fn write_results(messages: &mut Vec<Value>) {
    let mut written: Vec<Value> = Vec::with_capacity(messages.len());
    let mut is_result = false;
    for message in messages.drain(..) {
        let was_result = std::mem::replace(&mut is_result, message["role"] == "tool");
        if !is_result {
            written.push(message);
            continue;
        }
        let content = message["content"].as_str().unwrap_or_default();
        let text = format!("<tool_response>\n{content}\n</tool_response>");
        match written.last_mut().filter(|_| was_result).and_then(|last| last.get_mut("content")) {
            Some(Value::String(before)) => *before = format!("{before}\n{text}"),
            _ => written.push(json!({ "role": "user", "content": text })),
        }
    }
    *messages = written;
}
