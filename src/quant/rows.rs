//! Rows of a stored tensor, whatever its order, as another format.

use super::factors::bad_factor;
use super::k_quants::q4_k_as_q4_1;
use super::tiles::TileLayout;
use super::{dequantize_row, q4_1, quantize_row, read_only, row_bytes};
use crate::core::{CoreError, DType, HostTensor, Order, Result, TILE_ROWS};

/// Reads rows of a tensor as `format`: bytes that are stored in it as they are, others by way of f32.
///
/// One for each thread: it holds the row that it returned last.
pub struct RowReader<'a> {
    tensor: &'a HostTensor,
    format: DType,
    tiles: Option<TileLayout>,
    stored: Vec<u8>,
    wide: Vec<f32>,
    converted: Vec<u8>,
}

impl<'a> RowReader<'a> {
    /// A reader of `tensor`.
    pub fn new(tensor: &'a HostTensor, format: DType) -> Self {
        let (_, cols) = tensor.matrix_dims();
        let tiles = match tensor.order() {
            Order::Rows | Order::Interleaved(_) => None,
            Order::Tiles => TileLayout::new(tensor.dtype(), cols),
        };
        let converts = tensor.dtype() != format;
        Self {
            tensor,
            format,
            tiles,
            stored: vec![0; if tiles.is_some() { row_bytes(tensor.dtype(), cols) } else { 0 }],
            wide: vec![0.0; if converts { cols } else { 0 }],
            converted: vec![0; if converts { row_bytes(format, cols) } else { 0 }],
        }
    }

    /// Row `row`. The factors of its blocks are checked, unless they are in tiles: what packs rows into tiles has checked them.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] between types that are not weights; [`CoreError::BadTensor`] for a factor that is NaN or
    /// infinite.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, row: usize) -> Result<&[u8]> {
        let stored = match &self.tiles {
            None => {
                let stored = self.tensor.row_bytes(row);
                check_factors(self.tensor.name(), self.tensor.dtype(), row, stored)?;
                stored
            }
            Some(layout) => {
                let tile = &self.tensor.bytes()[row / TILE_ROWS * layout.bytes()..][..layout.bytes()];
                layout.unpack_row(tile, row % TILE_ROWS, &mut self.stored);
                &self.stored
            }
        };
        if self.tensor.dtype() == self.format {
            return Ok(stored);
        }
        let stored = (self.tensor.dtype(), self.tensor.factor(), stored);
        convert_row(stored, &mut self.wide, (self.format, &mut self.converted))?;
        Ok(&self.converted)
    }

    /// Fills tile `tile` of the matrix as `layout`, that of the reader's format, has it. `out` was zero.
    ///
    /// # Errors
    /// As [`Self::row`].
    ///
    /// # Panics
    /// If there is no such tile, or `out` is shorter than it.
    pub fn tile(&mut self, layout: &TileLayout, tile: usize, out: &mut [u8]) -> Result<()> {
        let (rows, _) = self.tensor.matrix_dims();
        for lane in 0..TILE_ROWS.min(rows - tile * TILE_ROWS) {
            layout.pack_row(self.row(tile * TILE_ROWS + lane)?, lane, out);
        }
        Ok(())
    }
}

/// Converts a row, by way of `wide` where the quants are not the same.
fn convert_row(
    (from, factor, stored): (DType, f32, &[u8]),
    wide: &mut [f32],
    (to, converted): (DType, &mut [u8]),
) -> Result<()> {
    if (from, to) == (DType::Q4K, DType::Q4_1) {
        let (blocks, _) = stored.as_chunks();
        let (groups, _) = converted.as_chunks_mut::<{ 8 * q4_1::Block::BYTES }>();
        for (block, out) in blocks.iter().zip(groups) {
            out.copy_from_slice(q4_k_as_q4_1(block).as_flattened());
        }
        return Ok(());
    }
    if let DType::ReadOnly(format) = from
        && to == format.becomes()
    {
        return read_only::convert_row(format, factor, stored, converted);
    }
    dequantize_row(from, stored, wide)?;
    if factor != 1.0 {
        wide.iter_mut().for_each(|v| *v *= factor);
    }
    quantize_row(to, wide, converted)
}

/// Checks the factors of row `row` of the tensor `name`: one that is NaN or infinite would make all logits NaN.
///
/// # Errors
/// [`CoreError::BadTensor`], which says where the first such factor is.
pub fn check_factors(name: &str, dtype: DType, row: usize, stored: &[u8]) -> Result<()> {
    let Some((block, factor)) = bad_factor(dtype, stored) else { return Ok(()) };
    let len = dtype.block_len();
    Err(CoreError::BadTensor {
        name: name.to_owned(),
        reason: format!(
            "has {factor} as a scale in row {row}, columns {} to {}: the file is damaged, or was made from broken weights; \
             download it again, or use another one",
            block * len,
            block * len + len - 1
        ),
    })
}

/// `tensor` as tiles of `format`, for tests.
#[cfg(test)]
pub(crate) fn tiled(tensor: &HostTensor, format: DType) -> HostTensor {
    let (rows, cols) = tensor.matrix_dims();
    let layout = TileLayout::new(format, cols).unwrap();
    let mut bytes = vec![0; layout.bytes() * rows.div_ceil(TILE_ROWS)];
    let mut reader = RowReader::new(tensor, format);
    for (t, tile) in bytes.chunks_exact_mut(layout.bytes()).enumerate() {
        reader.tile(&layout, t, tile).unwrap();
    }
    HostTensor::in_order("w", format, tensor.shape(), Order::Tiles, bytes.into()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Shape;

    #[test]
    fn rows_out_of_tiles_are_those_that_went_in_and_convert_as_those_do() {
        for (rows, cols) in [(21, 96), (16, 44)] {
            let values: Vec<f32> = (0..rows * cols).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
            let floats = HostTensor::from_f32("w", Shape::from([rows, cols]), &values).unwrap();
            for format in [DType::Q4_0, DType::Q4_1, DType::Q8_0] {
                let tiles = tiled(&floats, format);
                let mut direct = RowReader::new(&floats, format);
                let mut out = RowReader::new(&tiles, format);
                let mut narrow = RowReader::new(&tiles, DType::BF16);
                for r in 0..rows {
                    let stored = direct.row(r).unwrap().to_vec();
                    assert_eq!(out.row(r).unwrap(), stored, "{format}, row {r}");
                    let (mut wide, mut expected) = (vec![0.0; cols], vec![0; 2 * cols]);
                    dequantize_row(format, &stored, &mut wide).unwrap();
                    quantize_row(DType::BF16, &wide, &mut expected).unwrap();
                    assert_eq!(narrow.row(r).unwrap(), expected, "{format}, row {r}");
                }
            }
        }
    }

    #[test]
    fn q4_k_becomes_q4_1_with_the_same_quants() {
        // Factors of 0.013 and 0.02, then any bits.
        let mut bytes: Vec<u8> =
            (0..2 * 144u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for block in bytes.chunks_exact_mut(144) {
            for (at, factor) in [(0, 0.013), (2, 0.02)] {
                block[at..at + 2].copy_from_slice(&half::f16::from_f32(factor).to_le_bytes());
            }
        }
        let tensor = HostTensor::new("w", DType::Q4K, Shape::from([1, 512]), bytes.clone().into()).unwrap();
        let (mut exact, mut ours) = ([0.0f32; 512], [0.0f32; 512]);
        dequantize_row(DType::Q4K, &bytes, &mut exact).unwrap();
        let row = RowReader::new(&tensor, DType::Q4_1).row(0).unwrap().to_vec();
        dequantize_row(DType::Q4_1, &row, &mut ours).unwrap();
        // Of a scale of up to 63 * 0.013, fifteen times, and of a minimum.
        let bound = (63.0 * 0.013 * 15.0 + 63.0 * 0.02) / 2048.0;
        for (ours, exact) in ours.iter().zip(&exact) {
            assert!((ours - exact).abs() <= bound, "{ours} {exact}");
        }
        assert!(exact.iter().any(|x| *x > 2.0) && exact.iter().any(|x| *x < -0.5));
    }

    #[test]
    fn ids_are_no_weights() {
        let ids = HostTensor::new("ids", DType::I32, Shape::from([1]), vec![0; 4].into()).unwrap();
        assert!(RowReader::new(&ids, DType::F32).row(0).is_err());
        let floats = HostTensor::from_f32("w", Shape::from([1]), &[1.0]).unwrap();
        assert!(RowReader::new(&floats, DType::U8).row(0).is_err());
    }
}
