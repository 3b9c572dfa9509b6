//! Sixteen lanes in two AVX2 registers.

use std::arch::x86_64::*;

use super::super::isa::{Avx2, AvxVnni};
use super::exp::MAGIC;
use super::simd::Simd;

/// A proof of AVX2, FMA and F16C, whatever else it proves.
pub(super) trait Avx2Proof: Copy {}
impl Avx2Proof for Avx2 {}
impl Avx2Proof for AvxVnni {}

/// Lanes 0 to 7 and 8 to 15.
#[derive(Clone, Copy)]
pub(crate) struct F(pub __m256, pub __m256);

/// `2^n` from `n + 127` in the exponent's place.
///
/// # Safety
/// AVX2 must be there.
#[inline(always)]
unsafe fn pow2(n: __m256i) -> __m256 {
    // SAFETY: the caller promises AVX2.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)))) }
}

/// # Safety
/// AVX2 must be there.
#[inline(always)]
unsafe fn scale(p: __m256, t: __m256) -> __m256 {
    // SAFETY: the caller promises AVX2.
    unsafe {
        let n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(MAGIC.to_bits() as i32));
        let half = _mm256_srai_epi32::<1>(n);
        let rest = _mm256_sub_epi32(n, half);
        _mm256_mul_ps(_mm256_mul_ps(p, pow2(half)), pow2(rest))
    }
}

/// Sixteen signed bytes as f32.
///
/// # Safety
/// AVX2 must be there.
#[inline(always)]
unsafe fn signed_bytes(x: __m128i) -> F {
    // SAFETY: the caller promises AVX2.
    unsafe {
        let (low, high) = (_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(x)));
        F(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
    }
}

// SAFETY of every block below: `self` proves AVX2, FMA and F16C; addresses come from references to arrays of
// the size that is read or written, by instructions that take any alignment.
impl<P: Avx2Proof> Simd for P {
    type F = F;
    const ROW_BY_ROW: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    fn load(self, x: &[f32; 16]) -> F {
        let p = x.as_ptr();
        // SAFETY: see above.
        unsafe { F(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))) }
    }
    #[inline(always)]
    fn load_f32(self, x: &[u8; 64]) -> F {
        let p = x.as_ptr().cast::<f32>();
        // SAFETY: see above.
        unsafe { F(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))) }
    }
    #[inline(always)]
    fn load_f16(self, x: &[u8; 32]) -> F {
        let p = x.as_ptr().cast::<__m128i>();
        // SAFETY: see above.
        unsafe { F(_mm256_cvtph_ps(_mm_loadu_si128(p)), _mm256_cvtph_ps(_mm_loadu_si128(p.add(1)))) }
    }
    #[inline(always)]
    fn load_bf16(self, x: &[u8; 32]) -> F {
        let p = x.as_ptr().cast::<__m128i>();
        // SAFETY: see above.
        unsafe {
            let low = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)));
            let high = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(p.add(1))));
            F(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        }
    }
    #[inline(always)]
    fn load_i8(self, x: &[u8; 16]) -> F {
        // SAFETY: see above.
        unsafe { signed_bytes(_mm_loadu_si128(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_nibbles(self, x: &[u8; 16]) -> (F, F) {
        // SAFETY: see above.
        unsafe {
            let (bytes, mask) = (_mm_loadu_si128(x.as_ptr().cast()), _mm_set1_epi8(15));
            let (low, high) = (_mm_and_si128(bytes, mask), _mm_and_si128(_mm_srli_epi16::<4>(bytes), mask));
            let eight = _mm_set1_epi8(8);
            (signed_bytes(_mm_sub_epi8(low, eight)), signed_bytes(_mm_sub_epi8(high, eight)))
        }
    }
    #[inline(always)]
    fn store(self, v: F, out: &mut [f32; 16]) {
        let p = out.as_mut_ptr();
        // SAFETY: see above.
        unsafe {
            _mm256_storeu_ps(p, v.0);
            _mm256_storeu_ps(p.add(8), v.1);
        }
    }
    #[inline(always)]
    fn store_f16(self, v: F, out: &mut [u16; 16]) {
        let p = out.as_mut_ptr().cast::<__m128i>();
        // SAFETY: see above.
        unsafe {
            _mm_storeu_si128(p, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.0));
            _mm_storeu_si128(p.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.1));
        }
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn fnma(self, a: F, b: F, c: F) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_fnmadd_ps(a.0, b.0, c.0), _mm256_fnmadd_ps(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        // The instruction answers its second operand unless the first is greater.
        // SAFETY: see above.
        unsafe { F(_mm256_max_ps(b.0, a.0), _mm256_max_ps(b.1, a.1)) }
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        // SAFETY: see above.
        unsafe { F(_mm256_min_ps(b.0, a.0), _mm256_min_ps(b.1, a.1)) }
    }
    #[inline(always)]
    fn abs(self, a: F) -> F {
        // SAFETY: see above.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            F(_mm256_andnot_ps(sign, a.0), _mm256_andnot_ps(sign, a.1))
        }
    }
    #[inline(always)]
    fn max_bits(self, a: F, b: F) -> F {
        // SAFETY: see above.
        unsafe {
            let low = _mm256_max_epi32(_mm256_castps_si256(a.0), _mm256_castps_si256(b.0));
            let high = _mm256_max_epi32(_mm256_castps_si256(a.1), _mm256_castps_si256(b.1));
            F(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        }
    }
    #[inline(always)]
    fn round_i8(self, a: F) -> [i8; 16] {
        let mut out = [0i8; 16];
        // SAFETY: see above. Packing works within halves of a register: the permutation puts the words of the
        // first register's upper half before those of the second's lower half.
        unsafe {
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(a.0), _mm256_cvtps_epi32(a.1));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
        }
        out
    }
    #[inline(always)]
    fn scale_by_pow2(self, p: F, t: F) -> F {
        // SAFETY: see above.
        unsafe { F(scale(p.0, t.0), scale(p.1, t.1)) }
    }
    #[inline(always)]
    fn sum(self, a: F) -> f32 {
        // SAFETY: see above.
        unsafe {
            let s = _mm256_add_ps(a.0, a.1);
            let s = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps::<1>(s));
            let s = _mm_add_ps(s, _mm_movehl_ps(s, s));
            _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps::<1>(s, s)))
        }
    }
}
