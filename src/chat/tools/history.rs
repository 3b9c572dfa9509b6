//! Calls and results of earlier turns, with all that templates read of them.

use serde_json::{Map, Value, json};

use super::sink::{is_short_id, short_id};

/// A call that has no result yet.
struct Pending {
    id: String,
    name: String,
}

/// The calls of a message.
pub fn calls_mut(message: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
    calls.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Gives every call an id, and every result the id and the name of its call. With `short` the ids are nine letters and
/// digits, and others become such.
pub fn complete(messages: &mut [Value], short: bool) {
    let mut pending: Vec<Pending> = Vec::new();
    let fitting = |id: &str| if short && !is_short_id(id) { short_id(&id) } else { id.to_owned() };
    for (at, message) in messages.iter_mut().enumerate() {
        if message["role"] == "assistant" {
            pending.clear();
            for (number, call) in calls_mut(message).enumerate() {
                let id = match call.get("id").and_then(Value::as_str) {
                    Some(id) if !id.is_empty() => fitting(id),
                    _ => short_id(&(at, number)),
                };
                let name =
                    call.get("function").and_then(|function| function["name"].as_str()).unwrap_or_default();
                pending.push(Pending { id: id.clone(), name: name.to_owned() });
                call.insert("id".into(), json!(id));
            }
        } else if message["role"] == "tool" {
            let text = |name: &str| message[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let (id, name) = (text("tool_call_id").map(|id| fitting(&id)), text("name"));
            let place = match (&id, &name) {
                (Some(id), _) => pending.iter().position(|call| call.id == *id),
                (None, Some(name)) => pending.iter().position(|call| call.name == *name),
                (None, None) => (!pending.is_empty()).then_some(0),
            };
            let call = place.map(|place| pending.remove(place));
            let id = id.or(call.as_ref().map(|call| call.id.clone()));
            let name = name.or(call.map(|call| call.name));
            if let Value::Object(fields) = message {
                for (key, value) in [("tool_call_id", id), ("name", name)] {
                    if let Some(value) = value {
                        fields.insert(key.into(), value.into());
                    }
                }
            }
        }
    }
}

/// Arguments as an object, where they are one.
pub fn object(arguments: &Value) -> Option<Map<String, Value>> {
    match arguments {
        Value::Object(map) => Some(map.clone()),
        Value::String(text) if text.trim().is_empty() => Some(Map::new()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}
