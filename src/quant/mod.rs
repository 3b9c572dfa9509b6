//! Block layouts of quantized tensors and their scalar reference: quantize, dequantize, dot product.
//!
//! Nothing here is SIMD and nothing here depends on the machine: plain f32 and f64 operations in a fixed order,
//! so that every value is the same to the bit everywhere. The kernels of a backend are tested against it.
//!
//! - [`q4_0`], [`q4_1`], [`q8_0`]: one block format each, byte for byte as in ggml (`ggml-common.h`).
//! - [`k_quants`], [`q5`], [`iq4`], [`ternary`]: how the other formats of GGUF files are read.
//! - `read_only`: formats that are read and computed in another one ([`crate::core::ReadOnlyFormat`]).
//! - [`factors`]: where blocks have their factors.
//! - [`quantize_row_weighted`]: how rows of all formats are made, with weights for what the columns are worth.
//! - [`anatomy`]: what the blocks of each format are made of.
//! - [`float`]: f16 and bf16 rows.
//! - [`activation`]: the int8 form of a linear layer's input.
//! - [`heads`]: keys and values of a cache.
//! - [`tiles`]: the order in which the kernels read block formats; [`rows`]: rows of a stored tensor, converted.
//! - [`linear_row`] and [`dot_float`]: one output of a linear layer, in the order of additions that every
//!   kernel keeps.

pub mod activation;
pub mod anatomy;
mod block_encode;
mod codebook;
mod encode;
pub mod factors;
mod fit;
pub mod float;
pub mod heads;
pub mod iq4;
mod k_encode;
pub mod k_quants;
pub mod q4_0;
pub mod q4_1;
pub mod q5;
pub mod q8_0;
mod read_only;
mod round;
pub mod rows;
mod scales;
mod search;
pub mod ternary;
pub mod tiles;
mod weights;

use crate::core::{BLOCK_LEN, BlockFormat, CoreError, DType, K_BLOCK_LEN, Result};
use activation::QuantizedRow;
use anatomy::{Anatomy, half_power, has_minima, read_codes};
pub use encode::quantize_row_weighted;
use half::f16;

/// Partial sums of [`dot_float`].
pub const DOT_LANES: usize = 16;

/// Bytes of a row of `cols` elements; a last block that is not full counts whole. Saturates at `usize::MAX`,
/// a length that no slice has.
pub fn row_bytes(dtype: DType, cols: usize) -> usize {
    dtype.bytes_for(cols).unwrap_or(usize::MAX)
}

/// Stores a row as `dtype`. The formats with blocks of 32 pad a last partial block with zeros; rows of blocks of 256 are
/// whole blocks.
///
/// # Errors
/// [`CoreError::Mismatch`] if `dst` is not [`row_bytes`] long, [`CoreError::Unsupported`] for U8, I32 and types that are only
/// read.
pub fn quantize_row(dtype: DType, src: &[f32], dst: &mut [u8]) -> Result<()> {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 => float::encode_row(dtype, src, dst),
        DType::Q4_0 => encode_blocks(dtype, src, dst, |x| q4_0::Block::quantize(x).to_bytes()),
        DType::Q4_1 => encode_blocks(dtype, src, dst, |x| q4_1::Block::quantize(x).to_bytes()),
        DType::Q8_0 => encode_blocks(dtype, src, dst, |x| q8_0::Block::quantize(x).to_bytes()),
        DType::ReadOnly(_) | DType::U8 | DType::I32 => {
            Err(CoreError::Unsupported { op: "quantize_row", dtype })
        }
        _ => quantize_row_weighted(dtype, src, None, dst),
    }
}

/// Reads a row of `dst.len()` elements, the inverse of [`quantize_row`]. Rows of blocks of 256 are whole blocks.
///
/// # Errors
/// [`CoreError::Mismatch`] if `src` is not [`row_bytes`] long, [`CoreError::Unsupported`] for U8 and I32.
pub fn dequantize_row(dtype: DType, src: &[u8], dst: &mut [f32]) -> Result<()> {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 => float::decode_row(dtype, src, dst),
        DType::Q4_0 => decode_blocks(dtype, src, dst, |b, x| q4_0::Block::from_bytes(b).dequantize(x)),
        DType::Q4_1 => decode_blocks(dtype, src, dst, |b, x| q4_1::Block::from_bytes(b).dequantize(x)),
        DType::Q8_0 => decode_blocks(dtype, src, dst, |b, x| q8_0::Block::from_bytes(b).dequantize(x)),
        DType::Q5_0 => decode_blocks(dtype, src, dst, q5::dequantize_q5_0),
        DType::Q5_1 => decode_blocks(dtype, src, dst, q5::dequantize_q5_1),
        DType::Iq4Nl => decode_blocks(dtype, src, dst, iq4::dequantize_iq4_nl),
        DType::Q2K => decode_k_blocks(dtype, src, dst, k_quants::dequantize_q2_k),
        DType::Q3K => decode_k_blocks(dtype, src, dst, k_quants::dequantize_q3_k),
        DType::Iq4Xs => decode_k_blocks(dtype, src, dst, iq4::dequantize_iq4_xs),
        DType::Q4K => decode_k_blocks(dtype, src, dst, k_quants::dequantize_q4_k),
        DType::Q5K => decode_k_blocks(dtype, src, dst, k_quants::dequantize_q5_k),
        DType::Q6K => decode_k_blocks(dtype, src, dst, k_quants::dequantize_q6_k),
        DType::Mxfp4 => decode_blocks(dtype, src, dst, iq4::dequantize_mxfp4),
        DType::Tq1_0 => decode_k_blocks(dtype, src, dst, ternary::dequantize_tq1_0),
        DType::Tq2_0 => decode_k_blocks(dtype, src, dst, ternary::dequantize_tq2_0),
        DType::ReadOnly(format) => read_only::dequantize_row(format, src, dst),
        DType::U8 | DType::I32 => Err(CoreError::Unsupported { op: "dequantize_row", dtype }),
    }
}

fn encode_blocks<const N: usize>(
    dtype: DType,
    src: &[f32],
    dst: &mut [u8],
    encode: impl Fn(&[f32; BLOCK_LEN]) -> [u8; N],
) -> Result<()> {
    CoreError::expect_eq("quantize_row", "byte count", dst.len(), row_bytes(dtype, src.len()))?;
    let (full, rest) = src.as_chunks::<BLOCK_LEN>();
    let (out, _) = dst.as_chunks_mut::<N>();
    for (x, o) in full.iter().zip(&mut *out) {
        *o = encode(x);
    }
    if let (false, Some(last)) = (rest.is_empty(), out.last_mut()) {
        *last = encode(&pad(rest));
    }
    Ok(())
}

fn decode_blocks<const N: usize>(
    dtype: DType,
    src: &[u8],
    dst: &mut [f32],
    decode: impl Fn(&[u8; N], &mut [f32; BLOCK_LEN]),
) -> Result<()> {
    CoreError::expect_eq("dequantize_row", "byte count", src.len(), row_bytes(dtype, dst.len()))?;
    let (blocks, _) = src.as_chunks::<N>();
    let (full, rest) = dst.as_chunks_mut::<BLOCK_LEN>();
    for (b, x) in blocks.iter().zip(full) {
        decode(b, x);
    }
    if let (false, Some(last)) = (rest.is_empty(), blocks.last()) {
        let mut x = [0.0; BLOCK_LEN];
        decode(last, &mut x);
        rest.copy_from_slice(&x[..rest.len()]);
    }
    Ok(())
}

/// As [`decode_blocks`], of whole blocks of [`K_BLOCK_LEN`].
fn decode_k_blocks<const N: usize>(
    dtype: DType,
    src: &[u8],
    dst: &mut [f32],
    decode: impl Fn(&[u8; N], &mut [f32; K_BLOCK_LEN]),
) -> Result<()> {
    CoreError::expect_eq("dequantize_row", "byte count", src.len(), row_bytes(dtype, dst.len()))?;
    let (full, rest) = dst.as_chunks_mut::<K_BLOCK_LEN>();
    CoreError::expect_eq("dequantize_row", "elements of a partial block", rest.len(), 0)?;
    for (b, x) in src.as_chunks::<N>().0.iter().zip(full) {
        decode(b, x);
    }
    Ok(())
}

/// A partial block, filled up with zeros.
fn pad(rest: &[f32]) -> [f32; BLOCK_LEN] {
    let mut x = [0.0; BLOCK_LEN];
    x[..rest.len()].copy_from_slice(rest);
    x
}

/// One output of a quantized linear layer: a weight row times a quantized activation row with blocks of the same length.
///
/// `acc` starts at 0 and takes the blocks in ascending order.
///
/// - Blocks of 32: `acc = fma(dw * dx, dot as f32, acc)` with the exact integer `dot`; Q4_1 and Q5_1 then add
///   `acc = fma(m * dx, sum as f32, acc)`.
/// - Blocks of 256: `acc = fma(dw * dx, total as f32, acc)` with the exact integer `total`, the sum over the groups of
///   `scale * dot`; Q2_K, Q4_K and Q5_K then add `acc = fma(-(m * dx), total as f32, acc)`, this `total` being the sum of
///   `min * sum`.
///
/// `dw` and `m` are the stored factors as f32, `dx` and `sum` the activation block's scale and the sum of a group's quants.
///
/// # Panics
/// If `dtype` is not a block format or the row has another number of blocks than `x`.
pub fn linear_row(dtype: DType, weight_row: &[u8], x: &QuantizedRow) -> f32 {
    let Some(format) = dtype.block_format() else { panic!("linear_row works on block formats, not {dtype}") };
    assert_eq!(weight_row.len(), x.blocks() * dtype.block_bytes(), "length of a {dtype} weight row");
    let mut acc = 0.0f32;
    let mut codes = [0; K_BLOCK_LEN];
    for (i, block) in weight_row.chunks_exact(dtype.block_bytes()).enumerate() {
        let (q, dx, sum) = x.block(i);
        assert_eq!(q.len(), dtype.block_len(), "elements of a block");
        let codes = &mut codes[..q.len()];
        read_codes(format, block, codes);
        let dot = |codes: &[u8], q: &[i8]| -> i32 {
            let products =
                codes.iter().zip(q).map(|(&c, &q)| i32::from(anatomy::value(format, c)) * i32::from(q));
            products.sum()
        };
        let Anatomy { factors: (at, len), scales, .. } = Anatomy::of(format);
        let factors = &block[at..at + len];
        let (d, m) = factor_values(format, factors);
        if q.len() == BLOCK_LEN {
            acc = (d * dx).mul_add(dot(codes, q) as f32, acc);
            if has_minima(format) {
                acc = (m * dx).mul_add(sum as f32, acc);
            }
            continue;
        }
        let groups = anatomy::scales(format, factors, &block[scales.0..scales.0 + scales.1]);
        let (mut total, mut minima) = (0, 0);
        for (g, (codes, q)) in codes.chunks_exact(16).zip(q.chunks_exact(16)).enumerate() {
            total += i32::from(groups.scale[g]) * dot(codes, q);
            minima += i32::from(groups.min[g]) * q.iter().map(|&q| i32::from(q)).sum::<i32>();
        }
        acc = (d * dx).mul_add(total as f32, acc);
        if has_minima(format) {
            acc = (-(m * dx)).mul_add(minima as f32, acc);
        }
    }
    acc
}

/// A block's factor and that of its minima, of which there may be none.
fn factor_values(format: BlockFormat, factors: &[u8]) -> (f32, f32) {
    let half = |at: usize| f16::from_le_bytes([factors[at], factors[at + 1]]).to_f32();
    match (format, has_minima(format)) {
        (BlockFormat::Mxfp4, _) => (half_power(factors[0]), 0.0),
        (_, true) => (half(0), half(2)),
        (_, false) => (half(0), 0.0),
    }
}

/// One output of a linear layer with F32, F16 or BF16 weights.
///
/// Element `i` goes into partial sum `i mod 16` by a fused multiply-add, in ascending order; then the sums are
/// added pairwise at distance 8, 4, 2 and 1: `s[i] += s[i + 8]` and so on; the answer is `s[0]`.
///
/// # Panics
/// If `dtype` is not a floating point format or the row has another number of elements than `x`.
pub fn dot_float(dtype: DType, weight_row: &[u8], x: &[f32]) -> f32 {
    assert!(dtype.is_float(), "dot_float works on f32, f16 and bf16, not {dtype}");
    assert_eq!(weight_row.len(), row_bytes(dtype, x.len()), "length of a {dtype} weight row");
    let size = dtype.block_bytes();
    let mut s = [0.0f32; DOT_LANES];
    for (i, (&v, w)) in x.iter().zip(weight_row.chunks_exact(size)).enumerate() {
        let lane = &mut s[i % DOT_LANES];
        *lane = float::decode(dtype, w).mul_add(v, *lane);
    }
    for distance in [8, 4, 2, 1] {
        for i in 0..distance {
            s[i] += s[i + distance];
        }
    }
    s[0]
}

#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod tests;
