//! A model's generation_config.json: what its makers recommend for sampling, and where texts end.

use std::path::Path;

use super::config::{ConfigError, Fields, ModelConfig, read_optional, with_fields};

/// Recommended settings; `None` where the file says nothing. Names and ranges are those of transformers.
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
}

impl GenerationConfig {
    /// Reads generation_config.json. A file that is not there gives a config in which nothing is set.
    ///
    /// # Errors
    /// [`ConfigError`] if there is a file but it cannot be read, is not JSON, or has a value of the wrong type
    /// or out of range.
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
        with_fields(bytes, origin, Self::read)
    }

    /// The tokens that end a text: these, or the model's where this names none.
    pub fn stop_tokens<'a>(&'a self, model: &'a ModelConfig) -> &'a [u32] {
        if self.eos_token_ids.is_empty() { &model.eos_token_ids } else { &self.eos_token_ids }
    }

    fn read(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let number = |key, least, most| fields.number(key, least, most).map(|x| x.map(|x| x as f32));
        Ok(Self {
            do_sample: fields.boolean("do_sample")?,
            temperature: number("temperature", 0.0, 100.0)?,
            top_k: fields.integer("top_k", 0, u32::MAX as usize)?,
            top_p: number("top_p", 0.0, 1.0)?,
            min_p: number("min_p", 0.0, 1.0)?,
            repetition_penalty: number("repetition_penalty", 1e-6, 1e6)?,
            max_new_tokens: fields.integer("max_new_tokens", 0, u32::MAX as usize)?,
            bos_token_id: fields.token_id("bos_token_id")?,
            eos_token_ids: fields.token_ids("eos_token_id")?,
        })
    }
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
    fn values_out_of_range_are_named() {
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
            ("[]", "'g.json' is not a JSON object"),
        ] {
            assert_eq!(read(text).unwrap_err(), says);
        }
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

    #[test]
    fn stop_tokens_fall_back_on_the_model() {
        let model = r#"{"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "vocab_size": 8,
            "num_hidden_layers": 1, "num_attention_heads": 2, "eos_token_id": 2}"#;
        let model = ModelConfig::from_slice(model.as_bytes(), "c.json").unwrap();
        assert_eq!(read("{}").unwrap().stop_tokens(&model), [2]);
        assert_eq!(read(r#"{"eos_token_id": [5, 6]}"#).unwrap().stop_tokens(&model), [5, 6]);
    }
}
