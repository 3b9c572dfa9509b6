//! Memory for one forward pass, made once.

use std::ops::Range;

use super::numerics::{NonFinite, Watch};
use crate::core::{Backend, Result, Tensor};
use crate::models::{ModelSpec, Rope, RopeSpec, TextSpan};

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
    /// The tokens of a pass.
    pub(super) ids: Vec<u32>,
    /// The rows of `x` that are wanted, in the order of the shares.
    pub(super) wanted: Vec<usize>,
    /// The first of these whose logits are wanted.
    pub(super) first_logits: Option<usize>,
    /// Some of these, `[logits rows, hidden]`, and their logits, `[logits rows, vocab]`.
    pub(super) head_in: Tensor<B::Buffer>,
    pub(super) logits: Tensor<B::Buffer>,
    /// Which of the wanted rows these are.
    pub(super) headed: Range<usize>,
    /// Looks at all of these, if asked to.
    pub(super) watch: Option<Watch>,
}

/// Cosines and sines of a rotary embedding, `[chunk, elements that are turned]`, and the host's copy.
pub(super) struct Angles<B: Backend> {
    spec: RopeSpec,
    original: Rope,
    /// For longer texts, once there was one.
    beyond: Option<(TextSpan, Rope)>,
    pub keys: Tensor<B::Buffer>,
    /// Where queries are turned by other numbers than keys.
    queries: Option<Tensor<B::Buffer>>,
    host: Vec<f32>,
    host_queries: Vec<f32>,
}

impl<B: Backend> Angles<B> {
    fn new(backend: &B, spec: &RopeSpec, chunk: usize) -> Result<Self> {
        let original = Rope::new(spec, TextSpan::Original);
        let width = 2 * original.pairs();
        let grows = original.grows_queries();
        Ok(Self {
            keys: backend.tensor(chunk, width)?,
            queries: grows.then(|| backend.tensor(chunk, width)).transpose()?,
            host: vec![0.0; chunk * width],
            host_queries: vec![0.0; if grows { chunk * width } else { 0 }],
            spec: spec.clone(),
            original,
            beyond: None,
        })
    }

    /// Those of queries.
    pub fn queries(&self) -> &Tensor<B::Buffer> {
        self.queries.as_ref().unwrap_or(&self.keys)
    }

    /// Fills in the rows `rows`, those of `positions` in a text of this span.
    pub fn fill(&mut self, rows: Range<usize>, positions: Range<usize>, span: TextSpan) {
        let width = self.keys.cols();
        let part = rows.start * width..rows.end * width;
        let rope = match span {
            TextSpan::Original => &self.original,
            _ => {
                let beyond = self.beyond.take().filter(|(known, _)| *known == span);
                &self.beyond.insert(beyond.unwrap_or_else(|| (span, Rope::new(&self.spec, span)))).1
            }
        };
        rope.fill(positions.clone(), &mut self.host[part.clone()]);
        if self.queries.is_some() {
            rope.fill_queries(positions, &mut self.host_queries[part]);
        }
    }

    /// Brings the first `rows` rows that were filled in to the backend.
    pub fn send(&mut self, backend: &B, rows: usize) -> Result<()> {
        self.keep_rows(backend, 0..rows)
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
        let angles = spec.ropes.iter().map(|rope| Angles::new(backend, rope, chunk));
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
            ids: Vec::with_capacity(chunk),
            wanted: Vec::with_capacity(chunk),
            first_logits: None,
            headed: 0..0,
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

    /// Whether passes look for values that are not finite.
    pub fn checks_numerics(&self) -> bool {
        self.watch.is_some()
    }

    /// The first value that was not finite, if one was found since the last question; it is given once.
    pub fn non_finite(&mut self) -> Option<NonFinite> {
        self.watch.as_mut()?.report()
    }

    /// The rows that are wanted, if the last layer can go on with them alone: where they come one after the other, are
    /// not all, and there is memory for them.
    pub(super) fn only_wanted(&self) -> Option<Range<usize>> {
        let (Some(&first), Some(&last)) = (self.wanted.first(), self.wanted.last()) else {
            return Some(0..0);
        };
        let count = self.wanted.len();
        let alone = last + 1 - first == count && count < self.ids.len() && count <= self.logits_rows();
        alone.then_some(first..last + 1)
    }

    /// Leaves no more than `rows` (at most [`Self::logits_rows`]) of the residual stream, of its normalized form (if it
    /// is `normed`) and of the angles; they become the first ones.
    pub(super) fn keep_rows(&mut self, backend: &B, rows: Range<usize>, normed: bool) -> Result<()> {
        for tensor in [Some(&mut self.x), normed.then_some(&mut self.normed)].into_iter().flatten() {
            backend.copy_rows(tensor, rows.start, rows.len(), &mut self.head_in)?;
            backend.copy_rows(&self.head_in, 0, rows.len(), tensor)?;
        }
        self.wanted.iter_mut().for_each(|row| *row -= rows.start);
        if let Some(watch) = &mut self.watch {
            watch.positions.truncate(rows.end);
            watch.positions.drain(..rows.start);
        }
        self.angles.iter_mut().try_for_each(|angles| angles.keep_rows(backend, rows.clone()))
    }
}
