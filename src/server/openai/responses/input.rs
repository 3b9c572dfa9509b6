//! The items of a request: what was said, calls of functions and their results, reasoning.

use serde_json::{Value, json};

use crate::chat::{Message, ToolCall};
use crate::server::ask::{parts, role};
use crate::server::fields::{Fields, wrong};
use crate::server::refusal::Refusal;

/// The roles of messages.
const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];

/// Messages of a text or of items.
///
/// # Errors
/// What is no item that this server has.
pub(super) fn messages(input: Value) -> Result<Vec<Message>, Refusal> {
    let items = match input {
        Value::String(text) => return Ok(vec![Message::new("user", text)]),
        Value::Array(items) if !items.is_empty() => items,
        Value::Array(_) => return Err(Refusal::field("input", "'input' is empty; give at least one item")),
        other => return Err(wrong("input", "a text or a list of items", &other)),
    };
    let mut messages: Vec<Message> = Vec::new();
    // Reasoning stands before what the assistant says or calls after it.
    let mut reasoning: Option<String> = None;
    for (at, item) in items.into_iter().enumerate() {
        let mut fields = Fields::of(item, &format!("input[{at}]"))?;
        let kind = fields.text("type")?.unwrap_or_else(|| "message".into());
        fields.ignore(&["id", "status"]);
        match kind.as_str() {
            "message" => {
                let message = message(&mut fields)?;
                let is_answer = message.role == "assistant";
                let reasoning = reasoning.take().filter(|_| is_answer);
                messages.push(Message { reasoning, ..message });
            }
            "function_call" => {
                let call = function_call(&mut fields)?;
                match messages.last_mut().filter(|last| last.role == "assistant" && reasoning.is_none()) {
                    Some(last) => last.calls.push(call),
                    None => {
                        let message = Message::new("assistant", "");
                        messages.push(Message { reasoning: reasoning.take(), calls: vec![call], ..message });
                    }
                }
            }
            "function_call_output" => messages.push(result(&mut fields)?),
            "reasoning" => reasoning = self::reasoning(&mut fields)?.or(reasoning),
            other => {
                let why =
                    format!("items of the type '{other}'; give messages, function calls and their outputs");
                return Err(Refusal::unsupported(&format!("input[{at}].type"), &why));
            }
        }
        fields.done()?;
    }
    Ok(messages)
}

fn message(fields: &mut Fields) -> Result<Message, Refusal> {
    let role = role(fields, &ROLES)?;
    let path = fields.full("content");
    let content = fields.take("content");
    let content = parts(fields.required("content", content)?, &path)?;
    fields.ignore(&["phase"]);
    let role = if role == "developer" { "system".to_owned() } else { role };
    Ok(Message::new(role, content))
}

fn function_call(fields: &mut Fields) -> Result<ToolCall, Refusal> {
    let (id, name, arguments) = (fields.text("call_id")?, fields.text("name")?, fields.text("arguments")?);
    fields.ignore(&["caller"]);
    Ok(ToolCall {
        id: fields.required("call_id", id)?,
        name: fields.required("name", name)?,
        arguments: arguments.map_or_else(|| json!({}), Value::String),
    })
}

fn result(fields: &mut Fields) -> Result<Message, Refusal> {
    let id = fields.text("call_id")?;
    let id = fields.required("call_id", id)?;
    let path = fields.full("output");
    let output = fields.take("output");
    let content = parts(fields.required("output", output)?, &path)?;
    Ok(Message { tool_call_id: Some(id), ..Message::new("tool", content) })
}

/// The text of reasoning; what is encrypted only its maker can read.
fn reasoning(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    let mut text = String::new();
    for name in ["content", "summary"] {
        let path = fields.full(name);
        for (at, part) in fields.list(name)?.unwrap_or_default().into_iter().enumerate() {
            let mut part = Fields::of(part, &format!("{path}[{at}]"))?;
            let piece = part.text("text")?.unwrap_or_default();
            part.ignore(&["type"]);
            part.done()?;
            // A summary is of use where the text itself is missing.
            if name == "content" || text.is_empty() {
                text.push_str(&piece);
            }
        }
    }
    fields.ignore(&["encrypted_content"]);
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_messages() {
        let read = messages(json!([
            {"role": "developer", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
             "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{\"x\": 1}", "status": "completed"},
            {"type": "function_call_output", "call_id": "a", "output": "21"},
            {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "22"}]},
        ]))
        .unwrap();
        let plain: Vec<_> =
            read.iter().map(|m| (m.role.as_str(), m.content.as_str(), m.calls.len())).collect();
        let expected = [
            ("system", "Be brief.", 0),
            ("user", "Weather?", 0),
            ("assistant", "I look.", 2),
            ("tool", "21", 0),
            ("tool", "22", 0),
        ];
        assert_eq!(plain, expected);
        assert_eq!(read[2].reasoning.as_deref(), Some("hm"));
        assert_eq!(
            (read[4].tool_call_id.as_deref(), &read[2].calls[1].arguments),
            (Some("b"), &json!("{\"x\": 1}"))
        );
        assert_eq!(messages(json!("Hello")).unwrap()[0].content, "Hello");
    }

    #[test]
    fn what_is_no_item_is_named() {
        let field = |input: Value| messages(input).unwrap_err().field.unwrap();
        assert_eq!(field(json!([])), "input");
        assert_eq!(field(json!(3)), "input");
        assert_eq!(field(json!([{"type": "item_reference", "id": "x"}])), "input[0].type");
        assert_eq!(field(json!([{"role": "tool", "content": "x"}])), "input[0].role");
        assert_eq!(
            field(json!([{"role": "user", "content": [{"type": "input_image"}]}])),
            "input[0].content[0]"
        );
        assert_eq!(field(json!([{"type": "function_call", "name": "f"}])), "input[0].call_id");
        assert_eq!(field(json!([{"role": "user", "content": "x", "y": 1}])), "input[0].y");
    }
}
