//! What the arguments mean for the model at hand: flags win over the model's generation_config.json, which
//! wins over our defaults.

use std::hash::{BuildHasher, RandomState};

use anyhow::{Context, Result};

use super::args::{Args, Seed};
use crate::engine::{ModelFiles, SamplingWishes, SessionOptions, default_context};
use crate::host::available_bytes;
use crate::models::GenerationConfig;
use crate::sampling::SamplingParams;

/// Everything that a run needs to know.
#[derive(Debug)]
pub struct Settings {
    /// How the model is loaded.
    pub session: SessionOptions,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// What the person should know although it is no error.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Settles what is left open by `args` for this model and this machine.
    ///
    /// # Errors
    /// Values out of range, another format than a packed file holds.
    pub fn new(args: &Args, files: &ModelFiles) -> Result<Self> {
        let config = &files.config;
        let weight_dtype = files.format(args.weight_dtype, available_bytes())?;
        let trained = config.max_position_embeddings;
        let max_seq_len = args.max_seq_len.unwrap_or(default_context(config));
        let mut warnings = Vec::new();
        if max_seq_len > trained {
            warnings.push(format!(
                "--max-seq-len {max_seq_len} goes beyond the {trained} tokens that the model was trained for; \
                 expect nonsense there"
            ));
        }
        Ok(Self {
            session: SessionOptions {
                weight_dtype,
                kv_types: args.kv.types(),
                max_seq_len,
                eviction: args.eviction.settle(max_seq_len, files.bos.is_some())?,
                prefill_chunk: args.prefill_chunk,
                lookup: args.lookup,
                check_numerics: args.check_numerics,
            },
            sampling: sampling(args, &files.generation)?,
            warnings,
        })
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
    let params = wishes.settle(model, rest);
    params.validate().context("sampling")?;
    Ok(params)
}
