//! Following a sequence through attention.

use std::ops::Range;

use super::{AttentionParams, Backend, KvLayer, Result, Run, Tensor};

/// Sees what one sequence stores and attends to, layer by layer in ascending order: for what an eviction policy needs to
/// know besides the keys and values that are held.
pub trait KvObserver<B: Backend> {
    /// The rows `rows` of `k`, not rotated yet, and of `v` are about to be stored; the first of them stands at `position`.
    ///
    /// # Errors
    /// As [`Backend::download`].
    fn stores(
        &mut self,
        backend: &B,
        layer: usize,
        kv: (&Tensor<B::Buffer>, &Tensor<B::Buffer>),
        rows: Range<usize>,
        position: usize,
    ) -> Result<()>;

    /// The queries `q` of `run` are about to attend to what `stored` has of the sequence.
    ///
    /// # Errors
    /// As [`Backend::attention_weights`].
    fn attends(
        &mut self,
        backend: &B,
        layer: usize,
        q: &Tensor<B::Buffer>,
        stored: &KvLayer<B::Buffer>,
        how: &AttentionParams,
        run: &Run<'_>,
    ) -> Result<()>;
}
