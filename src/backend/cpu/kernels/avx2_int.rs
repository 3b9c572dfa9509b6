//! The integer half of the quantized kernels on AVX2.

use std::arch::x86_64::*;

use super::super::isa::Avx2;
use super::TILE;
use super::packed::{Q4_BYTES, Q8_BYTES, SCALES};
use super::quantized::{Lanes, run};
use crate::core::BLOCK_LEN;

// SAFETY of every block below: `self` proves AVX2, FMA and F16C; addresses come from references to arrays and
// stay within them, and the loads and stores take any alignment.
impl Lanes for Avx2 {
    type F8 = __m256;
    type I8 = __m256i;

    #[inline(always)]
    fn splat8(self, x: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn scales(self, bytes: &[u8; SCALES]) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())) }
    }
    #[inline(always)]
    fn mul8(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn fma8(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn store8(self, v: __m256, out: &mut [f32; TILE]) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn to_f32(self, v: __m256i) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi32_ps(v) }
    }
    #[inline(always)]
    fn minus_8_times(self, a: __m256i, b: i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_sub_epi32(a, _mm256_set1_epi32(8 * b)) }
    }
    #[inline(always)]
    fn dot_q8<const X: usize>(self, w: &[u8; Q8_BYTES], x: [&[i8; BLOCK_LEN]; X]) -> [__m256i; X] {
        // SAFETY: see above. `maddubs` multiplies unsigned by signed bytes, so the weight's sign moves to the
        // activation. A sum of two products is at most 2 * 128 * 127 = 32512: it does not saturate.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut acc = [_mm256_setzero_si256(); X];
            for g in 0..8 {
                let w = _mm256_loadu_si256(w.as_ptr().add(32 * g).cast());
                let magnitude = _mm256_abs_epi8(w);
                for i in 0..X {
                    let signed = _mm256_sign_epi8(_mm256_set1_epi32(run(x[i], g)), w);
                    let pairs = _mm256_maddubs_epi16(magnitude, signed);
                    acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(pairs, ones));
                }
            }
            acc
        }
    }
    #[inline(always)]
    fn dot_q4<const X: usize>(self, w: &[u8; Q4_BYTES], x: [&[i8; BLOCK_LEN]; X]) -> [__m256i; X] {
        // SAFETY: see above. Eight sums of two products of at most 15 * 127 stay below 2^15.
        unsafe {
            let mask = _mm256_set1_epi8(15);
            let mut acc = [_mm256_setzero_si256(); X];
            for g in 0..4 {
                let w = _mm256_loadu_si256(w.as_ptr().add(32 * g).cast());
                let low = _mm256_and_si256(w, mask);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(w), mask);
                for i in 0..X {
                    let a = _mm256_maddubs_epi16(low, _mm256_set1_epi32(run(x[i], g)));
                    let b = _mm256_maddubs_epi16(high, _mm256_set1_epi32(run(x[i], g + 4)));
                    acc[i] = _mm256_add_epi16(acc[i], _mm256_add_epi16(a, b));
                }
            }
            let ones = _mm256_set1_epi16(1);
            for a in &mut acc {
                *a = _mm256_madd_epi16(*a, ones);
            }
            acc
        }
    }
}
