//! Q4_0: 4 bits an element and one scale a block of 32 (ggml `block_q4_0`).

use super::round::{F16_MAX, finite, floor, limit, low_bits, ties_even};
use super::search;
use crate::core::BLOCK_LEN;
use half::f16;

/// 32 elements: `x[i] = (q[i] - 8) * d` with `q` in `0..=15`.
///
/// 18 bytes: the f16 scale `d`, then 16 bytes of which byte `i` holds element `i` in its low nibble and element
/// `i + 16` in its high one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bits of the f16 scale.
    pub d: u16,
    /// Two quants a byte.
    pub qs: [u8; BLOCK_LEN / 2],
}

impl Block {
    /// Stored size.
    pub const BYTES: usize = 18;

    /// Reads a block; every bit pattern is one.
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let [lo, hi, qs @ ..] = *bytes;
        Self { d: u16::from_le_bytes([lo, hi]), qs }
    }

    /// The stored form.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..2].copy_from_slice(&self.d.to_le_bytes());
        out[2..].copy_from_slice(&self.qs);
        out
    }

    /// Quantizes with a scale that is searched for the least squared error, which is never more than that of
    /// [`Self::quantize_round_to_nearest`].
    ///
    /// NaN is taken as 0, infinite values as the largest finite ones; values beyond `8 * 65504`, the reach of an
    /// f16 scale, become the nearest value that can be stored. The result is the same on every machine.
    pub fn quantize(x: &[f32; BLOCK_LEN]) -> Self {
        let x = finite(x);
        let simple = Self::nearest(&x);
        let Some(d) = search::symmetric(&x) else {
            return simple;
        };
        let found = Self::with_scale(&x, d);
        if found.squared_error(&x) <= simple.squared_error(&x) { found } else { simple }
    }

    /// ggml's simple method (`quantize_row_q4_0_ref`): the element of largest magnitude becomes -8, all are
    /// rounded to nearest. A scale too large for f16 is stored as the largest finite one; NaN and infinite
    /// values are taken as in [`Self::quantize`].
    pub fn quantize_round_to_nearest(x: &[f32; BLOCK_LEN]) -> Self {
        Self::nearest(&finite(x))
    }

    fn nearest(x: &[f32; BLOCK_LEN]) -> Self {
        let d = limit(search::signed_max(x) / -8.0, -F16_MAX, F16_MAX);
        let inv = if d == 0.0 { 0.0 } else { limit(1.0 / d, -f32::MAX, f32::MAX) };
        let q = x.map(|v| low_bits(floor(limit(v * inv + 8.5, 0.0, 15.0))));
        Self { d: f16::from_f32(d).to_bits(), qs: pack(&q) }
    }

    /// The best quants for a given scale, which is not 0.
    fn with_scale(x: &[f32; BLOCK_LEN], d: f32) -> Self {
        let inv = 1.0 / d;
        let q = x.map(|v| low_bits(ties_even(limit(v * inv, -8.0, 7.0)) + 8.0));
        Self { d: f16::from_f32(d).to_bits(), qs: pack(&q) }
    }

    fn squared_error(&self, x: &[f32; BLOCK_LEN]) -> f64 {
        let mut y = [0.0; BLOCK_LEN];
        self.dequantize(&mut y);
        search::squared_error(x, &y)
    }

    /// The values that it stands for.
    #[inline]
    pub fn dequantize(&self, out: &mut [f32; BLOCK_LEN]) {
        let d = self.scale();
        for (v, q) in out.iter_mut().zip(self.quants()) {
            *v = (i32::from(q) - 8) as f32 * d;
        }
    }

    /// Exact sum of `(q[i] - 8) * x[i]`.
    #[inline]
    pub fn dot(&self, x: &[i8; BLOCK_LEN]) -> i32 {
        self.quants().iter().zip(x).map(|(&q, &v)| (i32::from(q) - 8) * i32::from(v)).sum()
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
}

/// Two nibbles a byte: low ones are the first half of the block, high ones the second.
#[inline(always)]
pub(super) fn pack(q: &[u8; BLOCK_LEN]) -> [u8; BLOCK_LEN / 2] {
    std::array::from_fn(|i| q[i] | q[i + BLOCK_LEN / 2] << 4)
}

/// The inverse of [`pack`].
#[inline(always)]
pub(super) fn unpack(qs: &[u8; BLOCK_LEN / 2]) -> [u8; BLOCK_LEN] {
    let mut q = [0; BLOCK_LEN];
    for (i, b) in qs.iter().enumerate() {
        q[i] = b & 15;
        q[i + BLOCK_LEN / 2] = b >> 4;
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scale 0.5; elements 0 and 16 share the first byte, 15 and 31 the last.
    const BYTES: [u8; 18] = [
        0x00, 0x38, 0xf0, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88,
        0x3a,
    ];

    #[test]
    fn layout_is_little_endian_with_the_first_half_in_the_low_nibbles() {
        assert_eq!(size_of::<Block>(), Block::BYTES);
        let b = Block::from_bytes(&BYTES);
        let mut want = [0.0; 32];
        (want[0], want[16], want[15], want[31]) = (-4.0, 3.5, 1.0, -2.5);
        let mut x = [f32::NAN; 32];
        b.dequantize(&mut x);
        assert_eq!(x, want);
        assert_eq!(b.scale(), 0.5);
        assert_eq!(b.to_bytes(), BYTES);
    }

    #[test]
    fn dot_is_exact_and_takes_the_offset_off() {
        let b = Block::from_bytes(&BYTES);
        let mut x = [100i8; 32];
        (x[0], x[16], x[15], x[31]) = (-127, 3, -10, 127);
        assert_eq!(b.dot(&x), 8 * 127 + 7 * 3 - 2 * 10 - 5 * 127);
        let lowest = Block { d: 0, qs: [0; 16] };
        assert_eq!(lowest.dot(&[-128; 32]), 32 * 8 * 128);
    }

    #[test]
    fn round_to_nearest_is_that_of_ggml() {
        let mut x = [0.0; 32];
        x[..6].copy_from_slice(&[-8.0, 7.4, 0.5, -0.5, 7.6, -7.51]);
        let b = Block::quantize_round_to_nearest(&x);
        // d = -8 / -8 = 1, q = trunc(x + 8.5), at most 15.
        assert_eq!(b.d, 0x3c00);
        assert_eq!(b.quants()[..7], [0, 15, 9, 8, 15, 0, 8]);
        // A positive extreme becomes -8 by a negative scale.
        x[0] = 16.0;
        let b = Block::quantize_round_to_nearest(&x);
        assert_eq!(b.scale(), -2.0);
        assert_eq!(b.quants()[..3], [0, 4, 8]);
        // 0 / -8 is -0.
        assert_eq!(Block::quantize_round_to_nearest(&[-0.0; 32]), Block { d: 0x8000, qs: [0x88; 16] });
    }

    #[test]
    fn what_a_block_can_hold_is_found_exactly() {
        for d in [0.25, -0.25, 1.0 / 1024.0, 3.0] {
            let x: [f32; 32] = std::array::from_fn(|i| (i % 16) as f32 * d - 8.0 * d);
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
        assert_eq!(value([f32::NAN; 32]), [0.0; 32]);
        assert_eq!(value([1e-42; 32]), [0.0; 32]);
        assert_eq!(value([f32::INFINITY; 32]), [8.0 * 65504.0; 32]);
        assert_eq!(value([f32::MIN; 32]), [-8.0 * 65504.0; 32]);
        let smallest = 2f32.powi(-24);
        assert_eq!(value([smallest; 32]), [smallest; 32]);
        let mut x = [1.0; 32];
        (x[3], x[4]) = (f32::NAN, 0.0);
        assert_eq!(Block::quantize(&x), {
            x[3] = 0.0;
            Block::quantize(&x)
        });
        assert!(value([1.003; 32]).iter().all(|v| (v - 1.003).abs() < 1.003 / 2048.0));
    }
}
