//! The check that the AMX kernels pass at the start of a process before they are used.
//!
//! They depend on more than an instruction set: on what the system grants and keeps. A machine on which they go wrong
//! counts as one without AMX.

use super::super::isa::{Amx, Isa};
use super::packed::{PackedTiles, QuantizedRows, TileLayout};
use super::table::QuantizedTiles;
use super::{Kernels, TILE};
use crate::core::{BLOCK_LEN, DType};

/// Columns, activation rows and tiles: a block and a bit, and rows that fill the registers once, or need them twice;
/// two batches of the kernels, the second of which ends in half a pair, and one row more than the registers hold.
const SIZES: [(usize, usize, usize); 3] = [(33, 16, 1), (33, 31, 2), (545, 17, 1)];

/// Whether the kernels give what plain Rust gives, to the bit.
pub(in super::super) fn amx_works(amx: Amx) -> bool {
    let (candidate, truth) = (Kernels::of_amx(amx), Kernels::of(Isa::Scalar));
    [DType::Q8_0, DType::Q4_0, DType::Q4_1].into_iter().all(|dtype| {
        let kernels = (candidate.quantized_tiles(dtype), truth.and_then(|k| k.quantized_tiles(dtype)));
        let (Some(candidate), Some(truth)) = kernels else { return false };
        SIZES.iter().all(|&size| agree(candidate, truth, dtype, size))
    })
}

/// Whether two kernels give the same for one of [`SIZES`]. `truth` gets the rows one by one.
fn agree(
    candidate: QuantizedTiles,
    truth: QuantizedTiles,
    dtype: DType,
    size: (usize, usize, usize),
) -> bool {
    let (cols, rows, count) = size;
    let Some(layout) = TileLayout::new(dtype, cols) else { return false };
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    let mut bytes = vec![0; count * layout.bytes()];
    let heads = if dtype == DType::Q4_1 { 4 } else { 2 };
    let mut row = vec![0; layout.blocks() * dtype.block_bytes()];
    for (tile, lane) in (0..count).flat_map(|tile| (0..TILE).map(move |lane| (tile, lane))) {
        for block in row.chunks_exact_mut(dtype.block_bytes()) {
            block.fill_with(|| next() as u8);
            // Scales of 2^-4 to 2^-3, of either sign.
            for head in block[..heads].as_chunks_mut::<2>().0 {
                *head = (next() as u16 & 0x83ff | 0x2c00).to_le_bytes();
            }
        }
        layout.pack_row(&row, lane, &mut bytes[tile * layout.bytes()..(tile + 1) * layout.bytes()]);
    }
    let places = layout.blocks() * rows;
    let mut quants = vec![[0i8; BLOCK_LEN]; places];
    quants.as_flattened_mut().fill_with(|| (next() % 255).wrapping_sub(127) as i8);
    let scales: Vec<f32> = (0..places).map(|_| (1 + next() % 1000) as f32 * 1e-3).collect();
    let offsets: Vec<i32> =
        quants.iter().map(|q| -8 * q.iter().map(|&q| i32::from(q)).sum::<i32>()).collect();
    let tiles = PackedTiles { layout: &layout, bytes: &bytes, count };

    let group =
        QuantizedRows { width: rows, quants: &quants, scales: &scales, offsets: &offsets, pairs: &[] };
    let mut results = vec![[f32::NAN; TILE]; count * rows];
    candidate(&tiles, &group, &mut |t, out| {
        for (result, out) in results.iter_mut().skip(t * rows).zip(out.iter().take(rows)) {
            *result = *out;
        }
    });
    let mut same = true;
    for i in 0..rows {
        let quants: Vec<_> = quants.iter().skip(i).step_by(rows).copied().collect();
        let scales: Vec<_> = scales.iter().skip(i).step_by(rows).copied().collect();
        let offsets: Vec<_> = offsets.iter().skip(i).step_by(rows).copied().collect();
        let one = QuantizedRows { width: 1, quants: &quants, scales: &scales, offsets: &offsets, pairs: &[] };
        truth(&tiles, &one, &mut |t, out| {
            same &= out[0].map(f32::to_bits) == results[t * rows + i].map(f32::to_bits);
        });
    }
    same
}

#[cfg(test)]
mod tests {
    use super::super::Outputs;
    use super::*;

    #[test]
    fn right_kernels_agree_and_each_wrong_result_shows() {
        fn wrong(tiles: &PackedTiles<'_>, x: &QuantizedRows<'_>, put: &mut dyn FnMut(usize, &Outputs)) {
            let right = Kernels::of(Isa::Scalar).unwrap().quantized_tiles(DType::Q8_0).unwrap();
            right(tiles, x, &mut |t, out| {
                let mut out = out.to_vec();
                if t == 1 {
                    out[11][15] = f32::from_bits(out[11][15].to_bits() ^ 1);
                }
                put(t, &out);
            });
        }
        let scalar = Kernels::of(Isa::Scalar).unwrap();
        for isa in Isa::available() {
            for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
                let kernels = Kernels::of(isa).unwrap();
                let (kernel, truth) =
                    (kernels.quantized_tiles(dtype).unwrap(), scalar.quantized_tiles(dtype).unwrap());
                for (cols, _, count) in SIZES {
                    let size = (cols, kernels.group(cols), count);
                    assert!(agree(kernel, truth, dtype, size), "{isa} {dtype} {cols}");
                }
            }
        }
        let truth = scalar.quantized_tiles(DType::Q8_0).unwrap();
        assert!(!agree(wrong, truth, DType::Q8_0, (545, 12, 2)));
        assert!(!agree(|_, _, _| {}, truth, DType::Q8_0, (33, 12, 1)), "no results at all");
        assert!(!agree(truth, truth, DType::Q8_0, (33, 49, 1)), "rows beyond the group");
    }
}
