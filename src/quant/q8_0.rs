//! Q8_0: 8 bits an element and one scale a block of 32 (ggml `block_q8_0`).

use super::round::{F16_MAX, finite, limit, ties_away};
use super::search;
use crate::core::BLOCK_LEN;
use half::f16;

/// 32 elements: `x[i] = q[i] * d`.
///
/// 34 bytes: the f16 scale `d`, then the signed quants in the order of the elements.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bits of the f16 scale.
    pub d: u16,
    /// One quant a byte.
    pub qs: [i8; BLOCK_LEN],
}

impl Block {
    /// Stored size.
    pub const BYTES: usize = 34;

    /// Reads a block; every bit pattern is one.
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let [lo, hi, qs @ ..] = *bytes;
        Self { d: u16::from_le_bytes([lo, hi]), qs: qs.map(|b| b as i8) }
    }

    /// The stored form.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..2].copy_from_slice(&self.d.to_le_bytes());
        out[2..].copy_from_slice(&self.qs.map(|q| q as u8));
        out
    }

    /// ggml's method (`quantize_row_q8_0_ref`): `d = max |x| / 127` and `q = x * (1 / d)` rounded to nearest,
    /// ties away from zero, both before `d` is rounded to f16.
    ///
    /// NaN is taken as 0, infinite values as the largest finite ones; values beyond `127 * 65504`, the reach of
    /// an f16 scale, become the nearest value that can be stored.
    pub fn quantize(x: &[f32; BLOCK_LEN]) -> Self {
        let x = finite(x);
        let d = limit(search::signed_max(&x).abs() / 127.0, 0.0, F16_MAX);
        let inv = if d == 0.0 { 0.0 } else { limit(1.0 / d, 0.0, f32::MAX) };
        let qs = x.map(|v| ties_away(limit(v * inv, -127.0, 127.0)) as i32 as i8);
        Self { d: f16::from_f32(d).to_bits(), qs }
    }

    /// The same as [`Self::quantize`]: with 8 bits a search gains next to nothing.
    pub fn quantize_round_to_nearest(x: &[f32; BLOCK_LEN]) -> Self {
        Self::quantize(x)
    }

    /// The values that it stands for.
    #[inline]
    pub fn dequantize(&self, out: &mut [f32; BLOCK_LEN]) {
        let d = self.scale();
        for (v, &q) in out.iter_mut().zip(&self.qs) {
            *v = f32::from(q) * d;
        }
    }

    /// Exact sum of `q[i] * x[i]`.
    #[inline]
    pub fn dot(&self, x: &[i8; BLOCK_LEN]) -> i32 {
        self.qs.iter().zip(x).map(|(&q, &v)| i32::from(q) * i32::from(v)).sum()
    }

    /// The scale `d`.
    #[inline]
    pub fn scale(&self) -> f32 {
        f16::from_bits(self.d).to_f32()
    }
}
