//! A loaded model with its memory, ready to generate.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::EngineError;
use super::embedding::Pooling;
use super::generation::{Generation, Shared};
use super::hybrid::HybridRunner;
use super::memory_watch::{MemorySource, MemoryWatch};
use super::model_files::ModelFiles;
use super::model_runner::{ModelRunner, RunnerSize};
use super::prompt_rows::{PromptRows, SCORED_ROWS};
use super::request::{Observer, Outcome, Request};
use super::runner::{Part, Runner, Stage};
use super::scheduler::{Active, step};
use super::sequence::Sequence;
use super::switch::{Calibration, MoveStats, Switch};
use super::text_limits::TextLimits;
use super::text_rules::TextRules;
use crate::core::{Backend, CoreError, DType, KvTypes};
use crate::kv::{Eviction, EvictionStats, Evictor};
use crate::models::llama::{Llama, LoadProgress};
use crate::models::{ModelSpec, WeightMix, WeightPlan};
use crate::tokenizer::Tokenizer;

/// How a model is loaded.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// The formats of the weights.
    pub weights: WeightPlan,
    /// Types of stored keys and values.
    pub kv_types: KvTypes,
    /// The most tokens of prompt and answer together; with [`Self::eviction`] there is no such limit.
    pub max_seq_len: usize,
    /// How the cache is kept within a window; `None`: it holds every token, up to `max_seq_len`.
    pub eviction: Option<Eviction>,
    /// Tokens of the prompt that go through the model at once.
    pub prefill_chunk: usize,
    /// The most tokens that are drafted from earlier text and verified in one pass (prompt lookup); 0 for none.
    /// Changes memory and speed, never the text (CPU backend).
    pub lookup: usize,
    /// Look for values that are not finite after each step of each layer, and report
    /// [`Observer::non_finite`](super::Observer::non_finite).
    pub check_numerics: bool,
}

impl Default for SessionOptions {
    /// What the programs do where nothing is asked for, for a model whose weights are wanted as bf16.
    fn default() -> Self {
        Self {
            weights: DType::BF16.into(),
            kv_types: DType::F16.into(),
            max_seq_len: 4096,
            eviction: None,
            prefill_chunk: 256,
            lookup: 0,
            check_numerics: false,
        }
    }
}

/// A model on a backend, its tokenizer and one sequence: load once, then [`generate`](Self::generate) or
/// [`score`](Self::score) as often as wanted, one text after the other. What a text has in common with the one before
/// it does not go through the model again.
pub struct Session {
    pub(super) runner: Box<dyn Runner>,
    pub(super) sequence: Sequence,
    pub(super) rules: TextRules,
    pub(super) logits: Vec<f32>,
    /// The formats of the matrices.
    pub(super) weights: WeightMix,
    pub(super) lookup: usize,
}

impl SessionOptions {
    /// The most tokens held, tokens of a prompt that go through the model at once, and tokens that are drafted.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let most = self.eviction.map_or(self.max_seq_len, |eviction| eviction.window());
        (most, self.prefill_chunk.clamp(1, most.max(1)), self.lookup.min(most))
    }
}

/// Loads the weights in `files` for a backend, with memory as `options` say.
fn load_runner<B: Backend>(
    backend: B,
    files: &ModelFiles,
    options: &SessionOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Box<dyn Runner>, EngineError> {
    let (tensors, spec) = (files.tensors.as_ref(), files.config.spec.clone());
    let model = Llama::load(&backend, tensors, spec, options.weights, progress)?;
    let (most, chunk, lookup) = options.sizes();
    let size = RunnerSize {
        kv_types: options.kv_types,
        slots: most,
        chunk: chunk.max(lookup + 1),
        logits_rows: lookup + 1,
        check_numerics: options.check_numerics,
    };
    Ok(Box::new(ModelRunner::new(backend, model, size)?))
}

impl Session {
    /// Prepares the weights in `files` and makes all memory but the cache, which grows as it is needed.
    ///
    /// # Errors
    /// A checkpoint that does not fit its configuration, or no memory.
    pub fn load<B: Backend>(
        backend: B,
        files: ModelFiles,
        options: &SessionOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, EngineError> {
        let runner = load_runner(backend, &files, options, progress)?;
        Self::new(runner, files, options)
    }

    /// As [`Self::load`], with the same model on a second backend too. Until [`Self::set_switch`] or
    /// [`Self::calibrate`] say otherwise, that one has nothing to do.
    ///
    /// # Errors
    /// As [`Self::load`], and a policy that needs to see each token on one backend.
    pub fn load_hybrid<B: Backend, C: Backend>(
        backend: B,
        second: C,
        files: ModelFiles,
        options: &SessionOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, EngineError> {
        if let Some(policy) = options.eviction.map(|e| e.policy()).filter(|p| p.watches_tokens()) {
            let why =
                CoreError::Lacking { backend: "hybrid", what: "watch all tokens of a text in one place" };
            return Err(EngineError::Policy { policy: policy.name, why });
        }
        let second = load_runner(second, &files, options, progress)?;
        let first = load_runner(backend, &files, options, progress)?;
        Self::new(Box::new(HybridRunner::new(first, second)), files, options)
    }

    fn new(
        mut runner: Box<dyn Runner>,
        files: ModelFiles,
        options: &SessionOptions,
    ) -> Result<Self, EngineError> {
        let weights = files.weight_mix(options.weights)?;
        let (most, chunk, lookup) = options.sizes();
        let evictor = options.eviction.map(Evictor::new);
        let sequence = Sequence::open(runner.as_mut(), evictor, most, chunk, options.lookup + 1)?;
        let logits = vec![0.0; runner.spec().vocab_size];
        let tokenizer = Arc::new(files.tokenizer);
        let rules = TextRules { tokenizer, eos: files.eos, head: files.embedding, shown: Vec::new() };
        Ok(Self { runner, sequence, rules, logits, weights, lookup })
    }

    /// Says which backend takes which pass of a session with two of them; does nothing with one.
    pub fn set_switch(&mut self, switch: Switch) {
        self.runner.set_switch(switch);
    }

    /// Times both backends for about `time`, and lets each do what it does faster; `None` with one backend. What is
    /// held of a text before is forgotten.
    ///
    /// # Errors
    /// What either backend reports.
    pub fn calibrate(&mut self, time: Duration) -> Result<Option<Calibration>, EngineError> {
        self.forget();
        let most = self.sequence.chunk.min(self.sequence.max_len());
        Ok(self.runner.calibrate(most, time)?)
    }

    /// What was moved between the two backends so far.
    pub fn moved(&self) -> MoveStats {
        self.runner.moved()
    }

    /// From now on tokens are also evicted, and the cache becomes smaller, whenever `source` says that fewer than
    /// `threshold` bytes are available. Asked every few tokens. Does nothing without [`SessionOptions::eviction`].
    pub fn watch_memory(&mut self, threshold: u64, source: MemorySource) {
        self.sequence.memory = Some(MemoryWatch::new(threshold, source));
    }

    /// What the model is made of.
    pub fn spec(&self) -> &ModelSpec {
        self.runner.spec()
    }

    /// Memory that the prepared weights take, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.runner.weight_bytes()
    }

    /// The formats of the matrices.
    pub fn weights(&self) -> &WeightMix {
        &self.weights
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.rules.tokenizer
    }

    /// The same, to be kept beside the session.
    pub fn shared_tokenizer(&self) -> Arc<Tokenizer> {
        Arc::clone(&self.rules.tokenizer)
    }

    /// The tokens that end a text.
    pub fn eos(&self) -> &[u32] {
        &self.rules.eos
    }

    /// Memory that keys and values take now, in bytes.
    pub fn cache_bytes(&self) -> usize {
        self.runner.cache_bytes()
    }

    /// Takes in the prompt and generates until one of the [`Finish`](super::Finish) reasons.
    ///
    /// A prompt that begins as the text before (its prompt and what was generated) goes through the model only from
    /// where they part; [`Self::forget`] prevents it. The same request gives the same ids on every machine, for any
    /// number of threads, any prefill chunk, any [`SessionOptions::lookup`](super::SessionOptions::lookup) and any text
    /// before (CPU backend).
    ///
    /// # Errors
    /// An empty prompt, one that leaves no room in the context, ids outside of the vocabulary, logits that
    /// are not numbers, and whatever the backend reports.
    pub fn generate(
        &mut self,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, EngineError> {
        self.check_prompt(&request.prompt)?;
        let moved = self.moved();
        let Self { runner, sequence, rules, logits, lookup, .. } = self;
        let mut shared = Shared { runner: runner.as_mut(), rules, logits };
        let mut generation = Generation::start(Cow::Borrowed(request), &mut shared, sequence, *lookup)?;
        while generation.finish().is_none() {
            let generation = &mut generation;
            let mut active = [Active { sequence, generation, observer, most: usize::MAX, fault: None }];
            step(&mut shared, &mut active)?;
            let [Active { fault, .. }] = active;
            fault.map_or(Ok(()), Err)?;
        }
        let outcome = generation.end(&mut shared, sequence, observer)?;
        Ok(Outcome { moved: self.moved().since(moved), ..outcome })
    }

    /// The hidden states of the text `ids` after the final norm, pooled and through the layers that the model's files have
    /// for after that: one vector, or without pooling one for each token as it is.
    ///
    /// # Errors
    /// As [`Self::generate`]; with a model that reads in both directions, more tokens than go through it at once.
    pub fn embed(&mut self, ids: &[u32], pooling: Pooling) -> Result<Vec<Vec<f32>>, EngineError> {
        let rows = PromptRows::Hidden(pooling);
        let request = Request { prompt: ids.to_vec(), prompt_rows: rows, ..Request::default() };
        Ok(self.generate(&request, &mut ())?.hidden)
    }

    /// Runs `ids` through the model from an empty context and gives the logits of every position from `from` on, in
    /// order: `sink` gets the position and its logits.
    ///
    /// # Errors
    /// A model for embeddings, no ids, more than the context holds, ids outside of the vocabulary, or what the backend reports.
    pub fn score(
        &mut self,
        ids: &[u32],
        from: usize,
        sink: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        let (tokens, max) = (ids.len(), self.sequence.max_len());
        match tokens {
            0 => return Err(EngineError::EmptyPrompt),
            _ if tokens > self.sequence.end_of_context() => {
                return Err(EngineError::PromptTooLong { tokens, max });
            }
            _ if !self.spec().is_causal() => return Err(EngineError::NotCausal),
            _ => self.check_tokens(ids)?,
        }
        let Self { runner, sequence, logits, .. } = self;
        let runner = runner.as_mut();
        sequence.forget(runner);
        sequence.set_span(runner, tokens)?;
        runner.widen_logits(SCORED_ROWS)?;
        let scored = from.min(tokens);
        let mut done = 0;
        while done < tokens {
            let (end, wants) = if done < scored { (scored, false) } else { (tokens, true) };
            let part = &ids[done..end.min(done + sequence.chunk.min(sequence.make_room(runner, 0)?))];
            let wanted = if wants { part.len() } else { 0 };
            runner.forward(&[Part { sequence: sequence.id, ids: part, wanted, stage: Stage::Score }])?;
            for row in 0..wanted {
                runner.logits(row, logits)?;
                sink(done + row, logits);
            }
            done += part.len();
        }
        Ok(())
    }

    /// Tokens of the last text that the cache holds, and that have been through the model.
    pub fn tokens(&self) -> (usize, usize) {
        self.sequence.counts(self.runner.as_ref())
    }

    /// Special tokens with these ids are part of generated texts from now on, as the markers of reasoning are; others add
    /// nothing to them.
    pub fn show(&mut self, ids: Vec<u32>) {
        self.rules.shown = ids;
    }

    /// The first `tokens` of texts are not evicted from now on; the text before is forgotten. Does nothing where nothing
    /// is ever evicted.
    ///
    /// # Errors
    /// More than the window leaves room for.
    pub fn protect(&mut self, tokens: usize) -> Result<(), EngineError> {
        if let Some(evictor) = &self.sequence.evictor {
            let settings = evictor.settings().protecting(tokens)?;
            self.sequence.evictor = Some(Evictor::new(settings));
        }
        self.forget();
        Ok(())
    }

    /// What was evicted from the last text's cache.
    pub fn eviction_stats(&self) -> EvictionStats {
        self.sequence.eviction_stats()
    }

    /// Forgets the text before: the next one goes through the model from its first token on.
    pub fn forget(&mut self) {
        self.sequence.forget(self.runner.as_mut());
    }

    /// Forgets of the text before what does not belong to `ids`, so that the cache can be kept with them.
    ///
    /// # Errors
    /// None that a loaded session has.
    pub fn cut_back(&mut self, ids: &[u32]) -> Result<(), EngineError> {
        self.sequence.keep_common(self.runner.as_mut(), ids)?;
        Ok(())
    }

    /// What prompts have to keep to.
    fn limits(&self) -> TextLimits {
        let end = self.sequence.end_of_context();
        TextLimits { vocab: self.spec().vocab_size, context: (end != usize::MAX).then_some(end) }
    }

    fn check_tokens(&self, ids: &[u32]) -> Result<(), EngineError> {
        self.limits().check_tokens(ids, self.tokenizer())
    }

    pub(super) fn check_prompt(&self, prompt: &[u32]) -> Result<(), EngineError> {
        self.limits().check_prompt(prompt, self.tokenizer())
    }
}
