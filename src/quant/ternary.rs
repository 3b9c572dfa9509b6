//! TQ1_0 and TQ2_0: elements of -1, 0 or 1 times a factor (ggml `block_tq1_0`, `block_tq2_0`).

use half::f16;

use super::anatomy::{Anatomy, read_codes, write_codes};
use super::round::to_f16_grid;
use crate::core::{BlockFormat, K_BLOCK_LEN};

/// Reads a block of 54 bytes: 48 of five elements, 4 of four, a factor.
pub fn dequantize_tq1_0(bytes: &[u8; 54], out: &mut [f32; K_BLOCK_LEN]) {
    dequantize(BlockFormat::Tq1_0, bytes, [bytes[52], bytes[53]], out);
}

/// Reads a block of 66 bytes: 64 of four elements, a factor.
pub fn dequantize_tq2_0(bytes: &[u8; 66], out: &mut [f32; K_BLOCK_LEN]) {
    dequantize(BlockFormat::Tq2_0, bytes, [bytes[64], bytes[65]], out);
}

fn dequantize(format: BlockFormat, bytes: &[u8], factor: [u8; 2], out: &mut [f32; K_BLOCK_LEN]) {
    let d = f16::from_le_bytes(factor).to_f32();
    let mut codes = [0; K_BLOCK_LEN];
    read_codes(format, bytes, &mut codes);
    for (x, code) in out.iter_mut().zip(codes) {
        *x = d * (f32::from(code) - 1.0);
    }
}

/// Makes a block of either format, of least weighted squared error.
///
/// The elements that are not 0 are the largest ones. For each number of them the best factor is their weighted mean, so
/// that all of these are compared.
pub(super) fn encode(format: BlockFormat, x: &[f32; K_BLOCK_LEN], w: &[f32; K_BLOCK_LEN], block: &mut [u8]) {
    let mut order: [usize; K_BLOCK_LEN] = std::array::from_fn(|i| i);
    order.sort_by(|&a, &b| x[b].abs().total_cmp(&x[a].abs()));
    let (mut sum, mut of) = (0.0f64, 0.0f64);
    let mut best = (0.0, 0.0);
    for i in order {
        sum += f64::from(w[i]) * f64::from(x[i].abs());
        of += f64::from(w[i]);
        // What the factor takes off the sum of squares.
        let gain = sum * sum / of;
        if gain > best.0 {
            best = (gain, sum / of);
        }
    }
    let d = to_f16_grid(best.1 as f32);
    let limit = d / 2.0;
    let codes = x.map(|v| if d == 0.0 || v.abs() <= limit { 1 } else { 1 + v.signum() as i8 } as u8);
    block.fill(0);
    write_codes(format, &codes, block);
    let at = Anatomy::of(format).factors.0;
    block[at..at + 2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
}
