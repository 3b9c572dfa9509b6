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
