//! What an operation that is measured works on.

use crate::core::{
    Backend, CoreError, DType, HostTensor, KvLayer, KvLayout, PageId, PreparedWeight, Result, Run, Shape,
    Tensor,
};
use crate::models::{Decoder, noise, repeated_rows};

/// Things that are used in turns, over and over.
pub(super) struct Rotation<T> {
    items: Vec<T>,
    at: usize,
}

impl<T> Rotation<T> {
    /// Of at least one thing.
    pub fn new(items: Vec<T>) -> Self {
        Self { items, at: 0 }
    }

    /// The one whose turn it is.
    pub fn next(&mut self) -> &T {
        self.at = (self.at + 1) % self.items.len();
        &self.items[self.at]
    }
}

/// How often something of `bytes` must be there to fill `working_set`.
pub(super) fn copies(bytes: u64, working_set: usize) -> usize {
    const MOST: u64 = 256;
    (working_set as u64).div_ceil(bytes.max(1)).clamp(1, MOST) as usize
}

/// Rows of a matrix that differ.
const DISTINCT: usize = 64;

/// A matrix that is stored in the format in which it is computed with (`None`: f32), so that preparing it
/// converts nothing.
///
/// # Errors
/// [`CoreError::OutOfMemory`], or what the backend reports.
pub(super) fn weight<B: Backend>(
    backend: &B,
    dtype: Option<DType>,
    rows: usize,
    cols: usize,
) -> Result<B::Weight> {
    let dtype = dtype.unwrap_or(DType::F32);
    let values: Vec<f32> = noise(0, rows.min(DISTINCT) * cols).map(|x| 0.05 * x).collect();
    let weight = backend.prepare(&repeated_rows(dtype, rows, cols, &values)?, dtype)?;
    CoreError::expect_eq("prepare", "rows", weight.rows(), rows)?;
    Ok(weight)
}

/// Gains of a norm.
pub(super) fn gain<B: Backend>(backend: &B, len: usize) -> Result<B::Weight> {
    let values: Vec<f32> = noise(0, len).map(|x| 1.0 + 0.05 * x).collect();
    backend.prepare(&HostTensor::from_f32("gains", Shape::from([len]), &values)?, DType::F32)
}

/// `[rows, cols]` random values.
pub(super) fn activations<B: Backend>(backend: &B, rows: usize, cols: usize) -> Result<Tensor<B::Buffer>> {
    let mut tensor = backend.tensor(rows, cols)?;
    let values: Vec<f32> = noise(0, rows * cols).collect();
    backend.upload(&values, &mut tensor, 0)?;
    Ok(tensor)
}

/// What a layer's cache stores.
pub(super) fn layout(config: &Decoder, dtype: Option<DType>) -> KvLayout {
    let types = dtype.unwrap_or(DType::F32).into();
    KvLayout { types, kv_heads: config.kv_heads, head_dim: config.head_dim }
}

/// The pages of a sequence of `tokens` tokens, in the order in which a new cache takes them.
pub(super) fn pages(tokens: usize) -> Vec<PageId> {
    (0..tokens.div_ceil(KvLayout::PAGE)).map(PageId::new).collect()
}

/// A layer's cache with random keys and values in the slots of `tokens` tokens: memory that was never written is not there
/// to be read.
pub(super) fn full_layer<B: Backend>(
    backend: &B,
    layout: KvLayout,
    tokens: usize,
) -> Result<KvLayer<B::Buffer>> {
    const STEP: usize = 256;
    let pages = pages(tokens);
    let mut layer = KvLayer::new(backend, layout, pages.len())?;
    let mut rows = activations(backend, STEP.min(tokens), layout.width())?;
    let mut at = 0;
    while at < tokens {
        let count = STEP.min(tokens - at);
        rows.set_rows(count)?;
        backend.kv_append(&rows, &rows, &mut layer, &[Run { rows: 0..count, pages: &pages, len: at }])?;
        at += count;
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::ReferenceBackend;

    #[test]
    fn there_are_enough_copies_and_not_too_many() {
        assert_eq!(copies(3 << 20, 64 << 20), 22);
        assert_eq!(copies(64 << 20, 64 << 20), 1);
        assert_eq!(copies(1 << 30, 64 << 20), 1);
        assert_eq!(copies(0, 64 << 20), 256);
    }

    #[test]
    fn turns_are_taken_by_all() {
        let mut turn = Rotation::new(vec!['a', 'b', 'c']);
        let taken: String = (0..6).map(|_| *turn.next()).collect();
        assert_eq!(taken, "bcabca");
    }

    #[test]
    fn a_weight_has_rows_that_differ_and_the_format_asked_for() {
        let weight = weight(&ReferenceBackend, Some(DType::Q8_0), 130, 32).unwrap();
        assert_eq!((weight.dtype(), weight.rows(), weight.cols()), (DType::Q8_0, 130, 32));
        let mut out = ReferenceBackend.tensor(4, 32).unwrap();
        ReferenceBackend.embed(&weight, &[0, 1, 64, 129], &mut out).unwrap();
        let mut values = [0.0; 4 * 32];
        ReferenceBackend.download(&out, 0, &mut values).unwrap();
        let rows: Vec<&[f32]> = values.chunks(32).collect();
        assert_ne!(rows[0], rows[1]);
        assert_eq!((rows[0], rows[1]), (rows[2], rows[3]));
        assert!(values.iter().all(|x| x.abs() <= 0.051) && values.iter().any(|&x| x != 0.0));
    }
}
