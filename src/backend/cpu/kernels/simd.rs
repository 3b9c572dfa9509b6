//! Sixteen lanes of f32: what the kernels are written in, once for all instruction sets.

/// An instruction set seen as operations on sixteen lanes.
///
/// Every operation is exactly rounded (or exact), so that a kernel written in them gives the same bits
/// whichever set runs it. The value itself proves that the instructions are there.
///
/// Implementations and all that is generic over them are `#[inline(always)]`: only inside of a function with
/// the right target features do they become vector instructions. Closures and what takes them (`array::map`)
/// may stay outside of it, so operations on vectors are in plain loops.
pub(crate) trait Simd: Copy {
    /// Sixteen f32.
    type F: Copy;

    /// Whether one register holds all lanes and there are 32 of them: larger register tiles pay.
    const WIDE: bool = false;

    /// Whether a core adds up one row of floats as fast as memory gives it, without other rows at the same time.
    const ROW_BY_ROW: bool = false;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, x: &[f32; 16]) -> Self::F;
    /// Sixteen little-endian f32 at any address.
    fn load_f32(self, x: &[u8; 64]) -> Self::F;
    /// Sixteen little-endian f16 at any address.
    fn load_f16(self, x: &[u8; 32]) -> Self::F;
    /// Sixteen little-endian bf16 at any address.
    fn load_bf16(self, x: &[u8; 32]) -> Self::F;
    /// Sixteen signed bytes.
    fn load_i8(self, x: &[u8; 16]) -> Self::F;
    /// The low nibble of each of sixteen bytes, less 8, and the high ones.
    fn load_nibbles(self, x: &[u8; 16]) -> (Self::F, Self::F);
    fn store(self, v: Self::F, out: &mut [f32; 16]);
    /// Rounds to f16, ties to even.
    fn store_f16(self, v: Self::F, out: &mut [u16; 16]);

    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, rounded once.
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `b` where it is greater than `a`, else `a` (so a NaN in `a` stays).
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `b` where it is less than `a`, else `a` (so a NaN in `a` stays).
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn abs(self, a: Self::F) -> Self::F;

    /// The lane that is greater as a signed integer. Of magnitudes, NaN is the greatest, infinity the next.
    fn max_bits(self, a: Self::F, b: Self::F) -> Self::F;
    /// Nearest integers, ties to even, of values within -127..=127.
    fn round_i8(self, a: Self::F) -> [i8; 16];

    /// `p * 2^n` with `n` the low bits of `t`, a whole number that was brought there by adding
    /// [`super::exp::MAGIC`]; `n` within -252..=254. Two multiplications, the first of them exact, so that
    /// denormal results are rounded once.
    fn scale_by_pow2(self, p: Self::F, t: Self::F) -> Self::F;

    /// The lanes' sum by one tree: `s[i] += s[i + 8]`, then `+ 4`, `+ 2`, `+ 1`.
    fn sum(self, a: Self::F) -> f32;
}

/// The tree of [`Simd::sum`] in plain words.
#[inline(always)]
pub(crate) fn tree_sum(mut s: [f32; 16]) -> f32 {
    let mut step = 8;
    while step > 0 {
        for i in 0..step {
            s[i] += s[i + step];
        }
        step /= 2;
    }
    s[0]
}

/// The greatest lane; a NaN among them is passed over. The order does not matter.
#[inline(always)]
pub(crate) fn max_lane<S: Simd>(s: S, v: S::F) -> f32 {
    let mut lanes = [0.0; 16];
    // This order of the operands drops a NaN.
    s.store(s.max(s.splat(f32::NEG_INFINITY), v), &mut lanes);
    let mut step = 8;
    while step > 0 {
        for i in 0..step {
            lanes[i] = if lanes[i + step] > lanes[i] { lanes[i + step] } else { lanes[i] };
        }
        step /= 2;
    }
    lanes[0]
}

/// Up to sixteen values and `fill` after them.
#[inline(always)]
pub(crate) fn padded(tail: &[f32], fill: f32) -> [f32; 16] {
    let mut lanes = [fill; 16];
    lanes[..tail.len()].copy_from_slice(tail);
    lanes
}
