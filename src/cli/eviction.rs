//! The flags of eviction, and what they mean together.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::values::{at_least_one, number, whole};
use crate::kv::{Eviction, POLICIES, Registered};

/// Long texts in fixed memory.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Long texts in fixed memory")]
pub struct EvictionArgs {
    /// What happens when the cache is full: none ends the text; the others drop tokens, so that a text of any length
    /// needs the memory of --eviction-window tokens. sliding drops the oldest after the protected prefix; streaming
    /// too, and counts positions inside the cache, so that a text can be longer than what the model was trained for;
    /// h2o keeps the newest tokens and those with the most accumulated attention (slower; cpu and reference backends)
    /// [default: none]
    #[arg(long, value_name = "NAME", value_parser = policy)]
    pub eviction_policy: Option<Policy>,

    /// The most tokens that the cache holds [default: --max-seq-len, or a window of eval_model]
    #[arg(long, value_name = "N", requires = "eviction_policy", value_parser = at_least_one)]
    pub eviction_window: Option<usize>,

    /// The first N tokens always stay; 0 protects none at all, not even the one that begins a text, which makes most
    /// models incoherent [default: 4; with --chat all before the first message, the system message among them]
    #[arg(long, value_name = "N", requires = "eviction_policy", value_parser = whole)]
    pub protected_prefix: Option<usize>,

    /// An eviction leaves R times the window; between 0 and 1 [default: 0.75]
    #[arg(long, value_name = "R", requires = "eviction_policy", value_parser = number::<f64>)]
    pub eviction_target_ratio: Option<f64>,

    /// Tokens before the first words, where a text is a conversation.
    #[arg(skip)]
    pub first_tokens: Option<usize>,
}

/// A policy, or none.
#[derive(Clone, Copy, Debug)]
pub enum Policy {
    /// Every token is held.
    None,
    /// This one drops some.
    Evict(&'static Registered),
}

fn policy(text: &str) -> Result<Policy, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Policy::None);
    }
    let names = || POLICIES.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
    Registered::named(text).map(Policy::Evict).ok_or_else(|| format!("choose one of none, {}", names()))
}

/// What is said of eviction among the settings of a report.
pub fn report(eviction: Option<Eviction>) -> impl Iterator<Item = (&'static str, Value)> {
    let numbers = eviction.map(|e| [e.window(), e.protected(), e.target()]);
    let names = ["eviction_window", "protected_prefix", "eviction_target"];
    let number = move |i: usize| (names[i], json!(numbers.map(|n| n[i])));
    let policy = json!(eviction.map_or("none", |e| e.policy().name));
    std::iter::once(("eviction_policy", policy)).chain((0..names.len()).map(number))
}

impl EvictionArgs {
    /// The same for a cache of `window` tokens, which evicts in any case unless it must not.
    pub fn within(&self, window: usize) -> Self {
        let eviction_policy = self.eviction_policy.or(Registered::named("streaming").map(Policy::Evict));
        let evicts = matches!(eviction_policy, Some(Policy::Evict(_)));
        Self { eviction_policy, eviction_window: evicts.then_some(window), ..self.clone() }
    }

    /// The fewest tokens that a window has to hold for these flags.
    ///
    /// # Errors
    /// Flags that fit no window.
    pub fn least(&self) -> Result<usize> {
        let Some(Policy::Evict(policy)) = self.eviction_policy else { return Ok(2) };
        Ok(Eviction::least(policy, self.protected(), self.ratio())?.window())
    }

    /// Tokens that always stay.
    pub fn protected(&self) -> usize {
        self.protected_prefix.unwrap_or(Eviction::PROTECTED.max(self.first_tokens.unwrap_or(0)))
    }

    fn ratio(&self) -> f64 {
        self.eviction_target_ratio.unwrap_or(Eviction::RATIO)
    }

    /// What was asked for; `usual` is the window unless it is said.
    ///
    /// # Errors
    /// A sentence about values that make no sense together.
    pub fn settle(&self, usual: usize) -> Result<Option<Eviction>> {
        let Some(Policy::Evict(policy)) = self.eviction_policy else {
            for (flag, given) in [
                ("--eviction-window", self.eviction_window.is_some()),
                ("--protected-prefix", self.protected_prefix.is_some()),
                ("--eviction-target-ratio", self.eviction_target_ratio.is_some()),
            ] {
                if given {
                    bail!(
                        "{flag} does nothing with --eviction-policy none; choose another policy, or leave it out"
                    );
                }
            }
            return Ok(None);
        };
        let window = self.eviction_window.unwrap_or(usual);
        Ok(Some(Eviction::new(policy, window, self.protected(), self.ratio())?))
    }
}
