//! Q4_0: 4 bits an element and one scale a block of 32 (ggml `block_q4_0`).

use super::round::{F16_MAX, MAGIC, finite, limit};
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
        // Truncation of a value that is not negative.
        let q = x.map(|v| limit(v * inv + 8.5, 0.0, 15.0) as i32 as u8);
        Self { d: f16::from_f32(d).to_bits(), qs: pack(&q) }
    }

    /// The best quants for a given scale, which is not 0.
    fn with_scale(x: &[f32; BLOCK_LEN], d: f32) -> Self {
        let inv = 1.0 / d;
        // The sum's lowest bits are the integer, rounded to even.
        let q = x.map(|v| (limit(v * inv, -8.0, 7.0) + (MAGIC + 8.0)).to_bits() as u8 & 15);
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
