//! IQ4_NL, IQ4_XS and MXFP4: four bits an element, which choose one of sixteen values (ggml `block_iq4_nl`,
//! `block_iq4_xs`, `block_mxfp4`).

use half::f16;

use super::anatomy::{MXFP4_VALUES, half_power};
use crate::core::{BLOCK_LEN, K_BLOCK_LEN};

/// The values (ggml `kvalues_iq4nl`).
pub(crate) const VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Reads 32 elements from 16 bytes: the first sixteen have the low halves.
fn group(values: &[i8; 16], scale: f32, quants: &[u8], out: &mut [f32; BLOCK_LEN]) {
    for (i, x) in out.iter_mut().enumerate() {
        let index = quants[i % 16] >> (i / 16 * 4) & 15;
        *x = scale * f32::from(values[usize::from(index)]);
    }
}

/// Reads a block of 17 bytes: an exponent of two, 16 bytes of quants.
pub fn dequantize_mxfp4(bytes: &[u8; 17], out: &mut [f32; BLOCK_LEN]) {
    let [e, quants @ ..] = bytes;
    group(&MXFP4_VALUES, half_power(*e), quants, out);
}

/// Reads a block of 18 bytes: a factor, 16 bytes of quants.
pub fn dequantize_iq4_nl(bytes: &[u8; 18], out: &mut [f32; BLOCK_LEN]) {
    let [a, b, quants @ ..] = bytes;
    group(&VALUES, f16::from_le_bytes([*a, *b]).to_f32(), quants, out);
}

/// Reads a block of 136 bytes: a factor, the upper two bits of eight scales, their lower four, 128 bytes of quants.
pub fn dequantize_iq4_xs(bytes: &[u8; 136], out: &mut [f32; K_BLOCK_LEN]) {
    let [a, b, c, d, rest @ ..] = bytes;
    let (factor, high) = (f16::from_le_bytes([*a, *b]).to_f32(), u16::from_le_bytes([*c, *d]));
    let (low, quants) = rest.split_at(4);
    let groups = out.as_chunks_mut::<BLOCK_LEN>().0.iter_mut().zip(quants.chunks_exact(16));
    for (i, (out, quants)) in groups.enumerate() {
        let scale = low[i / 2] >> (i % 2 * 4) & 15 | ((high >> (2 * i) & 3) as u8) << 4;
        group(&VALUES, factor * f32::from(scale as i8 - 32), quants, out);
    }
}
