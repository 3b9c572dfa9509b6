//! The forward pass.

use std::ops::Range;

use super::numerics::{look, look_from};
use super::weights::{Layer, LoadProgress, Weights};
use super::workspace::Workspace;
use super::{attention, ffn};
use crate::core::{Backend, CoreError, KvCache, KvTypes, Largest, LinearPart, Result, Tensor, Top};
use crate::format::TensorSource;
use crate::models::{LayerSpec, ModelError, ModelSpec, WeightPlan};

/// A model whose weights a backend has prepared.
///
/// Holds no state of a text: that is in the [`KvCache`], and the memory for a pass is in the [`Workspace`].
pub struct Llama<B: Backend> {
    spec: ModelSpec,
    weights: Weights<B::Weight>,
}

impl<B: Backend> Llama<B> {
    /// Loads every tensor that `spec` asks for from `source`, each in the format that `plan` gives it.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape than `spec` says, or cannot be prepared.
    pub fn load(
        backend: &B,
        source: &dyn TensorSource,
        spec: ModelSpec,
        plan: impl Into<WeightPlan>,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, ModelError> {
        let weights = Weights::load(backend, source, &spec, plan.into(), progress)?;
        Ok(Self { spec, weights })
    }

    /// What it is made of.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
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
        KvCache::new(backend, &self.spec.cache_shapes(), types, max_len)
    }

    /// Memory for passes of up to `chunk` tokens; `logits_rows` as in [`Self::forward_all`], 1 for generation.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`].
    pub fn workspace(&self, backend: &B, chunk: usize, logits_rows: usize) -> Result<Workspace<B>> {
        Workspace::new(backend, &self.spec, chunk, logits_rows)
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
        CoreError::expect_eq(op, "logits", logits.len(), self.spec.vocab_size)?;
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
        let mut row = vec![0.0; self.spec.vocab_size];
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
        let vocab = self.spec.vocab_size;
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
        scale(backend, &mut ws.x, self.spec.embedding_scale)?;
        if let Some(watch) = &mut ws.watch {
            watch.position = cache.position();
        }
        look(&mut ws.watch, backend, &ws.x, None, "the embedding")?;
        let eps = self.spec.norm_eps;
        let layers = &self.weights.layers;
        if let Some(norm) = layers.first().and_then(|first| first.attention_norm.as_ref()) {
            backend.rms_norm(&ws.x, norm, eps, &mut ws.normed)?;
        }
        for (index, (layer, spec)) in layers.iter().zip(&self.spec.layers).enumerate() {
            let step = Step { backend, layer, spec, index, eps };
            let next = layers.get(index + 1);
            if next.is_some() || wanted.len() == ids.len() {
                attention::forward(step, cache, ws)?;
            } else {
                attention::forward_rows(step, cache, ws, wanted.clone())?;
                if wanted.is_empty() {
                    break;
                }
            }
            step.add(layer.attention_output_norm.as_ref(), layer.ffn_norm.as_ref(), ws)?;
            look(&mut ws.watch, backend, &ws.x, Some(index), "after attention")?;
            ffn::forward(step, ws)?;
            let next_norm = next.and_then(|next| next.attention_norm.as_ref());
            step.add(layer.ffn_output_norm.as_ref(), next_norm, ws)?;
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
        ws.angles.iter_mut().try_for_each(|angles| angles.set(backend, positions.clone()))
    }

    /// Final norm and output matrix for `count` rows of `ws.x`.
    fn head(&self, backend: &B, ws: &mut Workspace<B>, from: usize, count: usize) -> Result<()> {
        let weight = self.weights.output.as_ref().unwrap_or(&self.weights.embedding);
        backend.copy_rows(&ws.x, from, count, &mut ws.head_in)?;
        backend.rms_norm(&ws.head_in, &self.weights.norm, self.spec.norm_eps, &mut ws.normed)?;
        backend.linear(&ws.normed, &mut [LinearPart { weight, bias: None, out: &mut ws.logits }])?;
        scale(backend, &mut ws.logits, self.spec.output.scale)?;
        if let Some(cap) = self.spec.output.softcap {
            backend.softcap(&mut ws.logits, cap)?;
        }
        look_from(&mut ws.watch, backend, &ws.logits, from, None, "the logits")
    }
}

/// What a half of a block works with.
pub(super) struct Step<'a, B: Backend> {
    pub backend: &'a B,
    pub layer: &'a Layer<B::Weight>,
    pub spec: &'a LayerSpec,
    pub index: usize,
    pub eps: f32,
}

impl<B: Backend> Clone for Step<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Step<'_, B> {}

impl<B: Backend> Step<'_, B> {
    /// Adds what a half of the block has given to the residual stream, after its own norm if it has one, and gives the next
    /// half its input, if that has a norm.
    fn add(
        &self,
        own_norm: Option<&B::Weight>,
        next_norm: Option<&B::Weight>,
        ws: &mut Workspace<B>,
    ) -> Result<()> {
        let Self { backend, spec, eps, .. } = self;
        if let Some(norm) = own_norm {
            backend.rms_norm_in_place(&mut ws.branch, norm, *eps)?;
        }
        scale(*backend, &mut ws.branch, spec.residual_scale)?;
        match next_norm {
            Some(norm) => backend.add_rms_norm(&ws.branch, &mut ws.x, norm, *eps, &mut ws.normed),
            None => backend.add(&ws.branch, &mut ws.x),
        }
    }
}

/// `x *= factor`, where that changes anything.
fn scale<B: Backend>(backend: &B, x: &mut Tensor<B::Buffer>, factor: f32) -> Result<()> {
    if factor == 1.0 { Ok(()) } else { backend.scale(x, factor) }
}
