//! Buffers and weights of the reference backend: vectors of f32, whatever the type they stand for.

use half::f16;

use crate::core::{Buffer, CoreError, DType, HostTensor, PreparedWeight, Result};
use crate::quant::{self, rows::RowReader};

/// Values as f32; those of an f16 buffer are rounded to f16 when they are stored.
#[derive(Debug, Clone)]
pub struct ReferenceBuffer {
    dtype: DType,
    values: Vec<f32>,
}

impl ReferenceBuffer {
    pub(super) fn zeroed(dtype: DType, len: usize) -> Result<Self> {
        if !matches!(dtype, DType::F32 | DType::F16) {
            return Err(CoreError::Unsupported { op: "a reference buffer", dtype });
        }
        let mut values = Vec::new();
        values.try_reserve_exact(len).map_err(|_| CoreError::OutOfMemory {
            what: "a buffer",
            bytes: DType::F32.bytes_for(len).unwrap_or(usize::MAX),
        })?;
        values.resize(len, 0.0);
        Ok(Self { dtype, values })
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Stores `values` from element `at` on, as this buffer's type would hold them.
    pub(super) fn store(&mut self, at: usize, values: &[f32]) {
        let rounds = self.dtype == DType::F16;
        for (to, &from) in self.values[at..at + values.len()].iter_mut().zip(values) {
            *to = if rounds { f16::from_f32(from).to_f32() } else { from };
        }
    }
}

impl Buffer for ReferenceBuffer {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn size_bytes(&self) -> usize {
        self.values.len() * size_of::<f32>()
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
        let op = "prepare";
        for dtype in [tensor.dtype(), format] {
            if !dtype.is_float() && !dtype.is_quantized() {
                return Err(CoreError::Unsupported { op, dtype });
            }
        }
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
