//! Numbers for Prometheus.

use std::sync::atomic::{AtomicI64, AtomicU64};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::refusal::Refusal;
use super::router::Call;
use crate::engine::{EngineError, Load, Outcome, Pass};

type Count = Counter<u64, AtomicU64>;
type Level = Gauge<i64, AtomicI64>;

/// All of them, and what writes them.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    responses: Family<Vec<(&'static str, String)>, Count>,
    texts: Family<Vec<(&'static str, String)>, Count>,
    prompt_tokens: Count,
    cached_tokens: Count,
    generated_tokens: Count,
    prefix_hits: Count,
    prefix_misses: Count,
    interrupted: Count,
    passes: Count,
    active: Level,
    waiting: Level,
    pages_used: Level,
    pages_most: Level,
    cache_bytes: Level,
    prefixes: Level,
    batch: Histogram,
    pub waited: Histogram,
    pub first_token: Histogram,
    pub between_tokens: Histogram,
}

/// Seconds from 1 ms up to about half a minute.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut new = Self {
            registry: Registry::with_prefix("llm_rs2"),
            responses: Family::default(),
            texts: Family::default(),
            prompt_tokens: Count::default(),
            cached_tokens: Count::default(),
            generated_tokens: Count::default(),
            prefix_hits: Count::default(),
            prefix_misses: Count::default(),
            interrupted: Count::default(),
            passes: Count::default(),
            active: Level::default(),
            waiting: Level::default(),
            pages_used: Level::default(),
            pages_most: Level::default(),
            cache_bytes: Level::default(),
            prefixes: Level::default(),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            waited: seconds(),
            first_token: seconds(),
            between_tokens: seconds(),
        };
        new.register();
        new
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("responses", "Responses by status", self.responses.clone());
        r.register("texts", "Texts by how they ended", self.texts.clone());
        r.register("prompt_tokens", "Tokens of prompts of ended texts", self.prompt_tokens.clone());
        r.register("cached_tokens", "Those of them that were not computed again", self.cached_tokens.clone());
        r.register("generated_tokens", "Tokens of answers", self.generated_tokens.clone());
        r.register("prefix_hits", "Texts that began with kept keys and values", self.prefix_hits.clone());
        r.register("prefix_misses", "Texts that did not", self.prefix_misses.clone());
        r.register("interruptions", "Texts that had to give up their memory", self.interrupted.clone());
        r.register("passes", "Passes through the model", self.passes.clone());
        r.register("active_texts", "Texts that go through the model", self.active.clone());
        r.register("waiting_texts", "Texts that wait for their turn", self.waiting.clone());
        r.register("kv_pages_used", "Pages of keys and values in use", self.pages_used.clone());
        r.register("kv_pages_most", "The most that there may be", self.pages_most.clone());
        r.register("kept_texts", "Ended texts whose keys and values are kept", self.prefixes.clone());
        r.register_with_unit("kv", "Memory of keys and values", Unit::Bytes, self.cache_bytes.clone());
        r.register("batch_texts", "Texts of a pass that are being generated", self.batch.clone());
        r.register_with_unit(
            "queue_wait",
            "From request to the text's turn",
            Unit::Seconds,
            self.waited.clone(),
        );
        r.register_with_unit(
            "time_to_first_token",
            "From request to first token",
            Unit::Seconds,
            self.first_token.clone(),
        );
        r.register_with_unit(
            "time_between_tokens",
            "From one token of a text to its next",
            Unit::Seconds,
            self.between_tokens.clone(),
        );
    }

    /// A response.
    pub fn answered(&self, status: u16) {
        self.responses.get_or_create(&vec![("status", status.to_string())]).inc();
    }

    /// A text has ended.
    pub fn ended(&self, outcome: &Result<Outcome, EngineError>) {
        let finish = outcome.as_ref().map_or("error", |outcome| outcome.finish.name());
        self.texts.get_or_create(&vec![("finish", finish.to_owned())]).inc();
        if let Ok(outcome) = outcome {
            self.prompt_tokens.inc_by(outcome.prompt_tokens as u64);
            self.cached_tokens.inc_by(outcome.reused_tokens as u64);
            self.generated_tokens.inc_by(outcome.ids.len() as u64);
            let hit = outcome.reused_tokens > 0;
            if hit { &self.prefix_hits } else { &self.prefix_misses }.inc();
        }
    }

    /// A pass was made.
    pub fn passed(&self, pass: Pass, load: Load) {
        if pass.decoding + pass.prompt_tokens > 0 {
            self.passes.inc();
        }
        if pass.decoding > 0 {
            self.batch.observe(pass.decoding as f64);
        }
        self.interrupted.inc_by(pass.interrupted as u64);
        self.loaded(load);
    }

    /// How busy the model is.
    pub fn loaded(&self, load: Load) {
        for (level, value) in [
            (&self.active, load.active),
            (&self.waiting, load.waiting),
            (&self.pages_used, load.pages.used),
            (&self.pages_most, load.pages.most),
            (&self.cache_bytes, load.cache_bytes),
            (&self.prefixes, load.prefixes),
        ] {
            level.set(value as i64);
        }
    }

    /// In the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(call: Call) -> Result<Response, Refusal> {
    let mut response = Response::new(Body::from(call.shared.metrics.text()));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.answered(200);
        metrics.answered(200);
        metrics.first_token.observe(0.0015);
        metrics.passed(Pass { decoding: 3, ..Pass::default() }, Load { active: 3, ..Load::default() });
        let text = metrics.text();
        for line in [
            "# TYPE llm_rs2_responses counter",
            "llm_rs2_responses_total{status=\"200\"} 2",
            "llm_rs2_active_texts 3",
            "llm_rs2_time_to_first_token_seconds_bucket{le=\"0.001\"} 0",
            "llm_rs2_time_to_first_token_seconds_bucket{le=\"0.002\"} 1",
            "llm_rs2_time_to_first_token_seconds_count 1",
            "llm_rs2_batch_texts_bucket{le=\"4.0\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
        }
    }
}
