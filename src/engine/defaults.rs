//! What holds where no setting is given: the model's generation_config.json, and then these.

use super::EngineError;
use crate::models::{GenerationConfig, ModelSpec};
use crate::sampling::SamplingParams;

const TEMPERATURE: f32 = 0.8;
const TOP_K: usize = 40;
const TOP_P: f32 = 0.95;
/// Enough for long answers; the cache grows only as far as it is used.
const MAX_SEQ_LEN: usize = 4096;

/// The context of a model, in tokens, unless another is asked for.
pub fn default_context(spec: &ModelSpec) -> usize {
    MAX_SEQ_LEN.min(spec.max_positions)
}

/// The settings of sampling that a model may have an opinion on, where somebody else has one.
#[derive(Clone, Copy, Debug, Default)]
pub struct SamplingWishes {
    /// See [`SamplingParams::temperature`].
    pub temperature: Option<f32>,
    /// See [`SamplingParams::top_k`].
    pub top_k: Option<usize>,
    /// See [`SamplingParams::top_p`].
    pub top_p: Option<f32>,
    /// See [`SamplingParams::min_p`].
    pub min_p: Option<f32>,
    /// See [`SamplingParams::repetition_penalty`].
    pub repetition_penalty: Option<f32>,
}

impl SamplingWishes {
    /// Wishes first, then the model, then our own defaults; all else as in `rest`.
    ///
    /// # Errors
    /// [`EngineError::Recommended`]: a value of the model's that is needed and has no meaning.
    pub fn settle(
        self,
        model: &GenerationConfig,
        rest: SamplingParams,
    ) -> Result<SamplingParams, EngineError> {
        // A checkpoint that says `do_sample: false` asks for the likeliest token; its temperature means nothing.
        let greedy = (model.do_sample == Some(false)).then_some(0.0);
        let settled = SamplingParams {
            temperature: self.temperature.or(greedy).or(model.temperature).unwrap_or(TEMPERATURE),
            top_k: self.top_k.or(model.top_k).unwrap_or(TOP_K),
            top_p: self.top_p.or(model.top_p).unwrap_or(TOP_P),
            min_p: self.min_p.or(model.min_p).unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.or(model.repetition_penalty).unwrap_or(1.0),
            ..rest
        };
        let chosen = settled.temperature == 0.0;
        for (key, needed) in [
            ("do_sample", self.temperature.is_none()),
            ("temperature", self.temperature.is_none() && greedy.is_none()),
            ("top_k", self.top_k.is_none() && !chosen),
            ("top_p", self.top_p.is_none() && !chosen),
            ("min_p", self.min_p.is_none() && !chosen),
            ("repetition_penalty", self.repetition_penalty.is_none()),
        ] {
            if let Some(why) = model.fault(key).filter(|_| needed) {
                return Err(EngineError::Recommended { key, why: why.to_owned() });
            }
        }
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_a_meaning_is_an_error_only_where_it_is_needed() {
        let settle = |json: &str, wishes: SamplingWishes| {
            let model = GenerationConfig::from_slice(json.as_bytes(), "g.json").unwrap();
            wishes.settle(&model, SamplingParams::default()).map_err(|e| e.to_string())
        };
        let none = SamplingWishes::default();
        let why = settle(r#"{"top_p": 7}"#, none).unwrap_err();
        assert_eq!(
            why,
            "'top_p' in 'g.json' is 7, expected a number from 0.0 to 1.0; choose a value for this text"
        );
        let top_p = SamplingWishes { top_p: Some(0.5), ..none };
        assert_eq!(settle(r#"{"top_p": 7}"#, top_p).unwrap().top_p, 0.5);
        // The argmax needs neither of these.
        assert_eq!(
            settle(r#"{"top_p": 7, "do_sample": false, "temperature": "hot"}"#, none).unwrap().temperature,
            0.0
        );
        assert!(settle(r#"{"repetition_penalty": 0, "do_sample": false}"#, none).is_err());
        assert!(settle(r#"{"do_sample": "no"}"#, none).is_err());
    }
}
