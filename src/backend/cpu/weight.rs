//! Weights in the layout that the kernels read.

use rayon::prelude::*;

use super::buffer::{AlignedBytes, view};
use super::kernels::TILE;
use super::kernels::packed::TileLayout;
use crate::core::{CoreError, DType, HostBytes, HostTensor, Order, PreparedWeight, Result};
use crate::quant::row_bytes;
use crate::quant::rows::RowReader;

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
    /// Tiles of quantized rows where they were, in a mapped file of packed weights.
    SharedTiles(HostBytes, TileLayout),
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
    /// Brings a tensor into the form for `format`. What is stored in that form already is not copied: floats of
    /// that format (unless f32 values are at an odd address), and tiles. Other block formats are packed, in
    /// parallel.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] for formats that are not weights, [`CoreError::OutOfMemory`].
    pub(super) fn new(tensor: &HostTensor, format: DType) -> Result<Self> {
        tensor.check_weight("a weight", format)?;
        let (rows, cols) = tensor.matrix_dims();
        let data = if let Some(layout) = TileLayout::new(format, cols) {
            if tensor.dtype() == format && tensor.order() == Order::Tiles {
                Data::SharedTiles(tensor.data().clone(), layout)
            } else {
                Data::Packed(pack(tensor, format, &layout)?, layout)
            }
        } else if tensor.dtype() == format
            && tensor.order() == Order::Rows
            && (format != DType::F32 || view::<f32>(tensor.bytes()).is_some())
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
            Data::SharedTiles(..) | Data::Packed(..) => None,
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
            Data::SharedTiles(bytes, layout) => Matrix::Packed(bytes.as_ref(), layout),
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
            Data::Shared(bytes) | Data::SharedTiles(bytes, _) => bytes.as_ref().len(),
            Data::Owned(bytes) | Data::Packed(bytes, _) => bytes.as_slice().len(),
        }
    }
}

fn pack(tensor: &HostTensor, format: DType, layout: &TileLayout) -> Result<AlignedBytes> {
    let (rows, _) = tensor.matrix_dims();
    let size = layout.bytes().checked_mul(rows.div_ceil(TILE));
    let size = size.ok_or(CoreError::OutOfMemory { what: "a weight", bytes: usize::MAX })?;
    let mut packed = AlignedBytes::zeroed(size, "a weight")?;
    let tiles = packed.as_mut_slice().par_chunks_mut(layout.bytes().max(1)).enumerate();
    tiles.try_for_each_init(
        || RowReader::new(tensor, format),
        |reader, (t, tile)| reader.tile(layout, t, tile),
    )?;
    Ok(packed)
}

fn convert(tensor: &HostTensor, format: DType) -> Result<AlignedBytes> {
    let (rows, cols) = tensor.matrix_dims();
    let row = row_bytes(format, cols);
    let size = row.checked_mul(rows).ok_or(CoreError::OutOfMemory { what: "a weight", bytes: usize::MAX })?;
    let mut out = AlignedBytes::zeroed(size, "a weight")?;
    out.as_mut_slice().par_chunks_mut(row.max(1)).enumerate().try_for_each_init(
        || RowReader::new(tensor, format),
        |reader, (r, out)| reader.row(r).map(|row| out.copy_from_slice(row)),
    )?;
    Ok(out)
}
