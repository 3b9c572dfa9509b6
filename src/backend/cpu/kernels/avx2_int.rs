//! The integer half of the quantized kernels on AVX2.

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::isa::Avx2;
use super::avx2::F;
use super::packed::{Q4_BYTES, Q8_BYTES};
use super::quantized::{Lanes, run};
use crate::core::BLOCK_LEN;

/// Rows 0 to 7 and 8 to 15 of a tile.
type Halves = [__m256i; 2];

/// Has the compiler add to these sums now. It would otherwise regroup the additions of a whole block, for which there
/// are not registers enough: in the order as written, products take two thirds of the time.
///
/// # Safety
/// AVX2 must be there. (The function is small enough to become part of its callers, although `inline(always)` does not
/// go with a feature.)
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn in_order(sums: &mut Halves) {
    let [a, b] = sums;
    // SAFETY: it does nothing with the registers that it names.
    unsafe {
        asm!(
            "/* {0} {1} */",
            inout(ymm_reg) * a,
            inout(ymm_reg) * b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
}

/// Vector `g` of a block of nibbles: its lower and its upper ones.
///
/// # Safety
/// AVX2 must be there, and `g` be below 4.
#[inline(always)]
unsafe fn nibbles(w: &[u8; Q4_BYTES], g: usize) -> (Halves, Halves) {
    // SAFETY: the caller promises AVX2 and the place.
    unsafe {
        let p = w.as_ptr().add(64 * g);
        let w = [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())];
        let mask = _mm256_set1_epi8(15);
        let low = [_mm256_and_si256(w[0], mask), _mm256_and_si256(w[1], mask)];
        let high = [
            _mm256_and_si256(_mm256_srli_epi16::<4>(w[0]), mask),
            _mm256_and_si256(_mm256_srli_epi16::<4>(w[1]), mask),
        ];
        (low, high)
    }
}

/// Sums of four products each of lower nibbles with `a` and upper ones with `b`, as i16.
///
/// # Safety
/// AVX2 must be there.
#[inline(always)]
unsafe fn nibble_products(low: Halves, high: Halves, a: i32, b: i32) -> Halves {
    // SAFETY: the caller promises AVX2.
    unsafe {
        let (a, b) = (_mm256_set1_epi32(a), _mm256_set1_epi32(b));
        [
            _mm256_add_epi16(_mm256_maddubs_epi16(low[0], a), _mm256_maddubs_epi16(high[0], b)),
            _mm256_add_epi16(_mm256_maddubs_epi16(low[1], a), _mm256_maddubs_epi16(high[1], b)),
        ]
    }
}

// SAFETY of every block below: `self` proves AVX2, FMA and F16C; addresses come from references to arrays and
// stay within them, and the loads take any alignment.
impl Lanes for Avx2 {
    type I = Halves;

    const ROWS: usize = 6;

    #[inline(always)]
    fn splat_i(self, x: i32) -> Halves {
        // SAFETY: see above.
        unsafe { [_mm256_set1_epi32(x); 2] }
    }
    #[inline(always)]
    fn to_f32(self, v: Halves) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_cvtepi32_ps(v[0]), _mm256_cvtepi32_ps(v[1])) }
    }
    #[inline(always)]
    fn dot_q8<const X: usize>(
        self,
        w: &[u8; Q8_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        _: &[i32; X],
    ) -> [Halves; X] {
        // SAFETY: see above. `maddubs` multiplies unsigned by signed bytes, so the weight's sign moves to the
        // activation. A sum of two products is at most 2 * 128 * 127 = 32512: it does not saturate.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut acc = [[_mm256_setzero_si256(); 2]; X];
            for g in 0..8 {
                let p = w.as_ptr().add(64 * g);
                let w = [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())];
                let magnitudes = [_mm256_abs_epi8(w[0]), _mm256_abs_epi8(w[1])];
                for i in 0..X {
                    let x = _mm256_set1_epi32(run(&x[i], g));
                    for half in 0..2 {
                        let signed = _mm256_sign_epi8(x, w[half]);
                        let pairs = _mm256_maddubs_epi16(magnitudes[half], signed);
                        acc[i][half] = _mm256_add_epi32(acc[i][half], _mm256_madd_epi16(pairs, ones));
                    }
                    in_order(&mut acc[i]);
                }
            }
            acc
        }
    }
    #[inline(always)]
    fn dot_q4<const X: usize>(
        self,
        w: &[u8; Q4_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        start: [Halves; X],
    ) -> [Halves; X] {
        // SAFETY: see above. Eight sums of two products of at most 15 * 127 stay below 2^15.
        unsafe {
            let mut acc = [[_mm256_setzero_si256(); 2]; X];
            let (low, high) = nibbles(w, 0);
            for i in 0..X {
                acc[i] = nibble_products(low, high, run(&x[i], 0), run(&x[i], 4));
            }
            for g in 1..4 {
                let (low, high) = nibbles(w, g);
                for i in 0..X {
                    let products = nibble_products(low, high, run(&x[i], g), run(&x[i], g + 4));
                    for half in 0..2 {
                        acc[i][half] = _mm256_add_epi16(acc[i][half], products[half]);
                    }
                    in_order(&mut acc[i]);
                }
            }
            let ones = _mm256_set1_epi16(1);
            for i in 0..X {
                for half in 0..2 {
                    acc[i][half] = _mm256_add_epi32(start[i][half], _mm256_madd_epi16(acc[i][half], ones));
                }
            }
            acc
        }
    }
}
