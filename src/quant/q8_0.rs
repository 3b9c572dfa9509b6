//! Q8_0: 8 bits an element and one scale a block of 32 (ggml `block_q8_0`).

use super::round::{F16_MAX, finite, limit, low_bits, ties_away};
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
        let qs = x.map(|v| low_bits(ties_away(limit(v * inv, -127.0, 127.0))) as i8);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layout_is_scale_then_signed_bytes() {
        assert_eq!(size_of::<Block>(), Block::BYTES);
        let mut bytes = [0u8; 34];
        (bytes[1], bytes[2], bytes[3], bytes[33]) = (0x38, 0x80, 0xff, 0x7f);
        let b = Block::from_bytes(&bytes);
        let mut x = [f32::NAN; 32];
        b.dequantize(&mut x);
        let mut want = [0.0; 32];
        (want[0], want[1], want[31]) = (-64.0, -0.5, 63.5);
        assert_eq!(x, want);
        assert_eq!(b.to_bytes(), bytes);
        assert_eq!(b.dot(&[-128; 32]), 128 * 128 + 128 - 127 * 128);
    }

    #[test]
    fn quantize_is_that_of_ggml() {
        let mut x = [0.0; 32];
        x[..6].copy_from_slice(&[-63.5, 0.75, -0.75, 0.25, 0.249, -1.25]);
        let b = Block::quantize(&x);
        // d = 63.5 / 127 = 0.5; halves go away from zero.
        assert_eq!(b.d, 0x3800);
        assert_eq!(b.qs[..7], [-127, 2, -2, 1, 0, -3, 0]);
        assert_eq!(b, Block::quantize_round_to_nearest(&x));
    }

    #[test]
    fn awkward_blocks() {
        assert_eq!(Block::quantize(&[0.0; 32]), Block { d: 0, qs: [0; 32] });
        assert_eq!(Block::quantize(&[f32::NAN; 32]), Block { d: 0, qs: [0; 32] });
        assert_eq!(Block::quantize(&[f32::NEG_INFINITY; 32]), Block { d: 0x7bff, qs: [-127; 32] });
        assert_eq!(Block::quantize(&[1e-45; 32]).scale(), 0.0);
    }

    proptest! {
        #[test]
        fn error_is_half_a_step_and_the_rounding_of_the_scale(
            x in prop::array::uniform32(-1f32..1.0), exponent in -30i32..23
        ) {
            let x = x.map(|v| v * 2f32.powi(exponent));
            let step = f64::from(x.iter().fold(0f32, |m, v| m.max(v.abs()))) / 127.0;
            let mut y = [0.0; 32];
            Block::quantize(&x).dequantize(&mut y);
            // The stored scale is off by 2^-11 of itself, or by 2^-25 where f16 is subnormal.
            let scale_error = (step / 2048.0).max(2f64.powi(-25));
            for (x, y) in x.iter().zip(y) {
                let e = (f64::from(*x) - f64::from(y)).abs();
                prop_assert!(e <= 0.500_01 * step + 127.0 * scale_error, "{x} -> {y}, step {step}");
            }
        }
    }
}
