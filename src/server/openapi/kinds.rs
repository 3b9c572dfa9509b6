//! What fields of requests are, as JSON Schema.

use serde_json::{Map, Value, json};

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Flag,
    Number,
    /// From 0 up.
    Whole,
    Integer,
    /// One text, or a list of some.
    Texts,
    Ids,
    /// An object with these fields.
    Object(&'static [&'static [Field]]),
    /// A list of such objects.
    List(&'static [&'static [Field]]),
    /// Anything that this schema allows.
    Other(fn() -> Value),
}

/// A field of a request.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// What it is for, in a few words.
    pub about: &'static str,
}

/// A field that may be left out.
pub const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: false, about }
}

/// A field that has to be there.
pub const fn must(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: true, about }
}

impl Kind {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Number => json!({ "type": "number" }),
            Self::Whole => json!({ "type": "integer", "minimum": 0 }),
            Self::Integer => json!({ "type": "integer" }),
            Self::Texts => {
                json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
            }
            Self::Ids => ids(),
            Self::Object(groups) => object(groups),
            Self::List(groups) => json!({ "type": "array", "items": object(groups), "minItems": 1 }),
            Self::Other(schema) => schema(),
        }
    }

    /// How `Fields` calls it when it is something else; nothing if it reads the value by itself.
    #[cfg(test)]
    pub fn expected(self) -> Option<&'static str> {
        match self {
            Self::Text => Some("a text"),
            Self::Flag => Some("true or false"),
            Self::Number => Some("a number"),
            Self::Whole => Some("a whole number from 0 up"),
            Self::Integer => Some("a whole number"),
            Self::Texts => Some("a text or a list of texts"),
            Self::Ids => Some("a list of token ids"),
            Self::List(_) => Some("a list"),
            Self::Object(_) | Self::Other(_) => None,
        }
    }
}

/// Token ids.
pub fn ids() -> Value {
    json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": u32::MAX } })
}

/// An object with these fields. One that is null counts as missing.
pub fn object(groups: &[&[Field]]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in groups.iter().copied().flatten() {
        let mut schema = field.kind.schema();
        if field.required {
            required.push(field.name);
        } else {
            schema = json!({ "anyOf": [schema, { "type": "null" }] });
        }
        if !field.about.is_empty() {
            schema["description"] = json!(field.about);
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}
