//! Buffers and weights of the reference backend.

use crate::core::{Buffer, CoreError, DType, HostTensor, KvTypes, PreparedWeight, Result};
use crate::quant::{self, heads, rows::RowReader};

/// Values as f32, or keys and values of a cache in another type, as `quant::heads` stores them.
#[derive(Debug, Clone)]
pub struct ReferenceBuffer {
    dtype: DType,
    len: usize,
    /// Of an f32 buffer.
    values: Vec<f32>,
    /// Of any other.
    bytes: Vec<u8>,
}

impl ReferenceBuffer {
    pub(super) fn zeroed(dtype: DType, len: usize) -> Result<Self> {
        KvTypes::from(dtype).check("a reference buffer")?;
        let size = dtype.bytes_for(len).unwrap_or(usize::MAX);
        let refused = |_| CoreError::OutOfMemory { what: "a buffer", bytes: size };
        let (mut values, mut bytes) = (Vec::new(), Vec::new());
        if dtype == DType::F32 {
            values.try_reserve_exact(len).map_err(refused)?;
            values.resize(len, 0.0);
        } else {
            bytes.try_reserve_exact(size).map_err(refused)?;
            bytes.resize(size, 0);
        }
        Ok(Self { dtype, len, values, bytes })
    }

    /// Makes this `len` elements long: the first ones stay, others are zero.
    pub(super) fn resize(&mut self, len: usize) -> Result<()> {
        let mut other = Self::zeroed(self.dtype, len)?;
        let (values, bytes) =
            (self.values.len().min(other.values.len()), self.bytes.len().min(other.bytes.len()));
        other.values[..values].copy_from_slice(&self.values[..values]);
        other.bytes[..bytes].copy_from_slice(&self.bytes[..bytes]);
        *self = other;
        Ok(())
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Stores a head's elements of one slot, the `row`th of a cache that is stored head by head.
    pub(super) fn store(&mut self, row: usize, head: &[f32]) -> Result<()> {
        if self.dtype == DType::F32 {
            self.values[row * head.len()..][..head.len()].copy_from_slice(head);
            return Ok(());
        }
        let (dtype, bytes) = (self.dtype, self.head_mut(row, head.len()));
        heads::encode(dtype, head, bytes)
    }

    /// Reads what [`Self::store`] stored.
    pub(super) fn load(&self, row: usize, head: &mut [f32]) -> Result<()> {
        if self.dtype == DType::F32 {
            head.copy_from_slice(&self.values[row * head.len()..][..head.len()]);
            return Ok(());
        }
        heads::decode(self.dtype, self.head(row, head.len()), head)
    }

    /// The stored form of the `row`th head, of `dim` elements.
    pub(super) fn export(&self, row: usize, dim: usize, bytes: &mut [u8]) -> Result<()> {
        if self.dtype == DType::F32 {
            return heads::encode(self.dtype, &self.values[row * dim..][..dim], bytes);
        }
        bytes.copy_from_slice(self.head(row, dim));
        Ok(())
    }

    /// The opposite of [`Self::export`].
    pub(super) fn import(&mut self, row: usize, dim: usize, bytes: &[u8]) -> Result<()> {
        if self.dtype == DType::F32 {
            return heads::decode(self.dtype, bytes, &mut self.values[row * dim..][..dim]);
        }
        self.head_mut(row, dim).copy_from_slice(bytes);
        Ok(())
    }

    fn head(&self, row: usize, dim: usize) -> &[u8] {
        let size = self.dtype.short_bytes_for(dim).unwrap_or(usize::MAX);
        &self.bytes[row * size..][..size]
    }

    fn head_mut(&mut self, row: usize, dim: usize) -> &mut [u8] {
        let size = self.dtype.short_bytes_for(dim).unwrap_or(usize::MAX);
        &mut self.bytes[row * size..][..size]
    }
}

impl Buffer for ReferenceBuffer {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn len(&self) -> usize {
        self.len
    }
}

/// A weight after a round trip through its format.
#[derive(Debug, Clone)]
pub struct ReferenceWeight {
    dtype: DType,
    rows: usize,
    cols: usize,
    values: Vec<f32>,
}

impl ReferenceWeight {
    pub(super) fn prepare(tensor: &HostTensor, format: DType) -> Result<Self> {
        tensor.check_weight("prepare", format)?;
        let (rows, cols) = tensor.matrix_dims();
        let mut values = vec![0.0; rows * cols];
        let mut reader = RowReader::new(tensor, format);
        for r in 0..rows {
            quant::dequantize_row(format, reader.row(r)?, &mut values[r * cols..(r + 1) * cols])?;
        }
        Ok(Self { dtype: format, rows, cols, values })
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn row(&self, row: usize) -> Option<&[f32]> {
        self.values.get(row.checked_mul(self.cols)?..row.checked_add(1)?.checked_mul(self.cols)?)
    }
}

impl PreparedWeight for ReferenceWeight {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn size_bytes(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}
