//! TQ1_0 and TQ2_0: elements of -1, 0 or 1 times a factor (ggml `block_tq1_0`, `block_tq2_0`).

use half::f16;

use super::anatomy::read_codes;
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
