//! The fields of a body, taken one by one: what is left at the end is refused by name.

use serde_json::{Map, Value};

use super::refusal::{Kind, Refusal};

/// An object of JSON. A field that is null counts as missing.
#[derive(Debug)]
pub(super) struct Fields {
    map: Map<String, Value>,
    /// Where it stands in the body, with a dot at its end.
    path: String,
}

type Result<T> = std::result::Result<T, Refusal>;

/// What a value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Fields {
    /// The body of a request.
    ///
    /// # Errors
    /// It is no object of JSON.
    pub fn of_body(body: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|e| Refusal::new(Kind::Invalid, format!("the body is no JSON: {e}")))?;
        match value {
            Value::Object(map) => Ok(Self { map, path: String::new() }),
            other => {
                let what = kind(&other);
                Err(Refusal::new(Kind::Invalid, format!("the body has to be an object, not {what}")))
            }
        }
    }

    /// An object at `path`.
    ///
    /// # Errors
    /// It is none.
    pub fn of(value: Value, path: &str) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { map, path: format!("{path}.") }),
            other => Err(wrong(path, "an object", &other)),
        }
    }

    /// A field's name with the way to it.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// A field of any kind, which stays where it is.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A field of any kind.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn read<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = read(&value);
        found.map(Some).ok_or_else(|| wrong(&self.full(name), expected, &value))
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        self.read(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// A number as f32, finite.
    pub fn number(&mut self, name: &str) -> Result<Option<f32>> {
        self.read(name, "a number", |value| {
            value.as_f64().map(|number| number as f32).filter(|number| number.is_finite())
        })
    }

    /// A whole number from 0 up. One that is written with a fraction of 0 is one too.
    pub fn whole(&mut self, name: &str) -> Result<Option<usize>> {
        let whole = |value: &Value| integer(value).and_then(|number| usize::try_from(number).ok());
        self.read(name, "a whole number from 0 up", whole)
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>> {
        self.read(name, "a whole number", integer)
    }

    pub fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>> {
        self.read(name, "a list", |value| value.as_array().cloned())
    }

    pub fn object(&mut self, name: &str) -> Result<Option<Self>> {
        let path = self.full(name);
        self.take(name).map(|value| Self::of(value, &path)).transpose()
    }

    /// A text, or a list of some; empty ones are left out.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        let texts = self.read(name, "a text or a list of texts", |value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(list) => list.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
            _ => None,
        })?;
        Ok(texts.unwrap_or_default().into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// Token ids.
    pub fn ids(&mut self, name: &str) -> Result<Option<Vec<u32>>> {
        self.read(name, "a list of token ids", |value| ids(value.as_array()?))
    }

    /// A field that has to be there.
    pub fn required<T>(&self, name: &str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| {
            let name = self.full(name);
            Refusal::field(name.clone(), format!("'{name}' is missing"))
        })
    }

    /// All that are left, whatever they are.
    pub fn all(self) -> Map<String, Value> {
        self.map
    }

    /// Fields that change nothing here: the text is the same with and without them.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.map.remove(*name);
        }
    }

    /// A field of which only values are supported that ask for nothing.
    pub fn neutral(&mut self, name: &str, allowed: &[Value]) -> Result<()> {
        let Some(value) = self.take(name) else { return Ok(()) };
        let same = |allowed: &Value| match (allowed.as_f64(), value.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => *allowed == value,
        };
        if allowed.iter().any(same) { Ok(()) } else { Err(Refusal::unsupported(&self.full(name), "")) }
    }

    /// Whether nothing is left.
    ///
    /// # Errors
    /// A field that this server does not have.
    pub fn done(self) -> Result<()> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => Err(Refusal::unsupported(&self.full(name), "")),
        }
    }
}

fn integer(value: &Value) -> Option<i64> {
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() < 9e15;
    value.as_i64().or_else(|| value.as_f64().filter(whole).map(|number| number as i64))
}

/// A list of token ids.
pub(super) fn ids(list: &[Value]) -> Option<Vec<u32>> {
    list.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}

/// A field of the wrong kind.
pub(super) fn wrong(field: &str, expected: &str, value: &Value) -> Refusal {
    let found = match value {
        Value::Number(number) => number.to_string(),
        other => kind(other).to_owned(),
    };
    Refusal::field(field, format!("'{field}' has to be {expected}, not {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::of_body(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_left_is_refused_by_name() {
        let mut f = fields(json!({"a": 1, "b": null, "c": {"d": true}, "user": "x"}));
        assert_eq!(f.whole("a"), Ok(Some(1)));
        assert_eq!(f.text("missing"), Ok(None));
        f.ignore(&["user"]);
        let inner = f.object("c").unwrap().unwrap();
        let refusal = inner.done().unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("c.d"));
        assert_eq!(refusal.message, "'c.d' is not supported by this server");
        assert_eq!(f.done(), Ok(()));
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        let message = |refusal: Refusal| refusal.message;
        let mut f = fields(json!({"a": "x", "b": -1, "c": 1.5, "d": [1, "x"], "e": 2.0, "f": 1e300}));
        assert_eq!(message(f.number("a").unwrap_err()), "'a' has to be a number, not a text");
        assert_eq!(message(f.whole("b").unwrap_err()), "'b' has to be a whole number from 0 up, not -1");
        assert_eq!(message(f.whole("c").unwrap_err()), "'c' has to be a whole number from 0 up, not 1.5");
        assert_eq!(message(f.ids("d").unwrap_err()), "'d' has to be a list of token ids, not a list");
        assert_eq!(f.whole("e"), Ok(Some(2)));
        assert!(f.number("f").is_err(), "no f32");
        assert_eq!(message(f.required::<()>("g", None).unwrap_err()), "'g' is missing");
        assert!(message(Fields::of_body(b"[1]").unwrap_err()).contains("an object, not a list"));
        assert!(message(Fields::of_body(b"{").unwrap_err()).contains("no JSON"));
    }

    #[test]
    fn a_neutral_value_asks_for_nothing() {
        let mut f = fields(json!({"mirostat": 0, "suffix": "", "best_of": 3}));
        assert_eq!(f.neutral("mirostat", &[json!(0.0)]), Ok(()));
        assert_eq!(f.neutral("suffix", &[json!("")]), Ok(()));
        assert!(f.neutral("best_of", &[json!(1)]).is_err());
    }
}
