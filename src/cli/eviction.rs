//! The flags of eviction, and what they mean together.

use anyhow::{Result, bail};

use super::args::at_least_one;
use crate::kv::{Eviction, POLICIES, Registered};

/// Long texts in fixed memory.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Long texts in fixed memory")]
pub struct EvictionArgs {
    /// What happens when the cache is full: none ends the text, sliding drops the oldest tokens behind the protected
    /// ones, so that a text of any length needs the memory of --eviction-window tokens [default: none]
    #[arg(long, value_name = "NAME", value_parser = policy)]
    pub eviction_policy: Option<Policy>,

    /// The most tokens that the cache holds [default: --max-seq-len]
    #[arg(long, value_name = "N", requires = "eviction_policy", value_parser = at_least_one)]
    pub eviction_window: Option<usize>,

    /// The first N tokens always stay (at least the one that begins a text) [default: 4]
    #[arg(long, value_name = "N", requires = "eviction_policy")]
    pub protected_prefix: Option<usize>,

    /// An eviction leaves R times the window; between 0 and 1 [default: 0.75]
    #[arg(long, value_name = "R", requires = "eviction_policy", allow_negative_numbers = true)]
    pub eviction_target_ratio: Option<f64>,
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

impl EvictionArgs {
    /// What was asked for, for a context of `max_seq_len` tokens. `begins`: texts begin with a token of their own,
    /// which is protected in any case.
    ///
    /// # Errors
    /// A sentence about values that make no sense together.
    pub fn settle(&self, max_seq_len: usize, begins: bool) -> Result<Option<Eviction>> {
        let Some(Policy::Evict(policy)) = self.eviction_policy else {
            for (flag, given) in [
                ("--eviction-window", self.eviction_window.is_some()),
                ("--protected-prefix", self.protected_prefix.is_some()),
                ("--eviction-target-ratio", self.eviction_target_ratio.is_some()),
            ] {
                if given {
                    bail!("{flag} does nothing with --eviction-policy none; choose sliding, or leave it out");
                }
            }
            return Ok(None);
        };
        let window = self.eviction_window.unwrap_or(max_seq_len);
        if window > max_seq_len {
            bail!(
                "an eviction window of {window} tokens is larger than the context of {max_seq_len}; lower \
                 --eviction-window, or raise --max-seq-len"
            );
        }
        let protected = self.protected_prefix.unwrap_or(Eviction::PROTECTED).max(usize::from(begins));
        let ratio = self.eviction_target_ratio.unwrap_or(Eviction::RATIO);
        Ok(Some(Eviction::new(policy, window, protected, ratio)?))
    }
}
