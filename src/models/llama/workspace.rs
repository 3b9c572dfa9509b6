//! Memory for one forward pass, made once.

use std::ops::Range;

use super::numerics::{NonFinite, Watch};
use crate::core::{Backend, Result, Tensor};
use crate::models::ModelConfig;

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
    /// `[chunk, intermediate]`, three times.
    pub(super) gate: Tensor<B::Buffer>,
    pub(super) up: Tensor<B::Buffer>,
    pub(super) activated: Tensor<B::Buffer>,
    /// Cosines and sines, `[chunk, head_dim]`, and the host's copy.
    pub(super) angles: Tensor<B::Buffer>,
    pub(super) host_angles: Vec<f32>,
    /// Rows whose logits are wanted, `[logits rows, hidden]`, and the logits, `[logits rows, vocab]`.
    pub(super) head_in: Tensor<B::Buffer>,
    pub(super) logits: Tensor<B::Buffer>,
    /// Looks at all of these, if asked to.
    pub(super) watch: Option<Watch>,
}

impl<B: Backend> Workspace<B> {
    /// Memory for chunks of up to `chunk` tokens, and for computing logits of `logits_rows` positions at once
    /// (1 for generation).
    pub(super) fn new(backend: &B, config: &ModelConfig, chunk: usize, logits_rows: usize) -> Result<Self> {
        let chunk = chunk.max(1);
        let logits_rows = logits_rows.clamp(1, chunk);
        let hidden = config.hidden_size;
        let ffn = config.intermediate_size;
        let q = config.heads * config.head_dim;
        let kv = config.kv_heads * config.head_dim;
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
            angles: backend.tensor(chunk, config.head_dim)?,
            host_angles: vec![0.0; chunk * config.head_dim],
            head_in: backend.tensor(logits_rows, hidden)?,
            logits: backend.tensor(logits_rows, config.vocab_size)?,
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

    /// The same for another number of positions whose logits are computed at once; `config` is the model's.
    ///
    /// # Errors
    /// [`crate::core::CoreError::OutOfMemory`].
    pub fn with_logits_rows(&self, backend: &B, config: &ModelConfig, logits_rows: usize) -> Result<Self> {
        let mut other = Self::new(backend, config, self.chunk(), logits_rows)?;
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

    /// Leaves no more than `rows` (at most [`Self::logits_rows`]) of the residual stream, of its normalized form
    /// and of the angles; they become the first ones.
    pub(super) fn keep_rows(&mut self, backend: &B, rows: Range<usize>) -> Result<()> {
        for tensor in [&mut self.x, &mut self.normed] {
            backend.copy_rows(tensor, rows.start, rows.len(), &mut self.head_in)?;
            backend.copy_rows(&self.head_in, 0, rows.len(), tensor)?;
        }
        if let Some(watch) = &mut self.watch {
            watch.position += rows.start;
        }
        let width = self.angles.cols();
        self.angles.set_rows(rows.len())?;
        backend.upload(&self.host_angles[rows.start * width..rows.end * width], &mut self.angles, 0)
    }
}
