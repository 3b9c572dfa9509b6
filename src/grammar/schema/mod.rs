//! JSON schemas: what of them can be followed. The rest is refused by name, so that nothing is left out silently.

mod choices;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::error::GrammarError;

/// The most schemas within a schema: each may be a step of a recursion.
pub(super) const MOST_SCHEMAS: usize = 2048;

/// The most values of an `enum`.
const MOST_VALUES: usize = 8192;

/// The most items, properties or characters that a schema may count.
const MOST_COUNTED: u64 = 100_000;

/// Between two tokens of JSON may be one space, or a new line with an indentation: a model cannot go on with white space for
/// ever.
const WHITE_SPACE: &str = r" |\n[ \t]{0,40}";

/// Keywords that are followed, and whose value is no schema.
const PLAIN: [&str; 17] = [
    "$ref",
    "const",
    "enum",
    "type",
    "minItems",
    "maxItems",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
];

/// Keywords that change nothing about what is valid.
const NOTES: [&str; 20] = [
    "$schema",
    "$comment",
    "$anchor",
    "$id",
    "id",
    "title",
    "description",
    "default",
    "examples",
    "example",
    "readOnly",
    "writeOnly",
    "deprecated",
    "discriminator",
    "contentMediaType",
    "contentEncoding",
    "externalDocs",
    "xml",
    "$vocabulary",
    "markdownDescription",
];

/// Keywords whose value is an object of schemas.
const MAPS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
/// Keywords whose value is a schema.
const SCHEMAS: [&str; 3] = ["items", "additionalItems", "additionalProperties"];

/// Formats that a text can be held to.
const FORMATS: [&str; 11] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown"];
/// Formats that say nothing about how a text is written.
const NO_FORMATS: [&str; 3] = ["password", "binary", "byte"];

/// A schema as llguidance is to have it: checked, and without what says nothing.
///
/// # Errors
/// The first keyword that cannot be followed, by name.
pub(super) fn check(schema: &Value) -> Result<Value, GrammarError> {
    let mut check = Check { root: schema, schemas: 0, path: Vec::new() };
    let mut checked = match check.schema(schema)? {
        Value::Bool(true) => json!({}),
        Value::Bool(false) => return Err(GrammarError::new("the schema is false, which no text is")),
        checked => checked,
    };
    checked["x-guidance"] = json!({ "whitespace_pattern": WHITE_SPACE });
    Ok(checked)
}

struct Check<'a> {
    root: &'a Value,
    schemas: usize,
    path: Vec<String>,
}

type Result<T, E = GrammarError> = std::result::Result<T, E>;

impl<'a> Check<'a> {
    /// About `keyword` of the schema at hand.
    fn refuse<T>(&self, keyword: &str, why: &str) -> Result<T> {
        let place = match self.path.as_slice() {
            [] => String::new(),
            path => format!(" at '{}'", path.join(".").chars().take(200).collect::<String>()),
        };
        let keyword: String = keyword.chars().take(100).collect();
        Err(GrammarError(format!("the schema's keyword '{keyword}'{place} {why}")))
    }

    fn schema(&mut self, schema: &'a Value) -> Result<Value> {
        let map = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(map) => map,
            other => {
                let place = self.path.join(".");
                let found: String = other.to_string().chars().take(40).collect();
                return Err(GrammarError(format!(
                    "the schema '{place}' is {found}, and has to be an object"
                )));
            }
        };
        self.schemas += 1;
        if self.schemas > MOST_SCHEMAS {
            return Err(GrammarError(format!("the schema has more than {MOST_SCHEMAS} schemas in it")));
        }
        self.together(map)?;
        let mut checked = Map::new();
        for (key, value) in map {
            checked.extend(self.keyword(map, key, value)?);
        }
        Ok(Value::Object(checked))
    }

    /// Keywords that mean something else next to each other.
    fn together(&self, map: &Map<String, Value>) -> Result<()> {
        let has = |key: &str| map.contains_key(key);
        if has("prefixItems") && (has("additionalItems") || map.get("items").is_some_and(Value::is_array)) {
            return self.refuse("prefixItems", "is not supported together with lists of an older draft");
        }
        let old =
            self.root.get("$schema").and_then(Value::as_str).is_some_and(|draft| !draft.contains("2020-12"));
        if has("prefixItems") && old {
            return self.refuse("prefixItems", "does not belong to the draft that '$schema' names");
        }
        if has("$id") && !self.path.is_empty() {
            return self.refuse("$id", "is supported at the top alone");
        }
        Ok(())
    }

    /// A keyword with its value as it is to be, `None` where it says nothing.
    fn keyword(
        &mut self,
        map: &'a Map<String, Value>,
        key: &str,
        value: &'a Value,
    ) -> Result<Option<(String, Value)>> {
        let kept = |value: Value| Ok(Some((key.to_owned(), value)));
        if NOTES.contains(&key) || key.starts_with("x-") && key != "x-guidance" {
            return if key == "$schema" { kept(value.clone()) } else { Ok(None) };
        }
        // Neither says anything where it has this value.
        if matches!((key, value), ("uniqueItems" | "nullable", Value::Bool(false))) {
            return Ok(None);
        }
        let Some(value) = self.value(map, key, value)? else { return Ok(None) };
        let choices = if key == "oneOf" { map[key].as_array() } else { None };
        if choices.is_some_and(|choices| choices::exclude_each_other(self.root, choices)) {
            if map.contains_key("anyOf") {
                return self.refuse(key, "is not supported next to 'anyOf'");
            }
            return Ok(Some(("anyOf".to_owned(), value)));
        }
        kept(value)
    }

    fn value(&mut self, map: &'a Map<String, Value>, key: &str, value: &'a Value) -> Result<Option<Value>> {
        if MAPS.contains(&key) {
            let Value::Object(schemas) = value else { return self.refuse(key, "has to be an object") };
            let mut checked = Map::new();
            for (name, schema) in schemas {
                self.path.extend([key.to_owned(), name.clone()]);
                let found = self.schema(schema);
                self.path.truncate(self.path.len() - 2);
                checked.insert(name.clone(), found?);
            }
            return Ok(Some(Value::Object(checked)));
        }
        let list = LISTS.contains(&key) || key == "items" && value.is_array();
        if list {
            let Value::Array(schemas) = value else { return self.refuse(key, "has to be a list") };
            let mut checked = Vec::with_capacity(schemas.len());
            for (at, schema) in schemas.iter().enumerate() {
                self.path.push(format!("{key}[{at}]"));
                let found = self.schema(schema);
                self.path.pop();
                checked.push(found?);
            }
            return Ok(Some(Value::Array(checked)));
        }
        if SCHEMAS.contains(&key) {
            self.path.push(key.to_owned());
            let found = self.schema(value);
            self.path.pop();
            return found.map(Some);
        }
        if key == "multipleOf" || PLAIN.contains(&key) {
            return self.plain(map, key, value);
        }
        self.refuse(key, "is not supported")
    }

    fn plain(&self, map: &Map<String, Value>, key: &str, value: &Value) -> Result<Option<Value>> {
        match key {
            "$ref" => match value.as_str() {
                Some("#") => {}
                Some(reference) if reference.starts_with("#/") => {
                    if !reference.contains(['%', '~']) && self.root.pointer(&reference[1..]).is_none() {
                        return self.refuse(key, &format!("names '{reference}', which is not there"));
                    }
                }
                _ => return self.refuse(key, "has to name a part of this schema, such as '#/$defs/name'"),
            },
            "const" | "enum" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum"
            | "multipleOf"
                if !exact(value) =>
            {
                return self.refuse(key, "has a number that has too many digits");
            }
            "enum" if value.as_array().is_some_and(|values| values.len() > MOST_VALUES) => {
                return self.refuse(key, &format!("has more than {MOST_VALUES} values"));
            }
            "multipleOf" if value.as_f64() == Some(0.0) => return self.refuse(key, "must not be 0"),
            "minItems" | "maxItems" | "minProperties" | "maxProperties" | "minLength" | "maxLength" => {
                let count = value.as_u64().or_else(|| {
                    let whole = |number: &f64| number.fract() == 0.0 && (0.0..1e15).contains(number);
                    value.as_f64().filter(whole).map(|number| number as u64)
                });
                match count {
                    Some(count) if count <= MOST_COUNTED => return Ok(Some(json!(count))),
                    Some(_) => return self.refuse(key, &format!("is more than {MOST_COUNTED}")),
                    None => return self.refuse(key, "has to be a whole number from 0 up"),
                }
            }
            "format" => match value.as_str() {
                // It is about texts; next to other types it says nothing.
                _ if matches!(map.get("type"), Some(Value::String(kind)) if kind != "string") => {
                    return Ok(None);
                }
                Some(format) if NO_FORMATS.contains(&format) => return Ok(None),
                Some(format) if FORMATS.contains(&format) => {}
                Some(format) => return self.refuse(key, &format!("is '{format}', which is not supported")),
                None => return self.refuse(key, "has to be a text"),
            },
            _ => {}
        }
        Ok(Some(value.clone()))
    }
}

/// Whether all whole numbers of a value are what an f64 makes of them.
fn exact(value: &Value) -> bool {
    const MOST: u64 = 1 << 53;
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number <= MOST,
            (_, Some(number)) => number.unsigned_abs() <= MOST,
            _ => true,
        },
        Value::Array(list) => list.iter().all(exact),
        Value::Object(map) => map.values().all(exact),
        _ => true,
    }
}
