//! The figures of a run, as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::eviction;
use super::settings::Settings;
use super::throttle::ThrottleStats;
use crate::chat::{Date, Split};
use crate::engine::{Footprint, Outcome};
use crate::host::{human_bytes, peak_resident_bytes};

/// What is known of a run when it is over.
pub struct Report<'a> {
    /// Where the model came from.
    pub model: &'a str,
    /// What computed it.
    pub backend: &'a str,
    /// How.
    pub settings: &'a Settings,
    /// From the start of the program until the model was ready.
    pub load: Duration,
    /// Formats of the weights.
    pub weights: String,
    /// Bytes of prepared weights.
    pub weight_bytes: usize,
    /// The packed file that the weights are mapped from, if they are.
    pub packed: Option<&'a str>,
    /// Bytes of keys and values.
    pub cache_bytes: usize,
    /// What the estimate said before it was loaded.
    pub footprint: Footprint,
    /// What was done about heat, if somebody looked.
    pub throttle: Option<ThrottleStats>,
    /// The ids and their timings.
    pub outcome: &'a Outcome,
    /// The text.
    pub text: &'a Split,
    /// The date that the chat template was given, if the prompt depends on it.
    pub date: Option<Date>,
    /// Whether reasoning was turned on or off.
    pub thinking: Option<bool>,
}

fn rate(count: usize, time: Duration) -> Option<f64> {
    (count > 0 && !time.is_zero()).then(|| count as f64 / time.as_secs_f64())
}

/// An f32 in its shortest form: 0.7, not 0.699999988079071.
fn as_typed(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

impl Report<'_> {
    fn prefill_rate(&self) -> Option<f64> {
        rate(self.outcome.prompt_tokens - self.outcome.reused_tokens, self.outcome.timings.prefill)
    }

    fn decode_rate(&self) -> Option<f64> {
        rate(self.outcome.decode_steps, self.outcome.timings.decode)
    }

    /// One line for the terminal.
    pub fn line(&self) -> String {
        let rate = |r: Option<f64>| r.map_or_else(|| "-".to_owned(), |r| format!("{r:.1} tok/s"));
        let o = self.outcome;
        let mut parts = vec![
            format!("load {:.2} s", self.load.as_secs_f64()),
            format!("first token {:.2} s", o.timings.first_token.as_secs_f64()),
            format!(
                "prefill {} tokens{}, {}",
                o.prompt_tokens - o.reused_tokens,
                if o.reused_tokens > 0 { format!(" after {} known", o.reused_tokens) } else { String::new() },
                rate(self.prefill_rate())
            ),
            format!("decode {} tokens, {}", o.ids.len(), rate(self.decode_rate())),
        ];
        let l = o.lookup;
        if l.passes > 0 {
            parts.push(format!(
                "lookup {} of {} drafted tokens accepted in {} passes",
                l.accepted, l.drafted, l.passes
            ));
        }
        if o.eviction.evictions > 0 {
            let times = if o.eviction.evictions == 1 { "once" } else { "times" };
            let count = if times == "once" { String::new() } else { format!("{} ", o.eviction.evictions) };
            let why = match o.eviction.for_memory {
                0 => String::new(),
                n => format!(" ({n} for want of memory)"),
            };
            parts.push(format!("evicted {count}{times}{why}, {} of {} tokens held", o.held, o.positions));
        }
        if o.moved.moves > 0 {
            let plural = if o.moved.moves == 1 { "" } else { "s" };
            parts.push(format!("moved {} tokens in {} move{plural}", o.moved.tokens, o.moved.moves));
        }
        if let Some(bytes) = peak_resident_bytes() {
            parts.push(format!("peak memory {}", human_bytes(bytes)));
        }
        parts.extend(self.throttle.and_then(|t| t.part()));
        parts.push(format!("seed {}", self.settings.sampling.seed));
        parts.join(" | ")
    }

    /// The same and more, as one object.
    pub fn json(&self) -> Value {
        let o = self.outcome;
        let s = &self.settings.sampling;
        let mut all = json!({
            "text": self.text.answer,
            "reasoning": Some(&self.text.reasoning).filter(|text| !text.is_empty()),
            "ids": o.ids,
            "finish": o.finish.name(),
            "prompt_tokens": o.prompt_tokens,
            "reused_tokens": o.reused_tokens,
            "timings": {
                "load_s": self.load.as_secs_f64(),
                "first_token_s": o.timings.first_token.as_secs_f64(),
                "prefill_s": o.timings.prefill.as_secs_f64(),
                "prefill_tokens_per_s": self.prefill_rate(),
                "decode_s": o.timings.decode.as_secs_f64(),
                "decode_tokens_per_s": self.decode_rate(),
            },
            "lookup": {
                "passes": o.lookup.passes,
                "drafted": o.lookup.drafted,
                "accepted": o.lookup.accepted,
            },
            "cache": {
                "tokens_held": o.held,
                "positions": o.positions,
                "evictions": o.eviction.evictions,
                "evictions_for_memory": o.eviction.for_memory,
                "tokens_evicted": o.eviction.evicted,
            },
            "hybrid": { "moves": o.moved.moves, "tokens_moved": o.moved.tokens },
            "memory": {
                "weights_bytes": self.weight_bytes,
                "weights_mapped_from": self.packed,
                "kv_cache_bytes": self.cache_bytes,
                "peak_resident_bytes": peak_resident_bytes(),
                "estimated_bytes": self.footprint.resident(),
                "estimated_own_bytes": self.footprint.own(),
            },
            "throttle": self.throttle.map(|t| t.json()),
            "settings": {
                "model": self.model,
                "backend": self.backend,
                "date": self.date.map(|date| date.to_string()),
                "thinking": self.thinking,
                "weight_dtype": self.weights,
                "kv_type": self.settings.session.kv_types.to_string(),
                "max_seq_len": self.settings.session.max_seq_len,
                "prefill_chunk": self.settings.session.prefill_chunk,
                "lookup": self.settings.session.lookup,
                "temperature": as_typed(s.temperature),
                "top_k": s.top_k,
                "top_p": as_typed(s.top_p),
                "min_p": as_typed(s.min_p),
                "repetition_penalty": as_typed(s.repetition_penalty),
                "repetition_window": s.repetition_window,
                "frequency_penalty": as_typed(s.frequency_penalty),
                "presence_penalty": as_typed(s.presence_penalty),
                "seed": s.seed,
            },
            "version": env!("CARGO_PKG_VERSION"),
        });
        for (name, value) in eviction::report(self.settings.session.eviction) {
            all["settings"][name] = value;
        }
        all
    }
}
