//! Weights in the layout that the kernels read.

use rayon::prelude::*;

use super::buffer::{AlignedBytes, view};
use super::kernels::TILE;
use super::kernels::packed::TileLayout;
use crate::core::{CoreError, DType, HostBytes, HostTensor, PreparedWeight, Result};
use crate::quant::{dequantize_row, quantize_row, row_bytes};

/// A prepared weight of the CPU backend.
pub struct CpuWeight {
    dtype: DType,
    rows: usize,
    cols: usize,
    data: Data,
}

enum Data {
    /// Row-major floats where they were, usually in a mapped file.
    Shared(HostBytes),
    /// Row-major floats, converted.
    Owned(AlignedBytes),
    /// Tiles of quantized rows.
    Packed(AlignedBytes, TileLayout),
}

/// What the matrix kernels read.
pub(super) enum Matrix<'a> {
    /// Row-major floats and the bytes of a row.
    Float(&'a [u8], usize),
    /// Tiles of [`TILE`] rows.
    Packed(&'a [u8], &'a TileLayout),
}

impl CpuWeight {
    /// Brings a tensor into the form for `format`. Floats that are stored in that format already are not copied
    /// (unless f32 values lie at an odd address); quantized weights are packed, in parallel.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] for formats that are not weights, [`CoreError::OutOfMemory`].
    pub(super) fn new(tensor: &HostTensor, format: DType) -> Result<Self> {
        for dtype in [tensor.dtype(), format] {
            if !dtype.is_float() && !dtype.is_quantized() {
                return Err(CoreError::Unsupported { op: "a weight", dtype });
            }
        }
        let (rows, cols) = tensor.matrix_dims();
        let data = if let Some(layout) = TileLayout::new(format, cols) {
            Data::Packed(pack(tensor, format, &layout)?, layout)
        } else if tensor.dtype() == format && (format != DType::F32 || view::<f32>(tensor.bytes()).is_some())
        {
            Data::Shared(tensor.data().clone())
        } else {
            Data::Owned(convert(tensor, format)?)
        };
        Ok(Self { dtype: format, rows, cols, data })
    }

    fn float_bytes(&self) -> Option<&[u8]> {
        match &self.data {
            Data::Shared(bytes) => Some(bytes.as_ref()),
            Data::Owned(bytes) => Some(bytes.as_slice()),
            Data::Packed(..) => None,
        }
    }

    /// All elements, if they are f32: norm gains and biases.
    pub(super) fn vector(&self, op: &'static str) -> Result<&[f32]> {
        let unsupported = CoreError::Unsupported { op, dtype: self.dtype };
        if self.dtype != DType::F32 {
            return Err(unsupported);
        }
        self.float_bytes().and_then(view).ok_or(unsupported)
    }

    pub(super) fn matrix(&self) -> Matrix<'_> {
        match &self.data {
            Data::Shared(bytes) => Matrix::Float(bytes.as_ref(), row_bytes(self.dtype, self.cols)),
            Data::Owned(bytes) => Matrix::Float(bytes.as_slice(), row_bytes(self.dtype, self.cols)),
            Data::Packed(bytes, layout) => Matrix::Packed(bytes.as_slice(), layout),
        }
    }
}

impl PreparedWeight for CpuWeight {
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
        match &self.data {
            Data::Shared(bytes) => bytes.as_ref().len(),
            Data::Owned(bytes) | Data::Packed(bytes, _) => bytes.as_slice().len(),
        }
    }
}

/// A stored row as `format`, by way of f32 unless it is that already.
struct Converter {
    wide: Vec<f32>,
    bytes: Vec<u8>,
}

impl Converter {
    fn new(tensor: &HostTensor, format: DType) -> Self {
        let (_, cols) = tensor.matrix_dims();
        if tensor.dtype() == format {
            return Self { wide: Vec::new(), bytes: Vec::new() };
        }
        Self { wide: vec![0.0; cols], bytes: vec![0; row_bytes(format, cols)] }
    }

    fn row<'a>(&'a mut self, tensor: &'a HostTensor, format: DType, row: usize) -> Result<&'a [u8]> {
        if tensor.dtype() == format {
            return Ok(tensor.row_bytes(row));
        }
        dequantize_row(tensor.dtype(), tensor.row_bytes(row), &mut self.wide)?;
        quantize_row(format, &self.wide, &mut self.bytes)?;
        Ok(&self.bytes)
    }
}

fn pack(tensor: &HostTensor, format: DType, layout: &TileLayout) -> Result<AlignedBytes> {
    let (rows, _) = tensor.matrix_dims();
    let size = layout.bytes().checked_mul(rows.div_ceil(TILE));
    let size = size.ok_or(CoreError::OutOfMemory { what: "a weight", bytes: usize::MAX })?;
    let mut packed = AlignedBytes::zeroed(size, "a weight")?;
    let tiles = packed.as_mut_slice().par_chunks_mut(layout.bytes().max(1)).enumerate();
    tiles.try_for_each_init(
        || Converter::new(tensor, format),
        |converter, (t, tile)| -> Result<()> {
            for lane in 0..TILE.min(rows - t * TILE) {
                layout.pack_row(converter.row(tensor, format, t * TILE + lane)?, lane, tile);
            }
            Ok(())
        },
    )?;
    Ok(packed)
}

fn convert(tensor: &HostTensor, format: DType) -> Result<AlignedBytes> {
    let (rows, cols) = tensor.matrix_dims();
    let row = row_bytes(format, cols);
    let size = row.checked_mul(rows).ok_or(CoreError::OutOfMemory { what: "a weight", bytes: usize::MAX })?;
    let mut out = AlignedBytes::zeroed(size, "a weight")?;
    out.as_mut_slice().par_chunks_mut(row.max(1)).enumerate().try_for_each_init(
        || Converter::new(tensor, format),
        |converter, (r, out)| -> Result<()> {
            out.copy_from_slice(converter.row(tensor, format, r)?);
            Ok(())
        },
    )?;
    Ok(out)
}
