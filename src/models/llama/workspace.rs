//! Memory for one forward pass, made once.

use crate::core::{Backend, Result, Tensor};
use crate::models::ModelConfig;

/// Activations of a chunk of tokens. Made for a largest chunk; smaller ones (a single token in decode) use the
/// first rows of the same memory.
pub struct Workspace<B: Backend> {
    /// Residual stream, `[chunk, hidden]`.
    pub(super) x: Tensor<B::Buffer>,
    /// Normalized residual, later the output of a block, `[chunk, hidden]`.
    pub(super) normed: Tensor<B::Buffer>,
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
        })
    }

    /// The most tokens that one forward pass takes.
    pub fn chunk(&self) -> usize {
        self.x.capacity()
    }
}
