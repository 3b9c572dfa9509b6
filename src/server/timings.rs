//! How long an answer took, as llama.cpp's server reports it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answer::{End, Piece};
use super::llama_fields::Extras;

/// `timings` of an answer.
pub(super) fn json(end: &End) -> Value {
    let tokens = (end.prompt_tokens, end.cached_tokens, end.generated_tokens);
    numbers(tokens, end.timings.prefill, end.timings.decode)
}

/// Of a prompt of so many tokens, of which so many were computed for an earlier text, and so many of an answer.
fn numbers(
    (prompt_tokens, cached, generated_tokens): (usize, usize, usize),
    prefill: Duration,
    decode: Duration,
) -> Value {
    let computed = prompt_tokens - cached.min(prompt_tokens);
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let (prompt, generated) = (millis(prefill), millis(decode));
    let rates = |tokens: usize, millis: f64| {
        let per_second = if millis > 0.0 { tokens as f64 * 1e3 / millis } else { 0.0 };
        (millis / tokens.max(1) as f64, per_second)
    };
    let (prompt_each, prompt_rate) = rates(computed, prompt);
    let (each, rate) = rates(generated_tokens, generated);
    json!({
        "cache_n": cached,
        "prompt_n": computed,
        "prompt_ms": prompt,
        "prompt_per_token_ms": prompt_each,
        "prompt_per_second": prompt_rate,
        "predicted_n": generated_tokens,
        "predicted_ms": generated,
        "predicted_per_token_ms": each,
        "predicted_per_second": rate,
    })
}

/// How far an answer has come, for whoever asked to hear of it.
#[derive(Debug)]
pub(super) struct Progress {
    /// Whether it is said how far the prompt is taken in.
    of_prompt: bool,
    /// Whether each piece of the answer comes with the times so far.
    of_tokens: bool,
    prompt: usize,
    cached: usize,
    start: Instant,
    /// How long the prompt took, when it is taken in.
    prefill: Option<Duration>,
    /// Tokens of the answer.
    generated: usize,
}

impl Progress {
    /// Of an answer whose request has these fields.
    pub fn new(wanted: &Extras) -> Self {
        Self {
            of_prompt: wanted.progress,
            of_tokens: wanted.timings,
            prompt: 0,
            cached: 0,
            start: Instant::now(),
            prefill: None,
            generated: 0,
        }
    }

    /// The model begins with a prompt of so many tokens, of which `cached` were computed for an earlier text.
    pub fn begin(&mut self, prompt: usize, cached: usize) {
        (self.prompt, self.cached, self.start) = (prompt, cached, Instant::now());
    }

    /// `prompt_progress` after `done` tokens.
    pub fn at(&mut self, done: usize) -> Option<Value> {
        let (total, cache, time) = (self.prompt, self.cached, self.start.elapsed());
        if done == total {
            self.prefill.get_or_insert(time);
        }
        let millis = time.as_millis() as u64;
        self.of_prompt
            .then(|| json!({ "total": total, "cache": cache, "processed": done, "time_ms": millis }))
    }

    /// `timings` of what there is with this piece.
    pub fn after(&mut self, piece: &Piece) -> Option<Value> {
        self.generated += piece.ids.len();
        let prefill = self.prefill.unwrap_or_default();
        let decode = self.start.elapsed().saturating_sub(prefill);
        self.of_tokens.then(|| numbers((self.prompt, self.cached, self.generated), prefill, decode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_said_of_an_answer_on_its_way() {
        let piece = |tokens: usize| Piece { ids: vec![1; tokens], ..Piece::default() };
        let mut progress = Progress::new(&Extras { progress: true, timings: true, ..Extras::default() });
        progress.begin(10, 4);
        let first = progress.at(4).unwrap();
        assert_eq!(
            (&first["total"], &first["cache"], &first["processed"]),
            (&json!(10), &json!(4), &json!(4))
        );
        assert_eq!(progress.at(10).unwrap()["processed"], 10);
        progress.after(&piece(1));
        let timings = progress.after(&piece(2)).unwrap();
        assert_eq!(
            (&timings["cache_n"], &timings["prompt_n"], &timings["predicted_n"]),
            (&json!(4), &json!(6), &json!(3))
        );
        let mut silent = Progress::new(&Extras::default());
        silent.begin(10, 0);
        assert_eq!((silent.at(10), silent.after(&piece(1))), (None, None));
    }
}
