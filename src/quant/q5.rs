//! Q5_0 and Q5_1: blocks of 32 elements with a fifth bit of each beside its four (ggml `block_q5_0`, `block_q5_1`), which
//! GGUF files hold where a row is no multiple of 256.

use half::f16;

use crate::core::BLOCK_LEN;

fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// The five bits of element `i`: the first sixteen have the low halves of the bytes in `low`.
fn quant(high: u32, low: &[u8], i: usize) -> u8 {
    let four = low[i % 16] >> (i / 16 * 4) & 15;
    four | ((high >> i & 1) as u8) << 4
}

/// Reads a block of 22 bytes: a factor, 32 fifth bits, 16 bytes of quants. `x[i] = d * (q[i] - 16)`.
pub fn dequantize_q5_0(bytes: &[u8; 22], out: &mut [f32; BLOCK_LEN]) {
    let [_, _, a, b, c, d, low @ ..] = bytes;
    let (scale, high) = (half(bytes, 0), u32::from_le_bytes([*a, *b, *c, *d]));
    for (i, x) in out.iter_mut().enumerate() {
        *x = scale * f32::from(quant(high, low, i) as i8 - 16);
    }
}

/// Reads a block of 24 bytes: a factor, a minimum, 32 fifth bits, 16 bytes of quants. `x[i] = d * q[i] + m`.
pub fn dequantize_q5_1(bytes: &[u8; 24], out: &mut [f32; BLOCK_LEN]) {
    let [_, _, _, _, a, b, c, d, low @ ..] = bytes;
    let (scale, min, high) = (half(bytes, 0), half(bytes, 2), u32::from_le_bytes([*a, *b, *c, *d]));
    for (i, x) in out.iter_mut().enumerate() {
        *x = scale * f32::from(quant(high, low, i)) + min;
    }
}
