//! For tests: one sequence on a pool of its own.

use std::ops::Range;

use super::{
    AttentionParams, Backend, Buffer, KvLayer, KvLayout, KvPool, KvSequence, KvShape, KvTypes, PageId,
    Result, Tensor,
};

/// One sequence on a pool of its own.
#[derive(Debug)]
pub(crate) struct OneSequence<B> {
    pub pool: KvPool<B>,
    pub sequence: KvSequence,
}

impl<B: Buffer> OneSequence<B> {
    pub fn new<K: Backend<Buffer = B>>(
        b: &K,
        shapes: &[KvShape],
        types: KvTypes,
        most: usize,
    ) -> Result<Self> {
        let pool = KvPool::new(b, shapes, types, most)?;
        let sequence = KvSequence::new(&pool, most);
        Ok(Self { pool, sequence })
    }

    pub fn reserve<K: Backend<Buffer = B>>(&mut self, b: &K, more: usize) -> Result<()> {
        self.sequence.reserve(b, &mut self.pool, more)
    }

    pub fn retain<K: Backend<Buffer = B>>(
        &mut self,
        b: &K,
        keep: &[Range<usize>],
        more: usize,
    ) -> Result<()> {
        self.sequence.retain(b, &mut self.pool, keep, more)
    }

    pub fn clear(&mut self) {
        self.sequence.clear(&mut self.pool);
    }

    pub fn advance(&mut self, tokens: usize) {
        self.sequence.advance(tokens);
    }

    pub fn rewind(&mut self, position: usize) {
        self.sequence.rewind(position);
    }

    pub fn len(&self) -> usize {
        self.sequence.len()
    }

    pub fn position(&self) -> usize {
        self.sequence.position()
    }

    pub fn layers(&self) -> usize {
        self.pool.layers()
    }

    pub fn layout(&self, layer: usize) -> &KvLayout {
        &self.pool.layer(layer).layout
    }

    pub fn size_bytes(&self) -> usize {
        self.pool.size_bytes()
    }

    /// The pages of a layer, and the table of those that hold the sequence's slots.
    pub fn layer(&self, layer: usize) -> (&KvLayer<B>, &[PageId]) {
        (self.pool.layer(layer), self.sequence.pages(self.pool.group_of(layer)))
    }

    /// Stores the rows of `k` and `v` in the slots from `at` on.
    pub fn append<K: Backend<Buffer = B>>(
        &mut self,
        b: &K,
        layer: usize,
        (k, v): (&Tensor<B>, &Tensor<B>),
        at: usize,
    ) -> Result<()> {
        let run = self.sequence.run(self.pool.group_of(layer), 0..k.rows(), at);
        b.kv_append(k, v, self.pool.layer_mut(layer), &[run])
    }

    /// Attention of the rows of `q`, the first of them in slot `at`.
    pub fn attend<K: Backend<Buffer = B>>(
        &self,
        b: &K,
        layer: usize,
        q: &Tensor<B>,
        how: &AttentionParams,
        at: usize,
        out: &mut Tensor<B>,
    ) -> Result<()> {
        let run = self.sequence.run(self.pool.group_of(layer), 0..q.rows(), at);
        b.attention(q, self.pool.layer(layer), how, &[run], out)
    }

    /// Keys and values of some slots of a layer.
    pub fn export<K: Backend<Buffer = B>>(
        &self,
        b: &K,
        layer: usize,
        slots: Range<usize>,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let (k, v) = self.layout(layer).slot_bytes();
        let (mut k, mut v) = (vec![0x55; k * slots.len()], vec![0x55; v * slots.len()]);
        self.sequence.export_slots(b, &self.pool, layer, slots, &mut k, &mut v)?;
        Ok((k, v))
    }

    /// The same into the slots from `at` on.
    pub fn import<K: Backend<Buffer = B>>(
        &mut self,
        b: &K,
        layer: usize,
        (k, v): &(Vec<u8>, Vec<u8>),
        at: usize,
    ) -> Result<()> {
        self.sequence.import_slots(b, &mut self.pool, layer, k, v, at)
    }
}
