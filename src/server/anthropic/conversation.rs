//! What a request says: messages of blocks, functions, reasoning.

use serde_json::{Value, json};

use crate::chat::tools::Choice;
use crate::chat::{ChatInput, Message, ToolCall};
use crate::server::ask::{answered, parts, role};
use crate::server::fields::{Fields, wrong};
use crate::server::refusal::Refusal;
use crate::server::tools::{Tools, function_of, list, only};

/// A conversation that is to be answered.
pub(super) struct Wanted {
    pub model: String,
    pub input: ChatInput,
    pub tools: Tools,
    pub thinking: Option<bool>,
}

/// What a conversation is made of.
///
/// # Errors
/// What of it cannot be.
pub(super) fn conversation(fields: &mut Fields) -> Result<Wanted, Refusal> {
    let model = fields.text("model")?;
    let model = fields.required("model", model)?;
    let mut messages = messages(fields)?;
    if let Some(system) = fields.take("system") {
        messages.insert(0, Message::new("system", parts(system, "system")?));
    }
    let thinking = match fields.object("thinking")? {
        None => None,
        Some(mut thinking) => {
            let kind = thinking.text("type")?;
            // How long it reasons is the model's own affair.
            thinking.ignore(&["budget_tokens", "display"]);
            thinking.done()?;
            match kind.as_deref() {
                Some("enabled") => Some(true),
                Some("disabled") => Some(false),
                Some("adaptive") | None => None,
                Some(_) => return Err(Refusal::unsupported("thinking.type", "")),
            }
        }
    };
    let tools = tools(fields)?;
    Ok(Wanted { model, input: answered(&messages)?, tools, thinking })
}

fn tools(fields: &mut Fields) -> Result<Tools, Refusal> {
    let tools = list(fields, |mut fields| {
        let kind = fields.text("type")?;
        only(&fields, kind.as_deref(), "custom")?;
        fields.ignore(&["cache_control", "eager_input_streaming"]);
        function_of(fields, "input_schema")
    })?;
    let (mut choice, mut parallel) = (Choice::Auto, true);
    if let Some(mut given) = fields.object("tool_choice")? {
        let kind = given.text("type")?;
        let kind = given.required("type", kind)?;
        let name = given.text("name")?;
        choice = match kind.as_str() {
            "auto" => Choice::Auto,
            "none" => Choice::None,
            "any" => Choice::Required,
            "tool" => Choice::Named(given.required("name", name)?),
            other => {
                let why =
                    format!("'tool_choice.type' has to be 'auto', 'any', 'tool' or 'none', not '{other}'");
                return Err(Refusal::field("tool_choice.type", why));
            }
        };
        parallel = !given.flag("disable_parallel_tool_use")?.unwrap_or(false);
        given.done()?;
    }
    Tools { tools, choice, parallel }.checked("tool_choice")
}

fn messages(fields: &mut Fields) -> Result<Vec<Message>, Refusal> {
    let given = fields.list("messages")?;
    let given = fields.required("messages", given)?;
    if given.is_empty() {
        return Err(Refusal::field("messages", "'messages' is empty; give at least one message"));
    }
    let mut messages = Vec::with_capacity(given.len());
    for (at, value) in given.into_iter().enumerate() {
        let mut fields = Fields::of(value, &format!("messages[{at}]"))?;
        let role = role(&mut fields, &["user", "assistant", "system"])?;
        let path = fields.full("content");
        let content = fields.take("content");
        let content = fields.required("content", content)?;
        fields.done()?;
        match content {
            Value::Array(blocks) => {
                let mut message = Message::new(role, "");
                let mut texts = Vec::new();
                let is_alone = blocks.is_empty();
                for (at, value) in blocks.into_iter().enumerate() {
                    let found = block(value, &format!("{path}[{at}]"), &mut message, &mut texts)?;
                    // Results stand before what the user says besides.
                    messages.extend(found);
                }
                let has_more = !message.calls.is_empty() || message.reasoning.is_some();
                if !texts.is_empty() || has_more || is_alone {
                    messages.push(Message { content: texts.join("\n"), ..message });
                }
            }
            text => messages.push(Message::new(role, parts(text, &path)?)),
        }
    }
    Ok(messages)
}

/// Reads a block into a message, or into a message of its own where it is a function's result.
fn block(
    value: Value,
    path: &str,
    message: &mut Message,
    texts: &mut Vec<String>,
) -> Result<Option<Message>, Refusal> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match (kind.as_str(), message.role.as_str()) {
        ("thinking", "assistant") => {
            let mut fields = Fields::of(value, path)?;
            let text = fields.text("thinking")?.unwrap_or_default();
            fields.ignore(&["type", "signature", "cache_control"]);
            fields.done()?;
            if !text.is_empty() {
                message.reasoning.get_or_insert_default().push_str(&text);
            }
        }
        // Only its maker can read it.
        ("redacted_thinking", "assistant") => {}
        ("tool_use", "assistant") => {
            let mut fields = Fields::of(value, path)?;
            let (id, name) = (fields.text("id")?, fields.text("name")?);
            let (id, name) = (fields.required("id", id)?, fields.required("name", name)?);
            let arguments = match fields.take("input") {
                None => json!({}),
                Some(input @ Value::Object(_)) => input,
                Some(other) => return Err(wrong(&fields.full("input"), "an object", &other)),
            };
            fields.ignore(&["type", "cache_control", "caller"]);
            fields.done()?;
            message.calls.push(ToolCall { id, name, arguments });
        }
        ("tool_result", "user") => {
            let mut fields = Fields::of(value, path)?;
            let id = fields.text("tool_use_id")?;
            let id = fields.required("tool_use_id", id)?;
            let content = match fields.take("content") {
                None => String::new(),
                Some(content) => parts(content, &fields.full("content"))?,
            };
            // The text says what went wrong.
            fields.ignore(&["type", "is_error", "cache_control"]);
            fields.done()?;
            return Ok(Some(Message { tool_call_id: Some(id), ..Message::new("tool", content) }));
        }
        _ => {
            // As a list of this one, whose errors name it.
            let text = parts(json!([value]), path).map_err(|refusal| named(refusal, path))?;
            texts.push(text);
        }
    }
    Ok(None)
}

/// A refusal of the only part at `path`, by the block's own name.
fn named(refusal: Refusal, path: &str) -> Refusal {
    let inner = format!("{path}[0]");
    Refusal {
        message: refusal.message.replace(&inner, path),
        field: refusal.field.map(|field| field.replace(&inner, path)),
        ..refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Wanted, Refusal> {
        conversation(&mut Fields::of_body(value.to_string().as_bytes()).unwrap())
    }

    fn of(messages: Value) -> Result<Vec<Message>, Refusal> {
        let body = json!({"messages": messages}).to_string();
        super::messages(&mut Fields::of_body(body.as_bytes()).unwrap())
    }

    #[test]
    fn blocks_are_messages() {
        let read = of(json!([
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "21"}]},
                {"type": "text", "text": "Well?"},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "is_error": true}]},
        ]))
        .unwrap();
        let plain: Vec<_> = read.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
        let expected =
            [("user", "Weather?"), ("assistant", "I look."), ("tool", "21"), ("user", "Well?"), ("tool", "")];
        assert_eq!(plain, expected);
        assert_eq!(read[1].reasoning.as_deref(), Some("hm"));
        let call = ToolCall { id: "toolu_1".into(), name: "f".into(), arguments: json!({"a": 1}) };
        assert_eq!(read[1].calls, [call]);
        assert_eq!(read[2].tool_call_id.as_deref(), Some("toolu_1"));
    }

    #[test]
    fn functions_and_choices_are_read() {
        let body = |choice: Value| {
            json!({
                "model": "m", "messages": [{"role": "user", "content": "x"}], "tool_choice": choice,
                "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
            })
        };
        let tools = |choice: Value| read(body(choice)).map(|wanted| wanted.tools);
        let auto = tools(json!({"type": "auto", "disable_parallel_tool_use": true})).unwrap();
        assert!(!auto.parallel && auto.tools[0].parameters == json!({"type": "object", "properties": {}}));
        assert_eq!(tools(json!({"type": "any"})).unwrap().choice, Choice::Required);
        assert_eq!(tools(json!({"type": "tool", "name": "f"})).unwrap().choice, Choice::Named("f".into()));
        let field = |choice: Value| tools(choice).unwrap_err().field.unwrap();
        assert_eq!(field(json!({"type": "tool", "name": "g"})), "tool_choice");
        assert_eq!(field(json!({"type": "tool"})), "tool_choice.name");
        assert_eq!(field(json!({"type": "some"})), "tool_choice.type");
    }

    #[test]
    fn what_no_block_can_be_is_named() {
        let field =
            |blocks: Value| of(json!([{"role": "user", "content": blocks}])).unwrap_err().field.unwrap();
        assert_eq!(field(json!([{"type": "image", "source": {}}])), "messages[0].content[0]");
        assert_eq!(
            field(json!([{"type": "text", "text": "a"}, {"type": "text"}])),
            "messages[0].content[1].text"
        );
        assert_eq!(field(json!([{"type": "tool_result"}])), "messages[0].content[0].tool_use_id");
        assert_eq!(field(json!([{"type": "tool_use", "id": "a", "name": "b"}])), "messages[0].content[0]");
        assert_eq!(
            of(json!([{"role": "tool", "content": "x"}])).unwrap_err().field.unwrap(),
            "messages[0].role"
        );
    }
}
