//! Calls as the text of a form, for templates that do not write them.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value, json};

use super::Form;
use super::form::Writing;

/// JSON with a space after each comma and colon, as Python writes it and models have read it.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A value as Python's `json.dumps` writes it.
pub fn spaced(value: &Value) -> String {
    let mut bytes = Vec::new();
    match value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)) {
        Ok(()) => String::from_utf8(bytes).unwrap_or_default(),
        Err(_) => value.to_string(),
    }
}

/// Calls, each with a name and arguments, as a model of this form would have written them.
pub fn calls(form: &Form, calls: &[(String, Map<String, Value>)]) -> String {
    let open = form.open.first().copied().unwrap_or_default();
    let one = |(name, arguments): &(String, Map<String, Value>)| {
        spaced(&json!({ "name": name, "arguments": arguments }))
    };
    match form.writing {
        Writing::Python => {
            let calls: Vec<String> =
                calls.iter().map(|(name, arguments)| python_call(name, arguments)).collect();
            format!("{open}[{}]{}", calls.join(", "), form.close)
        }
        Writing::Json if form.close == "</tool_call>" => {
            let calls: Vec<String> =
                calls.iter().map(|call| format!("{open}\n{}\n{}", one(call), form.close)).collect();
            calls.join("\n")
        }
        _ => {
            let calls: Vec<String> = calls.iter().map(one).collect();
            format!("{open}[{}]{}", calls.join(", "), form.close)
        }
    }
}

fn python_call(name: &str, arguments: &Map<String, Value>) -> String {
    let argument = |(key, value): (&String, &Value)| format!("{key}={}", python(value));
    let arguments: Vec<String> = arguments.iter().map(argument).collect();
    format!("{name}({})", arguments.join(", "))
}

/// A value as Python has it, with texts in double quotes.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(list) => format!("[{}]", list.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pair =
                |(key, value): (&String, &Value)| format!("{}: {}", Value::from(key.as_str()), python(value));
            format!("{{{}}}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}
