//! What the kernels of the block formats read: weights in tiles (`quant::tiles`) and quantized rows.

use crate::core::BLOCK_LEN;
pub(crate) use crate::quant::tiles::{Q4_BYTES, Q8_BYTES, RUN, TileLayout};

/// Tiles of weight rows that are contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedTiles<'a> {
    /// The layout of each.
    pub layout: &'a TileLayout,
    /// Their bytes.
    pub bytes: &'a [u8],
    /// How many there are.
    pub count: usize,
}

impl<'a> PackedTiles<'a> {
    /// The tiles with their numbers; ends early if bytes are missing.
    #[inline(always)]
    pub fn each(self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let size = self.layout.bytes();
        (0..self.count).map_while(move |t| Some((t, self.bytes.get(t * size..(t + 1) * size)?)))
    }
}

/// A group of rows of quantized activations: first block 0 of all its rows, then block 1, ... Blocks are as long as
/// those of the weights; their quants are in pieces of 32 anyway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuantizedRows<'a> {
    /// Rows of the group.
    pub width: usize,
    /// `[pieces][width]` pieces of quants, arranged for the kernel.
    pub quants: &'a [[i8; BLOCK_LEN]],
    /// `[blocks][width]` scales.
    pub scales: &'a [f32],
    /// Blocks of 32: `[blocks][width]`, -8 times the sum of a block's quants.
    pub offsets: &'a [i32],
    /// Blocks of 256: `[blocks][width]`.
    pub pairs: &'a [Pairs],
}

/// Sums of the quants of a block of 256, as i16, two in an i32.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pairs {
    /// Of each 16 quants.
    pub of_16: [i32; 8],
    /// Of each 32.
    pub of_32: [i32; 4],
}

/// One block of 32 columns of `X` rows of a group.
pub(crate) struct QuantizedBlock<'a, const X: usize> {
    pub quants: &'a [[i8; BLOCK_LEN]; X],
    pub scales: &'a [f32; X],
    pub offsets: &'a [i32; X],
}

/// What a block of 256 columns of `X` rows of a group has beside its quants.
pub(crate) struct LongBlock<'a, const X: usize> {
    pub scales: &'a [f32; X],
    pub pairs: &'a [Pairs; X],
}

impl<'a> QuantizedRows<'a> {
    /// Piece `j` of `X` rows from row `row` on.
    #[inline(always)]
    pub fn quants<const X: usize>(&self, j: usize, row: usize) -> Option<&'a [[i8; BLOCK_LEN]; X]> {
        self.quants.get(j * self.width + row..)?.first_chunk()
    }

    /// Block `b` of 32 columns of `X` rows from row `row` on.
    #[inline(always)]
    pub fn block<const X: usize>(&self, b: usize, row: usize) -> Option<QuantizedBlock<'a, X>> {
        let at = b * self.width + row;
        Some(QuantizedBlock {
            quants: self.quants(b, row)?,
            scales: self.scales.get(at..)?.first_chunk()?,
            offsets: self.offsets.get(at..)?.first_chunk()?,
        })
    }

    /// Block `b` of 256 columns of `X` rows from row `row` on.
    #[inline(always)]
    pub fn long_block<const X: usize>(&self, b: usize, row: usize) -> Option<LongBlock<'a, X>> {
        let at = b * self.width + row;
        Some(LongBlock {
            scales: self.scales.get(at..)?.first_chunk()?,
            pairs: self.pairs.get(at..)?.first_chunk()?,
        })
    }
}
