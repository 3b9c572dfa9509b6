//! The integer half of the quantized kernels on AVX-512 VNNI.

use std::arch::x86_64::*;

use super::super::isa::Avx512;
use super::GROUP;
use super::packed::{Q4_BYTES, Q8_BYTES};
use super::quantized::{Lanes, run};
use crate::core::BLOCK_LEN;

// SAFETY of every block below: `self` proves AVX-512 F, BW and VNNI; addresses come from references to arrays
// and stay within them, and the loads take any alignment. `dpbusd` adds four products of an unsigned and a
// signed byte to a lane without saturation: a block's sum is at most 32 * 255 * 127.
impl Lanes for Avx512 {
    type I = __m512i;

    const ROWS: usize = GROUP;

    #[inline(always)]
    fn splat_i(self, x: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn to_f32(self, v: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(v) }
    }
    #[inline(always)]
    fn dot_q8<const X: usize>(
        self,
        w: &[u8; Q8_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        offsets: &[i32; X],
    ) -> [__m512i; X] {
        // SAFETY: see above.
        unsafe {
            // With its sign bit turned a weight is an unsigned byte, 128 too large: so the sum starts at -128
            // times the activations' sum.
            let sign = _mm512_set1_epi8(-128);
            let mut acc = [_mm512_setzero_si512(); X];
            for i in 0..X {
                acc[i] = _mm512_slli_epi32::<4>(_mm512_set1_epi32(offsets[i]));
            }
            for g in 0..8 {
                let w = _mm512_xor_si512(_mm512_loadu_si512(w.as_ptr().add(64 * g).cast()), sign);
                for i in 0..X {
                    acc[i] = _mm512_dpbusd_epi32(acc[i], w, _mm512_set1_epi32(run(&x[i], g)));
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
        start: [__m512i; X],
    ) -> [__m512i; X] {
        // SAFETY: see above.
        unsafe {
            let mask = _mm512_set1_epi8(15);
            let mut acc = start;
            for g in 0..4 {
                let w = _mm512_loadu_si512(w.as_ptr().add(64 * g).cast());
                let low = _mm512_and_si512(w, mask);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(w), mask);
                for i in 0..X {
                    acc[i] = _mm512_dpbusd_epi32(acc[i], low, _mm512_set1_epi32(run(&x[i], g)));
                }
                for i in 0..X {
                    acc[i] = _mm512_dpbusd_epi32(acc[i], high, _mm512_set1_epi32(run(&x[i], g + 4)));
                }
            }
            acc
        }
    }
}
