//! Formats with codes on AVX-512 VNNI.

use std::arch::x86_64::*;

use super::super::isa::Avx512;
use super::codes::{CodeBytes, CodeLanes};
use super::{GROUP, TILE};
use crate::quant::tiles::VECTOR;

// SAFETY of every block below: `self` proves AVX-512 F, BW, VL and VNNI; addresses come from references to arrays and stay
// within them, and the loads take any alignment. `dpbusd` adds four products of an unsigned and a signed byte to a lane,
// `dpwssd` two of 16 bits, without saturation; a block's sums are below 2^31.
impl CodeBytes for Avx512 {
    type Q = __m512i;

    #[inline(always)]
    fn load_codes(self, x: &[u8; VECTOR]) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
    }
    #[inline(always)]
    fn shr(self, q: __m512i, n: u32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_srl_epi16(q, _mm_cvtsi32_si128(n as i32)) }
    }
    #[inline(always)]
    fn shl(self, q: __m512i, n: u32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sll_epi16(q, _mm_cvtsi32_si128(n as i32)) }
    }
    #[inline(always)]
    fn and(self, q: __m512i, mask: u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_and_si512(q, _mm512_set1_epi8(mask as i8)) }
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn add_bytes(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_add_epi8(a, b) }
    }
    #[inline(always)]
    fn at_least(self, q: __m512i, least: u8) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let is = _mm512_cmpge_epu8_mask(q, _mm512_set1_epi8(least as i8));
            _mm512_maskz_mov_epi8(is, _mm512_set1_epi8(1))
        }
    }
    #[inline(always)]
    fn lookup(self, q: __m512i, table: &[i8; 16]) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, q)
        }
    }
}

// SAFETY of every block below: as above.
impl CodeLanes for Avx512 {
    type I = __m512i;
    type A = __m512i;

    const WIDE_SUMS: bool = true;
    const UNSIGNED: bool = true;
    const CODE_ROWS: usize = GROUP;

    #[inline(always)]
    fn store_codes(self, q: __m512i, to: &mut [u8; VECTOR]) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), q) }
    }
    #[inline(always)]
    fn zero_i(self) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn none(self) -> __m512i {
        self.zero_i()
    }
    #[inline(always)]
    fn products(self, w: __m512i, x: i32) -> __m512i {
        self.add_products(self.none(), w, x)
    }
    #[inline(always)]
    fn add_products(self, a: __m512i, w: __m512i, x: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(a, w, _mm512_set1_epi32(x)) }
    }
    #[inline(always)]
    fn add_scaled(self, sum: __m512i, a: __m512i, scale: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_add_epi32(sum, _mm512_mullo_epi32(a, scale)) }
    }
    #[inline(always)]
    fn scale(self, x: &[i8; TILE]) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn pairs(self, x: &[i8; 2 * TILE]) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn add_pairs(self, sum: __m512i, pairs: __m512i, x: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpwssd_epi32(sum, pairs, _mm512_set1_epi32(x)) }
    }
    #[inline(always)]
    fn sub_shifted(self, a: __m512i, b: __m512i, n: u32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sub_epi32(a, _mm512_sll_epi32(b, _mm_cvtsi32_si128(n as i32))) }
    }
    #[inline(always)]
    fn i_to_f32(self, v: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(v) }
    }
}
