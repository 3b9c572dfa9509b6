//! What the arguments mean for the model at hand.

use anyhow::{Context, Result, bail};

use super::args::Args;
use crate::cli::values::Seed;
use crate::core::KvLayout;
use crate::engine::{BatchOptions, ModelFiles, SamplingWishes, SessionOptions, default_context};
use crate::host::available_bytes;
use crate::kv::CacheShape;
use crate::sampling::SamplingParams;

/// How the model is loaded, and how its tokens are chosen where a request does not say.
#[derive(Debug)]
pub struct Settings {
    pub batch: BatchOptions,
    pub wishes: SamplingWishes,
    pub sampling: SamplingParams,
    pub seed: Option<u64>,
    pub warnings: Vec<String>,
}

impl Settings {
    /// Settles what is left open by `args` for this model and this machine.
    ///
    /// # Errors
    /// Values out of range, another format than a packed file holds, a budget that holds no text.
    pub fn new(args: &Args, files: &ModelFiles) -> Result<Self> {
        let spec = &files.config.spec;
        let available = available_bytes();
        let weights = files.plan(args.weight_dtype.pure(args.pure), available)?;
        let max_seq_len = args.max_seq_len.unwrap_or(default_context(spec));
        let eviction = args.eviction.settle(max_seq_len)?;
        let mut warnings: Vec<String> = files.warnings.iter().map(ToString::to_string).collect();
        let trained = spec.max_positions;
        if max_seq_len > trained {
            warnings.push(format!(
                "--max-seq-len {max_seq_len} goes beyond the {trained} tokens that the model was trained for; expect \
                 nonsense there"
            ));
        }
        if let Some(window) = eviction.map(|e| e.window()).filter(|&window| window > max_seq_len) {
            bail!(
                "an eviction window of {window} tokens is larger than the context of {max_seq_len}; lower \
                 --eviction-window, or raise --max-seq-len"
            );
        }
        let session = SessionOptions {
            weights,
            kv_types: args.kv.types(),
            max_seq_len,
            eviction,
            // Of a model that reads in both directions a whole text goes through at once.
            prefill_chunk: args.prefill_chunk.unwrap_or(match spec.is_causal() {
                true => 256,
                false => max_seq_len.min(2048),
            }),
            lookup: 0,
            check_numerics: false,
        };
        let held = eviction.map_or(max_seq_len, |eviction| eviction.window());
        let slots = slots(args, files, &session, held, available)?;
        let wishes = SamplingWishes {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            repetition_penalty: args.repetition_penalty,
        };
        let sampling =
            SamplingParams { repetition_window: args.repetition_window, ..SamplingParams::default() };
        // What the model recommends may have no meaning: then each request has to say it.
        if let Ok(settled) = wishes.settle(&files.generation, sampling) {
            settled.validate().context("sampling")?;
        }
        let seed = match args.seed {
            Seed::Fixed(seed) => Some(seed),
            Seed::Random => None,
        };
        let batch = BatchOptions { session, texts: args.parallel, slots, prefixes: args.kept_texts };
        Ok(Self { batch, wishes, sampling, seed, warnings })
    }
}

/// Slots of keys and values for all texts.
fn slots(
    args: &Args,
    files: &ModelFiles,
    session: &SessionOptions,
    held: usize,
    available: Option<u64>,
) -> Result<usize> {
    // Layers with a window hold one for each text: counted as if they held everything.
    let layers = files.config.spec.cache_shapes().into_iter();
    let layers = layers.map(|shape| crate::core::KvShape { window: None, ..shape }).collect();
    let shape = CacheShape { layers, pass: 0 };
    let whole = held.saturating_mul(args.parallel);
    let budget = match (args.kv_budget_mb, available) {
        (Some(mib), _) => mib.saturating_mul(1 << 20),
        (None, Some(bytes)) => usize::try_from(bytes / 4).unwrap_or(usize::MAX),
        (None, None) => return Ok(whole),
    };
    // A budget may hold more than all texts in progress: what is left keeps those that have ended.
    let most =
        if args.kv_budget_mb.is_some() { usize::MAX / 2 / KvLayout::PAGE * KvLayout::PAGE } else { whole };
    let slots = shape.window(session.kv_types, budget, 0, most);
    match (args.kv_budget_mb, slots < held) {
        (Some(mib), true) => {
            let needed = shape.bytes(session.kv_types, held, 0).div_ceil(1 << 20);
            bail!(
                "--kv-budget-mb {mib} holds {slots} tokens, but one text may have {held}; give at least {needed}, or lower \
                 --max-seq-len"
            )
        }
        _ => Ok(slots.max(held)),
    }
}
