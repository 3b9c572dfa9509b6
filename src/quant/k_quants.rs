//! Q2_K to Q6_K: blocks of 256 elements with scales a group, which GGUF files of the hub mostly have (ggml
//! `block_q2_K` to `block_q6_K`).

use half::f16;

use super::anatomy::six_bits;
use super::q4_0::pack;
use super::q4_1;
use super::round::{F16_MAX, limit};
use crate::core::K_BLOCK_LEN;

/// Scales and minima of a Q4_K or Q5_K block take 12 bytes: eight pairs of 6 bits.
const SCALES: usize = 12;

/// Elements that share a scale and a minimum in Q4_K and Q5_K.
const GROUP: usize = 32;

/// The block's f16 factors of the scales and of the minima, in front of everything else.
fn factors(bytes: &[u8]) -> (f32, f32) {
    let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
    (half(0), half(2))
}

/// Reads groups of `x[i] = d * scale * q[i] - dmin * min`, `quant(group, i)` being the quants.
fn affine_groups(
    (d, dmin): (f32, f32),
    scales: &[u8; SCALES],
    out: &mut [f32; K_BLOCK_LEN],
    quant: impl Fn(usize, usize) -> u8,
) {
    for (j, group) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let (scale, min) = six_bits(j, scales);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        for (i, x) in group.iter_mut().enumerate() {
            *x = scale * f32::from(quant(j, i)) - min;
        }
    }
}

/// The 4 bits of element `i` of group `j`: two groups share 32 bytes, the second in the high halves.
fn nibble(qs: &[u8], j: usize, i: usize) -> u8 {
    qs[j / 2 * GROUP + i] >> (j % 2 * 4) & 15
}

/// Reads a block of 144 bytes: factors, scales, 128 bytes of quants.
pub fn dequantize_q4_k(bytes: &[u8; 144], out: &mut [f32; K_BLOCK_LEN]) {
    let [_, _, _, _, rest @ ..] = bytes;
    let (scales, qs) = rest.split_first_chunk::<SCALES>().expect("140 bytes are left");
    affine_groups(factors(bytes), scales, out, |j, i| nibble(qs, j, i));
}

/// A block of 144 bytes as eight of Q4_1: the same quants, with the scale and the minimum of each group rounded to f16, so
/// that an element changes by no more than 2^-11 of its parts.
pub fn q4_k_as_q4_1(bytes: &[u8; 144]) -> [[u8; q4_1::Block::BYTES]; 8] {
    let [_, _, _, _, rest @ ..] = bytes;
    let (scales, qs) = rest.split_first_chunk::<SCALES>().expect("140 bytes are left");
    let (d, dmin) = factors(bytes);
    std::array::from_fn(|j| {
        let (scale, min) = six_bits(j, scales);
        let half = |v: f32| f16::from_f32(limit(v, -F16_MAX, F16_MAX)).to_bits();
        let q: [u8; GROUP] = std::array::from_fn(|i| nibble(qs, j, i));
        let block =
            q4_1::Block { d: half(d * f32::from(scale)), m: half(-dmin * f32::from(min)), qs: pack(&q) };
        block.to_bytes()
    })
}

/// Reads a block of 176 bytes: factors, scales, 32 bytes with a fifth bit of each element, 128 bytes of quants.
pub fn dequantize_q5_k(bytes: &[u8; 176], out: &mut [f32; K_BLOCK_LEN]) {
    let [_, _, _, _, rest @ ..] = bytes;
    let (scales, rest) = rest.split_first_chunk::<SCALES>().expect("172 bytes are left");
    let (high, qs) = rest.split_at(GROUP);
    affine_groups(factors(bytes), scales, out, |j, i| nibble(qs, j, i) | (high[i] >> j & 1) << 4);
}

/// Reads a block of 210 bytes: 128 of low halves, 64 of two upper bits, 16 scales, one factor.
/// `x[i] = d * scale * (q[i] - 32)`, a scale for 16 elements.
pub fn dequantize_q6_k(bytes: &[u8; 210], out: &mut [f32; K_BLOCK_LEN]) {
    let (low, rest) = bytes.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(16);
    let d = f16::from_le_bytes([d[0], d[1]]).to_f32();
    for (i, x) in out.iter_mut().enumerate() {
        // Halves of 128 elements; in each four rows of 32, of which the first two are in the low halves of bytes.
        let (half, row, column) = (i / 128, i / 32 % 4, i % 32);
        let l = low[half * 64 + row % 2 * 32 + column] >> (row / 2 * 4) & 15;
        let h = high[half * 32 + column] >> (2 * row) & 3;
        let scale = d * f32::from(scales[i / 16] as i8);
        *x = scale * f32::from((l | h << 4) as i8 - 32);
    }
}

/// The two bits of element `i`: halves of 128 elements, four rows of 32 in each, a row the next two bits of 32 bytes.
fn two_bits(qs: &[u8], i: usize) -> u8 {
    qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3
}

/// Reads a block of 84 bytes: 16 scales with minima in their upper halves, 64 bytes of quants, two factors.
pub fn dequantize_q2_k(bytes: &[u8; 84], out: &mut [f32; K_BLOCK_LEN]) {
    let (scales, rest) = bytes.split_at(16);
    let (qs, rest) = rest.split_at(64);
    let half = |at: usize| f16::from_le_bytes([rest[at], rest[at + 1]]).to_f32();
    let (d, dmin) = (half(0), half(2));
    for (i, x) in out.iter_mut().enumerate() {
        let both = scales[i / 16];
        *x = d * f32::from(both & 15) * f32::from(two_bits(qs, i)) - dmin * f32::from(both >> 4);
    }
}

/// Reads a block of 110 bytes: 32 bytes with a third bit of each element, 64 of quants, 12 of scales, one factor.
/// `x[i] = d * (scale - 32) * q[i]`, a scale for 16 elements; an element without its third bit is lower by 4.
pub fn dequantize_q3_k(bytes: &[u8; 110], out: &mut [f32; K_BLOCK_LEN]) {
    let (high, rest) = bytes.split_at(32);
    let (qs, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(SCALES);
    let d = f16::from_le_bytes([d[0], d[1]]).to_f32();
    for (i, x) in out.iter_mut().enumerate() {
        let group = i / 16;
        let low = scales[group % 8] >> (group / 8 * 4) & 15;
        let top = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = d * f32::from((low | top << 4) as i8 - 32);
        let lower = if high[i % 32] >> (i / 32) & 1 == 1 { 0 } else { 4 };
        *x = scale * f32::from(two_bits(qs, i) as i8 - lower);
    }
}
