//! A look at a tokenizer.json before the `tokenizers` crate takes it: it would panic on a merge that gives a longer text than
//! any token has, on prefixes of continuing words, and on tables of replaced characters that lead out of themselves.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    normalizer: serde_json::Value,
    #[serde(default)]
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    vocab: Longest,
    #[serde(default)]
    merges: Longest,
    #[serde(default)]
    continuing_subword_prefix: Longest,
}

/// Of a map the longest key, of a list the longest merge, in bytes; of a text its length. Anything else is 0.
#[derive(Default)]
struct Longest(usize);

/// The length of the text that a merge gives: of `"a b"` or of `["a", "b"]`.
struct Merged(usize);

/// Checks the bytes of a `tokenizer.json`.
///
/// # Errors
/// The reason why it cannot be used.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let file: File = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    super::charsmap::check_normalizer(&file.normalizer)?;
    let Some(model) = file.model else { return Ok(()) };
    if model.merges.0 == 0 {
        return Ok(());
    }
    if model.continuing_subword_prefix.0 > 0 {
        return Err("its model marks continuing words with a prefix, which is not supported".into());
    }
    if model.merges.0 > model.vocab.0 {
        return Err("its model merges two tokens into one that is not in its vocabulary".into());
    }
    Ok(())
}

struct LongestVisitor;

impl<'de> Visitor<'de> for LongestVisitor {
    type Value = Longest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vocabulary, merges or a text")
    }

    fn visit_unit<E>(self) -> Result<Longest, E> {
        Ok(Longest(0))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Longest, E> {
        Ok(Longest(0))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Longest, E> {
        Ok(Longest(0))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Longest, E> {
        Ok(Longest(0))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Longest, E> {
        Ok(Longest(0))
    }

    fn visit_str<E>(self, text: &str) -> Result<Longest, E> {
        Ok(Longest(text.len()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Longest, A::Error> {
        let mut longest = 0;
        while let Some((key, IgnoredAny)) = map.next_entry::<Longest, IgnoredAny>()? {
            longest = longest.max(key.0);
        }
        Ok(Longest(longest))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Longest, A::Error> {
        let mut longest = 0;
        while let Some(Merged(len)) = list.next_element()? {
            longest = longest.max(len);
        }
        Ok(Longest(longest))
    }
}

impl<'de> Deserialize<'de> for Longest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LongestVisitor)
    }
}

struct MergedVisitor;

impl<'de> Visitor<'de> for MergedVisitor {
    type Value = Merged;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a merge")
    }

    fn visit_str<E>(self, merge: &str) -> Result<Merged, E> {
        Ok(Merged(merge.len().saturating_sub(1))) // the space
    }

    // Also an entry of another kind of model's vocabulary: a text and a score.
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Merged, A::Error> {
        let mut merged = 0_usize;
        while let Some(Longest(len)) = parts.next_element()? {
            merged = merged.checked_add(len).ok_or_else(|| A::Error::custom("a merge is too long"))?;
        }
        Ok(Merged(merged))
    }
}

impl<'de> Deserialize<'de> for Merged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergedVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(model: &str) -> Result<(), String> {
        check(format!(r#"{{"version": "1.0", "model": {model}}}"#).as_bytes())
    }

    #[test]
    fn merges_that_fit_pass() {
        model(r#"{"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}"#).unwrap();
        model(r#"{"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}"#).unwrap();
        model(r#"{"vocab": {"a": 0}, "merges": [], "continuing_subword_prefix": null}"#).unwrap();
        model(r###"{"type": "WordPiece", "vocab": {"a": 0}, "continuing_subword_prefix": "##"}"###).unwrap();
        model(r#"{"type": "Unigram", "vocab": [["a", -1.5], ["b", -2]]}"#).unwrap();
        check(b"{}").unwrap();
    }

    #[test]
    fn what_would_panic_is_refused() {
        for merge in [r#""ab cd""#, r#"["ab", "cd"]"#] {
            let json = format!(r#"{{"vocab": {{"ab": 0, "cd": 1}}, "merges": [{merge}]}}"#);
            assert!(model(&json).unwrap_err().contains("not in its vocabulary"));
        }
        let prefix =
            r#"{"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "continuing_subword_prefix": "x"}"#;
        assert!(model(prefix).unwrap_err().contains("prefix"));
        // No vocabulary at all.
        assert!(model(r#"{"vocab": 3, "merges": ["a b"]}"#).is_err());
        for bad in [r#"{"merges": [7]}"#, r#"{"vocab": {}, "vocab": {}}"#, "[", "3"] {
            assert!(model(bad).is_err(), "{bad}");
        }
    }
}
