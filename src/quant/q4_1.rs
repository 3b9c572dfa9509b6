//! Q4_1: 4 bits an element, scale and minimum a block of 32 (ggml `block_q4_1`).

use super::q4_0::{pack, unpack};
use super::round::{F16_MAX, MAGIC, finite, limit};
use super::search;
use crate::core::BLOCK_LEN;
use half::f16;

/// 32 elements: `x[i] = q[i] * d + m` with `q` in `0..=15`.
///
/// 20 bytes: the f16 scale `d`, the f16 minimum `m`, then the quants packed as in
/// [`q4_0::Block`](super::q4_0::Block).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bits of the f16 scale.
    pub d: u16,
    /// Bits of the f16 minimum.
    pub m: u16,
    /// Two quants a byte.
    pub qs: [u8; BLOCK_LEN / 2],
}

impl Block {
    /// Stored size.
    pub const BYTES: usize = 20;

    /// Reads a block; every bit pattern is one.
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let [d0, d1, m0, m1, qs @ ..] = *bytes;
        Self { d: u16::from_le_bytes([d0, d1]), m: u16::from_le_bytes([m0, m1]), qs }
    }

    /// The stored form.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..2].copy_from_slice(&self.d.to_le_bytes());
        out[2..4].copy_from_slice(&self.m.to_le_bytes());
        out[4..].copy_from_slice(&self.qs);
        out
    }

    /// Quantizes with scale and minimum searched for the least squared error, which is never more than that of
    /// [`Self::quantize_round_to_nearest`].
    ///
    /// NaN is taken as 0, infinite values as the largest finite ones; values beyond the reach of f16 scale and
    /// minimum become the nearest value that can be stored. The result is the same on every machine.
    pub fn quantize(x: &[f32; BLOCK_LEN]) -> Self {
        let x = finite(x);
        let simple = Self::nearest(&x);
        let Some((d, m)) = search::affine(&x) else {
            return simple;
        };
        let found = Self::with_scale(&x, d, m);
        if found.squared_error(&x) <= simple.squared_error(&x) { found } else { simple }
    }

    /// ggml's simple method (`quantize_row_q4_1_ref`): the least element becomes 0, the largest 15, all are
    /// rounded to nearest. Scale and minimum too large for f16 are stored as the largest finite ones; NaN and
    /// infinite values are taken as in [`Self::quantize`].
    pub fn quantize_round_to_nearest(x: &[f32; BLOCK_LEN]) -> Self {
        Self::nearest(&finite(x))
    }

    fn nearest(x: &[f32; BLOCK_LEN]) -> Self {
        let (min, max) = search::range(x);
        let d = limit((max - min) / 15.0, 0.0, F16_MAX);
        let m = limit(min, -F16_MAX, F16_MAX);
        let inv = if d == 0.0 { 0.0 } else { limit(1.0 / d, 0.0, f32::MAX) };
        let q = x.map(|v| limit((v - m) * inv + 0.5, 0.0, 15.0) as i32 as u8);
        Self { d: f16::from_f32(d).to_bits(), m: f16::from_f32(m).to_bits(), qs: pack(&q) }
    }

    /// The best quants for given scale, which is not 0, and minimum.
    fn with_scale(x: &[f32; BLOCK_LEN], d: f32, m: f32) -> Self {
        let inv = 1.0 / d;
        // The sum's lowest bits are the integer, rounded to even.
        let q = x.map(|v| (limit((v - m) * inv, 0.0, 15.0) + MAGIC).to_bits() as u8 & 15);
        Self { d: f16::from_f32(d).to_bits(), m: f16::from_f32(m).to_bits(), qs: pack(&q) }
    }

    fn squared_error(&self, x: &[f32; BLOCK_LEN]) -> f64 {
        let mut y = [0.0; BLOCK_LEN];
        self.dequantize(&mut y);
        search::squared_error(x, &y)
    }

    /// The values that it stands for.
    #[inline]
    pub fn dequantize(&self, out: &mut [f32; BLOCK_LEN]) {
        let (d, m) = (self.scale(), self.min());
        for (v, q) in out.iter_mut().zip(self.quants()) {
            *v = f32::from(q) * d + m;
        }
    }

    /// Exact sum of `q[i] * x[i]`.
    #[inline]
    pub fn dot(&self, x: &[i8; BLOCK_LEN]) -> i32 {
        self.quants().iter().zip(x).map(|(&q, &v)| i32::from(q) * i32::from(v)).sum()
    }

    /// The 32 stored quants in the order of the elements, in `0..=15`.
    #[inline]
    pub fn quants(&self) -> [u8; BLOCK_LEN] {
        unpack(&self.qs)
    }

    /// The scale `d`.
    #[inline]
    pub fn scale(&self) -> f32 {
        f16::from_bits(self.d).to_f32()
    }

    /// The minimum `m`, the value of quant 0.
    #[inline]
    pub fn min(&self) -> f32 {
        f16::from_bits(self.m).to_f32()
    }
}
