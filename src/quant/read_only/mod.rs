//! Formats that are read and computed in another one: what their blocks stand for, exactly as in ggml, and how they become
//! blocks of that other format. [`ReadOnlyFormat::becomes`] says which.
//!
//! A conversion goes from integers to integers wherever it can: searching for scales anew would take many times longer, and
//! find no better ones.

mod grids;
mod iq;
mod scalars;
mod symmetric;

use super::{CoreError, Result, quantize_row, row_bytes};
use crate::core::{DType, K_BLOCK_LEN, ReadOnlyFormat};
use iq::Parts;
pub(super) use iq::iq1_m_factor;

/// The parts of a block of IQ1 to IQ3.
fn parts(format: ReadOnlyFormat, block: &[u8]) -> Option<Parts> {
    match format {
        ReadOnlyFormat::Iq1S => Some(iq::iq1_s(block)),
        ReadOnlyFormat::Iq1M => Some(iq::iq1_m(block)),
        ReadOnlyFormat::Iq2Xxs => Some(iq::iq2_xxs(block)),
        ReadOnlyFormat::Iq2Xs => Some(iq::iq2_xs(block)),
        ReadOnlyFormat::Iq2S => Some(iq::iq2_s(block)),
        ReadOnlyFormat::Iq3Xxs => Some(iq::iq3_xxs(block)),
        ReadOnlyFormat::Iq3S => Some(iq::iq3_s(block)),
        ReadOnlyFormat::Nvfp4 | ReadOnlyFormat::Q1_0 | ReadOnlyFormat::Q2_0 | ReadOnlyFormat::Q8K => None,
    }
}

/// Reads a row of whole blocks, with the values that ggml gives them.
///
/// # Errors
/// [`CoreError::Mismatch`] if the lengths do not fit each other.
pub(super) fn dequantize_row(format: ReadOnlyFormat, src: &[u8], dst: &mut [f32]) -> Result<()> {
    let op = "dequantize_row";
    CoreError::expect_eq(op, "byte count", src.len(), row_bytes(DType::ReadOnly(format), dst.len()))?;
    CoreError::expect_eq(op, "elements of a partial block", dst.len() % format.block_len(), 0)?;
    let blocks = src.chunks_exact(format.block_bytes()).zip(dst.chunks_exact_mut(format.block_len()));
    blocks.for_each(|(block, out)| dequantize(format, block, out));
    Ok(())
}

fn dequantize(format: ReadOnlyFormat, block: &[u8], out: &mut [f32]) {
    if let Some(Parts { factor, scale, value }) = parts(format, block) {
        for (i, (out, &value)) in out.iter_mut().zip(&value).enumerate() {
            *out = factor * f32::from(i16::from(scale[i / 16]) * i16::from(value));
        }
        return;
    }
    match format {
        ReadOnlyFormat::Nvfp4 => scalars::dequantize_nvfp4(block, out),
        ReadOnlyFormat::Q1_0 => scalars::dequantize_q1_0(block, out),
        ReadOnlyFormat::Q2_0 => scalars::dequantize_q2_0(block, out),
        ReadOnlyFormat::Q8K => scalars::dequantize_q8_k(block, out),
        ReadOnlyFormat::Iq1S | ReadOnlyFormat::Iq1M | ReadOnlyFormat::Iq2Xxs => {}
        ReadOnlyFormat::Iq2Xs | ReadOnlyFormat::Iq2S => {}
        ReadOnlyFormat::Iq3Xxs | ReadOnlyFormat::Iq3S => {}
    }
}

/// Converts a row of whole blocks to [`ReadOnlyFormat::becomes`], of which it has to be whole blocks too, with all elements
/// times `factor`.
///
/// # Errors
/// [`CoreError::Mismatch`] if the lengths do not fit each other.
pub(super) fn convert_row(format: ReadOnlyFormat, factor: f32, src: &[u8], dst: &mut [u8]) -> Result<()> {
    let (from, to) = (DType::ReadOnly(format), format.becomes());
    // The elements that whole blocks of both have in common.
    let step = from.block_len().max(to.block_len());
    let (stored, made) = (row_bytes(from, step), row_bytes(to, step));
    let op = "convert_row";
    CoreError::expect_eq(op, "bytes of a partial block", src.len() % stored, 0)?;
    CoreError::expect_eq(op, "byte count", dst.len(), src.len() / stored * made)?;
    for (block, out) in src.chunks_exact(stored).zip(dst.chunks_exact_mut(made)) {
        out.fill(0);
        if !convert(format, factor, block, out) {
            let mut wide = [0.0; K_BLOCK_LEN];
            let wide = &mut wide[..step];
            dequantize_row(format, block, wide)?;
            wide.iter_mut().for_each(|v| *v *= factor);
            quantize_row(to, wide, out)?;
        }
    }
    Ok(())
}

/// Makes a block, whose bytes were zero, out of the codes of another one; false where factors are so large or so small that
/// it would not be near, so that nothing was done.
fn convert(format: ReadOnlyFormat, factor: f32, block: &[u8], out: &mut [u8]) -> bool {
    match format {
        ReadOnlyFormat::Nvfp4 => scalars::nvfp4_as_q6_k(block, factor, out),
        // No other format comes with one.
        _ if factor != 1.0 => false,
        ReadOnlyFormat::Q1_0 => scalars::q1_0_as_q4_0(block, out),
        ReadOnlyFormat::Q2_0 => scalars::q2_0_as_q4_0(block, out),
        ReadOnlyFormat::Q8K => scalars::q8_k_as_q8_0(block, out),
        ReadOnlyFormat::Iq1S | ReadOnlyFormat::Iq1M | ReadOnlyFormat::Iq2Xxs => by_parts(format, block, out),
        ReadOnlyFormat::Iq2Xs | ReadOnlyFormat::Iq2S => by_parts(format, block, out),
        ReadOnlyFormat::Iq3Xxs | ReadOnlyFormat::Iq3S => by_parts(format, block, out),
    }
}

fn by_parts(format: ReadOnlyFormat, block: &[u8], out: &mut [u8]) -> bool {
    parts(format, block).is_some_and(|parts| symmetric::encode(symmetric::Form::of(format), &parts, out))
}

#[cfg(test)]
mod tests;
