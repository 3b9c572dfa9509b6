//! A loaded model with its memory, ready to generate.

use super::EngineError;
use super::memory_watch::{MemorySource, MemoryWatch};
use super::model_files::ModelFiles;
use super::partner::Hybrid;
use crate::core::{Backend, CoreError, DType, KvCache, KvTypes, Result};
use crate::kv::{Eviction, EvictionStats, Evictor, Positions};
use crate::models::llama::{Llama, LoadProgress, Workspace};
use crate::models::{WeightMix, WeightPlan};
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

/// Positions whose logits are computed at once where all are wanted.
const SCORED_ROWS: usize = 32;

/// Backend, model, tokenizer, cache and workspace: load once, then [`generate`](Self::generate) or
/// [`score`](Self::score) as often as wanted, one text after the other. What a text has in common with the one before
/// it does not go through the model again.
pub struct Session<B: Backend> {
    pub(super) backend: B,
    pub(super) model: Llama<B>,
    pub(super) tokenizer: Tokenizer,
    pub(super) cache: KvCache<B::Buffer>,
    pub(super) evictor: Option<Evictor>,
    pub(super) memory: Option<MemoryWatch>,
    /// The tokens seen, whose keys and values the cache holds but for those evicted.
    pub(super) seen: Vec<u32>,
    pub(super) workspace: Workspace<B>,
    pub(super) hybrid: Option<Hybrid>,
    pub(super) logits: Vec<f32>,
    pub(super) eos: Vec<u32>,
    /// Special tokens that are part of a generated text.
    pub(super) shown: Vec<u32>,
    /// The formats of the matrices.
    pub(super) weights: WeightMix,
    pub(super) chunk: usize,
    pub(super) lookup: usize,
}

impl<B: Backend> Session<B> {
    /// Prepares the weights in `files` and makes all memory but the cache, which grows as it is needed.
    ///
    /// # Errors
    /// A checkpoint that does not fit its configuration, or no memory.
    pub fn load(
        backend: B,
        files: ModelFiles,
        options: &SessionOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, EngineError> {
        let vocab = files.config.spec.vocab_size;
        let weights = files.weight_mix(options.weights)?;
        let model =
            Llama::load(&backend, files.tensors.as_ref(), files.config.spec, options.weights, progress)?;
        let most = options.eviction.map_or(options.max_seq_len, |eviction| eviction.window());
        let mut cache = model.new_cache(&backend, options.kv_types, most)?;
        let evictor = options.eviction.map(Evictor::new);
        if let Some(evictor) = evictor.as_ref().filter(|evictor| evictor.wants_attention()) {
            let policy = evictor.settings().policy().name;
            cache
                .accumulate_attention(&backend, options.lookup + 1)
                .map_err(|why| EngineError::Policy { policy, why })?;
        }
        let chunk = options.prefill_chunk.clamp(1, most.max(1));
        let lookup = options.lookup.min(most);
        let mut workspace = model.workspace(&backend, chunk.max(lookup + 1), lookup + 1)?;
        if options.check_numerics {
            workspace.check_numerics();
        }
        Ok(Self {
            backend,
            model,
            tokenizer: files.tokenizer,
            cache,
            evictor,
            memory: None,
            seen: Vec::new(),
            workspace,
            hybrid: None,
            logits: vec![0.0; vocab],
            eos: files.eos,
            shown: Vec::new(),
            weights,
            chunk,
            lookup,
        })
    }

    /// As [`Self::load`], with the same model on a second backend too. Until [`Self::set_switch`] or
    /// [`Self::calibrate`] say otherwise, that one has nothing to do.
    ///
    /// # Errors
    /// As [`Self::load`], and a policy that needs to see each token on one backend.
    pub fn load_hybrid<C: Backend + 'static>(
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
        let (tensors, spec) = (files.tensors.as_ref(), files.config.spec.clone());
        let model = Llama::load(&second, tensors, spec, options.weights, progress)?;
        let mut session = Self::load(backend, files, options, progress)?;
        session.hybrid = Some(Hybrid::new(second, model, &session.cache, &session.workspace)?);
        Ok(session)
    }

    /// From now on tokens are also evicted, and the cache becomes smaller, whenever `source` says that fewer than
    /// `threshold` bytes are available. Asked every few tokens. Does nothing without [`SessionOptions::eviction`].
    pub fn watch_memory(&mut self, threshold: u64, source: MemorySource) {
        self.memory = Some(MemoryWatch::new(threshold, source));
    }

    /// The backend that computes.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The model.
    pub fn model(&self) -> &Llama<B> {
        &self.model
    }

    /// The formats of the matrices.
    pub fn weights(&self) -> &WeightMix {
        &self.weights
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Memory that keys and values take now, in bytes.
    pub fn cache_bytes(&self) -> usize {
        self.cache.size_bytes() + self.hybrid.as_ref().map_or(0, |hybrid| hybrid.partner.cache_bytes())
    }

    /// Runs `ids` through the model from an empty context and gives the logits of every position from `from` on, in
    /// order: `sink` gets the position and its logits.
    ///
    /// # Errors
    /// No ids, more than the context holds, ids outside of the vocabulary, or what the backend reports.
    pub fn score(
        &mut self,
        ids: &[u32],
        from: usize,
        sink: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        let (tokens, max) = (ids.len(), self.cache.max_len());
        match tokens {
            0 => return Err(EngineError::EmptyPrompt),
            _ if self.evictor.is_none() && tokens > max => {
                return Err(EngineError::PromptTooLong { tokens, max });
            }
            _ => {
                self.check_tokens(ids)?;
                self.forget();
                self.set_span(tokens);
            }
        }
        self.make_room_for_scores()?;
        let scored = from.min(tokens);
        let mut done = 0;
        while done < tokens {
            let end = if done < scored { scored } else { tokens };
            let part = &ids[done..end.min(done + self.chunk.min(self.make_room()?))];
            let Self { backend, model, cache, workspace, .. } = self;
            if done < scored {
                model.prefill(backend, part, cache, workspace, None)?;
            } else {
                let mut shifted = |row: usize, logits: &[f32]| sink(done + row, logits);
                model.forward_all(backend, part, cache, workspace, &mut shifted)?;
            }
            done += part.len();
        }
        Ok(())
    }

    /// Tokens of the last text that the cache holds, and that have been through the model.
    pub fn tokens(&self) -> (usize, usize) {
        (self.cache.len(), self.cache.position())
    }

    /// Special tokens with these ids are part of generated texts from now on, as the markers of reasoning are; others add
    /// nothing to them.
    pub fn show(&mut self, ids: Vec<u32>) {
        self.shown = ids;
    }

    /// The first `tokens` of texts are not evicted from now on; the text before is forgotten. Does nothing where nothing
    /// is ever evicted.
    ///
    /// # Errors
    /// More than the window leaves room for.
    pub fn protect(&mut self, tokens: usize) -> Result<(), EngineError> {
        if let Some(evictor) = &self.evictor {
            let settings = evictor.settings().protecting(tokens)?;
            self.evictor = Some(Evictor::new(settings));
        }
        self.forget();
        Ok(())
    }

    /// What was evicted from the last text's cache.
    pub fn eviction_stats(&self) -> EvictionStats {
        self.evictor.as_ref().map(Evictor::stats).unwrap_or_default()
    }

    /// Forgets the text before: the next one goes through the model from its first token on.
    pub fn forget(&mut self) {
        self.cache.clear();
        self.seen.clear();
        if let Some(hybrid) = &mut self.hybrid {
            hybrid.restart();
        }
        if let Some(evictor) = &mut self.evictor {
            evictor.restart();
        }
    }

    /// Forgets of the text before what does not belong to `ids`, so that the cache can be kept with them.
    pub fn cut_back(&mut self, ids: &[u32]) {
        self.keep_common(ids);
    }

    /// Brings the cache back to the longest beginning of `prompt` that the text before had too, and gives its length:
    /// less than that of the prompt, whose last token has to go through the model for its logits. Nothing is left of
    /// the text before where a token after that beginning was evicted for.
    pub(super) fn keep_common(&mut self, prompt: &[u32]) -> usize {
        let same = self.seen.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = same.min(prompt.len().saturating_sub(1));
        // What forgotten tokens have given to others' sums of attention cannot be taken back.
        let sums = kept < self.seen.len() && self.evictor.as_ref().is_some_and(Evictor::wants_attention);
        if kept == 0 || sums || !self.cache.can_rewind(kept) {
            self.forget();
            return 0;
        }
        self.cache.rewind(kept);
        self.seen.truncate(kept);
        kept
    }

    /// How many tokens fit after those held: at least one where a full cache gives up old ones.
    pub(super) fn make_room(&mut self) -> Result<usize> {
        self.make_room_for(0)
    }

    /// As [`Self::make_room`]; what would be evicted before `early` more tokens are in is evicted now.
    pub(super) fn make_room_for(&mut self, early: usize) -> Result<usize> {
        let position = self.cache.position();
        let is_short = self.memory.as_mut().and_then(|memory| memory.is_short(position));
        if let Some(evictor) = &mut self.evictor {
            evictor.hear_of_memory(self.cache.len(), KvCache::<B::Buffer>::GROWTH, is_short);
        }
        if self.evictor.as_ref().is_some_and(|evictor| evictor.is_full(self.cache.len(), early)) {
            self.bring_home()?;
        }
        self.keep_prefix();
        let Self { backend, model, cache, workspace, evictor, .. } = self;
        let Some(evictor) = evictor else { return Ok(cache.max_len() - cache.len()) };
        let room = evictor.make_room(backend, cache, early)?;
        if let Some(first) = room.turn_prefix_to {
            model.turn_prefix(backend, cache, workspace, first)?;
        }
        Ok(room.tokens)
    }

    /// Makes an empty cache keep the first tokens unrotated, where the policy will turn them.
    pub(super) fn keep_prefix(&mut self) {
        let Self { cache, evictor: Some(evictor), .. } = self else { return };
        let protected = evictor.settings().protected();
        if evictor.positions() == Positions::Cache && cache.is_empty() && cache.prefix_tokens() != protected {
            cache.keep_prefix(protected);
        }
    }

    /// Positions that lie between a text's tokens and those that they see, at most.
    pub(super) fn positions_in_force(&self) -> usize {
        match self.evictor.as_ref().map(Evictor::positions) {
            Some(Positions::Cache) => self.cache.len(),
            _ => self.cache.position(),
        }
    }

    /// The position at which a text ends for want of room.
    pub(super) fn end_of_context(&self) -> usize {
        if self.evictor.is_some() { usize::MAX } else { self.cache.max_len() }
    }

    /// A workspace that computes the logits of several positions at once, so that the output matrix is not read for
    /// each of them. Made when it is first wanted: generation has no use for it.
    fn make_room_for_scores(&mut self) -> Result<(), EngineError> {
        let chunk = self.workspace.chunk();
        if self.workspace.logits_rows() < SCORED_ROWS.min(chunk) {
            self.workspace =
                self.workspace.with_logits_rows(&self.backend, self.model.spec(), SCORED_ROWS)?;
        }
        Ok(())
    }

    /// Every token of a text has to have an embedding: a tokenizer may know more tokens than its model.
    fn check_tokens(&self, ids: &[u32]) -> Result<(), EngineError> {
        let vocab = self.model.spec().vocab_size;
        match ids.iter().find(|id| **id as usize >= vocab) {
            Some(&id) => Err(EngineError::UnknownToken { token: self.tokenizer.id_to_token(id), id, vocab }),
            None => Ok(()),
        }
    }

    pub(super) fn check_prompt(&self, prompt: &[u32]) -> Result<(), EngineError> {
        self.check_tokens(prompt)?;
        let (tokens, max) = (prompt.len(), self.cache.max_len());
        match tokens {
            0 => Err(EngineError::EmptyPrompt),
            _ if tokens >= self.end_of_context() => Err(EngineError::PromptTooLong { tokens, max }),
            _ => Ok(()),
        }
    }
}
