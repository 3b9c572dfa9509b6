//! Rows in every block format, with weights for what the columns are worth.

use super::weights::weights;
use super::{block_encode, float, k_encode, quantize_row, row_bytes, ternary};
use crate::core::{BLOCK_LEN, BlockFormat, CoreError, DType, K_BLOCK_LEN, Result};

/// Larger magnitudes are taken as this: no sum of squares overflows.
const REACH: f32 = 1_048_576.0;

/// As [`quantize_row`], of least squared error weighted by `importance`: for each column the mean square of the inputs
/// that it is multiplied with, as an importance matrix has it. Numbers that are not positive and finite count as 0.
///
/// Q8_0 is searched for as well, where [`quantize_row`] takes the largest element as 127.
///
/// Without `importance` the columns count alike; in the formats of 2 and 3 bits large elements then count more than small
/// ones.
///
/// NaN is taken as 0; values beyond what a format can reach become the nearest that it has, 2^20 at most. The result is
/// the same on every machine.
///
/// # Errors
/// As [`quantize_row`], and [`CoreError::Mismatch`] if `importance` is not as long as `src`, or a row of blocks of 256 is
/// not whole blocks.
pub fn quantize_row_weighted(
    dtype: DType,
    src: &[f32],
    importance: Option<&[f32]>,
    dst: &mut [u8],
) -> Result<()> {
    if let Some(importance) = importance {
        CoreError::expect_eq("quantize_row_weighted", "columns", importance.len(), src.len())?;
    }
    let Some(format) = dtype.block_format() else {
        return float::encode_row(dtype, src, dst);
    };
    match (format, importance) {
        (BlockFormat::Q4_0 | BlockFormat::Q4_1, None) => quantize_row(dtype, src, dst),
        _ if dtype.block_len() == BLOCK_LEN => {
            blocks::<BLOCK_LEN>(dtype, src, importance, dst, |x, importance, block| {
                let w = weights(x, importance, counts_magnitudes(format, importance.is_some()));
                block_encode::encode(format, x, &w, block);
            })
        }
        _ => {
            let rest = src.len() % K_BLOCK_LEN;
            CoreError::expect_eq("quantize_row_weighted", "elements of a partial block", rest, 0)?;
            blocks::<K_BLOCK_LEN>(dtype, src, importance, dst, |x, importance, block| {
                let w = weights(x, importance, counts_magnitudes(format, importance.is_some()));
                match format {
                    BlockFormat::Tq1_0 | BlockFormat::Tq2_0 => ternary::encode(format, x, &w, block),
                    _ => k_encode::encode(format, x, &w, block),
                }
            })
        }
    }
}

/// Whether an element's own magnitude counts: in the formats of 2 and 3 bits, where nothing says what columns are worth.
fn counts_magnitudes(format: BlockFormat, weighted: bool) -> bool {
    !weighted && matches!(format, BlockFormat::Q2K | BlockFormat::Q3K)
}

/// Encodes all blocks; the last one, if it is not full, with zeros that count nothing much.
fn blocks<const N: usize>(
    dtype: DType,
    src: &[f32],
    importance: Option<&[f32]>,
    dst: &mut [u8],
    encode: impl Fn(&[f32; N], Option<&[f32; N]>, &mut [u8]),
) -> Result<()> {
    CoreError::expect_eq("quantize_row_weighted", "byte count", dst.len(), row_bytes(dtype, src.len()))?;
    for (i, (x, block)) in src.chunks(N).zip(dst.chunks_exact_mut(dtype.block_bytes())).enumerate() {
        let mut padded = [0.0; N];
        padded[..x.len()].copy_from_slice(x);
        let padded = padded.map(|v| if v.is_nan() { 0.0 } else { v.clamp(-REACH, REACH) });
        let importance = importance.map(|all| {
            let mut padded = [0.0; N];
            padded[..x.len()].copy_from_slice(&all[i * N..i * N + x.len()]);
            padded
        });
        encode(&padded, importance.as_ref(), block);
    }
    Ok(())
}
