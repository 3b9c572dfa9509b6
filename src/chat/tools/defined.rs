//! A function that may be called.

use serde_json::{Map, Value, json};

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// What calls refer to it by.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// The JSON schema of its arguments, of an object.
    pub parameters: Value,
    /// Arguments have to be as the schema says.
    pub strict: bool,
}

impl Tool {
    /// As templates get it: in OpenAI's form, with all fields that templates read without asking whether they are there.
    pub fn json(&self) -> Value {
        json!({
            "type": "function",
            "function": {
                "name": self.name, "description": self.description, "parameters": self.parameters,
            },
        })
    }

    /// The schema of a function without arguments.
    pub fn no_parameters() -> Value {
        json!({ "type": "object", "properties": {} })
    }

    /// The schemas of the arguments by name.
    pub(super) fn properties(&self) -> Option<&Map<String, Value>> {
        self.parameters.get("properties")?.as_object()
    }

    /// Whether an argument is a text, whatever it looks like.
    pub(super) fn is_text(&self, argument: &str) -> bool {
        let Some(schema) = self.properties().and_then(|properties| properties.get(argument)) else {
            return false;
        };
        match schema.get("type") {
            Some(Value::String(kind)) => kind == "string",
            Some(Value::Array(kinds)) => kinds.iter().all(|kind| kind == "string"),
            _ => match schema.get("enum") {
                Some(Value::Array(values)) => values.iter().all(Value::is_string),
                _ => schema.get("const").is_some_and(Value::is_string),
            },
        }
    }
}
