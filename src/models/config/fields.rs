//! Reading typed, bounded values out of a JSON object, with errors that name the file, the key and the value.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::ConfigError;
use crate::format::shown;

/// A JSON object of a configuration file. A key whose value is `null` counts as absent.
#[derive(Clone, Copy)]
pub(in crate::models) struct Fields<'a> {
    origin: &'a str,
    /// What stands before a key in messages: empty, or the outer key and a dot.
    prefix: &'a str,
    map: &'a Map<String, Value>,
    /// Keys that were asked for.
    seen: &'a RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    pub(in crate::models) fn new(
        origin: &'a str,
        map: &'a Map<String, Value>,
        seen: &'a RefCell<BTreeSet<String>>,
    ) -> Self {
        Self { origin, prefix: "", map, seen }
    }

    pub(in crate::models) fn value(&self, key: &str) -> Option<&'a Value> {
        self.seen.borrow_mut().insert(self.full(key));
        self.map.get(key).filter(|v| !v.is_null())
    }

    /// Whether the key is there with the value `null`.
    pub(in crate::models) fn is_null(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(Value::is_null)
    }

    /// Whether somebody has asked for this key.
    pub(in crate::models) fn was_read(&self, key: &str) -> bool {
        self.seen.borrow().contains(&self.full(key))
    }

    pub(in crate::models) fn values(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.map.iter()
    }

    /// The object under `key`. `prefix` is `key` and a dot.
    pub(in crate::models) fn object(&self, key: &str, prefix: &'a str) -> Result<Option<Self>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { prefix, map, ..*self })),
            Some(v) => Err(self.wrong(key, v, "an object".into())),
        }
    }

    pub(in crate::models) fn string(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        let Some(v) = self.value(key) else { return Ok(None) };
        v.as_str().map(Some).ok_or_else(|| self.wrong(key, v, "a string".into()))
    }

    pub(in crate::models) fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        let Some(v) = self.value(key) else { return Ok(None) };
        v.as_bool().map(Some).ok_or_else(|| self.wrong(key, v, "true or false".into()))
    }

    /// An integer from `least` to `most`.
    pub(in crate::models) fn integer(
        &self,
        key: &str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, ConfigError> {
        let Some(v) = self.value(key) else { return Ok(None) };
        let n = whole(v).and_then(|n| usize::try_from(n).ok()).filter(|n| (least..=most).contains(n));
        n.map(Some).ok_or_else(|| self.wrong(key, v, format!("an integer from {least} to {most}")))
    }

    /// As [`Self::integer`], but an error if the key is absent.
    pub(in crate::models) fn required(
        &self,
        key: &str,
        least: usize,
        most: usize,
    ) -> Result<usize, ConfigError> {
        self.integer(key, least, most)?.ok_or_else(|| self.missing(key))
    }

    /// A number from `least` to `most`; integers count as numbers.
    pub(in crate::models) fn number(
        &self,
        key: &str,
        least: f64,
        most: f64,
    ) -> Result<Option<f64>, ConfigError> {
        let Some(v) = self.value(key) else { return Ok(None) };
        // The range excludes infinities and NaN.
        let x = v.as_f64().filter(|x| (least..=most).contains(x));
        x.map(Some).ok_or_else(|| self.wrong(key, v, format!("a number from {least:?} to {most:?}")))
    }

    /// One token id; none if the key is absent or the number negative. Of a list the first.
    pub(in crate::models) fn token_id(&self, key: &str) -> Result<Option<u32>, ConfigError> {
        let Some(v) = self.value(key) else { return Ok(None) };
        as_ids(v).map(|ids| ids.first().copied()).ok_or_else(|| self.wrong(key, v, "a token id".into()))
    }

    /// One token id or a list of them; none if the key is absent. A negative number stands for none.
    pub(in crate::models) fn token_ids(&self, key: &str) -> Result<Vec<u32>, ConfigError> {
        let Some(v) = self.value(key) else { return Ok(Vec::new()) };
        as_ids(v).ok_or_else(|| self.wrong(key, v, "a token id or a list of them".into()))
    }

    /// The error of a key that must be there.
    pub(in crate::models) fn missing(&self, key: &str) -> ConfigError {
        ConfigError::Missing { origin: self.origin.into(), key: self.full(key) }
    }

    /// The error of a value that is not `expected`.
    pub(in crate::models) fn wrong(&self, key: &str, got: &Value, expected: String) -> ConfigError {
        let got = shown_value(got);
        ConfigError::Wrong { origin: self.origin.into(), key: self.full(key), got, expected }
    }

    /// The error of values that are each right but do not go together or cannot be run.
    pub(in crate::models) fn invalid(&self, reason: String) -> ConfigError {
        ConfigError::Invalid { origin: self.origin.into(), reason }
    }

    /// The key with what stands before it.
    pub(in crate::models) fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

/// An integer, also where it is written as `50.0`.
pub(in crate::models) fn whole(value: &Value) -> Option<i64> {
    let exact = |x: &f64| x.fract() == 0.0 && x.abs() < 9e15;
    value.as_i64().or_else(|| value.as_f64().filter(exact).map(|x| x as i64))
}

/// Token ids. Those that are too large for any vocabulary become the largest number, which is so too.
fn as_ids(value: &Value) -> Option<Vec<u32>> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let ids: Option<Vec<i64>> = list.iter().map(whole).collect();
    Some(ids?.into_iter().filter(|&id| id >= 0).map(|id| u32::try_from(id).unwrap_or(u32::MAX)).collect())
}

/// A value for a message, without writing out all of a large one.
pub(super) fn shown_value(value: &Value) -> String {
    match value {
        Value::String(s) => format!("\"{}\"", shown(s)),
        Value::Object(_) => "an object".into(),
        other => shown(&other.to_string()),
    }
}
