//! In which order a stored matrix holds its elements.

use super::{BLOCK_LEN, DType};

/// Rows of a tile: as many as the narrowest common vector of 32-bit lanes times its registers serve well, and a
/// whole AVX-512 vector.
pub const TILE_ROWS: usize = 16;

/// Blocks of a row whose factors are contiguous in a tile, so that what follows them begins at a multiple of 64 bytes. (Those
/// of long blocks are so for the whole row.)
pub const fn tile_blocks(dtype: DType) -> usize {
    match dtype {
        DType::Mxfp4 => 4,
        _ if dtype.block_len() == BLOCK_LEN => 2,
        _ => 1,
    }
}

/// Bytes of a tile of rows of `cols` elements, a multiple of 64; `None` if they do not fit in a `usize`, or if `dtype` is no
/// block format.
pub fn tile_bytes(dtype: DType, cols: usize) -> Option<usize> {
    dtype.block_format()?;
    let cols = cols.checked_next_multiple_of(tile_blocks(dtype) * dtype.block_len())?;
    dtype.bytes_for(cols)?.checked_mul(TILE_ROWS)?.checked_next_multiple_of(64)
}

/// The order of a stored matrix's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// One row after the other: how checkpoints store everything.
    Rows,
    /// One row after the other, with the two halves of each group of so many rows interleaved: row `j * n / 2 + i` of
    /// a group is stored at `2 * i + j`. GGUF files store queries and keys of a Llama like that, a group being a head.
    Interleaved(usize),
    /// Tiles of [`TILE_ROWS`] rows, filled up with zeros (`quant::tiles` has the arrangement): how the CPU's
    /// kernels read the block formats, on every instruction set.
    Tiles,
}

impl Order {
    /// Bytes of a matrix in this order. `None` if there is no such matrix (row-major rows are whole blocks,
    /// tiles hold block formats only), or if the number does not fit in a `usize`.
    pub fn bytes(self, dtype: DType, rows: usize, cols: usize) -> Option<usize> {
        match self {
            Order::Rows | Order::Interleaved(_) if !cols.is_multiple_of(dtype.block_len()) => None,
            Order::Interleaved(group) if group % 2 != 0 || group == 0 || !rows.is_multiple_of(group) => None,
            Order::Rows | Order::Interleaved(_) => dtype.bytes_for(cols)?.checked_mul(rows),
            Order::Tiles => tile_bytes(dtype, cols)?.checked_mul(rows.div_ceil(TILE_ROWS)),
        }
    }

    /// The order in which kernels read a format.
    pub const fn read_by_kernels(format: DType) -> Self {
        if format.is_quantized() { Order::Tiles } else { Order::Rows }
    }

    /// The place of row `row` among the stored rows, for orders of whole rows.
    pub const fn place(self, row: usize) -> usize {
        match self {
            Order::Rows | Order::Tiles => row,
            Order::Interleaved(group) => {
                let (first, within) = (row / group * group, row % group);
                first + within % (group / 2) * 2 + within / (group / 2)
            }
        }
    }

    /// The row that is stored at a place: the opposite of [`Self::place`].
    pub const fn row(self, place: usize) -> usize {
        match self {
            Order::Rows | Order::Tiles => place,
            Order::Interleaved(group) => {
                let (first, within) = (place / group * group, place % group);
                first + within % 2 * (group / 2) + within / 2
            }
        }
    }

    /// The name in files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Order::Rows => "rows",
            Order::Interleaved(_) => "interleaved",
            Order::Tiles => "tiles",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_rows_take_turns_between_the_halves_of_a_head() {
        let places: Vec<usize> = (0..12).map(|row| Order::Interleaved(6).place(row)).collect();
        assert_eq!(places, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
        assert_eq!(Order::Rows.place(7), 7);
        assert_eq!(Order::Interleaved(4).bytes(DType::Q4_0, 8, 64), Some(8 * 2 * 18));
        assert_eq!(Order::Interleaved(4).bytes(DType::F32, 6, 64), None);
        assert_eq!(Order::Interleaved(3).bytes(DType::F32, 6, 64), None);
        assert_eq!(Order::Interleaved(0).bytes(DType::F32, 6, 64), None);
        assert_eq!(Order::Interleaved(4).bytes(DType::Q4_0, 8, 33), None);
    }

    #[test]
    fn tiles_are_whole_and_hold_blocks_only() {
        assert_eq!(Order::Rows.bytes(DType::Q4_0, 3, 96), Some(3 * 3 * 18));
        assert_eq!(Order::Tiles.bytes(DType::Q4_0, 3, 96), Some(16 * 4 * 18));
        assert_eq!(Order::Tiles.bytes(DType::Q8_0, 17, 64), Some(32 * 2 * 34));
        assert_eq!(Order::Tiles.bytes(DType::Q8_0, 1, 65), Some(16 * 4 * 34));
        assert_eq!(Order::Tiles.bytes(DType::Q8_0, 0, 64), Some(0));
        assert_eq!(Order::Tiles.bytes(DType::F32, 16, 64), None);
        assert_eq!(Order::Rows.bytes(DType::Q4_1, 1, 33), None);
        assert_eq!(Order::Tiles.bytes(DType::Q4_1, usize::MAX, 32), None);
        assert_eq!(Order::Tiles.bytes(DType::Q4_1, 1, usize::MAX), None);
        assert_eq!(Order::Rows.bytes(DType::F32, usize::MAX, 2), None);
    }
}
