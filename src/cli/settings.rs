//! What the arguments mean for the model at hand: flags win over the model's generation_config.json, which
//! wins over our defaults.

use std::hash::{BuildHasher, RandomState};

use anyhow::{Context, Result, bail};

use super::args::Args;
use super::eviction::EvictionArgs;
use super::kv_budget::Wish;
use super::values::Seed;
use crate::core::KvTypes;
use crate::engine::{EngineError, ModelFiles, SamplingWishes, SessionOptions, default_context};
use crate::host::available_bytes;
use crate::kv::{CacheShape, Eviction};
use crate::models::GenerationConfig;
use crate::sampling::SamplingParams;

/// Everything that a run needs to know.
#[derive(Debug)]
pub struct Settings {
    /// How the model is loaded.
    pub session: SessionOptions,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// What the user should know although it is no error.
    pub warnings: Vec<String>,
    /// What the program has chosen by itself.
    pub notes: Vec<String>,
}

impl Settings {
    /// Settles what is left open by `args` for this model and this machine. `first_tokens`: those before the first words
    /// of a conversation, if it is one.
    ///
    /// # Errors
    /// Values out of range, another format than a packed file holds.
    pub fn new(args: &Args, files: &ModelFiles, first_tokens: Option<usize>) -> Result<Self> {
        let spec = &files.config.spec;
        let weights = files.plan(args.weights(), available_bytes())?;
        let trained = spec.max_positions;
        let max_seq_len = args.max_seq_len.unwrap_or(default_context(spec));
        let mut warnings: Vec<String> = files.warnings.iter().map(ToString::to_string).collect();
        if max_seq_len > trained {
            warnings.push(format!(
                "--max-seq-len {max_seq_len} goes beyond the {trained} tokens that the model was trained for; \
                 expect nonsense there"
            ));
        }
        let mut notes = Vec::new();
        let flags = EvictionArgs { first_tokens, ..args.eviction.clone() };
        let (kv_types, max_seq_len, eviction) = match args.kv_budget_mb {
            Some(mib) => {
                let (types, window, flags) = budget(args, &flags, files, mib, max_seq_len)?;
                let eviction = eviction(args, &flags, max_seq_len)?;
                let policy = eviction.map_or("none", |e| e.policy().name);
                notes.push(format!(
                    "{mib} MiB hold {window} tokens as {types} keys and values: --kv-type {types} --eviction-policy \
                     {policy}{}",
                    eviction.map_or_else(|| format!(" --max-seq-len {window}"), |_| format!(" --eviction-window {window}"))
                ));
                (types, if eviction.is_some() { max_seq_len } else { window }, eviction)
            }
            None => (args.kv.types(), max_seq_len, eviction(args, &flags, max_seq_len)?),
        };
        Ok(Self {
            session: SessionOptions {
                weights,
                kv_types,
                max_seq_len,
                eviction,
                prefill_chunk: args.prefill_chunk,
                lookup: args.lookup,
                check_numerics: args.check_numerics,
            },
            sampling: sampling(args, &files.generation)?,
            warnings,
            notes,
        })
    }
}

/// What a budget pays for, and the flags of eviction that make use of it.
fn budget(
    args: &Args,
    flags: &EvictionArgs,
    files: &ModelFiles,
    mib: usize,
    max_seq_len: usize,
) -> Result<(KvTypes, usize, EvictionArgs)> {
    let pass = args.prefill_chunk.max(args.lookup + 1);
    let shape = CacheShape { layers: files.config.spec.cache_shapes(), pass };
    let flags = flags.within(max_seq_len);
    let unrotated = flags.settle(max_seq_len).ok().flatten().map_or(0, |e| e.unrotated());
    let wish =
        Wish { mib, shape, types: args.kv.given(), most: max_seq_len, least: flags.least()?, unrotated };
    let (types, window) = wish.settle()?;
    Ok((types, window, flags.within(window)))
}

fn eviction(args: &Args, flags: &EvictionArgs, max_seq_len: usize) -> Result<Option<Eviction>> {
    let eviction = flags.settle(max_seq_len)?;
    if eviction.is_none() && args.memory_threshold_mb.is_some() {
        bail!(
            "--memory-threshold-mb does nothing with --eviction-policy none; choose another policy, or leave it out"
        );
    }
    if let Some(window) = eviction.map(|e| e.window()).filter(|&window| window > max_seq_len) {
        bail!(
            "an eviction window of {window} tokens is larger than the context of {max_seq_len}; lower \
             --eviction-window, or raise --max-seq-len"
        );
    }
    Ok(eviction)
}

/// Names the flag that overrides a recommended setting.
fn flagged(error: EngineError) -> anyhow::Error {
    match error {
        EngineError::Recommended { key, why } => {
            // Without sampling there is a temperature of 0.
            let flag = if key == "do_sample" { "temperature".to_owned() } else { key.replace('_', "-") };
            anyhow::anyhow!("{why}; give --{flag}")
        }
        other => other.into(),
    }
}

fn sampling(args: &Args, model: &GenerationConfig) -> Result<SamplingParams> {
    let wishes = SamplingWishes {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
    };
    let rest = SamplingParams {
        repetition_window: args.repetition_window,
        frequency_penalty: args.frequency_penalty,
        presence_penalty: args.presence_penalty,
        seed: match args.seed {
            Seed::Fixed(seed) => seed,
            Seed::Random => RandomState::new().hash_one(std::process::id()),
        },
        ..SamplingParams::default()
    };
    let params = wishes.settle(model, rest).map_err(flagged)?;
    params.validate().context("sampling")?;
    Ok(params)
}
