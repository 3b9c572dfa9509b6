//! Many texts at once: which wait, which go through the model in the next pass, and what becomes of their memory.

mod admission;
mod beginning;
mod disk;
mod options;
mod pace;
mod prefixes;
mod shortage;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::admission::Waiting;
use self::beginning::{Beginning, Salted};
pub use self::disk::DiskOptions;
use self::disk::{Disk, Stamp};
pub use self::options::BatchOptions;
use self::pace::Pace;
use self::prefixes::Prefixes;
use super::EngineError;
use super::embedding::EmbeddingHead;
use super::generation::{Generation, Shared};
use super::model_files::ModelFiles;
use super::model_runner::{ModelRunner, RunnerSize};
use super::request::{Observer, Outcome};
use super::runner::{PageUse, Runner};
use super::scheduler::{Active, pass, prepare};
use super::sequence::Sequence;
use super::text_limits::TextLimits;
use super::text_rules::TextRules;
use crate::core::Backend;
use crate::kv::Evictor;
use crate::models::llama::{Llama, LoadProgress};
use crate::models::{ModelSpec, WeightMix};
use crate::tokenizer::Tokenizer;

/// Who asked for a text: follows it, and gets what came of it.
pub trait Reader: Observer + Send {
    /// The text has its turn: the model begins with its prompt of `tokens` tokens, of which `reused` were computed for an
    /// earlier text.
    fn begun(&mut self, tokens: usize, reused: usize);

    /// It has ended. Nothing comes after this.
    fn ended(&mut self, outcome: Result<Outcome, EngineError>);
}

/// A text that goes through the model.
struct Text {
    /// The lower, the earlier it was asked for.
    arrived: u64,
    sequence: Sequence,
    generation: Generation<'static>,
    reader: Box<dyn Reader>,
    /// Others need its memory: it has to begin again.
    interrupted: bool,
    fault: Option<EngineError>,
}

/// What a step has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass {
    /// Texts of which tokens were taken in that were generated before.
    pub decoding: usize,
    /// Tokens of prompts that were taken in.
    pub prompt_tokens: usize,
    /// How long it took.
    pub time: Duration,
    /// Texts that had to give up their memory.
    pub interrupted: usize,
}

/// How busy a batcher is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Texts that go through the model.
    pub active: usize,
    /// Texts that wait for their turn.
    pub waiting: usize,
    /// Pages of keys and values.
    pub pages: PageUse,
    /// Memory that keys and values take, in bytes.
    pub cache_bytes: usize,
    /// Ended texts whose keys and values are kept.
    pub prefixes: usize,
}

impl Load {
    /// Together with another model's.
    pub fn add(&mut self, other: Self) {
        self.active += other.active;
        self.waiting += other.waiting;
        self.pages.used += other.pages.used;
        self.pages.most += other.pages.most;
        self.cache_bytes += other.cache_bytes;
        self.prefixes += other.prefixes;
    }
}

/// A loaded model that continues many texts at once. Each text is, bit for bit, what it would be alone: neither the texts
/// beside it, nor the order in which they came, nor whether its beginning was computed for an earlier text, nor whether it had to
/// give up its memory in between changes anything (CPU backend).
///
/// Does nothing by itself: [`Self::step`] makes one pass.
pub struct Batcher {
    runner: Box<dyn Runner>,
    rules: TextRules,
    logits: Vec<f32>,
    weights: WeightMix,
    options: BatchOptions,
    waiting: VecDeque<Waiting>,
    active: Vec<Text>,
    prefixes: Prefixes,
    /// Texts that outlive the process.
    disk: Option<Disk>,
    pace: Pace,
    arrivals: u64,
    /// A text had to give up its memory, and none has ended since: no other one begins.
    short: bool,
}

impl Batcher {
    /// Prepares the weights in `files` and makes all memory but the cache, which grows as it is needed.
    ///
    /// # Errors
    /// A checkpoint that does not fit its configuration, a policy that the backend cannot serve, no memory.
    pub fn load<B: Backend>(
        backend: B,
        files: ModelFiles,
        options: BatchOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, EngineError> {
        let (tensors, spec) = (files.tensors.as_ref(), files.config.spec.clone());
        let model = Llama::load(&backend, tensors, spec, options.session.weights, progress)?;
        let size = RunnerSize {
            kv_types: options.session.kv_types,
            slots: options.slots.max(options.held()),
            chunk: options.rows(),
            logits_rows: options.texts.max(1),
            check_numerics: options.session.check_numerics,
        };
        Self::new(Box::new(ModelRunner::new(backend, model, size)?), files, options)
    }

    fn new(
        mut runner: Box<dyn Runner>,
        files: ModelFiles,
        options: BatchOptions,
    ) -> Result<Self, EngineError> {
        let weights = files.weight_mix(options.session.weights)?;
        // What a policy lacks is an error now, and not with the first text.
        let first = options.open(runner.as_mut())?;
        runner.close(first.id);
        let logits = vec![0.0; runner.spec().vocab_size];
        let tokenizer = Arc::new(files.tokenizer);
        let rules = TextRules { tokenizer, eos: files.eos, head: files.embedding, shown: Vec::new() };
        Ok(Self {
            runner,
            rules,
            logits,
            weights,
            options,
            waiting: VecDeque::new(),
            active: Vec::new(),
            prefixes: Prefixes::new(options.prefixes),
            disk: None,
            pace: Pace::default(),
            arrivals: 0,
            short: false,
        })
    }

    /// From now on texts that have ended are kept in files too, and those that are there are found.
    ///
    /// # Errors
    /// The directory cannot be made; texts that give up tokens, which are of no use to others.
    pub fn keep_on_disk(&mut self, options: &DiskOptions) -> Result<(), EngineError> {
        if self.options.session.eviction.is_some() {
            return Err(EngineError::DiskWithEviction);
        }
        let stamp = Stamp::new(self.runner.as_ref(), self.weights.to_string(), &options.origin);
        let windows = self.spec().cache_shapes().iter().any(|shape| shape.window.is_some());
        self.disk = Some(Disk::open(options, stamp, !windows)?);
        Ok(())
    }

    /// Goes on with what is to be written to files, as far as the disk is ready for it. Whether there is more to do.
    pub fn tidy(&mut self) -> bool {
        let Self { disk, runner, prefixes, .. } = self;
        disk.as_mut().is_some_and(|disk| disk.go_on(runner.as_mut(), prefixes))
    }

    /// What has gone wrong with files since the last question: sentences.
    pub fn take_notes(&mut self) -> Vec<String> {
        self.disk.as_mut().map(Disk::take_notes).unwrap_or_default()
    }

    /// What the model is made of.
    pub fn spec(&self) -> &ModelSpec {
        self.runner.spec()
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> Arc<Tokenizer> {
        Arc::clone(&self.rules.tokenizer)
    }

    /// What follows pooling in embeddings.
    pub fn embedding_head(&self) -> &EmbeddingHead {
        &self.rules.head
    }

    /// The formats of the matrices.
    pub fn weights(&self) -> &WeightMix {
        &self.weights
    }

    /// Memory that the prepared weights take, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.runner.weight_bytes()
    }

    /// What prompts have to keep to.
    pub fn limits(&self) -> TextLimits {
        let context = self.options.session.eviction.is_none().then_some(self.options.held());
        TextLimits { vocab: self.spec().vocab_size, context }
    }

    /// How busy it is.
    pub fn load_now(&self) -> Load {
        Load {
            active: self.active.len(),
            waiting: self.waiting.len(),
            pages: self.runner.pages(),
            cache_bytes: self.runner.cache_bytes(),
            prefixes: self.prefixes.len(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty() && self.waiting.is_empty()
    }

    /// One pass for all texts in progress; those that wait take the places that are free before. Readers hear of what
    /// has come and what has ended. What goes wrong with a pass ends all texts that took part in it.
    pub fn step(&mut self) -> Pass {
        self.leave_out_the_gone();
        self.admit();
        let start = Instant::now();
        let most = self.shares();
        let Self { runner, rules, logits, active, .. } = self;
        let mut shared = Shared { runner: runner.as_mut(), rules, logits };
        let mut texts: Vec<Active<'_, 'static>> = Vec::with_capacity(active.len());
        texts.extend(active.iter_mut().zip(most).map(|(text, most)| text.active(most)));
        prepare(&mut shared, &mut texts);
        let faults: Vec<_> = texts.into_iter().map(|text| text.fault).collect();
        self.note(faults);
        let interrupted = self.secure_memory();
        let Self { runner, rules, logits, active, .. } = self;
        let (mut decoding, mut prompt_tokens) = (0, 0);
        for text in active.iter() {
            match text.generation.pending() {
                tokens if text.generation.is_in_prompt() => prompt_tokens += tokens,
                tokens => decoding += usize::from(tokens > 0),
            }
        }
        let mut shared = Shared { runner: runner.as_mut(), rules, logits };
        let going = active.iter_mut().filter(|text| text.goes_on());
        let mut texts: Vec<Active<'_, 'static>> = going.map(|text| text.active(0)).collect();
        let passed = pass(&mut shared, &mut texts);
        let mut faults = texts.into_iter().map(|text| text.fault).collect::<Vec<_>>().into_iter();
        let faults = self.active.iter().map(|text| if text.goes_on() { faults.next()? } else { None });
        let faults = faults.collect();
        self.note(faults);
        if let Err(error) = passed {
            self.fail_all(error);
        }
        self.end_texts();
        let time = start.elapsed();
        self.pace.note(decoding + prompt_tokens, time);
        Pass { decoding, prompt_tokens, time, interrupted }
    }

    /// The most tokens of each text in progress that the next pass takes in.
    fn shares(&self) -> Vec<usize> {
        let prompts = self.active.iter().filter(|text| text.generation.is_in_prompt()).count();
        let decoding = self.active.len() - prompts;
        let allowance = self.pace.allowance(self.options.session.prefill_chunk, decoding, prompts);
        let left: Vec<_> =
            self.active.iter().map(|text| (text.arrived, text.generation.to_take_in())).collect();
        pace::shares(allowance, &left, !self.spec().is_causal())
    }

    /// Keeps what went wrong with each text.
    fn note(&mut self, faults: Vec<Option<EngineError>>) {
        for (text, fault) in self.active.iter_mut().zip(faults) {
            text.fault = text.fault.take().or(fault);
        }
    }

    /// Ends every text in progress with this error, of which each reader gets the words.
    fn fail_all(&mut self, error: EngineError) {
        let words = error.to_string();
        let mut error = Some(error);
        for text in self.active.drain(..) {
            let Text { sequence, mut reader, .. } = text;
            self.runner.close(sequence.id);
            reader.ended(Err(error.take().unwrap_or_else(|| EngineError::PassFailed(words.clone()))));
        }
    }

    /// Takes out the texts that have ended, and puts those back that were interrupted.
    fn end_texts(&mut self) {
        let mut at = 0;
        while at < self.active.len() {
            let text = &self.active[at];
            if text.interrupted {
                let text = self.active.remove(at);
                self.runner.close(text.sequence.id);
                self.wait_again(text);
            } else if text.fault.is_some() || text.generation.finish().is_some() {
                let text = self.active.remove(at);
                self.end(text);
                self.short = false;
            } else {
                at += 1;
            }
        }
    }

    fn end(&mut self, text: Text) {
        let Text { mut sequence, generation, mut reader, fault, .. } = text;
        let salt = generation.cache_salt();
        let Self { runner, rules, logits, .. } = self;
        let runner = runner.as_mut();
        let outcome = match fault {
            Some(fault) => Err(fault),
            None => {
                let mut shared = Shared { runner: &mut *runner, rules, logits };
                generation.end(&mut shared, &mut sequence, reader.as_mut())
            }
        };
        match &outcome {
            // A text that is not gone on with leaves nothing to begin with.
            Ok(outcome) if !outcome.hidden.is_empty() => runner.close(sequence.id),
            Ok(_) => {
                self.prefixes.keep(runner, sequence.id, Salted { salt, ids: sequence.seen });
            }
            Err(_) => runner.close(sequence.id),
        }
        reader.ended(outcome);
    }
}

impl Text {
    /// As a pass sees it.
    fn active(&mut self, most: usize) -> Active<'_, 'static> {
        let Self { sequence, generation, reader, .. } = self;
        Active { sequence, generation, observer: reader.as_mut(), most, fault: None }
    }

    /// What has gone through the model, and all that is to.
    fn beginnings(&self) -> [Beginning<'_>; 2] {
        let (ids, done) = self.generation.so_far();
        let salt = self.generation.cache_salt();
        [&ids[..done], ids].map(|ids| Beginning { salt, ids })
    }

    /// Whether it takes part in the pass that is prepared.
    fn goes_on(&self) -> bool {
        !self.interrupted && self.fault.is_none()
    }
}

impl BatchOptions {
    /// An empty sequence for a text.
    fn open(&self, runner: &mut dyn Runner) -> Result<Sequence, EngineError> {
        let evictor = self.session.eviction.map(Evictor::new);
        Sequence::open(runner, evictor, self.held(), self.session.prefill_chunk, 1)
    }
}
