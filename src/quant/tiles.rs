//! The layout of quantized weights: tiles of sixteen rows in which a vector lane is a row. One layout serves every
//! instruction set, so that a file of packed weights is the same everywhere (`docs/PACKED_FORMAT.md`).
//!
//! ```text
//! tile    = spans of blocks, in ascending columns: two blocks of 32 columns (MXFP4: four), or all blocks of 256
//! span    = factors of each block, filled up to a multiple of 64 bytes; then what else each has
//! factors = 16 f16, one a row; with minima then 16 f16 of these; IQ4_XS: then the upper bits of 16 rows' scales
//!           MXFP4: 16 bytes
//! block   = scales of its groups: byte 0 of the 16 rows, byte 1, ...
//!           codes: lower bits, then upper bits
//! ```
//! A vector of codes is 64 bytes: 4 columns (a run) of row 0, of row 1, ... of row 15. Codes of 8 bits are a vector a run.
//! Of smaller ones a vector holds several runs that follow each other, the first in the lowest bits: two of 4 bits, four of
//! 2 bits, eight of 1 bit, five of TQ1_0 (as digits to the base 3, the most significant one first). Q4_0 and Q4_1 alone
//! keep ggml's pairing: the byte for column `c` of a block holds column `c + 16` in its high nibble. The last tile is filled
//! up with zero rows, a last span with zeros that are not read.

use super::anatomy::{self, Anatomy, Codes};
use super::dequantize_row;
use crate::core::{BLOCK_LEN, BlockFormat, DType, K_BLOCK_LEN, TILE_ROWS as TILE, tile_blocks, tile_bytes};

/// Columns of a row that are contiguous, and that a 32-bit lane holds.
pub(crate) const RUN: usize = 4;
/// Bytes of a vector: a run of every row.
pub(crate) const VECTOR: usize = TILE * RUN;
/// Bytes of the quants of a block of all rows of a tile, 8-bit format.
pub(crate) const Q8_BYTES: usize = TILE * BLOCK_LEN;
/// Bytes of the quants of a block of all rows of a tile, 4-bit formats.
pub(crate) const Q4_BYTES: usize = TILE * BLOCK_LEN / 2;
/// Bytes of sixteen f16.
pub(crate) const SCALES: usize = TILE * 2;

/// Where things are in a tile of `blocks` blocks a row.
#[derive(Clone, Copy, Debug)]
pub struct TileLayout {
    dtype: DType,
    format: BlockFormat,
    anatomy: Anatomy,
    /// Blocks of a row.
    blocks: usize,
    /// Blocks of a span.
    span: usize,
    /// Bytes of a block's factors, of a span's, and of what else a block has.
    factors: usize,
    heads: usize,
    body: usize,
    bytes: usize,
}

impl TileLayout {
    /// The layout of rows of `cols` columns; `None` if `dtype` is no block format or a tile is impossibly large.
    pub fn new(dtype: DType, cols: usize) -> Option<Self> {
        let (format, bytes) = (dtype.block_format()?, tile_bytes(dtype, cols)?);
        let anatomy = Anatomy::of(format);
        let blocks = cols.div_ceil(dtype.block_len());
        let span = if dtype.block_len() == BLOCK_LEN { tile_blocks(dtype) } else { blocks };
        let factors = anatomy.factors.1 * TILE;
        let heads = (span * factors).next_multiple_of(64);
        let body = (dtype.block_bytes() - anatomy.factors.1) * TILE;
        Some(Self { dtype, format, anatomy, blocks, span, factors, heads, body, bytes })
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes of a tile, a multiple of 64.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Block `b` of a tile of pairs of blocks: its factors and its quants. `HEADS` and `BYTES` are this layout's.
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

    /// Block `b` of a tile of any format: its factors, and what else it has.
    #[inline(always)]
    pub fn parts<'a>(&self, tile: &'a [u8], b: usize) -> Option<(&'a [u8], &'a [u8])> {
        let (factors, body) = self.places(b);
        Some((tile.get(factors..factors + self.factors)?, tile.get(body..body + self.body)?))
    }

    /// Where the factors of block `b` begin, and what else it has.
    #[inline(always)]
    fn places(&self, b: usize) -> (usize, usize) {
        let (first, within) = match self.span {
            2 => (b / 2, b % 2),
            4 if self.factors == TILE => (b / 4, b % 4),
            _ => (0, b),
        };
        let span = first * (self.heads + self.span * self.body);
        (span + within * self.factors, span + self.heads + within * self.body)
    }

    /// Puts a row, stored as in its file format, into lane `lane` of a tile, which was zero there.
    ///
    /// # Panics
    /// If the tile or the row is shorter than this layout asks for.
    pub fn pack_row(&self, row: &[u8], lane: usize, tile: &mut [u8]) {
        let mut codes = [0; K_BLOCK_LEN];
        let codes = &mut codes[..self.dtype.block_len()];
        for (b, block) in row.chunks_exact(self.dtype.block_bytes()).take(self.blocks).enumerate() {
            self.each_byte(b, lane, |stored, packed| tile[packed] = block[stored]);
            let at = self.codes(b);
            if let Codes::AsStored(len) = self.anatomy.codes {
                for (g, run) in block[self.anatomy.factors.1..][..len].chunks_exact(RUN).enumerate() {
                    let at = at + (g * TILE + lane) * RUN;
                    tile[at..at + RUN].copy_from_slice(run);
                }
                continue;
            }
            anatomy::read_codes(self.format, block, codes);
            match self.anatomy.codes {
                Codes::AsStored(_) => {}
                Codes::Bits(low, high) => {
                    put_bits(codes, 0, low, lane, &mut tile[at..]);
                    put_bits(codes, low, high, lane, &mut tile[at + low_bytes(codes.len(), low)..]);
                }
                Codes::Trits => put_trits(codes, lane, &mut tile[at..]),
            }
        }
    }

    /// Takes lane `lane` of a tile out again, the inverse of [`Self::pack_row`]: `row` becomes what its file
    /// format stores.
    ///
    /// # Panics
    /// If the tile or the row is shorter than this layout asks for.
    pub fn unpack_row(&self, tile: &[u8], lane: usize, row: &mut [u8]) {
        for (b, block) in row.chunks_exact_mut(self.dtype.block_bytes()).take(self.blocks).enumerate() {
            self.unpack_block(tile, lane, b, block);
        }
    }

    fn unpack_block(&self, tile: &[u8], lane: usize, b: usize, block: &mut [u8]) {
        let at = self.codes(b);
        let mut codes = [0; K_BLOCK_LEN];
        let codes = &mut codes[..self.dtype.block_len()];
        match self.anatomy.codes {
            Codes::AsStored(len) => {
                for (g, run) in block[self.anatomy.factors.1..][..len].chunks_exact_mut(RUN).enumerate() {
                    let at = at + (g * TILE + lane) * RUN;
                    run.copy_from_slice(&tile[at..at + RUN]);
                }
            }
            Codes::Bits(low, high) => {
                take_bits(&tile[at..], lane, 0, low, codes);
                take_bits(&tile[at + low_bytes(codes.len(), low)..], lane, low, high, codes);
                block.fill(0);
                anatomy::write_codes(self.format, codes, block);
            }
            Codes::Trits => {
                take_trits(&tile[at..], lane, codes);
                anatomy::write_codes(self.format, codes, block);
            }
        }
        self.each_byte(b, lane, |stored, packed| block[stored] = tile[packed]);
    }

    /// Where the codes of block `b` begin.
    fn codes(&self, b: usize) -> usize {
        self.places(b).1 + self.anatomy.scales.1 * TILE
    }

    /// Calls `with` with the place in a stored block and the place in the tile of each byte of factors and scales of a row.
    #[inline(always)]
    fn each_byte(&self, b: usize, lane: usize, mut with: impl FnMut(usize, usize)) {
        let (factors, body) = self.places(b);
        let (at, len) = self.anatomy.factors;
        for i in 0..len {
            let width = len.min(2);
            with(at + i, factors + i / 2 * SCALES + lane * width + i % 2);
        }
        let (at, len) = self.anatomy.scales;
        for i in 0..len {
            with(at + i, body + i * TILE + lane);
        }
    }

    /// Dequantizes row `row` of a matrix of such tiles into `out`.
    ///
    /// # Panics
    /// If there is no such row, or `out` is longer than it.
    pub fn unpack(&self, tiles: &[u8], row: usize, out: &mut [f32]) {
        let tile = &tiles[row / TILE * self.bytes..][..self.bytes];
        let mut block = [0; MOST_BYTES];
        let block = &mut block[..self.dtype.block_bytes()];
        for (b, out) in out.chunks_mut(self.dtype.block_len()).enumerate() {
            self.unpack_block(tile, row % TILE, b, block);
            dequantize_row(self.dtype, block, out).expect("a block of a block format");
        }
    }
}

/// The most bytes that a block has.
const MOST_BYTES: usize = K_BLOCK_LEN;

/// Bytes of the lower bits of a block of sixteen rows.
const fn low_bytes(codes: usize, bits: u32) -> usize {
    codes * bits as usize / 8 * TILE
}

/// Puts `bits` bits of each code, from bit `from` on, into a lane of vectors. `bits` is 0, 1, 2 or 4.
fn put_bits(codes: &[u8], from: u32, bits: u32, lane: usize, vectors: &mut [u8]) {
    match bits {
        1 => put_so_many_bits::<1>(codes, from, lane, vectors),
        2 => put_so_many_bits::<2>(codes, from, lane, vectors),
        4 => put_so_many_bits::<4>(codes, from, lane, vectors),
        _ => {}
    }
}

/// As [`put_bits`], a run of four codes at a time.
fn put_so_many_bits<const BITS: u32>(codes: &[u8], from: u32, lane: usize, vectors: &mut [u8]) {
    let (per, mask) = (8 / BITS as usize, ((1 << BITS) - 1) * 0x0101_0101);
    let lanes = vectors.as_chunks_mut::<VECTOR>().0.iter_mut().map(|v| &mut v.as_chunks_mut::<RUN>().0[lane]);
    for (lane, codes) in lanes.zip(codes.chunks(per * RUN)) {
        let mut word = 0;
        for (k, run) in (0..).zip(codes.as_chunks().0) {
            word |= (u32::from_le_bytes(*run) >> from & mask) << (k * BITS);
        }
        *lane = word.to_le_bytes();
    }
}

/// The inverse of [`put_bits`]; the codes had zeros there.
fn take_bits(vectors: &[u8], lane: usize, from: u32, bits: u32, codes: &mut [u8]) {
    if bits == 0 {
        return;
    }
    let (per, mask) = (8 / bits as usize, ((1u32 << bits) - 1) as u8);
    for (g, run) in codes.chunks_exact_mut(RUN).enumerate() {
        let stored = &vectors[g / per * VECTOR + lane * RUN..][..RUN];
        for (code, byte) in run.iter_mut().zip(stored) {
            *code |= (byte >> (g % per * bits as usize) & mask) << from;
        }
    }
}

/// Runs of digits to the base 3 that a vector holds.
pub(crate) const TRITS: usize = 5;

fn put_trits(codes: &[u8], lane: usize, vectors: &mut [u8]) {
    for (v, runs) in codes.chunks(TRITS * RUN).enumerate() {
        for k in 0..RUN {
            let digits = std::array::from_fn(|n| runs.get(n * RUN + k).copied().unwrap_or(0));
            vectors[v * VECTOR + lane * RUN + k] = anatomy::trits(digits);
        }
    }
}

fn take_trits(vectors: &[u8], lane: usize, codes: &mut [u8]) {
    for (g, run) in codes.chunks_exact_mut(RUN).enumerate() {
        for (k, code) in run.iter_mut().enumerate() {
            *code = anatomy::digit(vectors[g / TRITS * VECTOR + lane * RUN + k], g % TRITS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Order;

    /// Bytes that differ from place to place; of TQ1_0 those that some digits have.
    fn row(dtype: DType, blocks: usize, seed: usize) -> Vec<u8> {
        let mut row: Vec<u8> =
            (0..blocks * dtype.block_bytes()).map(|i| (seed * 131 + i * 7 + i / 251) as u8).collect();
        if dtype == DType::Tq1_0 {
            for block in row.chunks_exact_mut(54) {
                let mut codes = [0; K_BLOCK_LEN];
                anatomy::read_codes(BlockFormat::Tq1_0, block, &mut codes);
                anatomy::write_codes(BlockFormat::Tq1_0, &codes, block);
            }
        }
        row
    }

    #[test]
    fn what_is_packed_comes_out_again_and_lanes_do_not_touch() {
        for dtype in DType::ALL.into_iter().filter(|d| d.is_quantized()) {
            for (blocks, part) in [(0, 0), (1, 32), (1, 1), (2, 64), (3, 65), (3, 96), (5, 150)] {
                // Rows of long blocks are whole ones.
                let cols = if dtype.block_len() == BLOCK_LEN { part } else { blocks * K_BLOCK_LEN };
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
