//! A backend that counts what another one is asked to do, and can take attention into its own hands.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use llm_rs2::core::{Backend, DType, HostTensor, KvLayer, KvLayout, LinearPart, Result, Tensor};

/// What was asked for so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots that queries looked at.
    pub attended: usize,
    /// Rows that went into linear layers.
    pub linear_rows: usize,
    /// Slots that were moved by repacking.
    pub moved: usize,
    /// The largest cache capacity seen.
    pub capacity: usize,
}

/// Keys and values of one layer, every token's, in order of positions: nothing is ever dropped here.
#[derive(Default)]
struct Stored {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Attention over all tokens with a mask.
struct Mask {
    /// For each position, those that it sees.
    visible: Vec<Vec<usize>>,
    layers: Vec<Stored>,
    /// The layer whose keys came last.
    layer: usize,
}

#[derive(Default)]
struct State {
    counts: Counts,
    mask: Option<Mask>,
}

/// Another backend, watched.
pub struct Spy<B> {
    inner: B,
    state: Arc<Mutex<State>>,
}

/// Reads the counts while a session owns the spy.
#[derive(Clone)]
pub struct Counter(Arc<Mutex<State>>);

impl Counter {
    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts
    }
}

impl<B: Backend> Spy<B> {
    pub fn new(inner: B) -> (Self, Counter) {
        let state = Arc::default();
        (Self { inner, state: Arc::clone(&state) }, Counter(state))
    }

    /// Attention is computed here, in f64, over copies of all keys and values of one text: position `p` sees the
    /// positions in `visible[p]`.
    pub fn masked(inner: B, layers: usize, visible: Vec<Vec<usize>>) -> Self {
        let layers: Vec<_> = (0..layers).map(|_| Stored::default()).collect();
        let mask = Mask { visible, layer: layers.len() - 1, layers };
        Self { inner, state: Arc::new(Mutex::new(State { mask: Some(mask), ..State::default() })) }
    }

    fn read(&self, x: &Tensor<B::Buffer>) -> Result<Vec<f32>> {
        let mut values = vec![0.0; x.rows() * x.cols()];
        self.inner.download(x, 0, &mut values)?;
        Ok(values)
    }
}

impl Mask {
    fn row(&self, query: &[f32], position: usize, layout: &KvLayout) -> Vec<f32> {
        let (d, width) = (layout.head_dim, layout.kv_heads * layout.head_dim);
        let heads_per_kv_head = query.len() / width;
        let stored = &self.layers[self.layer];
        let mut out = Vec::with_capacity(query.len());
        for (head, q) in query.chunks_exact(d).enumerate() {
            let at = |p: usize| p * width + head / heads_per_kv_head * d;
            let seen = &self.visible[position];
            let weights: Vec<f64> = seen
                .iter()
                .map(|&p| {
                    let k = &stored.keys[at(p)..at(p) + d];
                    let dot: f64 = q.iter().zip(k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    (dot / (d as f64).sqrt()).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            out.extend((0..d).map(|i| {
                let sum: f64 =
                    seen.iter().zip(&weights).map(|(&p, w)| w * f64::from(stored.values[at(p) + i])).sum();
                (sum / total) as f32
            }));
        }
        out
    }
}

impl<B: Backend> Backend for Spy<B> {
    type Buffer = B::Buffer;
    type Weight = B::Weight;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<B::Buffer> {
        self.inner.alloc(dtype, len)
    }

    fn upload(&self, values: &[f32], dst: &mut Tensor<B::Buffer>, row: usize) -> Result<()> {
        self.inner.upload(values, dst, row)
    }

    fn download(&self, src: &Tensor<B::Buffer>, row: usize, dst: &mut [f32]) -> Result<()> {
        self.inner.download(src, row, dst)
    }

    fn prepare(&self, tensor: &HostTensor, format: DType) -> Result<B::Weight> {
        self.inner.prepare(tensor, format)
    }

    fn embed(&self, table: &B::Weight, ids: &[u32], out: &mut Tensor<B::Buffer>) -> Result<()> {
        self.inner.embed(table, ids, out)
    }

    fn rms_norm(
        &self,
        x: &Tensor<B::Buffer>,
        gain: &B::Weight,
        eps: f32,
        out: &mut Tensor<B::Buffer>,
    ) -> Result<()> {
        self.inner.rms_norm(x, gain, eps, out)
    }

    fn linear(&self, x: &Tensor<B::Buffer>, parts: &mut [LinearPart<'_, Self>]) -> Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counts.linear_rows += x.rows();
        let mut parts: Vec<LinearPart<'_, B>> = parts
            .iter_mut()
            .map(|p| LinearPart { weight: p.weight, bias: p.bias, out: &mut *p.out })
            .collect();
        self.inner.linear(x, &mut parts)
    }

    fn rope(&self, x: &mut Tensor<B::Buffer>, angles: &Tensor<B::Buffer>) -> Result<()> {
        self.inner.rope(x, angles)
    }

    fn kv_append(
        &self,
        k: &Tensor<B::Buffer>,
        v: &Tensor<B::Buffer>,
        cache: &mut KvLayer<B::Buffer>,
        layout: &KvLayout,
        at: usize,
    ) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mask) = &mut state.mask {
            mask.layer = (mask.layer + 1) % mask.layers.len();
            let stored = &mut mask.layers[mask.layer];
            assert_eq!(stored.keys.len(), at * k.cols(), "nothing is evicted from the oracle");
            stored.keys.extend(self.read(k)?);
            stored.values.extend(self.read(v)?);
        }
        self.inner.kv_append(k, v, cache, layout, at)
    }

    fn kv_repack(
        &self,
        src: &KvLayer<B::Buffer>,
        from: &KvLayout,
        keep: &[Range<usize>],
        dst: &mut KvLayer<B::Buffer>,
        to: &KvLayout,
    ) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.counts.moved += keep.iter().map(ExactSizeIterator::len).sum::<usize>();
        self.inner.kv_repack(src, from, keep, dst, to)
    }

    fn kv_export(
        &self,
        cache: &KvLayer<B::Buffer>,
        layout: &KvLayout,
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        self.inner.kv_export(cache, layout, slots, k, v)
    }

    fn kv_import(
        &self,
        k: &[u8],
        v: &[u8],
        cache: &mut KvLayer<B::Buffer>,
        layout: &KvLayout,
        at: usize,
    ) -> Result<()> {
        self.inner.kv_import(k, v, cache, layout, at)
    }

    fn attention(
        &self,
        q: &Tensor<B::Buffer>,
        cache: &KvLayer<B::Buffer>,
        layout: &KvLayout,
        at: usize,
        out: &mut Tensor<B::Buffer>,
    ) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.counts.attended += (0..q.rows()).map(|row| at + row + 1).sum::<usize>();
        state.counts.capacity = state.counts.capacity.max(layout.capacity);
        self.inner.attention(q, cache, layout, at, out)?;
        if let Some(mask) = &state.mask {
            for (row, query) in self.read(q)?.chunks_exact(q.cols()).enumerate() {
                self.inner.upload(&mask.row(query, at + row, layout), out, row)?;
            }
        }
        Ok(())
    }

    fn swiglu(
        &self,
        gate: &Tensor<B::Buffer>,
        up: &Tensor<B::Buffer>,
        out: &mut Tensor<B::Buffer>,
    ) -> Result<()> {
        self.inner.swiglu(gate, up, out)
    }

    fn add(&self, x: &Tensor<B::Buffer>, acc: &mut Tensor<B::Buffer>) -> Result<()> {
        self.inner.add(x, acc)
    }

    fn copy_rows(
        &self,
        src: &Tensor<B::Buffer>,
        from: usize,
        count: usize,
        dst: &mut Tensor<B::Buffer>,
    ) -> Result<()> {
        self.inner.copy_rows(src, from, count, dst)
    }
}
