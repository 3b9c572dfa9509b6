//! The operations that a transformer needs from whatever computes it.

use super::{
    Activation, AttentionParams, Buffer, DType, HostTensor, KvLayer, Largest, PageId, Result, Run, Tensor,
    Top,
};

/// A weight that a backend has brought into the layout that its kernels want.
pub trait PreparedWeight: Send + Sync {
    /// The format in which it is computed with.
    fn dtype(&self) -> DType;
    /// Output features of a linear layer, entries of an embedding; 1 for a vector.
    fn rows(&self) -> usize;
    /// Input features of a linear layer, width of an embedding, length of a vector.
    fn cols(&self) -> usize;
    /// Memory that it takes, in bytes (a mapped file's pages included).
    fn size_bytes(&self) -> usize;
}

/// One of several linear layers that read the same input: `out = x . weight^T + bias`.
pub struct LinearPart<'a, B: Backend + ?Sized> {
    /// Matrix of `[out features, in features]`.
    pub weight: &'a B::Weight,
    /// Vector of `out features`.
    pub bias: Option<&'a B::Weight>,
    /// Receives `[rows, out features]`.
    pub out: &'a mut Tensor<B::Buffer>,
}

/// What computes: a CPU, a GPU, or the slow and obviously right reference.
///
/// All activations are f32 matrices with one row a token ([`Tensor`]); operations work on the rows in use
/// and set the rows of their outputs. A call may return before the work is done; [`Self::download`] waits.
/// Every operation checks its operands' shapes and answers [`super::CoreError::Mismatch`] where they disagree.
///
/// A method belongs here only if every backend needs it; a fused form would be an optional method whose
/// default is made of the required ones.
pub trait Backend: Send + Sync + 'static {
    /// Memory for activations and caches.
    type Buffer: Buffer;
    /// A prepared weight.
    type Weight: PreparedWeight;

    /// Short name as in `--backend`: `cpu`, `reference`.
    fn name(&self) -> &'static str;

    /// One line for display: instruction set, threads, device.
    fn describe(&self) -> String;

    /// Memory for `len` elements, zeroed.
    ///
    /// # Errors
    /// [`super::CoreError::OutOfMemory`], or [`super::CoreError::Unsupported`] for a type that it cannot hold.
    fn alloc(&self, dtype: DType, len: usize) -> Result<Self::Buffer>;

    /// Makes a buffer `len` elements long: the first ones stay, those that are added are zero. Memory that is no longer
    /// needed goes back.
    ///
    /// # Errors
    /// As [`Self::alloc`]; the buffer is as it was then.
    fn resize(&self, buffer: &mut Self::Buffer, len: usize) -> Result<()>;

    /// Copies `values` to the start of row `row` of an f32 tensor; they may run on over the following rows.
    fn upload(&self, values: &[f32], dst: &mut Tensor<Self::Buffer>, row: usize) -> Result<()>;

    /// Copies `dst.len()` values from the start of row `row` of an f32 tensor, after all earlier work on it.
    fn download(&self, src: &Tensor<Self::Buffer>, row: usize, dst: &mut [f32]) -> Result<()>;

    /// Brings a stored tensor into the backend's own layout, converting it to `format`. Vectors (norm gains,
    /// biases) are asked for as [`DType::F32`].
    fn prepare(&self, tensor: &HostTensor, format: DType) -> Result<Self::Weight>;

    /// Row `ids[i]` of an embedding matrix becomes row `i` of `out`.
    fn embed(&self, table: &Self::Weight, ids: &[u32], out: &mut Tensor<Self::Buffer>) -> Result<()>;

    /// `out = x / sqrt(mean(x^2) + eps) * gain`, row by row (Zhang and Sennrich 2019, arXiv 1910.07467). Where the gain is
    /// shorter than a row, which is a multiple of it then, as many elements (a head) are normalized by themselves.
    fn rms_norm(
        &self,
        x: &Tensor<Self::Buffer>,
        gain: &Self::Weight,
        eps: f32,
        out: &mut Tensor<Self::Buffer>,
    ) -> Result<()>;

    /// As [`Self::rms_norm`], in place: the same numbers.
    fn rms_norm_in_place(&self, x: &mut Tensor<Self::Buffer>, gain: &Self::Weight, eps: f32) -> Result<()>;

    /// Several linear layers over one input, so that it is read (and quantized) once.
    fn linear(&self, x: &Tensor<Self::Buffer>, parts: &mut [LinearPart<'_, Self>]) -> Result<()>;

    /// Rotary embedding in place, in the half-split form of Hugging Face: within a head of `head_dim` elements, element
    /// `i` and `i + pairs` turn by the angle of row `r` and pair `i` (Su et al. 2021, arXiv 2104.09864). `angles` has a row
    /// a token: `pairs` cosines, then as many sines. Where these are fewer than the elements of a head, those after the
    /// first `2 pairs` stay as they are.
    fn rope(
        &self,
        x: &mut Tensor<Self::Buffer>,
        angles: &Tensor<Self::Buffer>,
        head_dim: usize,
    ) -> Result<()>;

    /// Stores the rows of `k` and `v` (`[rows, kv_heads * head_dim]`), converted to the types of a layer: row `i` of a run
    /// in its slot `len + i`.
    fn kv_append(
        &self,
        k: &Tensor<Self::Buffer>,
        v: &Tensor<Self::Buffer>,
        layer: &mut KvLayer<Self::Buffer>,
        runs: &[Run<'_>],
    ) -> Result<()>;

    /// Copies `count` slots within a layer, from a slot on of one table of pages to a slot on of another, bit for bit.
    /// Slots go in ascending order, so that within the same pages they may move down into each other's places.
    fn kv_copy(
        &self,
        layer: &mut KvLayer<Self::Buffer>,
        from: (&[PageId], usize),
        to: (&[PageId], usize),
        count: usize,
    ) -> Result<()>;

    /// Copies keys and values of the slots `slots` of a sequence in a layer to the host, after all earlier work on it:
    /// `[slots][kv_heads]`, each [`super::KvLayout::head_bytes`] long, whichever way the backend keeps them. Floats are
    /// little endian; blocks are those of `quant`, a last short one as `quant::heads` says.
    ///
    /// The way out of a cache: into a file, or to another backend.
    fn kv_export(
        &self,
        layer: &KvLayer<Self::Buffer>,
        pages: &[PageId],
        slots: std::ops::Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()>;

    /// Stores what [`Self::kv_export`] of any backend made of a layer of the same types and heads at the slots from
    /// `at` on, bit for bit.
    fn kv_import(
        &self,
        k: &[u8],
        v: &[u8],
        layer: &mut KvLayer<Self::Buffer>,
        pages: &[PageId],
        at: usize,
    ) -> Result<()>;

    /// Grouped-query attention of several sequences: row `i` of a run (`[heads * head_dim]`) stands in its slot
    /// `len + i` and sees the slots [`AttentionParams::visible`] from there, in the run's own pages, which hold the slots up
    /// to that of the run's last row.
    /// `out = softmax(scale * q . k^T) . v`, with capped scores if `how` says so, head `h` reading the cache's head
    /// `h / (heads / kv_heads)` (Ainslie et al. 2023, arXiv 2305.13245). A row's result depends neither on which pages
    /// its slots are in, nor on the other runs. Rows that are in no run are left as they are.
    fn attention(
        &self,
        q: &Tensor<Self::Buffer>,
        layer: &KvLayer<Self::Buffer>,
        how: &AttentionParams,
        runs: &[Run<'_>],
        out: &mut Tensor<Self::Buffer>,
    ) -> Result<()>;

    /// How much attention each row of a run gives to each slot, over all its heads: `weights` is `[rows, run.end()]`, and
    /// element `s` of row `r` the sum over heads of the softmax of [`Self::attention`] at slot `s`, and 0 where the row
    /// does not see it. For eviction by attention: with no rows, the answer only says whether the backend can.
    ///
    /// # Errors
    /// [`super::CoreError::Lacking`] from a backend that cannot, which is the default.
    fn attention_weights(
        &self,
        _q: &Tensor<Self::Buffer>,
        _layer: &KvLayer<Self::Buffer>,
        _how: &AttentionParams,
        _run: &Run<'_>,
        _weights: &mut [f32],
    ) -> Result<()> {
        let what = "report attention weights";
        Err(super::CoreError::Lacking { backend: self.name(), what })
    }

    /// `out = activation(gate) * up`, element by element (Shazeer 2020, arXiv 2002.05202).
    fn glu(
        &self,
        gate: &Tensor<Self::Buffer>,
        up: &Tensor<Self::Buffer>,
        activation: Activation,
        out: &mut Tensor<Self::Buffer>,
    ) -> Result<()>;

    /// `x *= factor`, element by element.
    fn scale(&self, x: &mut Tensor<Self::Buffer>, factor: f32) -> Result<()>;

    /// `x = cap * tanh(x / cap)`, element by element: within `-cap..=cap`, and near 0 as it was.
    fn softcap(&self, x: &mut Tensor<Self::Buffer>, cap: f32) -> Result<()>;

    /// `acc += x`, element by element.
    fn add(&self, x: &Tensor<Self::Buffer>, acc: &mut Tensor<Self::Buffer>) -> Result<()>;

    /// Copies rows `from..from + count` of `src` to the start of `dst`.
    fn copy_rows(
        &self,
        src: &Tensor<Self::Buffer>,
        from: usize,
        count: usize,
        dst: &mut Tensor<Self::Buffer>,
    ) -> Result<()>;

    /// `acc += x`, then `out = rms_norm(acc)`: what stands between two halves of a block. A backend that does both in
    /// one pass over the row gives the same numbers.
    ///
    /// # Errors
    /// As [`Self::add`] and [`Self::rms_norm`].
    fn add_rms_norm(
        &self,
        x: &Tensor<Self::Buffer>,
        acc: &mut Tensor<Self::Buffer>,
        gain: &Self::Weight,
        eps: f32,
        out: &mut Tensor<Self::Buffer>,
    ) -> Result<()> {
        self.add(x, acc)?;
        self.rms_norm(acc, gain, eps, out)
    }

    /// Finds the largest value of row `row`, after all earlier work on it. `scratch` is a row long; its
    /// contents are unspecified afterwards. A device that searches the row itself saves the download.
    ///
    /// # Errors
    /// As [`Self::download`].
    fn largest(&self, x: &Tensor<Self::Buffer>, row: usize, scratch: &mut [f32]) -> Result<Largest> {
        self.download(x, row, scratch)?;
        Ok(Largest::of(scratch))
    }

    /// Finds the `count` largest values of row `row`, after all earlier work on it. `scratch` is as for
    /// [`Self::largest`]. A device that searches the row itself saves most of the download.
    ///
    /// # Errors
    /// As [`Self::download`].
    fn top(
        &self,
        x: &Tensor<Self::Buffer>,
        row: usize,
        count: usize,
        scratch: &mut [f32],
        top: &mut Top,
    ) -> Result<()> {
        self.download(x, row, scratch)?;
        top.find(scratch, count);
        Ok(())
    }

    /// An f32 tensor of `capacity` rows.
    ///
    /// # Errors
    /// As [`Self::alloc`].
    fn tensor(&self, capacity: usize, cols: usize) -> Result<Tensor<Self::Buffer>> {
        let len = capacity
            .checked_mul(cols)
            .ok_or(super::CoreError::OutOfMemory { what: "a tensor", bytes: usize::MAX })?;
        Tensor::new(self.alloc(DType::F32, len)?, capacity, cols)
    }
}
