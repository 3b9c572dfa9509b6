//! Whether schemas exclude each other, so that one of them is the same as any of them.

use serde_json::Value;

/// The most references one after the other.
const MOST_STEPS: usize = 16;

/// Whether all of these are objects with a required property that has another constant in each: what makers of schemas write
/// for a choice of types.
pub(super) fn exclude_each_other(root: &Value, schemas: &[Value]) -> bool {
    let all: Option<Vec<&Value>> = schemas.iter().map(|schema| resolve(root, schema)).collect();
    let Some(all) = all else { return false };
    let Some(first) = all.first().and_then(|schema| schema["properties"].as_object()) else { return false };
    first.keys().any(|name| {
        let mut seen: Vec<&str> = Vec::new();
        all.iter().all(|schema| match texts(root, schema, name) {
            Some(texts) if texts.iter().all(|text| !seen.contains(text)) => {
                seen.extend(texts);
                true
            }
            _ => false,
        })
    })
}

/// What a reference stands for.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let mut schema = schema;
    for _ in 0..MOST_STEPS {
        match schema.get("$ref") {
            None => return Some(schema),
            Some(reference) => schema = root.pointer(reference.as_str()?.strip_prefix('#')?)?,
        }
    }
    None
}

/// The texts that the property may be in an object, if it has to be there.
fn texts<'a>(root: &'a Value, schema: &'a Value, name: &str) -> Option<Vec<&'a str>> {
    if schema["type"] != "object" || !schema["required"].as_array()?.iter().any(|required| required == name) {
        return None;
    }
    let property = resolve(root, &schema["properties"][name])?;
    match (property.get("const"), property.get("enum")) {
        (Some(text), _) => Some(vec![text.as_str()?]),
        (_, Some(texts)) => texts.as_array()?.iter().map(Value::as_str).collect(),
        _ => None,
    }
}
