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

/// A group of rows of quantized activations: first block 0 of all its rows, then block 1, ...
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuantizedRows<'a> {
    /// Rows of the group.
    pub width: usize,
    /// `[blocks][width]` blocks of quants, arranged for the kernel.
    pub quants: &'a [[i8; BLOCK_LEN]],
    /// `[blocks][width]` scales.
    pub scales: &'a [f32],
    /// `[blocks][width]`: -8 times the sum of a block's quants.
    pub offsets: &'a [i32],
}

/// One block of `X` rows of a group.
pub(crate) struct QuantizedBlock<'a, const X: usize> {
    pub quants: &'a [[i8; BLOCK_LEN]; X],
    pub scales: &'a [f32; X],
    pub offsets: &'a [i32; X],
}

impl<'a> QuantizedRows<'a> {
    /// Block `b` of `X` rows from row `row` on.
    #[inline(always)]
    pub fn block<const X: usize>(&self, b: usize, row: usize) -> Option<QuantizedBlock<'a, X>> {
        let at = b * self.width + row;
        Some(QuantizedBlock {
            quants: self.quants.get(at..)?.first_chunk()?,
            scales: self.scales.get(at..)?.first_chunk()?,
            offsets: self.offsets.get(at..)?.first_chunk()?,
        })
    }
}
