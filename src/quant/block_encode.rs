//! How blocks of 32 elements are made: one scale, or a scale and a minimum, of least weighted squared error.

use half::f16;

use super::anatomy::{half_power, write_codes};
use super::codebook::{Codebook, IQ4, MXFP4, Steps};
use super::fit;
use super::round::{F16_MIN_POSITIVE, to_f16_grid};
use crate::core::{BLOCK_LEN, BlockFormat};

const Q8_STARTS: [f32; 16] = [
    127.4, 127.0, 126.6, 126.2, 125.7, 125.2, 124.6, 124.0, 123.4, 122.7, 122.0, 121.2, 120.4, 119.5, 118.6,
    117.5,
];
const Q4_STARTS: [f32; 13] = [-9.0, -8.7, -8.4, -8.2, -8.0, -7.8, -7.6, -7.2, -6.8, 6.1, 6.6, 7.0, 7.4];
const Q5_STARTS: [f32; 22] = [
    -17.4, -17.0, -16.6, -16.3, -16.0, -15.7, -15.4, -15.1, -14.8, -14.5, -14.2, -13.8, 13.2, 13.6, 14.0,
    14.2, 14.5, 14.75, 15.0, 15.25, 15.5, 15.8,
];
const IQ4_STARTS: [f32; 15] = [
    -143.0, -136.0, -130.0, -127.0, -123.0, -118.0, -113.0, -107.0, -101.0, 96.0, 103.0, 109.0, 113.0, 118.0,
    124.0,
];

const Q4_PAIRS: [(f32, f32); 14] = [
    (15.0, 0.0),
    (15.4, 0.2),
    (15.8, 0.4),
    (14.6, -0.2),
    (14.2, -0.4),
    (13.8, -0.6),
    (13.2, -0.9),
    (15.5, 0.0),
    (15.5, 0.5),
    (14.5, 0.0),
    (14.5, -0.5),
    (14.0, 0.0),
    (14.0, -1.0),
    (15.7, 0.7),
];
const Q5_PAIRS: [(f32, f32); 18] = [
    (30.0, 0.0),
    (28.0, 0.0),
    (31.2, 0.1),
    (30.8, -0.1),
    (29.8, -0.6),
    (29.3, -0.85),
    (31.0, 0.0),
    (31.4, 0.2),
    (31.8, 0.4),
    (30.6, -0.2),
    (30.2, -0.4),
    (29.6, -0.7),
    (29.0, -1.0),
    (31.5, 0.0),
    (31.5, 0.5),
    (30.5, 0.0),
    (30.5, -0.5),
    (30.0, -0.5),
];

/// Makes a block of one of the formats of 32 elements.
///
/// # Panics
/// If the format is another one, or `block` is not as long as it asks for.
pub(super) fn encode(format: BlockFormat, x: &[f32; BLOCK_LEN], w: &[f32; BLOCK_LEN], block: &mut [u8]) {
    block.fill(0);
    let mut codes = [0; BLOCK_LEN];
    match format {
        BlockFormat::Q8_0 => {
            scaled(Steps { lo: -127.0, hi: 127.0 }, &Q8_STARTS, x, w, &mut codes, block);
            // Stored as numbers.
            codes = codes.map(|code| code.wrapping_sub(127));
        }
        BlockFormat::Q4_0 => scaled(Steps { lo: -8.0, hi: 7.0 }, &Q4_STARTS, x, w, &mut codes, block),
        BlockFormat::Q5_0 => scaled(Steps { lo: -16.0, hi: 15.0 }, &Q5_STARTS, x, w, &mut codes, block),
        BlockFormat::Iq4Nl => scaled(IQ4, &IQ4_STARTS, x, w, &mut codes, block),
        BlockFormat::Q4_1 => affine(Steps { lo: 0.0, hi: 15.0 }, &Q4_PAIRS, x, w, &mut codes, block),
        BlockFormat::Q5_1 => affine(Steps { lo: 0.0, hi: 31.0 }, &Q5_PAIRS, x, w, &mut codes, block),
        BlockFormat::Mxfp4 => power_of_two(x, w, &mut codes, block),
        other => unreachable!("{other:?} is no format of 32 elements"),
    }
    write_codes(format, &codes, block);
}

/// The two f16 values nearest to `v`, one on each side, and their neighbours.
fn f16_around(v: f32) -> [f32; 3] {
    let middle = to_f16_grid(v);
    let step = |by: f32| to_f16_grid(middle + by * (middle.abs() / 1024.0).max(F16_MIN_POSITIVE));
    [middle, step(-1.0), step(1.0)]
}

fn scaled<C: Codebook>(
    codebook: C,
    starts: &[f32],
    x: &[f32; BLOCK_LEN],
    w: &[f32; BLOCK_LEN],
    codes: &mut [u8; BLOCK_LEN],
    block: &mut [u8],
) {
    let (mut best, mut least) = (0.0, f32::INFINITY);
    for found in fit::scales(codebook, x, w, starts, 3) {
        for d in f16_around(found.scale) {
            let error = fit::affine_error(codebook, x, w, d, 0.0);
            if error < least {
                (best, least) = (d, error);
            }
        }
    }
    let inv = if best == 0.0 { 0.0 } else { 1.0 / best };
    *codes = x.map(|v| codebook.code(codebook.nearest(v * inv)));
    block[..2].copy_from_slice(&f16::from_f32(best).to_le_bytes());
}

fn affine(
    codebook: Steps,
    starts: &[(f32, f32)],
    x: &[f32; BLOCK_LEN],
    w: &[f32; BLOCK_LEN],
    codes: &mut [u8; BLOCK_LEN],
    block: &mut [u8],
) {
    let found = fit::affine(codebook, x, w, starts, true);
    let (mut best, mut least) = ((0.0, 0.0), f32::INFINITY);
    for d in f16_around(found.scale) {
        for m in f16_around(found.min) {
            let error = fit::affine_error(codebook, x, w, d, m);
            if error < least {
                (best, least) = ((d, m), error);
            }
        }
    }
    let (d, m) = best;
    let inv = if d == 0.0 { 0.0 } else { 1.0 / d };
    *codes = x.map(|v| codebook.code(codebook.nearest((v + m) * inv)));
    block[..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    block[2..4].copy_from_slice(&f16::from_f32(-m).to_le_bytes());
}

/// MXFP4: the exponents around the one that brings the largest element to the largest value.
fn power_of_two(x: &[f32; BLOCK_LEN], w: &[f32; BLOCK_LEN], codes: &mut [u8; BLOCK_LEN], block: &mut [u8]) {
    let max = x.iter().fold(0.0f32, |m, v| v.abs().max(m));
    if max == 0.0 {
        return;
    }
    // 2^k <= max: 8 to 12 are the largest values, and `half_power(e)` is 2^(e - 128).
    let power = i32::from((max.to_bits() >> 23) as u8) - 127;
    let (mut best, mut least) = (0, f32::INFINITY);
    for e in power - 3 + 127..=power - 3 + 129 {
        let e = e.clamp(0, 254) as u8;
        let error = fit::affine_error(MXFP4, x, w, half_power(e), 0.0);
        if error < least {
            (best, least) = (e, error);
        }
    }
    let s = half_power(best);
    *codes = x.map(|v| MXFP4.code(MXFP4.nearest(v / s)));
    block[0] = best;
}
