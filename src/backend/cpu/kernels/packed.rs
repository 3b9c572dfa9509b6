//! The layout of quantized weights: tiles of eight rows in which a vector lane is a row.
//!
//! ```text
//! tile   = scales of all blocks, padded to 64 bytes, then quants of all blocks
//! scales = per block of 32 columns: 8 f16, one a row; Q4_1: then 8 f16 minima
//! quants = per block of 32 columns: 4 columns of row 0, of row 1, ... of row 7, then the next 4 columns
//! ```
//! The 4-bit formats keep ggml's pairing: the byte for column `c` of a block holds column `c + 16` in its high
//! nibble. The last tile is filled up with zero rows.

use crate::core::{BLOCK_LEN, DType};
use crate::quant::{q4_0, q4_1, q8_0};

use super::TILE;

/// Columns of a row that lie together, and that a 32-bit lane holds.
pub(crate) const RUN: usize = 4;
/// Bytes of the quants of a block of all rows of a tile, 8-bit format.
pub(crate) const Q8_BYTES: usize = TILE * BLOCK_LEN;
/// Bytes of the quants of a block of all rows of a tile, 4-bit formats.
pub(crate) const Q4_BYTES: usize = TILE * BLOCK_LEN / 2;
/// Bytes of eight f16.
pub(crate) const SCALES: usize = TILE * 2;

/// Where things are in a tile of `blocks` blocks a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileLayout {
    dtype: DType,
    blocks: usize,
    quants_at: usize,
    bytes: usize,
}

impl TileLayout {
    /// The layout of rows of `cols` columns; `None` if `dtype` is no block format or a tile is impossibly large.
    pub fn new(dtype: DType, cols: usize) -> Option<Self> {
        if !dtype.is_quantized() {
            return None;
        }
        let blocks = cols.div_ceil(BLOCK_LEN);
        let scales = if dtype == DType::Q4_1 { 2 * SCALES } else { SCALES };
        let quants = if dtype == DType::Q8_0 { Q8_BYTES } else { Q4_BYTES };
        let quants_at = blocks.checked_mul(scales)?.checked_next_multiple_of(64)?;
        Some(Self { dtype, blocks, quants_at, bytes: blocks.checked_mul(quants)?.checked_add(quants_at)? })
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes of a tile, a multiple of 64.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A tile's scales and quants.
    #[inline(always)]
    pub fn split<'a>(&self, tile: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        tile.split_at(self.quants_at)
    }

    /// Puts a row, stored as in its file format, into lane `lane` of a tile.
    ///
    /// # Panics
    /// If the tile or the row is shorter than this layout asks for.
    pub fn pack_row(&self, row: &[u8], lane: usize, tile: &mut [u8]) {
        let (scales, quants) = tile.split_at_mut(self.quants_at);
        let size = self.dtype.block_bytes();
        for (b, block) in row.chunks_exact(size).take(self.blocks).enumerate() {
            let (heads, body, width) = match self.dtype {
                DType::Q4_1 => (2, &block[4..], Q4_BYTES),
                DType::Q8_0 => (1, &block[2..], Q8_BYTES),
                _ => (1, &block[2..], Q4_BYTES),
            };
            for head in 0..heads {
                let at = (b * heads + head) * SCALES + 2 * lane;
                scales[at..at + 2].copy_from_slice(&block[2 * head..2 * head + 2]);
            }
            for (g, run) in body.chunks_exact(RUN).enumerate() {
                let at = b * width + (g * TILE + lane) * RUN;
                quants[at..at + RUN].copy_from_slice(run);
            }
        }
    }

    /// Dequantizes row `row` of a matrix of such tiles into `out`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn unpack(&self, tiles: &[u8], row: usize, out: &mut [f32]) {
        let at = row / TILE * self.bytes;
        self.unpack_row(&tiles[at..at + self.bytes], row % TILE, out);
    }

    /// Dequantizes lane `lane` of a tile into `out`, a row of columns.
    ///
    /// # Panics
    /// If the tile is shorter than this layout asks for.
    fn unpack_row(&self, tile: &[u8], lane: usize, out: &mut [f32]) {
        let (scales, quants) = self.split(tile);
        let f16_at =
            |i: usize| u16::from_le_bytes([scales[i * SCALES + 2 * lane], scales[i * SCALES + 2 * lane + 1]]);
        for (b, out) in out.chunks_mut(BLOCK_LEN).take(self.blocks).enumerate() {
            let mut values = [0.0; BLOCK_LEN];
            match self.dtype {
                DType::Q8_0 => {
                    let qs = lane_bytes::<{ BLOCK_LEN }>(&quants[b * Q8_BYTES..], lane).map(|q| q as i8);
                    q8_0::Block { d: f16_at(b), qs }.dequantize(&mut values);
                }
                DType::Q4_1 => {
                    let qs = lane_bytes(&quants[b * Q4_BYTES..], lane);
                    q4_1::Block { d: f16_at(2 * b), m: f16_at(2 * b + 1), qs }.dequantize(&mut values);
                }
                _ => {
                    let qs = lane_bytes(&quants[b * Q4_BYTES..], lane);
                    q4_0::Block { d: f16_at(b), qs }.dequantize(&mut values);
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

/// Rows of quantized activations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuantizedRows<'a> {
    /// `[rows][blocks]` blocks of quants.
    pub quants: &'a [[i8; BLOCK_LEN]],
    /// `[rows][blocks]` scales.
    pub scales: &'a [f32],
    /// `[rows][blocks]` sums of quants.
    pub sums: &'a [i32],
}

impl<'a> QuantizedRows<'a> {
    /// `count` rows of `blocks` blocks from row `from` on.
    pub fn rows(&self, from: usize, count: usize, blocks: usize) -> QuantizedRows<'a> {
        let range = from * blocks..(from + count) * blocks;
        QuantizedRows {
            quants: &self.quants[range.clone()],
            scales: &self.scales[range.clone()],
            sums: &self.sums[range],
        }
    }
}
