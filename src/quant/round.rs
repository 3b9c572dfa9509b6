//! Rounding in plain arithmetic that compilers vectorize for every instruction set.
//!
//! `f32::round` and its relatives are library calls on baseline x86-64, ten times slower than what is here.

/// 1.5 * 2^23: between 2^23 and 2^24 an f32 has no fraction bits, so adding this rounds to an integer.
pub(super) const MAGIC: f32 = 12_582_912.0;

/// The largest finite f16.
pub(super) const F16_MAX: f32 = 65_504.0;

/// The smallest positive f16.
pub(super) const F16_MIN_POSITIVE: f32 = 1.0 / 16_777_216.0;

/// Nearest integer, ties to even; exact for `|v| <= 2^22`.
#[inline(always)]
pub(super) fn ties_even(v: f32) -> f32 {
    (v + MAGIC) - MAGIC
}

/// Nearest integer, ties away from zero (C's `roundf`); exact for `|v| <= 2^22`.
#[inline(always)]
pub(super) fn ties_away(v: f32) -> f32 {
    let t = ties_even(v);
    let up = if v > 0.0 && v - t == 0.5 { 1.0 } else { 0.0 };
    let down = if v < 0.0 && v - t == -0.5 { 1.0 } else { 0.0 };
    t + up - down
}

/// Largest integer that is not above `v`; exact for `|v| <= 2^22`.
#[inline(always)]
pub(super) fn floor(v: f32) -> f32 {
    let t = ties_even(v);
    if t > v { t - 1.0 } else { t }
}

/// The lowest bits of a small integer; a conversion by `as` would check the range.
#[inline(always)]
pub(super) fn low_bits(integer: f32) -> u8 {
    (integer + MAGIC).to_bits() as u8
}

/// `v` limited to `lo..=hi`; no NaN comes here. Compiles to one minimum and one maximum.
#[inline(always)]
pub(super) fn limit(v: f32, lo: f32, hi: f32) -> f32 {
    let v = if v < lo { lo } else { v };
    if v > hi { hi } else { v }
}

/// The f32 value of the nearest f16, ties to even, limited to the finite ones; no NaN comes here.
#[inline(always)]
pub(super) fn to_f16_grid(v: f32) -> f32 {
    let v = limit(v, -F16_MAX, F16_MAX);
    let bits = v.to_bits();
    // 13 of the 23 fraction bits go.
    let normal = f32::from_bits(bits.wrapping_add(0xfff + ((bits >> 13) & 1)) & !0x1fff);
    // Below 2^-14 the f16 are the multiples of 2^-24, the distance of f32 values next to 0.75.
    let subnormal = (v + 0.75) - 0.75;
    if v.abs() < 1.0 / 16_384.0 { subnormal } else { normal }
}

/// NaN becomes 0 and the infinities the largest finite values.
#[inline(always)]
pub(super) fn finite<const N: usize>(x: &[f32; N]) -> [f32; N] {
    x.map(|v| {
        let v = if v.is_nan() { 0.0 } else { v };
        limit(v, -f32::MAX, f32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn f16_grid_is_what_a_conversion_gives() {
        for bits in 0..0x7bffu16 {
            let (a, b) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32());
            let mid = (a + b) / 2.0;
            for v in [a, mid, f32::from_bits(mid.to_bits() + 1), f32::from_bits(mid.to_bits() - 1), b] {
                assert_eq!(to_f16_grid(v), f16::from_f32(v).to_f32(), "{v:e}");
                assert_eq!(to_f16_grid(-v), f16::from_f32(-v).to_f32(), "-{v:e}");
            }
        }
        assert_eq!(to_f16_grid(f32::MAX), F16_MAX);
        assert_eq!(to_f16_grid(f32::NEG_INFINITY), -F16_MAX);
        assert_eq!(to_f16_grid(1e-40), 0.0);
    }

    #[test]
    fn rounding_is_that_of_the_standard_library() {
        let edge = [0.0, 0.5, 1.5, 2.5, 126.5, 127.0, 0.499_999_97, 1.499_999_9, 4_194_304.0, 1e-30];
        let grid = (0..100_000).map(|i| i as f32 * 0.001_3);
        for v in edge.into_iter().chain(grid).flat_map(|v| [v, -v]) {
            assert_eq!(ties_even(v), v.round_ties_even(), "{v}");
            assert_eq!(ties_away(v), v.round(), "{v}");
            assert_eq!(floor(v), v.floor(), "{v}");
        }
    }

    #[test]
    fn low_bits_are_those_of_the_integer() {
        for i in -127..=127i32 {
            assert_eq!(low_bits(i as f32), i as u8);
        }
    }

    #[test]
    fn no_value_is_left_that_is_not_finite() {
        assert_eq!(
            finite(&[f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -3.0]),
            [0.0, 0.0, f32::MAX, f32::MIN, -3.0]
        );
    }
}
