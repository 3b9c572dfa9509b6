//! The forward pass.

use std::ops::Range;

use super::numerics::{look, look_from};
use super::weights::{LoadProgress, Weights};
use super::workspace::Workspace;
use super::{attention, ffn};
use crate::core::{Backend, CoreError, DType, KvCache, KvTypes, Largest, LinearPart, Result, Top};
use crate::format::TensorSource;
use crate::models::ModelConfig;
use crate::models::ModelError;
use crate::models::rope::Rope;

/// A Llama whose weights a backend has prepared.
///
/// Holds no state of a text: that is in the [`KvCache`], and the memory for a pass is in the [`Workspace`].
pub struct Llama<B: Backend> {
    config: ModelConfig,
    weights: Weights<B::Weight>,
    rope: Rope,
}

impl<B: Backend> Llama<B> {
    /// Loads every tensor that `config` asks for from `source`, with the matrices in `format`.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape than `config` says, or cannot be prepared.
    pub fn load(
        backend: &B,
        source: &dyn TensorSource,
        config: ModelConfig,
        format: DType,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, ModelError> {
        let weights = Weights::load(backend, source, &config, format, progress)?;
        let rope = Rope::new(&config.rope, config.head_dim);
        Ok(Self { config, weights, rope })
    }

    /// The configuration that it was loaded with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Memory that the prepared weights take, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.weights.size_bytes()
    }

    /// An empty cache of up to `max_len` tokens.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] for a type that keys cannot be stored in.
    pub fn new_cache(&self, backend: &B, types: KvTypes, max_len: usize) -> Result<KvCache<B::Buffer>> {
        let c = &self.config;
        KvCache::new(backend, c.layers, c.kv_heads, c.head_dim, types, max_len)
    }

    /// Memory for passes of up to `chunk` tokens; `logits_rows` as in [`Self::forward_all`], 1 for generation.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`].
    pub fn workspace(&self, backend: &B, chunk: usize, logits_rows: usize) -> Result<Workspace<B>> {
        Workspace::new(backend, &self.config, chunk, logits_rows)
    }

    /// Processes up to `ws.chunk()` tokens after those in the cache. `logits`, where wanted, receives those of
    /// the last token (`vocab_size` values): a prompt's earlier chunks need none.
    ///
    /// The last layer's queries, output projection and feed-forward network are computed for that token alone,
    /// or not at all: nothing reads what they would give for the others.
    ///
    /// # Errors
    /// More tokens than a chunk, an id outside of the vocabulary, a full cache: nothing is taken in then.
    pub fn prefill(
        &self,
        backend: &B,
        ids: &[u32],
        cache: &mut KvCache<B::Buffer>,
        ws: &mut Workspace<B>,
        logits: Option<&mut [f32]>,
    ) -> Result<()> {
        match logits.filter(|_| !ids.is_empty()) {
            None => self.layers(backend, ids, ids.len()..ids.len(), cache, ws),
            Some(logits) => {
                self.prefill_last(backend, ids, cache, ws)?;
                backend.download(&ws.logits, 0, logits)
            }
        }
    }

    /// As [`Self::prefill`] of at least one token, with the logits of the last one left in `ws`, as row 0 for
    /// [`Self::logits_of`] and [`Self::largest_of`].
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn prefill_last(
        &self,
        backend: &B,
        ids: &[u32],
        cache: &mut KvCache<B::Buffer>,
        ws: &mut Workspace<B>,
    ) -> Result<()> {
        self.layers(backend, ids, ids.len().saturating_sub(1)..ids.len(), cache, ws)?;
        self.head(backend, ws, 0, ids.len().min(1))
    }

    /// Takes in one token and gives the logits that follow it.
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn decode(
        &self,
        backend: &B,
        id: u32,
        cache: &mut KvCache<B::Buffer>,
        ws: &mut Workspace<B>,
        logits: &mut [f32],
    ) -> Result<()> {
        self.prefill(backend, &[id], cache, ws, Some(logits))
    }

    /// Processes up to `ws.logits_rows()` tokens and stores the logits after each of them in `ws`, for
    /// [`Self::logits_of`].
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn decode_rows(
        &self,
        backend: &B,
        ids: &[u32],
        cache: &mut KvCache<B::Buffer>,
        ws: &mut Workspace<B>,
    ) -> Result<()> {
        if ids.len() > ws.logits_rows() {
            return Err(CoreError::Mismatch {
                op: "decode_rows",
                what: "number of tokens",
                got: ids.len(),
                expected: ws.logits_rows(),
            });
        }
        self.layers(backend, ids, 0..ids.len(), cache, ws)?;
        self.head(backend, ws, 0, ids.len())
    }

    /// The logits after token `row` of the last [`Self::decode_rows`].
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] if it had no such token, or `logits` is not `vocab_size` long.
    pub fn logits_of(&self, backend: &B, row: usize, ws: &Workspace<B>, logits: &mut [f32]) -> Result<()> {
        self.check_row("logits_of", row, ws, logits)?;
        backend.download(&ws.logits, row, logits)
    }

    /// The largest of the logits that [`Self::logits_of`] would give; `scratch` is as long as they are.
    ///
    /// # Errors
    /// As [`Self::logits_of`].
    pub fn largest_of(
        &self,
        backend: &B,
        row: usize,
        ws: &Workspace<B>,
        scratch: &mut [f32],
    ) -> Result<Largest> {
        self.check_row("largest_of", row, ws, scratch)?;
        backend.largest(&ws.logits, row, scratch)
    }

    /// The `count` largest of the logits that [`Self::logits_of`] would give, in `top`; `scratch` is as long as they
    /// are.
    ///
    /// # Errors
    /// As [`Self::logits_of`].
    pub fn top_of(
        &self,
        backend: &B,
        row: usize,
        count: usize,
        ws: &Workspace<B>,
        scratch: &mut [f32],
        top: &mut Top,
    ) -> Result<()> {
        self.check_row("top_of", row, ws, scratch)?;
        backend.top(&ws.logits, row, count, scratch, top)
    }

    fn check_row(&self, op: &'static str, row: usize, ws: &Workspace<B>, logits: &[f32]) -> Result<()> {
        CoreError::expect_eq(op, "logits", logits.len(), self.config.vocab_size)?;
        if row >= ws.logits.rows() {
            return Err(CoreError::Mismatch { op, what: "row", got: row, expected: ws.logits.rows() });
        }
        Ok(())
    }

    /// As [`Self::prefill`], but gives the logits of every position, in order, to `sink`; the output matrix is
    /// applied to as many positions at once as the workspace was made for.
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn forward_all(
        &self,
        backend: &B,
        ids: &[u32],
        cache: &mut KvCache<B::Buffer>,
        ws: &mut Workspace<B>,
        sink: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<()> {
        self.layers(backend, ids, 0..ids.len(), cache, ws)?;
        let step = ws.logits_rows();
        let mut row = vec![0.0; self.config.vocab_size];
        for from in (0..ids.len()).step_by(step) {
            let count = step.min(ids.len() - from);
            self.head(backend, ws, from, count)?;
            for i in 0..count {
                backend.download(&ws.logits, i, &mut row)?;
                sink(from + i, &row);
            }
        }
        Ok(())
    }

    /// Embedding and all blocks. The residual stream of the tokens in `wanted` is left in `ws.x`; unless these
    /// are all, they are at most `ws.logits_rows()`.
    fn layers(
        &self,
        backend: &B,
        ids: &[u32],
        wanted: Range<usize>,
        cache: &mut KvCache<B::Buffer>,
        ws: &mut Workspace<B>,
    ) -> Result<()> {
        let vocab = self.config.vocab_size;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(CoreError::BadToken { id, vocab });
        }
        if ids.len() > ws.chunk() {
            return Err(CoreError::Mismatch {
                op: "prefill",
                what: "chunk length",
                got: ids.len(),
                expected: ws.chunk(),
            });
        }
        cache.reserve(backend, ids.len())?;
        self.set_angles(backend, cache.position()..cache.position() + ids.len(), ws)?;
        backend.embed(&self.weights.embedding, ids, &mut ws.x)?;
        if let Some(watch) = &mut ws.watch {
            watch.position = cache.position();
        }
        look(&mut ws.watch, backend, &ws.x, None, "the embedding")?;
        let eps = self.config.rms_norm_eps;
        let layers = &self.weights.layers;
        if let Some(first) = layers.first() {
            backend.rms_norm(&ws.x, &first.attention_norm, eps, &mut ws.normed)?;
        }
        for (index, layer) in layers.iter().enumerate() {
            let next = layers.get(index + 1);
            if next.is_some() || wanted.len() == ids.len() {
                attention::forward(backend, layer, index, cache, ws)?;
            } else {
                attention::forward_rows(backend, layer, index, cache, ws, wanted.clone())?;
                if wanted.is_empty() {
                    break;
                }
            }
            backend.add_rms_norm(&ws.branch, &mut ws.x, &layer.ffn_norm, eps, &mut ws.normed)?;
            look(&mut ws.watch, backend, &ws.x, Some(index), "after attention")?;
            ffn::forward(backend, layer, index, ws)?;
            match next {
                Some(next) => {
                    backend.add_rms_norm(&ws.branch, &mut ws.x, &next.attention_norm, eps, &mut ws.normed)?;
                }
                None => backend.add(&ws.branch, &mut ws.x)?,
            }
            look(&mut ws.watch, backend, &ws.x, Some(index), "after the feed-forward network")?;
        }
        cache.advance(ids.len());
        Ok(())
    }

    /// Brings the angles of `positions`, a chunk of them at most, to the workspace.
    pub(super) fn set_angles(
        &self,
        backend: &B,
        positions: Range<usize>,
        ws: &mut Workspace<B>,
    ) -> Result<()> {
        let rows = positions.len();
        let angles = &mut ws.host_angles[..rows * self.config.head_dim];
        self.rope.fill(positions, angles);
        ws.angles.set_rows(rows)?;
        backend.upload(angles, &mut ws.angles, 0)
    }

    /// Final norm and output matrix for `count` rows of `ws.x`.
    fn head(&self, backend: &B, ws: &mut Workspace<B>, from: usize, count: usize) -> Result<()> {
        let weight = self.weights.output.as_ref().unwrap_or(&self.weights.embedding);
        backend.copy_rows(&ws.x, from, count, &mut ws.head_in)?;
        backend.rms_norm(&ws.head_in, &self.weights.norm, self.config.rms_norm_eps, &mut ws.normed)?;
        backend.linear(&ws.normed, &mut [LinearPart { weight, bias: None, out: &mut ws.logits }])?;
        look_from(&mut ws.watch, backend, &ws.logits, from, None, "the logits")
    }
}
