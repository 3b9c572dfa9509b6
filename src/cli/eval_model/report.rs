//! The result of `eval_model`, as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::Args;
use crate::cli::{eviction, provenance};
use crate::eval::{Agreement, Evaluation, Windows};
use crate::kv::{Eviction, EvictionStats};

/// An evaluation with its settings.
pub struct Report<'a> {
    /// Where the model came from.
    pub model: &'a str,
    /// What computed it.
    pub backend: &'a str,
    /// Formats of the weights.
    pub weights: String,
    /// As it was asked for.
    pub args: &'a Args,
    /// Tokens of the text.
    pub tokens: usize,
    /// How it was cut.
    pub windows: Windows,
    /// What kept the cache within a window.
    pub eviction: Option<Eviction>,
    /// What it gave up.
    pub evicted: EvictionStats,
    /// What came of it.
    pub evaluation: &'a Evaluation,
    /// How long it took.
    pub time: Duration,
}

impl Report<'_> {
    /// A few lines for the terminal.
    pub fn text(&self) -> String {
        let Evaluation { likelihood: l, segments, windows, agreement, .. } = self.evaluation;
        let how = match self.eviction {
            Some(e) => format!(
                "in one go, at most {} held, {} evicted by {} in {}",
                e.window(),
                self.evicted.evicted,
                e.policy().name,
                self.evicted.evictions,
            ),
            None => {
                let plural = if *windows == 1 { "" } else { "s" };
                format!(
                    "in {windows} window{plural} of {}, stride {}",
                    self.windows.size(),
                    self.windows.stride()
                )
            }
        };
        let mut out = format!(
            "{} of {} tokens scored {how}\n\
             mean NLL {:.4}{} nats | perplexity {:.4}{} | {:.1} tok/s\n",
            l.tokens(),
            self.tokens,
            l.mean_nll(),
            error(l.standard_error()),
            l.perplexity(),
            error(l.perplexity_error()),
            l.tokens() as f64 / self.time.as_secs_f64().max(1e-9),
        );
        for (segment, from) in segments.iter().zip((0..).step_by(self.args.segment.unwrap_or(1))) {
            out += &format!(
                "from token {from}: mean NLL {:.4}{} nats | perplexity {:.4}{}\n",
                segment.mean_nll(),
                error(segment.standard_error()),
                segment.perplexity(),
                error(segment.perplexity_error()),
            );
        }
        if let (Some(a), Some(path)) = (agreement, &self.args.against) {
            out += &against(a, &path.display().to_string());
        }
        out
    }

    /// Everything as one object.
    pub fn json(&self) -> Value {
        let Evaluation { likelihood: l, segments, windows, dump, agreement } = self.evaluation;
        let mut all = json!({
            "version": provenance::VERSION,
            "build_commit": provenance::COMMIT,
            "settings": {
                "model": self.model,
                "backend": self.backend,
                "weight_dtype": self.weights,
                "kv_type": self.args.kv.types().to_string(),
                "window": self.windows.size(),
                "stride": self.windows.stride(),
                "prefill_chunk": self.args.prefill_chunk,
            },
            "tokens": self.tokens,
            "scored": l.tokens(),
            "windows": windows,
            "mean_nll": (l.tokens() > 0).then(|| l.mean_nll()),
            "mean_nll_error": l.standard_error(),
            "perplexity": (l.tokens() > 0).then(|| l.perplexity()),
            "perplexity_error": l.perplexity_error(),
            "seconds": self.time.as_secs_f64(),
        });
        for (name, value) in eviction::report(self.eviction) {
            all["settings"][name] = value;
        }
        if self.eviction.is_some() {
            all["evictions"] = json!(self.evicted.evictions);
            all["tokens_evicted"] = json!(self.evicted.evicted);
        }
        if let Some(tokens) = self.args.segment {
            let each = segments.iter().zip((0..).step_by(tokens)).map(|(l, from)| {
                json!({
                    "from": from,
                    "scored": l.tokens(),
                    "mean_nll": l.mean_nll(),
                    "mean_nll_error": l.standard_error(),
                    "perplexity": l.perplexity(),
                })
            });
            all["segments"] = each.collect();
        }
        if let Some(a) = agreement {
            let (largest, at) = a.largest_divergence();
            all["against"] = json!({
                "file": self.args.against.as_ref().map(|path| path.display().to_string()),
                "steps": a.steps(),
                "same_top_1": a.same_first(),
                "mean_kl": a.mean_divergence(),
                "max_kl": largest,
                "max_kl_at": at,
                "kl_support": "the other run's top k, and the rest as one",
                "mean_tau_b": a.mean_tau(),
            });
        }
        if let Some(dump) = dump {
            all["logits"] = json!(dump);
        }
        all
    }
}

/// The standard error after a figure.
fn error(e: Option<f64>) -> String {
    e.map_or_else(String::new, |e| format!(" +- {e:.4}"))
}

fn against(a: &Agreement, name: &str) -> String {
    let (largest, at) = a.largest_divergence();
    let tau = a.mean_tau().map_or_else(|| "-".to_owned(), |tau| format!("{tau:.4}"));
    format!(
        "against {name}: same top token {:.2} % | KL mean {:.6}, max {largest:.6} nats (token {at}) | tau-b {tau}\n",
        100.0 * a.same_first(),
        a.mean_divergence(),
    )
}
