//! Activations as pairs of bf16, for instruction sets that multiply such pairs.

use super::Outputs;

/// Columns that a chunk of pairs holds.
pub(crate) const PAIRED: usize = 32;

/// A group of activation rows as bf16.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairedRows<'a> {
    /// Rows of the group.
    pub width: usize,
    /// Elements of a row.
    pub cols: usize,
    /// `[cols / 32, rounded up][width]`: bits of bf16, zeros after the last column.
    pub chunks: &'a [[u16; PAIRED]],
}

/// Tile of weight rows, group of activation rows, results.
pub(crate) type PairedTile = fn(&[u8], &PairedRows<'_>, &mut Outputs);

/// The kernels of such a set.
#[derive(Clone, Copy)]
pub(crate) struct Paired {
    /// A row of values; places from a chunk to the next; the chunks.
    pub narrow: fn(&[f32], usize, &mut [[u16; PAIRED]]),
    /// For f16 and for bf16 weights.
    pub tiles: [PairedTile; 2],
}
