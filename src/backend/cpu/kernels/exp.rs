//! The exponential function and the hyperbolic tangent: the same operations on every instruction set.

use super::simd::Simd;

/// 1.5 * 2^23: adding it to a small number leaves the nearest whole number in the low bits of the sum.
pub(crate) const MAGIC: f32 = 12_582_912.0;

/// `ln 2` in two parts; the first has so few bits that a product with a whole number below 2^9 is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `x = n ln 2 + r` with a whole number `n` and `|r| <= ln(2)/2`.
struct Reduced<F> {
    /// `n` in the low bits of [`MAGIC`].
    t: F,
    r: F,
    /// `(e^r - 1) / r` by the Taylor series of `e^r` up to `r^7`, whose rest is below 6e-9.
    p: F,
}

/// Reduces numbers from -104 to 89.
#[inline(always)]
fn reduced<S: Simd>(s: S, x: S::F) -> Reduced<S::F> {
    let magic = s.splat(MAGIC);
    let t = s.fma(x, s.splat(std::f32::consts::LOG2_E), magic);
    let n = s.sub(t, magic);
    let r = s.fnma(n, s.splat(LN2_HIGH), x);
    let r = s.fnma(n, s.splat(LN2_LOW), r);
    let mut p = s.splat(1.0 / 5040.0);
    p = s.fma(p, r, s.splat(1.0 / 720.0));
    p = s.fma(p, r, s.splat(1.0 / 120.0));
    p = s.fma(p, r, s.splat(1.0 / 24.0));
    p = s.fma(p, r, s.splat(1.0 / 6.0));
    p = s.fma(p, r, s.splat(0.5));
    p = s.fma(p, r, s.splat(1.0));
    Reduced { t, r, p }
}

/// `e^x` within 1.5 units in the last place, denormal results included; 0 below -104, infinity above 89,
/// NaN for NaN.
///
/// `1 + r p`, which is `e^r`, scaled by `2^n`: see [`Reduced`].
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.max(x, s.splat(-104.0));
    let x = s.min(x, s.splat(89.0));
    let Reduced { t, r, p } = reduced(s, x);
    s.scale_by_pow2(s.fma(p, r, s.splat(1.0)), t)
}

/// `tanh(x)` within 4 units in the last place (denormal numbers come back as they are); 1 and -1 from 10 on, NaN for
/// NaN.
///
/// `t / (t + 2)` with `t = e^2x - 1 = 2^n (e^r - 1) + (2^n - 1)`, of the same [`Reduced`]: so nothing cancels near 0.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.max(x, s.splat(-10.0));
    let x = s.min(x, s.splat(10.0));
    let x = s.add(x, x);
    let Reduced { t, r, p } = reduced(s, x);
    let one = s.splat(1.0);
    let power = s.scale_by_pow2(one, t);
    let less = s.fma(power, s.mul(p, r), s.sub(power, one));
    s.div(less, s.add(less, s.splat(2.0)))
}
