//! A model's generation_config.json: what its makers recommend for sampling, and where texts end.

use std::path::Path;

use super::config::{ConfigError, Fields, read_optional, whole, with_fields};

/// Recommended settings; `None` where the file says nothing. Names and ranges are those of transformers.
///
/// A value that has no meaning is no error here: whoever needs it finds it with [`Self::fault`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationConfig {
    /// Sample, or always take the likeliest token.
    pub do_sample: Option<bool>,
    /// Divisor of the logits, 0 to 100; 0 means the likeliest token.
    pub temperature: Option<f32>,
    /// Keep the `top_k` likeliest; 0 keeps all.
    pub top_k: Option<usize>,
    /// Keep the likeliest that together reach this probability, 0 to 1.
    pub top_p: Option<f32>,
    /// Keep those at least this fraction as likely as the likeliest, 0 to 1.
    pub min_p: Option<f32>,
    /// Divisor of the logits of tokens seen before, above 0; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// Tokens to make at most.
    pub max_new_tokens: Option<usize>,
    /// The token before a text's first.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; may be empty.
    pub eos_token_ids: Vec<u32>,
    /// Keys whose values have no meaning, with a sentence about each.
    faults: Vec<(&'static str, String)>,
}

impl GenerationConfig {
    /// Reads generation_config.json. A file that is not there gives a config in which nothing is set.
    ///
    /// # Errors
    /// [`ConfigError`] if there is a file but it cannot be read or is not a JSON object.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        match read_optional(path)? {
            Some(bytes) => Self::from_slice(&bytes, &path.display().to_string()),
            None => Ok(Self::default()),
        }
    }

    /// Reads the bytes of a generation_config.json; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`Self::from_file`].
    pub fn from_slice(bytes: &[u8], origin: &str) -> Result<Self, ConfigError> {
        with_fields(bytes, origin, |fields| Ok(Self::read(fields)))
    }

    /// What is wrong with the value of a key, if it has one without a meaning.
    pub fn fault(&self, key: &str) -> Option<&str> {
        self.faults.iter().find(|(name, _)| *name == key).map(|(_, why)| why.as_str())
    }

    fn read(fields: &Fields<'_>) -> Self {
        let mut read = Reader { fields, faults: Vec::new() };
        // The largest numbers that leave one candidate, as the limits 0 and 1 do.
        let (least_top_p, most_min_p) = (f32::MIN_POSITIVE, 1.0 - f32::EPSILON / 2.0);
        Self {
            do_sample: read.value("do_sample", |f, key| f.boolean(key)),
            temperature: read.number("temperature", 0.0, 100.0),
            top_k: read.value("top_k", top_k),
            top_p: read.number("top_p", 0.0, 1.0).map(|p| p.max(least_top_p)),
            min_p: read.number("min_p", 0.0, 1.0).map(|p| p.min(most_min_p)),
            repetition_penalty: read.number("repetition_penalty", 1e-6, 1e6),
            max_new_tokens: read.value("max_new_tokens", |f, key| f.integer(key, 0, u32::MAX as usize)),
            bos_token_id: read.value("bos_token_id", |f, key| f.token_id(key)),
            eos_token_ids: read
                .value("eos_token_id", |f, key| f.token_ids(key).map(Some))
                .unwrap_or_default(),
            faults: read.faults,
        }
    }
}

/// Reads values, and keeps the sentences about those that have no meaning.
struct Reader<'a, 'b> {
    fields: &'a Fields<'b>,
    faults: Vec<(&'static str, String)>,
}

impl Reader<'_, '_> {
    fn value<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Fields<'_>, &str) -> Result<Option<T>, ConfigError>,
    ) -> Option<T> {
        read(self.fields, key).unwrap_or_else(|error| {
            self.faults.push((key, error.to_string()));
            None
        })
    }

    fn number(&mut self, key: &'static str, least: f64, most: f64) -> Option<f32> {
        self.value(key, |fields, key| Ok(fields.number(key, least, most)?.map(|x| x as f32)))
    }
}

/// How many of the likeliest tokens to keep; many programs write -1 for all.
fn top_k(fields: &Fields<'_>, key: &str) -> Result<Option<usize>, ConfigError> {
    if fields.value(key).and_then(whole) == Some(-1) {
        return Ok(Some(0));
    }
    fields.integer(key, 0, u32::MAX as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GenerationConfig, String> {
        GenerationConfig::from_slice(text.as_bytes(), "g.json").map_err(|e| e.to_string())
    }

    #[test]
    fn reads_what_the_llama_3_2_instruct_models_ship() {
        let g = read(
            r#"{"bos_token_id": 128000, "do_sample": true, "eos_token_id": [128001, 128008, 128009],
                "temperature": 0.6, "top_p": 0.9, "transformers_version": "4.45.0.dev0"}"#,
        );
        let expected = GenerationConfig {
            do_sample: Some(true),
            temperature: Some(0.6),
            top_p: Some(0.9),
            bos_token_id: Some(128_000),
            eos_token_ids: vec![128_001, 128_008, 128_009],
            ..Default::default()
        };
        assert_eq!(g, Ok(expected));
        let g = read(
            r#"{"top_k": 50, "min_p": 0.05, "repetition_penalty": 1.1, "max_new_tokens": 7, "eos_token_id": 2, "top_p": null}"#,
        );
        let expected = GenerationConfig {
            top_k: Some(50),
            min_p: Some(0.05),
            repetition_penalty: Some(1.1),
            max_new_tokens: Some(7),
            eos_token_ids: vec![2],
            ..Default::default()
        };
        assert_eq!(g, Ok(expected));
    }

    #[test]
    fn values_with_a_harmless_meaning_are_read() {
        let top_k = |value: &str| read(&format!(r#"{{"top_k": {value}}}"#)).unwrap().top_k;
        assert_eq!(
            ["-1", "0", "50.0", "null", "50"].map(top_k),
            [0, 0, 50, usize::MAX, 50].map(|k| { (k != usize::MAX).then_some(k) })
        );
        let limits =
            read(r#"{"top_p": 0, "min_p": 1.0, "bos_token_id": -1, "eos_token_id": [2, -1]}"#).unwrap();
        assert!(limits.top_p.is_some_and(|p| p > 0.0) && limits.min_p.is_some_and(|p| p < 1.0));
        assert_eq!((limits.bos_token_id, limits.eos_token_ids), (None, vec![2]));
        assert_eq!(read(r#"{"length_penalty": NaN, "top_p": NaN}"#), read("{}"));
    }

    #[test]
    fn values_without_a_meaning_are_named_to_those_who_need_them() {
        for (text, says) in [
            (
                r#"{"temperature": -1}"#,
                "'temperature' in 'g.json' is -1, expected a number from 0.0 to 100.0",
            ),
            (
                r#"{"temperature": "hot"}"#,
                "'temperature' in 'g.json' is \"hot\", expected a number from 0.0 to 100.0",
            ),
            (r#"{"top_p": 1.5}"#, "'top_p' in 'g.json' is 1.5, expected a number from 0.0 to 1.0"),
            (r#"{"min_p": -0.1}"#, "'min_p' in 'g.json' is -0.1, expected a number from 0.0 to 1.0"),
            (r#"{"top_k": -5}"#, "'top_k' in 'g.json' is -5, expected an integer from 0 to 4294967295"),
            (
                r#"{"repetition_penalty": 0}"#,
                "'repetition_penalty' in 'g.json' is 0, expected a number from 1e-6 to 1000000.0",
            ),
            (r#"{"do_sample": 1}"#, "'do_sample' in 'g.json' is 1, expected true or false"),
        ] {
            let config = read(text).unwrap();
            let key = text.split('"').nth(1).unwrap();
            assert_eq!(config.fault(key), Some(says));
            assert_eq!(config.fault("other"), None);
        }
        assert_eq!(read("[]").unwrap_err(), "'g.json' is not a JSON object");
    }

    #[test]
    fn an_absent_file_sets_nothing_and_a_broken_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("generation_config.json");
        assert_eq!(GenerationConfig::from_file(&path).unwrap(), GenerationConfig::default());
        std::fs::write(&path, "{").unwrap();
        let e = GenerationConfig::from_file(&path).unwrap_err().to_string();
        assert_eq!(
            e,
            format!("'{}' is not JSON: EOF while parsing an object at line 1 column 1", path.display())
        );
        #[cfg(unix)]
        {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink("gone", &path).unwrap();
            assert!(GenerationConfig::from_file(&path).is_err());
        }
    }
}
