//! Tensors on the host (weights as a file holds them) and in a backend (activations).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{Buffer, CoreError, DType, Order, Result, Shape};

/// What [`HostBytes`] can be a part of.
pub trait HostMemory: Send + Sync {
    /// All of it.
    fn bytes(&self) -> &[u8];

    /// How many there are; they are not read for that.
    fn size(&self) -> usize {
        self.bytes().len()
    }

    /// Whether reading them makes a copy of what is in a file.
    fn is_copy(&self) -> bool {
        false
    }

    /// Says that the bytes in `range` will hardly be read again. A mapped file gives their memory back to the
    /// system, which reads them again if it comes to that.
    fn release(&self, _range: Range<usize>) {}

    /// Says that the bytes in `range` will be read soon, and waits until they can be read without delay. A mapped
    /// file is read into memory; threads may do so while others read.
    fn prefetch(&self, _range: Range<usize>) {}
}

impl HostMemory for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl HostMemory for &'static [u8] {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Bytes that several owners share without copying: a range of a memory map, or of a vector.
#[derive(Clone)]
pub struct HostBytes {
    owner: Arc<dyn HostMemory>,
    range: Range<usize>,
}

impl HostBytes {
    /// All of `owner`'s bytes.
    pub fn new(owner: Arc<dyn HostMemory>) -> Self {
        let range = 0..owner.size();
        Self { owner, range }
    }

    /// How many there are; they are not read for that.
    pub fn size(&self) -> usize {
        self.range.len()
    }

    /// See [`HostMemory::is_copy`].
    pub fn is_copy(&self) -> bool {
        self.owner.is_copy()
    }

    /// See [`HostMemory::release`].
    pub fn release(&self) {
        self.owner.release(self.range.clone());
    }

    /// See [`HostMemory::prefetch`].
    pub fn prefetch(&self) {
        self.owner.prefetch(self.range.clone());
    }

    /// A part of these bytes, sharing their owner; `None` if `range` is not within them.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end).then(|| Self { owner: self.owner.clone(), range: start..end })
    }
}

impl AsRef<[u8]> for HostBytes {
    fn as_ref(&self) -> &[u8] {
        &self.owner.bytes()[self.range.clone()]
    }
}

impl From<Vec<u8>> for HostBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }
}

impl fmt::Debug for HostBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostBytes({} bytes)", self.range.len())
    }
}

/// A named tensor as a file holds it: little endian, not copied, row-major or in tiles.
#[derive(Clone, Debug)]
pub struct HostTensor {
    name: String,
    dtype: DType,
    shape: Shape,
    order: Order,
    data: HostBytes,
    factor: f32,
}

impl HostTensor {
    /// Binds bytes to a name, a type and a shape; they are row-major.
    ///
    /// # Errors
    /// [`CoreError::BadTensor`] if the bytes are not exactly as many as shape and type ask for. Rows of the
    /// block formats must be whole blocks.
    pub fn new(name: impl Into<String>, dtype: DType, shape: Shape, data: HostBytes) -> Result<Self> {
        Self::in_order(name, dtype, shape, Order::Rows, data)
    }

    /// As [`Self::new`], with the elements in the given order.
    ///
    /// # Errors
    /// As [`Self::new`]; also for tiles of a type that has none.
    pub fn in_order(
        name: impl Into<String>,
        dtype: DType,
        shape: Shape,
        order: Order,
        data: HostBytes,
    ) -> Result<Self> {
        let name = name.into();
        let have = data.size();
        match shape.as_matrix().and_then(|(rows, cols)| order.bytes(dtype, rows, cols)) {
            Some(n) if n == have => Ok(Self { name, dtype, shape, order, data, factor: 1.0 }),
            Some(n) => Err(CoreError::BadTensor {
                name,
                reason: format!("{dtype} {shape} takes {n} bytes, but {have} are there"),
            }),
            None => {
                Err(CoreError::BadTensor { name, reason: format!("shape {shape} is impossible for {dtype}") })
            }
        }
    }

    /// An f32 tensor made in memory, for tests and generated weights.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_f32(name: impl Into<String>, shape: Shape, values: &[f32]) -> Result<Self> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::new(name, DType::F32, shape, bytes.into())
    }

    /// The same with a factor that all elements are still to be multiplied with, in a type that is only read.
    pub fn with_factor(self, factor: f32) -> Self {
        Self { factor, ..self }
    }

    /// See [`Self::with_factor`]; mostly 1.
    pub fn factor(&self) -> f32 {
        self.factor
    }

    /// The name in its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stored elements' type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The order of the stored elements.
    pub fn order(&self) -> Order {
        self.order
    }

    /// `(rows, columns)`; a vector is one row.
    pub fn matrix_dims(&self) -> (usize, usize) {
        self.shape.as_matrix().expect("checked in new")
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &[u8] {
        self.data.as_ref()
    }

    /// The stored bytes, shared.
    pub fn data(&self) -> &HostBytes {
        &self.data
    }

    /// Makes sure that a weight stored like this can be brought into `format` for `op`.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] for types that are no weights, and formats that nothing is computed in.
    pub fn check_weight(&self, op: &'static str, format: DType) -> Result<()> {
        let unsupported = |dtype| Err(CoreError::Unsupported { op, dtype });
        if !self.dtype.is_weight() {
            return unsupported(self.dtype);
        }
        if format.is_float() || format.is_quantized() { Ok(()) } else { unsupported(format) }
    }

    /// Bytes of row `row` (the last dimension is a row) of a tensor in an order of whole rows. `quant::rows` reads
    /// rows of any order.
    ///
    /// # Panics
    /// If `row` is not less than the number of rows, or if the tensor is in tiles.
    pub fn row_bytes(&self, row: usize) -> &[u8] {
        assert_ne!(self.order, Order::Tiles, "order of tensor '{}'", self.name);
        let (_, cols) = self.matrix_dims();
        let n = self.dtype.bytes_for(cols).expect("checked in new");
        &self.bytes()[self.order.place(row) * n..][..n]
    }
}

/// Activations in a backend: a row-major f32 matrix with room for a fixed number of rows, of which the first
/// [`Self::rows`] are in use.
///
/// The capacity is chosen once, so that one tensor serves prefill (a chunk of rows) and decode (one row)
/// without an allocation in between.
#[derive(Debug)]
pub struct Tensor<B> {
    buffer: B,
    capacity: usize,
    rows: usize,
    cols: usize,
}

impl<B: Buffer> Tensor<B> {
    /// A matrix of `capacity` x `cols` over a buffer of as many elements; all rows are in use.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] if the buffer has another number of elements.
    pub fn new(buffer: B, capacity: usize, cols: usize) -> Result<Self> {
        let expected = capacity
            .checked_mul(cols)
            .ok_or(CoreError::OutOfMemory { what: "a tensor", bytes: usize::MAX })?;
        CoreError::expect_eq("tensor", "buffer length", buffer.len(), expected)?;
        Ok(Self { buffer, capacity, rows: capacity, cols })
    }

    /// Puts the first `rows` rows in use.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] if `rows` exceeds the capacity.
    pub fn set_rows(&mut self, rows: usize) -> Result<()> {
        if rows > self.capacity {
            return Err(CoreError::Mismatch {
                op: "tensor",
                what: "row count",
                got: rows,
                expected: self.capacity,
            });
        }
        self.rows = rows;
        Ok(())
    }

    /// Checks the operands of [`super::Backend::rope`], whose angles this tensor has.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`].
    pub fn check_rope(&self, x: &Self, head_dim: usize) -> Result<()> {
        let op = "rope";
        CoreError::expect_eq(op, "rows of angles", self.rows, x.rows)?;
        CoreError::expect_groups(op, x.cols, head_dim)?;
        CoreError::expect_eq(op, "an odd number of angles", self.cols % 2, 0)?;
        if self.cols > head_dim {
            return Err(CoreError::Mismatch {
                op,
                what: "angles of a head",
                got: self.cols,
                expected: head_dim,
            });
        }
        Ok(())
    }

    /// Rows in use.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Rows that there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Its memory.
    pub fn buffer(&self) -> &B {
        &self.buffer
    }

    /// Its memory, to be written by its backend.
    pub fn buffer_mut(&mut self) -> &mut B {
        &mut self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_match_shape_and_type() {
        let ok = HostTensor::from_f32("w", Shape::from([2, 3]), &[0.0; 6]).unwrap();
        assert_eq!(ok.matrix_dims(), (2, 3));
        assert_eq!(ok.row_bytes(1).len(), 12);
        let e = HostTensor::from_f32("w", Shape::from([2, 3]), &[0.0; 5]).unwrap_err();
        assert_eq!(e.to_string(), "tensor 'w': f32 [2, 3] takes 24 bytes, but 20 are there");
        let e = HostTensor::new("q", DType::Q4_0, Shape::from([1, 33]), vec![0; 36].into()).unwrap_err();
        assert!(e.to_string().contains("impossible"), "{e}");
        let huge = Shape::from([usize::MAX, 2]);
        assert!(HostTensor::new("h", DType::F32, huge, vec![].into()).is_err());
    }

    #[test]
    fn slices_share_and_stay_within() {
        let all = HostBytes::from(vec![1, 2, 3, 4]);
        let part = all.slice(1..3).unwrap();
        assert_eq!(part.as_ref(), [2, 3]);
        assert_eq!(part.slice(1..2).unwrap().as_ref(), [3]);
        assert!(part.slice(0..3).is_none());
        assert!(part.slice(usize::MAX..usize::MAX).is_none());
    }
}
