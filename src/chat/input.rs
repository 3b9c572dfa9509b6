//! What a template is given: messages, tools and whatever else it knows.

use serde_json::{Map, Value, json};

use super::{ChatError, Message, Result, ToolCall};

/// A conversation as a template sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatInput {
    pub(super) variables: Map<String, Value>,
}

/// Names under which a message's reasoning is passed.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl ChatInput {
    /// Plain messages. With `add_generation_prompt` the text ends where the assistant is to speak.
    pub fn new(messages: &[Message], add_generation_prompt: bool) -> Self {
        let messages: Vec<Value> = messages.iter().map(fields).collect();
        let mut variables = Map::new();
        variables.insert("messages".into(), messages.into());
        variables.insert("tools".into(), Value::Null);
        variables.insert("documents".into(), Value::Null);
        variables.insert("add_generation_prompt".into(), add_generation_prompt.into());
        Self { variables }
    }

    /// A conversation in JSON, as OpenAI's interface has it: an object with `messages` and, if wanted, `tools`,
    /// `documents`, `add_generation_prompt` (true if left out) and variables of the template; or the list of messages
    /// alone. As in `transformers`, a field of a message that is null counts as missing, and reasoning is passed under
    /// each of its names.
    ///
    /// # Errors
    /// [`ChatError::NoConversation`] with what is wrong.
    pub fn from_json(text: &str) -> Result<Self> {
        let wrong = |what: String| ChatError::NoConversation(what);
        let json: Value = serde_json::from_str(text).map_err(|e| wrong(format!("it is no JSON: {e}")))?;
        let given = match json {
            Value::Array(messages) => Map::from_iter([("messages".to_owned(), Value::Array(messages))]),
            Value::Object(given) => given,
            _ => return Err(wrong("it has to be an object with 'messages', or a list of messages".into())),
        };
        let mut variables = Self::new(&[], true).variables;
        variables.extend(given);
        let Some(Value::Array(messages)) = variables.get_mut("messages") else {
            return Err(wrong("'messages' has to be a list".into()));
        };
        for (i, message) in messages.iter_mut().enumerate() {
            let Value::Object(fields) = message else {
                return Err(wrong(format!("message {} has to be an object", i + 1)));
            };
            fields.retain(|_, value| !value.is_null());
            if !fields.get("role").is_some_and(Value::is_string) {
                return Err(wrong(format!("message {} has no 'role'", i + 1)));
            }
            if let Some(reasoning) = REASONING.iter().find_map(|name| fields.get(*name).cloned()) {
                add_reasoning(fields, reasoning);
            }
        }
        for name in ["tools", "documents"] {
            let is_list = |list: &Vec<Value>| list.iter().all(Value::is_object);
            match variables.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::Array(list)) if is_list(list) => {}
                _ => return Err(wrong(format!("'{name}' has to be a list of objects"))),
            }
        }
        match variables.get("add_generation_prompt") {
            Some(Value::Bool(_)) => Ok(Self { variables }),
            _ => Err(wrong("'add_generation_prompt' has to be true or false".into())),
        }
    }

    /// With another variable of the template; it replaces one of the same name.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.variables.insert(name.to_owned(), value);
        self
    }

    /// Whether there is a variable of this name.
    pub fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// What the template sees.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// A message as a template sees it.
fn fields(message: &Message) -> Value {
    let mut fields = Map::new();
    fields.insert("role".into(), message.role.as_str().into());
    fields.insert("content".into(), message.content.as_str().into());
    if let Some(reasoning) = &message.reasoning {
        add_reasoning(&mut fields, reasoning.as_str().into());
    }
    if !message.calls.is_empty() {
        let call = |call: &ToolCall| {
            let function = json!({ "name": call.name, "arguments": call.arguments });
            json!({ "id": call.id, "type": "function", "function": function })
        };
        fields.insert("tool_calls".into(), message.calls.iter().map(call).collect());
    }
    for (name, text) in [("tool_call_id", &message.tool_call_id), ("name", &message.name)] {
        if let Some(text) = text {
            fields.insert(name.into(), text.as_str().into());
        }
    }
    Value::Object(fields)
}

/// Passes reasoning under each of the names that templates use.
fn add_reasoning(fields: &mut Map<String, Value>, reasoning: Value) {
    fields.entry("thinking").or_insert_with(|| reasoning.clone());
    fields.insert("reasoning_content".into(), reasoning);
}
