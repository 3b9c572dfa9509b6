//! The forward pass.

use super::numerics::{look, look_at};
use super::share::Share;
use super::weights::{Layer, LoadProgress, Weights};
use super::workspace::Workspace;
use super::{attention, ffn};
use crate::core::{Backend, CoreError, KvPool, KvTypes, Largest, LinearPart, Result, Tensor, Top};
use crate::format::TensorSource;
use crate::models::{LayerSpec, ModelError, ModelSpec, WeightPlan};

/// A model whose weights a backend has prepared.
///
/// Holds no state of a text: that is in a [`KvPool`] and each sequence's slots, and the memory for a pass is in the
/// [`Workspace`].
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

    /// An empty pool of up to `most` slots, for the sequences of this model.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] for a type that keys cannot be stored in.
    pub fn new_pool(&self, backend: &B, types: KvTypes, most: usize) -> Result<KvPool<B::Buffer>> {
        KvPool::new(backend, &self.spec.cache_shapes(), types, most)
    }

    /// Memory for passes of up to `chunk` tokens, and for computing the logits of `logits_rows` of them at once: 1 for
    /// generation.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`].
    pub fn workspace(&self, backend: &B, chunk: usize, logits_rows: usize) -> Result<Workspace<B>> {
        Workspace::new(backend, &self.spec, chunk, logits_rows)
    }

    /// Takes in the tokens of all shares, `ws.chunk()` at most. Those tokens that are wanted are rows of `ws` afterwards, one
    /// share after the other: see [`Self::logits_of`] and [`Self::hidden_of`].
    ///
    /// Every sequence gets the bits that it would get alone, whatever goes through the model with it. In the last layer
    /// queries, output projection and feed-forward network are computed for the wanted tokens alone where these come one
    /// after the other (as those of one share do), or not at all: nothing reads what they would give for the others.
    ///
    /// # Errors
    /// More tokens than a chunk, an id outside of the vocabulary, a full sequence, more of a text whose tokens see later
    /// ones: nothing is taken in then.
    pub fn forward(
        &self,
        backend: &B,
        pool: &mut KvPool<B::Buffer>,
        shares: &mut [Share<'_, B>],
        ws: &mut Workspace<B>,
    ) -> Result<()> {
        self.start(backend, pool, shares, ws)?;
        if ws.ids.is_empty() {
            return Ok(());
        }
        let eps = self.spec.norm_eps;
        let layers = &self.weights.layers;
        if let Some(norm) = layers.first().and_then(|first| first.attention_norm.as_ref()) {
            backend.rms_norm(&ws.x, norm, eps, &mut ws.normed)?;
        }
        for (index, (layer, spec)) in layers.iter().zip(&self.spec.layers).enumerate() {
            let step = Step { backend, layer, spec, index, eps };
            let next = layers.get(index + 1);
            match ws.only_wanted().filter(|_| next.is_none()) {
                None => attention::forward(step, pool, shares, ws)?,
                Some(wanted) => {
                    attention::forward_wanted(step, pool, shares, ws, wanted)?;
                    if ws.wanted.is_empty() {
                        break;
                    }
                }
            }
            step.add(layer.attention_output_norm.as_ref(), layer.ffn_norm.as_ref(), ws)?;
            look(&mut ws.watch, backend, &ws.x, Some(index), "after attention")?;
            ffn::forward(step, ws)?;
            let next_norm = next.and_then(|next| next.attention_norm.as_ref());
            step.add(layer.ffn_output_norm.as_ref(), next_norm, ws)?;
            look(&mut ws.watch, backend, &ws.x, Some(index), "after the feed-forward network")?;
        }
        for share in shares {
            share.sequence.advance(share.ids.len());
        }
        ws.first_logits.map_or(Ok(()), |from| self.head(backend, ws, from))
    }

    /// Checks a pass, and makes the rows that it begins with.
    fn start(
        &self,
        backend: &B,
        pool: &mut KvPool<B::Buffer>,
        shares: &mut [Share<'_, B>],
        ws: &mut Workspace<B>,
    ) -> Result<()> {
        let (vocab, chunk) = (self.spec.vocab_size, ws.chunk());
        ws.ids.clear();
        ws.wanted.clear();
        ws.headed = 0..0;
        ws.first_logits = None;
        for share in &*shares {
            let tokens = ws.ids.len() + share.ids.len();
            if tokens > chunk {
                let (op, what) = ("forward", "number of tokens");
                return Err(CoreError::Mismatch { op, what, got: tokens, expected: chunk });
            }
            if !self.spec.is_causal() && !share.sequence.is_empty() {
                let (op, what) = ("forward", "tokens before those of a text that is read in both directions");
                return Err(CoreError::Mismatch { op, what, got: share.sequence.len(), expected: 0 });
            }
            if !share.hidden && share.wanted > 0 && !share.ids.is_empty() {
                ws.first_logits = ws.first_logits.or(Some(ws.wanted.len()));
            }
            ws.ids.extend_from_slice(share.ids);
            ws.wanted.extend(tokens - share.wanted.min(share.ids.len())..tokens);
        }
        if let Some(&id) = ws.ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(CoreError::BadToken { id, vocab });
        }
        for share in &mut *shares {
            share.wanted = share.wanted.min(share.ids.len());
            share.sequence.reserve(backend, pool, share.ids.len())?;
        }
        if ws.ids.is_empty() {
            return Ok(());
        }
        let rows = ws.ids.len();
        for angles in &mut ws.angles {
            let mut row = 0;
            for share in &*shares {
                let of_share = share.rows(row);
                row = of_share.end;
                angles.fill(of_share, share.positions(), share.span);
            }
            angles.send(backend, rows)?;
        }
        if let Some(watch) = &mut ws.watch {
            watch.positions.clear();
            watch.positions.extend(shares.iter().flat_map(Share::positions));
        }
        backend.embed(&self.weights.embedding, &ws.ids, &mut ws.x)?;
        scale(backend, &mut ws.x, self.spec.embedding_scale)?;
        look(&mut ws.watch, backend, &ws.x, None, "the embedding")
    }

    /// The logits after wanted token `row` of the last pass.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] if it had no such token, or `logits` is not `vocab_size` long.
    pub fn logits_of(
        &self,
        backend: &B,
        row: usize,
        ws: &mut Workspace<B>,
        logits: &mut [f32],
    ) -> Result<()> {
        let row = self.headed_row(backend, "logits_of", row, ws, logits)?;
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
        ws: &mut Workspace<B>,
        scratch: &mut [f32],
    ) -> Result<Largest> {
        let row = self.headed_row(backend, "largest_of", row, ws, scratch)?;
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
        ws: &mut Workspace<B>,
        scratch: &mut [f32],
        top: &mut Top,
    ) -> Result<()> {
        let row = self.headed_row(backend, "top_of", row, ws, scratch)?;
        backend.top(&ws.logits, row, count, scratch, top)
    }

    /// What the last layer and the final norm give for wanted token `row` of the last pass: what logits are made of.
    /// `hidden` is `hidden_size` long.
    ///
    /// # Errors
    /// As [`Self::logits_of`].
    pub fn hidden_of(
        &self,
        backend: &B,
        row: usize,
        ws: &mut Workspace<B>,
        hidden: &mut [f32],
    ) -> Result<()> {
        let op = "hidden_of";
        CoreError::expect_eq(op, "elements", hidden.len(), self.spec.hidden_size)?;
        let wrong = CoreError::Mismatch { op, what: "row", got: row, expected: ws.wanted.len() };
        let &from = ws.wanted.get(row).ok_or(wrong)?;
        backend.copy_rows(&ws.x, from, 1, &mut ws.head_in)?;
        backend.rms_norm(&ws.head_in, &self.weights.norm, self.spec.norm_eps, &mut ws.normed)?;
        backend.download(&ws.normed, 0, hidden)
    }

    /// The row of `ws.logits` that has the logits after wanted token `row`, which are computed now if they were not.
    fn headed_row(
        &self,
        backend: &B,
        op: &'static str,
        row: usize,
        ws: &mut Workspace<B>,
        logits: &[f32],
    ) -> Result<usize> {
        CoreError::expect_eq(op, "logits", logits.len(), self.spec.vocab_size)?;
        if row >= ws.wanted.len() {
            return Err(CoreError::Mismatch { op, what: "row", got: row, expected: ws.wanted.len() });
        }
        if !ws.headed.contains(&row) {
            self.head(backend, ws, row)?;
        }
        Ok(row - ws.headed.start)
    }

    /// Final norm and output matrix for wanted tokens from `from` on, as many as there is memory for.
    fn head(&self, backend: &B, ws: &mut Workspace<B>, from: usize) -> Result<()> {
        ws.headed = 0..0;
        let Some(&first) = ws.wanted.get(from) else { return Ok(()) };
        // Those that come one after the other.
        let next = (first..).zip(&ws.wanted[from..]).take_while(|(row, wanted)| row == *wanted);
        let count = next.take(ws.logits_rows()).count();
        let weight = self.weights.output.as_ref().unwrap_or(&self.weights.embedding);
        backend.copy_rows(&ws.x, first, count, &mut ws.head_in)?;
        backend.rms_norm(&ws.head_in, &self.weights.norm, self.spec.norm_eps, &mut ws.normed)?;
        backend.linear(&ws.normed, &mut [LinearPart { weight, bias: None, out: &mut ws.logits }])?;
        scale(backend, &mut ws.logits, self.spec.output.scale)?;
        if let Some(cap) = self.spec.output.softcap {
            backend.softcap(&mut ws.logits, cap)?;
        }
        ws.headed = from..from + count;
        look_at(&mut ws.watch, backend, &ws.logits, |row| first + row, None, "the logits")
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
