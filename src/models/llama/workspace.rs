//! Memory for one forward pass, made once.

use std::ops::Range;

use super::numerics::{NonFinite, Watch};
use crate::core::{Backend, Result, Tensor};
use crate::models::{ModelSpec, Rope, TextSpan};

/// Activations of a chunk of tokens. Made for a largest chunk; smaller ones (a single token in decode) use the
/// first rows of the same memory.
pub struct Workspace<B: Backend> {
    /// Residual stream, `[chunk, hidden]`.
    pub(super) x: Tensor<B::Buffer>,
    /// Normalized residual, `[chunk, hidden]`.
    pub(super) normed: Tensor<B::Buffer>,
    /// What half a block adds to the residual stream, `[chunk, hidden]`.
    pub(super) branch: Tensor<B::Buffer>,
    /// Queries, `[chunk, heads * head_dim]`.
    pub(super) q: Tensor<B::Buffer>,
    /// Keys, `[chunk, kv_heads * head_dim]`.
    pub(super) k: Tensor<B::Buffer>,
    /// Values, as keys.
    pub(super) v: Tensor<B::Buffer>,
    /// Output of attention, as queries.
    pub(super) attended: Tensor<B::Buffer>,
    /// `[chunk, width of the inner layer]`, three times.
    pub(super) gate: Tensor<B::Buffer>,
    pub(super) up: Tensor<B::Buffer>,
    pub(super) activated: Tensor<B::Buffer>,
    /// One for each rotary embedding of the model.
    pub(super) angles: Vec<Angles<B>>,
    /// What the rotary embeddings are now.
    pub(super) span: TextSpan,
    /// Rows whose logits are wanted, `[logits rows, hidden]`, and the logits, `[logits rows, vocab]`.
    pub(super) head_in: Tensor<B::Buffer>,
    pub(super) logits: Tensor<B::Buffer>,
    /// Looks at all of these, if asked to.
    pub(super) watch: Option<Watch>,
}

/// Cosines and sines of a rotary embedding, `[chunk, elements that are turned]`, and the host's copy.
pub(super) struct Angles<B: Backend> {
    rope: Rope,
    pub keys: Tensor<B::Buffer>,
    /// Where queries are turned by other numbers than keys.
    queries: Option<Tensor<B::Buffer>>,
    host: Vec<f32>,
    host_queries: Vec<f32>,
}

impl<B: Backend> Angles<B> {
    fn new(backend: &B, rope: Rope, chunk: usize) -> Result<Self> {
        let width = 2 * rope.pairs();
        let grows = rope.grows_queries();
        Ok(Self {
            keys: backend.tensor(chunk, width)?,
            queries: grows.then(|| backend.tensor(chunk, width)).transpose()?,
            host: vec![0.0; chunk * width],
            host_queries: vec![0.0; if grows { chunk * width } else { 0 }],
            rope,
        })
    }

    /// Those of queries.
    pub fn queries(&self) -> &Tensor<B::Buffer> {
        self.queries.as_ref().unwrap_or(&self.keys)
    }

    /// Those of `positions`, a chunk of them at most.
    pub fn set(&mut self, backend: &B, positions: Range<usize>) -> Result<()> {
        let len = positions.len() * self.keys.cols();
        self.rope.fill(positions.clone(), &mut self.host[..len]);
        self.keys.set_rows(positions.len())?;
        backend.upload(&self.host[..len], &mut self.keys, 0)?;
        let Some(queries) = &mut self.queries else { return Ok(()) };
        self.rope.fill_queries(positions.clone(), &mut self.host_queries[..len]);
        queries.set_rows(positions.len())?;
        backend.upload(&self.host_queries[..len], queries, 0)
    }

    fn keep_rows(&mut self, backend: &B, rows: Range<usize>) -> Result<()> {
        let width = self.keys.cols();
        let part = rows.start * width..rows.end * width;
        self.keys.set_rows(rows.len())?;
        backend.upload(&self.host[part.clone()], &mut self.keys, 0)?;
        let Some(queries) = &mut self.queries else { return Ok(()) };
        queries.set_rows(rows.len())?;
        backend.upload(&self.host_queries[part], queries, 0)
    }
}

impl<B: Backend> Workspace<B> {
    /// Memory for chunks of up to `chunk` tokens, and for computing logits of `logits_rows` positions at once
    /// (1 for generation).
    pub(super) fn new(backend: &B, spec: &ModelSpec, chunk: usize, logits_rows: usize) -> Result<Self> {
        let chunk = chunk.max(1);
        let logits_rows = logits_rows.clamp(1, chunk);
        let hidden = spec.hidden_size;
        let ffn = spec.widest(|layer| layer.ffn.width);
        let q = spec.widest(|layer| layer.attention.q_width());
        let kv = spec.widest(|layer| layer.attention.kv_width());
        let angles =
            spec.ropes.iter().map(|rope| Angles::new(backend, Rope::new(rope, TextSpan::Original), chunk));
        Ok(Self {
            x: backend.tensor(chunk, hidden)?,
            normed: backend.tensor(chunk, hidden)?,
            branch: backend.tensor(chunk, hidden)?,
            q: backend.tensor(chunk, q)?,
            k: backend.tensor(chunk, kv)?,
            v: backend.tensor(chunk, kv)?,
            attended: backend.tensor(chunk, q)?,
            gate: backend.tensor(chunk, ffn)?,
            up: backend.tensor(chunk, ffn)?,
            activated: backend.tensor(chunk, ffn)?,
            angles: angles.collect::<Result<_>>()?,
            span: TextSpan::Original,
            head_in: backend.tensor(logits_rows, hidden)?,
            logits: backend.tensor(logits_rows, spec.vocab_size)?,
            watch: None,
        })
    }

    /// The most tokens that one forward pass takes.
    pub fn chunk(&self) -> usize {
        self.x.capacity()
    }

    /// The most tokens whose logits are computed at once.
    pub fn logits_rows(&self) -> usize {
        self.logits.capacity()
    }

    /// The same for another number of positions whose logits are computed at once; `spec` is the model's.
    ///
    /// # Errors
    /// [`crate::core::CoreError::OutOfMemory`].
    pub fn with_logits_rows(&self, backend: &B, spec: &ModelSpec, logits_rows: usize) -> Result<Self> {
        let mut other = Self::new(backend, spec, self.chunk(), logits_rows)?;
        other.set_span(spec, self.span);
        if self.watch.is_some() {
            other.check_numerics();
        }
        Ok(other)
    }

    /// From now on every pass looks for values that are not finite after each of its steps, which costs the time
    /// to read all activations on the host.
    pub fn check_numerics(&mut self) {
        self.watch = Some(Watch::new());
    }

    /// Makes the rotary embeddings those of texts of this span; `spec` is the model's.
    pub fn set_span(&mut self, spec: &ModelSpec, span: TextSpan) {
        if span != self.span {
            for (angles, rope) in self.angles.iter_mut().zip(&spec.ropes) {
                angles.rope = Rope::new(rope, span);
            }
            self.span = span;
        }
    }

    /// The span of the texts that its rotary embeddings are for.
    pub fn span(&self) -> TextSpan {
        self.span
    }

    /// Whether passes look for values that are not finite.
    pub fn checks_numerics(&self) -> bool {
        self.watch.is_some()
    }

    /// The first value that was not finite, if one was found since the last question; it is given once.
    pub fn non_finite(&mut self) -> Option<NonFinite> {
        self.watch.as_mut()?.report()
    }

    /// Leaves no more than `rows` (at most [`Self::logits_rows`]) of the residual stream, of its normalized form (if it
    /// is `normed`) and of the angles; they become the first ones.
    pub(super) fn keep_rows(&mut self, backend: &B, rows: Range<usize>, normed: bool) -> Result<()> {
        for tensor in [Some(&mut self.x), normed.then_some(&mut self.normed)].into_iter().flatten() {
            backend.copy_rows(tensor, rows.start, rows.len(), &mut self.head_in)?;
            backend.copy_rows(&self.head_in, 0, rows.len(), tensor)?;
        }
        if let Some(watch) = &mut self.watch {
            watch.position += rows.start;
        }
        self.angles.iter_mut().try_for_each(|angles| angles.keep_rows(backend, rows.clone()))
    }
}
