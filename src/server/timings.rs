//! How long an answer took, as llama.cpp's server reports it.

use std::time::Instant;

use serde_json::{Value, json};

use super::answer::End;

/// `timings`.
pub(super) fn json(end: &End) -> Value {
    let computed = end.prompt_tokens - end.cached_tokens.min(end.prompt_tokens);
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let (prompt, generated) = (millis(end.timings.prefill), millis(end.timings.decode));
    let rates = |tokens: usize, millis: f64| {
        let per_second = if millis > 0.0 { tokens as f64 * 1e3 / millis } else { 0.0 };
        (millis / tokens.max(1) as f64, per_second)
    };
    let (prompt_each, prompt_rate) = rates(computed, prompt);
    let (each, rate) = rates(end.generated_tokens, generated);
    json!({
        "cache_n": end.cached_tokens,
        "prompt_n": computed,
        "prompt_ms": prompt,
        "prompt_per_token_ms": prompt_each,
        "prompt_per_second": prompt_rate,
        "predicted_n": end.generated_tokens,
        "predicted_ms": generated,
        "predicted_per_token_ms": each,
        "predicted_per_second": rate,
    })
}

/// How far a prompt is taken in, for whoever asked to hear of it.
pub(super) struct Progress {
    wanted: bool,
    prompt: usize,
    cached: usize,
    start: Instant,
}

impl Progress {
    pub fn new(wanted: bool) -> Self {
        Self { wanted, prompt: 0, cached: 0, start: Instant::now() }
    }

    /// The model begins with a prompt of so many tokens, of which `cached` were computed for an earlier text.
    pub fn begin(&mut self, prompt: usize, cached: usize) {
        *self = Self { prompt, cached, start: Instant::now(), ..*self };
    }

    /// `prompt_progress` after `done` tokens.
    pub fn at(&self, done: usize) -> Option<Value> {
        let Self { wanted, prompt, cached, start } = *self;
        let millis = start.elapsed().as_millis() as u64;
        wanted.then(|| json!({ "total": prompt, "cache": cached, "processed": done, "time_ms": millis }))
    }
}
