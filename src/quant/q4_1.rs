//! Q4_1: 4 bits an element, scale and minimum a block of 32 (ggml `block_q4_1`).

use super::q4_0::{pack, unpack};
use super::round::{F16_MAX, finite, floor, limit, low_bits, ties_even};
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
        let q = x.map(|v| low_bits(floor(limit((v - m) * inv + 0.5, 0.0, 15.0))));
        Self { d: f16::from_f32(d).to_bits(), m: f16::from_f32(m).to_bits(), qs: pack(&q) }
    }

    /// The best quants for given scale, which is not 0, and minimum.
    fn with_scale(x: &[f32; BLOCK_LEN], d: f32, m: f32) -> Self {
        let inv = 1.0 / d;
        let q = x.map(|v| low_bits(ties_even(limit((v - m) * inv, 0.0, 15.0))));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Scale 0.5, minimum -1; elements 0 and 16 share the first byte, 15 and 31 the last.
    const BYTES: [u8; 20] = [
        0x00, 0x38, 0x00, 0xbc, 0xf0, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22,
        0x22, 0x22, 0x3a,
    ];

    #[test]
    fn layout_is_scale_minimum_quants() {
        assert_eq!(size_of::<Block>(), Block::BYTES);
        let b = Block::from_bytes(&BYTES);
        let mut want = [0.0; 32];
        (want[0], want[16], want[15], want[31]) = (-1.0, 6.5, 4.0, 0.5);
        let mut x = [f32::NAN; 32];
        b.dequantize(&mut x);
        assert_eq!(x, want);
        assert_eq!((b.scale(), b.min()), (0.5, -1.0));
        assert_eq!(b.to_bytes(), BYTES);
    }

    #[test]
    fn dot_takes_the_quants_unsigned() {
        let b = Block::from_bytes(&BYTES);
        let mut x = [1i8; 32];
        (x[0], x[16], x[15], x[31]) = (99, -3, -128, 127);
        assert_eq!(b.dot(&x), 28 * 2 - 15 * 3 - 10 * 128 + 3 * 127);
    }

    #[test]
    fn round_to_nearest_is_that_of_ggml() {
        let mut x = [-1.0; 32];
        x[..5].copy_from_slice(&[14.0, 0.0, 0.5, 0.49, 13.49]);
        let b = Block::quantize_round_to_nearest(&x);
        // d = (14 + 1) / 15 = 1, m = -1, q = trunc(x + 1 + 0.5).
        assert_eq!((b.d, b.m), (0x3c00, 0xbc00));
        assert_eq!(b.quants()[..6], [15, 1, 2, 1, 14, 0]);
    }

    #[test]
    fn what_a_block_can_hold_is_found_exactly() {
        for (d, m) in [(0.25, -3.0), (1.0 / 1024.0, 0.5), (3.0, 0.0)] {
            let x: [f32; 32] = std::array::from_fn(|i| (i % 16) as f32 * d + m);
            let mut y = [0.0; 32];
            Block::quantize(&x).dequantize(&mut y);
            assert_eq!(x, y);
        }
    }

    #[test]
    fn awkward_blocks() {
        let value = |x: [f32; 32]| {
            let mut y = [0.0; 32];
            Block::quantize(&x).dequantize(&mut y);
            y
        };
        assert_eq!(value([0.0; 32]), [0.0; 32]);
        assert_eq!(value([-2.5; 32]), [-2.5; 32]);
        assert_eq!(value([f32::NAN; 32]), [0.0; 32]);
        assert_eq!(value([1e-42; 32]), [0.0; 32]);
        assert_eq!(value([f32::NEG_INFINITY; 32]), [-65504.0; 32]);
        let mut x = [f32::MIN; 32];
        x[7] = f32::INFINITY;
        let y = value(x);
        assert_eq!((y[7], y[0]), (14.0 * 65504.0, -65504.0));
        // Far from 0 the f16 minimum is coarse (32 at 40000): the scale has to make up for it.
        let far: [f32; 32] = std::array::from_fn(|i| 40_010.0 + i as f32);
        assert!(value(far).iter().zip(far).all(|(y, x)| (y - x).abs() < 4.0));
    }
}
