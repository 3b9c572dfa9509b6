//! What holds where nobody says anything: the model's generation_config.json, and then these.

use crate::models::{GenerationConfig, ModelConfig};
use crate::sampling::SamplingParams;

const TEMPERATURE: f32 = 0.8;
const TOP_K: usize = 40;
const TOP_P: f32 = 0.95;
/// Enough for long answers; the cache grows only as far as it is used.
const MAX_SEQ_LEN: usize = 4096;

/// The context of a model, in tokens, unless another is asked for.
pub fn default_context(config: &ModelConfig) -> usize {
    MAX_SEQ_LEN.min(config.max_position_embeddings)
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
    pub fn settle(self, model: &GenerationConfig, rest: SamplingParams) -> SamplingParams {
        // A checkpoint that says `do_sample: false` asks for the likeliest token; its temperature means nothing.
        let greedy = (model.do_sample == Some(false)).then_some(0.0);
        SamplingParams {
            temperature: self.temperature.or(greedy).or(model.temperature).unwrap_or(TEMPERATURE),
            top_k: self.top_k.or(model.top_k).unwrap_or(TOP_K),
            top_p: self.top_p.or(model.top_p).unwrap_or(TOP_P),
            min_p: self.min_p.or(model.min_p).unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.or(model.repetition_penalty).unwrap_or(1.0),
            ..rest
        }
    }
}
