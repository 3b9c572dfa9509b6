//! Stored rows for comparing kernels, in every format of weights.

use half::f16;

use super::anatomy::{Anatomy, has_minima};
use super::{quantize_row, row_bytes};
use crate::core::{BlockFormat, CoreError, DType, Result};

/// Stores `values` as `dtype`, or for a format that is read but not written: whole blocks of random bits, with factors that
/// make their elements about as large as the values. The same ones for the same values.
///
/// # Errors
/// As [`quantize_row`], and [`CoreError::Unsupported`] for values that are no whole blocks of such a format.
pub fn sample_row(dtype: DType, values: &[f32], dst: &mut [u8]) -> Result<()> {
    let Some(format) = dtype.block_format().filter(|_| !is_written(dtype)) else {
        return quantize_row(dtype, values, dst);
    };
    if !values.len().is_multiple_of(dtype.block_len()) {
        return Err(CoreError::Unsupported { op: "sample_row", dtype });
    }
    CoreError::expect_eq("sample_row", "byte count", dst.len(), row_bytes(dtype, values.len()))?;
    let blocks = values.chunks_exact(dtype.block_len()).zip(dst.chunks_exact_mut(dtype.block_bytes()));
    blocks.for_each(|(values, block)| sample_block(format, values, block));
    Ok(())
}

/// Whether [`quantize_row`] stores rows as `dtype`.
pub fn is_written(dtype: DType) -> bool {
    quantize_row(dtype, &[], &mut []).is_ok()
}

/// The nearest length at or above `cols` that a stored row of `dtype` can have when [`sample_row`] makes it.
pub fn sample_cols(dtype: DType, cols: usize) -> usize {
    let any = is_written(dtype) && dtype.block_len() <= crate::core::BLOCK_LEN;
    if any { cols } else { cols.next_multiple_of(dtype.block_len()) }
}

fn sample_block(format: BlockFormat, values: &[f32], block: &mut [u8]) {
    // Bits from a linear congruential generator (Knuth's MMIX constants).
    let mut state =
        values.iter().fold(1u64, |s, v| (s ^ u64::from(v.to_bits())).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for byte in block.iter_mut() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    let most = values.iter().filter(|v| v.is_finite()).fold(0.0f32, |m, v| m.max(v.abs()));
    let (at, _) = Anatomy::of(format).factors;
    if format == BlockFormat::Mxfp4 {
        // Of 2^(e - 128) times up to 12, about.
        block[at] = (most.max(1e-30).log2() + 124.0).clamp(0.0, 250.0) as u8;
        return;
    }
    let (scale, min) = largest(format);
    block[at..at + 2].copy_from_slice(&f16::from_f32(most / scale).to_le_bytes());
    if has_minima(format) {
        block[at + 2..at + 4].copy_from_slice(&f16::from_f32(most / min).to_le_bytes());
    }
}

/// What a block's factor is multiplied with at most, and that of its minima.
fn largest(format: BlockFormat) -> (f32, f32) {
    match format {
        BlockFormat::Q8_0 | BlockFormat::Iq4Nl => (127.0, 1.0),
        BlockFormat::Q4_0 => (8.0, 1.0),
        BlockFormat::Q4_1 => (15.0, 1.0),
        BlockFormat::Q5_0 => (16.0, 1.0),
        BlockFormat::Q5_1 => (31.0, 1.0),
        BlockFormat::Mxfp4 => (12.0, 1.0),
        BlockFormat::Q2K => (3.0 * 15.0, 15.0),
        BlockFormat::Q3K => (4.0 * 32.0, 1.0),
        BlockFormat::Q4K => (15.0 * 63.0, 63.0),
        BlockFormat::Q5K => (31.0 * 63.0, 63.0),
        BlockFormat::Q6K => (32.0 * 128.0, 1.0),
        BlockFormat::Iq4Xs => (127.0 * 32.0, 1.0),
        BlockFormat::Tq1_0 | BlockFormat::Tq2_0 => (1.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::dequantize_row;

    #[test]
    fn rows_of_every_format_are_about_as_large_as_the_values() {
        for dtype in DType::ALL.into_iter().filter(|d| d.is_weight()) {
            let values: Vec<f32> = (0..512).map(|i| 0.05 * (i as f32 * 0.7).sin()).collect();
            let (mut stored, mut back) = (vec![0; row_bytes(dtype, 512)], vec![0.0; 512]);
            sample_row(dtype, &values, &mut stored).unwrap();
            dequantize_row(dtype, &stored, &mut back).unwrap();
            let most = back.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!((0.01..0.2).contains(&most), "{dtype}: {most}");
            assert!(back.iter().any(|&v| v != back[0]), "{dtype}");
            let cols = sample_cols(dtype, 33);
            sample_row(dtype, &vec![0.0; cols], &mut vec![0; row_bytes(dtype, cols)]).unwrap();
        }
    }
}
