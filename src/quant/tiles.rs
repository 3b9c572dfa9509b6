//! The layout of quantized weights: tiles of sixteen rows in which a vector lane is a row. One layout serves every
//! instruction set, so that a file of packed weights is the same everywhere (`docs/PACKED_FORMAT.md`).
//!
//! ```text
//! tile   = pairs of blocks of 32 columns, in ascending columns
//! pair   = scales of the first block, of the second; quants of the first block, of the second
//! scales = 16 f16, one a row; Q4_1: then 16 f16 minima
//! quants = 4 columns of row 0, of row 1, ... of row 15, then the next 4 columns
//! ```
//! So a tile is read from front to back, and quants are at multiples of 64 bytes. The 4-bit formats keep ggml's
//! pairing: the byte for column `c` of a block holds column `c + 16` in its high nibble. The last tile is filled
//! up with zero rows, an odd last pair with zeros that are not read.

use super::{q4_0, q4_1, q8_0};
use crate::core::{BLOCK_LEN, BlockFormat, DType, TILE_BLOCKS, TILE_ROWS as TILE};

/// Columns of a row that are contiguous, and that a 32-bit lane holds.
pub(crate) const RUN: usize = 4;
/// Bytes of the quants of a block of all rows of a tile, 8-bit format.
pub(crate) const Q8_BYTES: usize = TILE * BLOCK_LEN;
/// Bytes of the quants of a block of all rows of a tile, 4-bit formats.
pub(crate) const Q4_BYTES: usize = TILE * BLOCK_LEN / 2;
/// Bytes of sixteen f16.
pub(crate) const SCALES: usize = TILE * 2;

/// Where things are in a tile of `blocks` blocks a row.
#[derive(Clone, Copy, Debug)]
pub struct TileLayout {
    format: BlockFormat,
    /// Bytes of a block as files store it.
    block_bytes: usize,
    blocks: usize,
    bytes: usize,
}

impl TileLayout {
    /// The layout of rows of `cols` columns; `None` if `dtype` is no block format or a tile is impossibly large.
    pub fn new(dtype: DType, cols: usize) -> Option<Self> {
        let (format, block_bytes) = (dtype.block_format()?, dtype.block_bytes());
        let blocks = cols.div_ceil(BLOCK_LEN);
        let layout = Self { format, block_bytes, blocks, bytes: 0 };
        let (heads, quants) = layout.sizes();
        let bytes = blocks.div_ceil(TILE_BLOCKS).checked_mul(TILE_BLOCKS * (heads * SCALES + quants))?;
        Some(Self { bytes, ..layout })
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes of a tile, a multiple of 64.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Vectors of scales a block, and bytes of its quants.
    fn sizes(&self) -> (usize, usize) {
        match self.format {
            BlockFormat::Q8_0 => (1, Q8_BYTES),
            BlockFormat::Q4_0 => (1, Q4_BYTES),
            BlockFormat::Q4_1 => (2, Q4_BYTES),
        }
    }

    /// Block `b` of a tile: its scales and its quants. `HEADS` and `BYTES` are this layout's.
    #[inline(always)]
    pub fn block<'a, const HEADS: usize, const BYTES: usize>(
        &self,
        tile: &'a [u8],
        b: usize,
    ) -> Option<(&'a [[u8; SCALES]; HEADS], &'a [u8; BYTES])> {
        let pair = tile.get(b / 2 * (2 * (HEADS * SCALES + BYTES))..)?;
        let (heads, quants) = pair.split_at_checked(2 * HEADS * SCALES)?;
        let heads = heads.as_chunks::<SCALES>().0.get(b % 2 * HEADS..)?.first_chunk()?;
        Some((heads, quants.get(b % 2 * BYTES..)?.first_chunk()?))
    }

    /// Where the scales and the quants of block `b` begin.
    fn places(&self, b: usize) -> (usize, usize) {
        let (heads, quants) = self.sizes();
        let pair = b / 2 * 2 * (heads * SCALES + quants);
        (pair + b % 2 * heads * SCALES, pair + 2 * heads * SCALES + b % 2 * quants)
    }

    /// Puts a row, stored as in its file format, into lane `lane` of a tile.
    ///
    /// # Panics
    /// If the tile or the row is shorter than this layout asks for.
    pub fn pack_row(&self, row: &[u8], lane: usize, tile: &mut [u8]) {
        let (heads, _) = self.sizes();
        for (b, block) in row.chunks_exact(self.block_bytes).take(self.blocks).enumerate() {
            let (scales, quants) = self.places(b);
            let (head, body) = block.split_at(2 * heads);
            for (h, head) in head.chunks_exact(2).enumerate() {
                let at = scales + h * SCALES + 2 * lane;
                tile[at..at + 2].copy_from_slice(head);
            }
            for (g, run) in body.chunks_exact(RUN).enumerate() {
                let at = quants + (g * TILE + lane) * RUN;
                tile[at..at + RUN].copy_from_slice(run);
            }
        }
    }

    /// Takes lane `lane` of a tile out again, the inverse of [`Self::pack_row`]: `row` becomes what its file
    /// format stores.
    ///
    /// # Panics
    /// If the tile or the row is shorter than this layout asks for.
    pub fn unpack_row(&self, tile: &[u8], lane: usize, row: &mut [u8]) {
        let (heads, _) = self.sizes();
        for (b, block) in row.chunks_exact_mut(self.block_bytes).take(self.blocks).enumerate() {
            let (scales, quants) = self.places(b);
            let (head, body) = block.split_at_mut(2 * heads);
            for (h, head) in head.chunks_exact_mut(2).enumerate() {
                let at = scales + h * SCALES + 2 * lane;
                head.copy_from_slice(&tile[at..at + 2]);
            }
            for (g, run) in body.chunks_exact_mut(RUN).enumerate() {
                let at = quants + (g * TILE + lane) * RUN;
                run.copy_from_slice(&tile[at..at + RUN]);
            }
        }
    }

    /// Dequantizes row `row` of a matrix of such tiles into `out`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn unpack(&self, tiles: &[u8], row: usize, out: &mut [f32]) {
        let at = row / TILE * self.bytes;
        self.dequantize_lane(&tiles[at..at + self.bytes], row % TILE, out);
    }

    /// Dequantizes lane `lane` of a tile into `out`, a row of columns.
    ///
    /// # Panics
    /// If the tile is shorter than this layout asks for.
    fn dequantize_lane(&self, tile: &[u8], lane: usize, out: &mut [f32]) {
        for (b, out) in out.chunks_mut(BLOCK_LEN).take(self.blocks).enumerate() {
            let (scales, quants) = self.places(b);
            let f16_at = |head: usize| {
                let at = scales + head * SCALES + 2 * lane;
                u16::from_le_bytes([tile[at], tile[at + 1]])
            };
            let quants = &tile[quants..];
            let mut values = [0.0; BLOCK_LEN];
            match self.format {
                BlockFormat::Q8_0 => {
                    let qs = lane_bytes::<{ BLOCK_LEN }>(quants, lane).map(|q| q as i8);
                    q8_0::Block { d: f16_at(0), qs }.dequantize(&mut values);
                }
                BlockFormat::Q4_1 => {
                    let qs = lane_bytes(quants, lane);
                    q4_1::Block { d: f16_at(0), m: f16_at(1), qs }.dequantize(&mut values);
                }
                BlockFormat::Q4_0 => {
                    let qs = lane_bytes(quants, lane);
                    q4_0::Block { d: f16_at(0), qs }.dequantize(&mut values);
                }
            }
            out.copy_from_slice(&values[..out.len()]);
        }
    }
}

/// One row's bytes of a block.
fn lane_bytes<const N: usize>(block: &[u8], lane: usize) -> [u8; N] {
    let mut out = [0; N];
    for (g, run) in out.chunks_exact_mut(RUN).enumerate() {
        run.copy_from_slice(&block[(g * TILE + lane) * RUN..][..RUN]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Order;

    const FORMATS: [DType; 3] = [DType::Q4_0, DType::Q4_1, DType::Q8_0];

    /// Bytes that differ from place to place.
    fn row(dtype: DType, blocks: usize, seed: usize) -> Vec<u8> {
        (0..blocks * dtype.block_bytes()).map(|i| (seed * 131 + i * 7 + i / 251) as u8).collect()
    }

    #[test]
    fn what_is_packed_comes_out_again_and_lanes_do_not_touch() {
        for dtype in FORMATS {
            for (blocks, cols) in [(0, 0), (1, 32), (1, 1), (2, 64), (3, 65), (3, 96), (5, 150)] {
                let layout = TileLayout::new(dtype, cols).unwrap();
                assert_eq!(Some(layout.bytes()), Order::Tiles.bytes(dtype, 1, cols));
                let mut tile = vec![0; layout.bytes()];
                for lane in 0..TILE {
                    layout.pack_row(&row(dtype, blocks, lane), lane, &mut tile);
                }
                for lane in (0..TILE).rev() {
                    let mut out = vec![0; blocks * dtype.block_bytes()];
                    layout.unpack_row(&tile, lane, &mut out);
                    assert_eq!(out, row(dtype, blocks, lane), "{dtype}, {blocks} blocks, lane {lane}");
                }
            }
        }
    }

    #[test]
    fn bytes_lie_where_the_documented_layout_has_them() {
        // Q4_1, two blocks: 16 scales, 16 minima, the same of block 1, then the quants in runs of four columns.
        let layout = TileLayout::new(DType::Q4_1, 64).unwrap();
        let mut tile = vec![0; layout.bytes()];
        let mut source = vec![0; 40];
        source[20..22].copy_from_slice(&[1, 2]); // scale of block 1
        source[22..24].copy_from_slice(&[3, 4]); // its minimum
        source[24 + 5] = 9; // its quant byte 5
        layout.pack_row(&source, 3, &mut tile);
        let set: Vec<(usize, u8)> = tile.iter().copied().enumerate().filter(|&(_, b)| b != 0).collect();
        let quants = 4 * 32 + 256;
        assert_eq!(set, [(64 + 6, 1), (64 + 7, 2), (96 + 6, 3), (96 + 7, 4), (quants + (16 + 3) * 4 + 1, 9)]);
    }
}
