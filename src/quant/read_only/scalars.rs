//! NVFP4, Q1_0, Q2_0 and Q8_K: codes that stand for single numbers (ggml `block_nvfp4`, `block_q1_0`, `block_q2_0`,
//! `block_q8_K`).

use half::f16;

use crate::core::{BLOCK_LEN, BlockFormat, K_BLOCK_LEN};
use crate::quant::anatomy::{Anatomy, GROUPS, MXFP4_VALUES, write_codes};
use crate::quant::round::F16_MAX;
use crate::quant::scales::{StoredScales, write_scales};

/// Elements of a block of NVFP4, and of a group with a scale of its own.
const NVFP4_LEN: usize = 64;
const NVFP4_GROUP: usize = 16;

/// Bytes of a block of NVFP4.
const NVFP4_BYTES: usize = 36;

/// A scale of NVFP4, which is an E4M3 float, in units of 2^-10: half of its least step, since the codes stand for twice the
/// floats. As in ggml the sign counts nothing, and 0x7f is 0.
fn nvfp4_scale(byte: u8) -> u32 {
    let (exponent, fraction) = (byte >> 3 & 15, u32::from(byte & 7));
    match (byte, exponent) {
        (0x7f, _) => 0,
        (_, 0) => fraction,
        _ => (8 + fraction) << (exponent - 1),
    }
}

/// What element `i` of a block is a multiple of its scale by.
fn nvfp4_value(block: &[u8], i: usize) -> i8 {
    let (group, within) = (i / NVFP4_GROUP, i % NVFP4_GROUP);
    MXFP4_VALUES[usize::from(block[4 + group * 8 + within % 8] >> (within / 8 * 4) & 15)]
}

/// 36 bytes: four scales; for each 16 elements 8 bytes, of which the low halves come first.
pub(super) fn dequantize_nvfp4(block: &[u8], out: &mut [f32]) {
    for (i, out) in out.iter_mut().enumerate() {
        let scale = nvfp4_scale(block[i / NVFP4_GROUP]) as f32 / 1024.0;
        *out = scale * f32::from(nvfp4_value(block, i));
    }
}

/// Four blocks times `times` as one of Q6_K: exact, but for the rounding of a factor that is no power of two to f16, where the
/// exponents of the scales are among five that follow each other; else the smallest scales are rounded. False for a factor
/// that is too large.
pub(super) fn nvfp4_as_q6_k(blocks: &[u8], times: f32, out: &mut [u8]) -> bool {
    let block = |g: usize| &blocks[g / 4 * NVFP4_BYTES..][..NVFP4_BYTES];
    let scales: [u32; GROUPS] = std::array::from_fn(|g| nvfp4_scale(block(g)[g % 4]));
    let largest = scales.iter().fold(0, |most, &scale| most.max(scale));
    if largest == 0 {
        return true;
    }
    // The largest scale becomes 64 to 127 with codes of twice the values: in units of 2^(shift - 10).
    let shift = largest.ilog2() as i32 - 7;
    let factor = f16::from_f64(2f64.powi(shift - 10) * f64::from(times));
    if !factor.is_finite() {
        return false;
    }
    let mut scale = [0; GROUPS];
    let mut twice = [false; GROUPS];
    for g in 0..GROUPS {
        // As many 2^(shift - 10) as the scale has, in halves.
        let halves = f64::from(scales[g]) * 0.5f64.powi(shift + 1);
        twice[g] = halves.fract() == 0.0 || halves * 2.0 > 127.0;
        scale[g] = (if twice[g] { halves } else { halves * 2.0 }).round() as i8;
    }
    let codes: [u8; K_BLOCK_LEN] = std::array::from_fn(|i| {
        let g = i / NVFP4_GROUP;
        let value = nvfp4_value(block(g), i % NVFP4_LEN);
        (32 + if twice[g] { 2 * value } else { value }) as u8
    });
    write_codes(BlockFormat::Q6K, &codes, out);
    let factor = factor.to_bits();
    write_scales(BlockFormat::Q6K, &StoredScales { factor, min_factor: 0, scale, min: [0; GROUPS] }, out);
    true
}

/// 18 bytes: a factor, 128 bits.
fn q1_0_code(block: &[u8], i: usize) -> i8 {
    if block[2 + i / 8] >> (i % 8) & 1 == 1 { 1 } else { -1 }
}

/// 18 bytes: a factor, 64 codes of two bits.
fn q2_0_code(block: &[u8], i: usize) -> i8 {
    (block[2 + i / 4] >> (i % 4 * 2) & 3) as i8 - 1
}

pub(super) fn dequantize_q1_0(block: &[u8], out: &mut [f32]) {
    times_half(block, out, q1_0_code);
}

pub(super) fn dequantize_q2_0(block: &[u8], out: &mut [f32]) {
    times_half(block, out, q2_0_code);
}

fn times_half(block: &[u8], out: &mut [f32], code: impl Fn(&[u8], usize) -> i8) {
    let factor = f16::from_le_bytes([block[0], block[1]]).to_f32();
    for (i, out) in out.iter_mut().enumerate() {
        *out = factor * f32::from(code(block, i));
    }
}

pub(super) fn q1_0_as_q4_0(block: &[u8], out: &mut [u8]) -> bool {
    as_q4_0(block, out, q1_0_code)
}

pub(super) fn q2_0_as_q4_0(block: &[u8], out: &mut [u8]) -> bool {
    as_q4_0(block, out, q2_0_code)
}

/// Exact: the same factor, and codes that are among those of Q4_0.
fn as_q4_0(block: &[u8], out: &mut [u8], code: impl Fn(&[u8], usize) -> i8) -> bool {
    for (b, out) in out.chunks_exact_mut(18).enumerate() {
        let codes: [u8; BLOCK_LEN] = std::array::from_fn(|i| (8 + code(block, b * BLOCK_LEN + i)) as u8);
        write_codes(BlockFormat::Q4_0, &codes, out);
        let at = Anatomy::of(BlockFormat::Q4_0).factors.0;
        out[at..at + 2].copy_from_slice(&block[..2]);
    }
    true
}

/// 292 bytes: an f32 factor, 256 codes, sums of these.
fn q8_k_factor(block: &[u8]) -> f32 {
    f32::from_le_bytes([block[0], block[1], block[2], block[3]])
}

pub(super) fn dequantize_q8_k(block: &[u8], out: &mut [f32]) {
    let factor = q8_k_factor(block);
    for (out, &code) in out.iter_mut().zip(&block[4..]) {
        *out = factor * f32::from(code as i8);
    }
}

/// The same codes, with the factor rounded to f16 where that has 11 bits for it.
pub(super) fn q8_k_as_q8_0(block: &[u8], out: &mut [u8]) -> bool {
    let factor = q8_k_factor(block);
    if factor != 0.0 && !(f16::MIN_POSITIVE.to_f32()..=F16_MAX).contains(&factor.abs()) {
        return false;
    }
    for (out, codes) in out.chunks_exact_mut(34).zip(block[4..].chunks_exact(BLOCK_LEN)) {
        out[..2].copy_from_slice(&f16::from_f32(factor).to_le_bytes());
        out[2..].copy_from_slice(codes);
    }
    true
}
