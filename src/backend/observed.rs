//! A backend that shows what its linear layers are given: for statistics about a model's activations, of which the forward
//! pass then knows nothing.

use std::ops::Range;
use std::sync::Arc;

use crate::core::{
    Activation, AttentionParams, Backend, DType, HostTensor, KvLayer, Largest, LinearPart, PageId,
    PreparedWeight, Result, Run, Tensor, Top,
};

/// Who is shown the inputs.
pub trait InputObserver: Send + Sync {
    /// The layers with the weights of these names (those of the tensors that they were prepared from) are given `inputs`:
    /// rows of `cols` elements, a row a token.
    fn inputs(&self, weights: &[&str], inputs: &[f32], cols: usize);
}

/// A backend that computes as `B` does, to the bit, and shows an observer the input of each linear layer before that.
pub struct Observed<B> {
    inner: B,
    observer: Arc<dyn InputObserver>,
}

impl<B: Backend> Observed<B> {
    /// `inner`, shown to `observer`.
    pub fn new(inner: B, observer: Arc<dyn InputObserver>) -> Self {
        Self { inner, observer }
    }
}

/// A prepared weight, and the name of the tensor that it was made of.
pub struct Named<W> {
    inner: W,
    name: Box<str>,
}

impl<W: PreparedWeight> PreparedWeight for Named<W> {
    fn dtype(&self) -> DType {
        self.inner.dtype()
    }

    fn rows(&self) -> usize {
        self.inner.rows()
    }

    fn cols(&self) -> usize {
        self.inner.cols()
    }

    fn size_bytes(&self) -> usize {
        self.inner.size_bytes()
    }
}

type T<B> = Tensor<<B as Backend>::Buffer>;
type W<B> = Named<<B as Backend>::Weight>;

impl<B: Backend> Backend for Observed<B> {
    type Buffer = B::Buffer;
    type Weight = W<B>;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<B::Buffer> {
        self.inner.alloc(dtype, len)
    }

    fn resize(&self, buffer: &mut B::Buffer, len: usize) -> Result<()> {
        self.inner.resize(buffer, len)
    }

    fn tensor(&self, capacity: usize, cols: usize) -> Result<T<B>> {
        self.inner.tensor(capacity, cols)
    }

    fn upload(&self, values: &[f32], dst: &mut T<B>, row: usize) -> Result<()> {
        self.inner.upload(values, dst, row)
    }

    fn download(&self, src: &T<B>, row: usize, dst: &mut [f32]) -> Result<()> {
        self.inner.download(src, row, dst)
    }

    fn prepare(&self, tensor: &HostTensor, format: DType) -> Result<W<B>> {
        Ok(Named { inner: self.inner.prepare(tensor, format)?, name: tensor.name().into() })
    }

    fn embed(&self, table: &W<B>, ids: &[u32], out: &mut T<B>) -> Result<()> {
        self.inner.embed(&table.inner, ids, out)
    }

    fn rms_norm(&self, x: &T<B>, gain: &W<B>, eps: f32, out: &mut T<B>) -> Result<()> {
        self.inner.rms_norm(x, &gain.inner, eps, out)
    }

    fn rms_norm_in_place(&self, x: &mut T<B>, gain: &W<B>, eps: f32) -> Result<()> {
        self.inner.rms_norm_in_place(x, &gain.inner, eps)
    }

    fn linear(&self, x: &T<B>, parts: &mut [LinearPart<'_, Self>]) -> Result<()> {
        let mut inputs = vec![0.0; x.rows() * x.cols()];
        if !inputs.is_empty() {
            self.inner.download(x, 0, &mut inputs)?;
            let names: Vec<&str> = parts.iter().map(|part| &*part.weight.name).collect();
            self.observer.inputs(&names, &inputs, x.cols());
        }
        let mut inner: Vec<LinearPart<'_, B>> = parts
            .iter_mut()
            .map(|part| LinearPart {
                weight: &part.weight.inner,
                bias: part.bias.map(|bias| &bias.inner),
                out: &mut *part.out,
            })
            .collect();
        self.inner.linear(x, &mut inner)
    }

    fn rope(&self, x: &mut T<B>, angles: &T<B>, head_dim: usize) -> Result<()> {
        self.inner.rope(x, angles, head_dim)
    }

    fn kv_append(&self, k: &T<B>, v: &T<B>, layer: &mut KvLayer<B::Buffer>, runs: &[Run<'_>]) -> Result<()> {
        self.inner.kv_append(k, v, layer, runs)
    }

    fn kv_copy(
        &self,
        layer: &mut KvLayer<B::Buffer>,
        from: (&[PageId], usize),
        to: (&[PageId], usize),
        count: usize,
    ) -> Result<()> {
        self.inner.kv_copy(layer, from, to, count)
    }

    fn kv_export(
        &self,
        layer: &KvLayer<B::Buffer>,
        pages: &[PageId],
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        self.inner.kv_export(layer, pages, slots, k, v)
    }

    fn kv_import(
        &self,
        k: &[u8],
        v: &[u8],
        layer: &mut KvLayer<B::Buffer>,
        pages: &[PageId],
        at: usize,
    ) -> Result<()> {
        self.inner.kv_import(k, v, layer, pages, at)
    }

    fn attention(
        &self,
        q: &T<B>,
        layer: &KvLayer<B::Buffer>,
        how: &AttentionParams,
        runs: &[Run<'_>],
        out: &mut T<B>,
    ) -> Result<()> {
        self.inner.attention(q, layer, how, runs, out)
    }

    fn attention_weights(
        &self,
        q: &T<B>,
        layer: &KvLayer<B::Buffer>,
        how: &AttentionParams,
        run: &Run<'_>,
        weights: &mut [f32],
    ) -> Result<()> {
        self.inner.attention_weights(q, layer, how, run, weights)
    }

    fn glu(&self, gate: &T<B>, up: &T<B>, activation: Activation, out: &mut T<B>) -> Result<()> {
        self.inner.glu(gate, up, activation, out)
    }

    fn scale(&self, x: &mut T<B>, factor: f32) -> Result<()> {
        self.inner.scale(x, factor)
    }

    fn softcap(&self, x: &mut T<B>, cap: f32) -> Result<()> {
        self.inner.softcap(x, cap)
    }

    fn add(&self, x: &T<B>, acc: &mut T<B>) -> Result<()> {
        self.inner.add(x, acc)
    }

    fn copy_rows(&self, src: &T<B>, from: usize, count: usize, dst: &mut T<B>) -> Result<()> {
        self.inner.copy_rows(src, from, count, dst)
    }

    fn add_rms_norm(&self, x: &T<B>, acc: &mut T<B>, gain: &W<B>, eps: f32, out: &mut T<B>) -> Result<()> {
        self.inner.add_rms_norm(x, acc, &gain.inner, eps, out)
    }

    fn largest(&self, x: &T<B>, row: usize, scratch: &mut [f32]) -> Result<Largest> {
        self.inner.largest(x, row, scratch)
    }

    fn top(&self, x: &T<B>, row: usize, count: usize, scratch: &mut [f32], top: &mut Top) -> Result<()> {
        self.inner.top(x, row, count, scratch, top)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::backend::reference::ReferenceBackend;
    use crate::core::Shape;

    /// Keeps what it is shown.
    #[derive(Default)]
    struct Seen(Mutex<Vec<(String, Vec<f32>, usize)>>);

    impl InputObserver for Seen {
        fn inputs(&self, weights: &[&str], inputs: &[f32], cols: usize) {
            self.0.lock().unwrap().push((weights.join(" "), inputs.to_vec(), cols));
        }
    }

    #[test]
    fn inputs_are_shown_and_results_stay() {
        let seen = Arc::new(Seen::default());
        let (plain, shown) = (ReferenceBackend, Observed::new(ReferenceBackend, seen.clone()));
        let named =
            |name: &str, values: &[f32]| HostTensor::from_f32(name, Shape::from([2, 2]), values).unwrap();
        let (a, b) = (named("a", &[1.0, 2.0, 3.0, 4.0]), named("b", &[5.0, 6.0, 7.0, 8.0]));
        let input = [1.0, -1.0, 0.5, 2.0];
        fn outputs<B: Backend>(backend: &B, weights: [&HostTensor; 2], input: &[f32]) -> Vec<f32> {
            let [a, b] = weights.map(|w| backend.prepare(w, DType::F32).unwrap());
            let mut x = backend.tensor(2, 2).unwrap();
            x.set_rows(2).unwrap();
            backend.upload(input, &mut x, 0).unwrap();
            let (mut left, mut right) = (backend.tensor(2, 2).unwrap(), backend.tensor(2, 2).unwrap());
            let mut parts = [
                LinearPart { weight: &a, bias: None, out: &mut left },
                LinearPart { weight: &b, bias: None, out: &mut right },
            ];
            backend.linear(&x, &mut parts).unwrap();
            let mut all = vec![0.0; 8];
            backend.download(&left, 0, &mut all[..4]).unwrap();
            backend.download(&right, 0, &mut all[4..]).unwrap();
            all
        }
        assert_eq!(outputs(&plain, [&a, &b], &input), outputs(&shown, [&a, &b], &input));
        assert_eq!(*seen.0.lock().unwrap(), [("a b".to_owned(), input.to_vec(), 2)]);
    }
}
