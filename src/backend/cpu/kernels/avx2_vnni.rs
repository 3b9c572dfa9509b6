//! The integer half of the quantized kernels on AVX-VNNI.

use std::arch::x86_64::*;

use super::super::isa::AvxVnni;
use super::avx2::F;
use super::packed::{Q4_BYTES, Q8_BYTES};
use super::quantized::{Lanes, run};
use crate::core::BLOCK_LEN;

/// Rows 0 to 7 and 8 to 15 of a tile.
type Halves = [__m256i; 2];

// SAFETY of every block below: `self` proves AVX2 and AVX-VNNI; addresses come from references to arrays and stay
// within them, and the loads take any alignment. `dpbusd` adds four products of an unsigned and a signed byte to a
// lane without saturation: a block's sum is at most 32 * 255 * 127.
impl Lanes for AvxVnni {
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
        offsets: &[i32; X],
    ) -> [Halves; X] {
        // SAFETY: see above.
        unsafe {
            // With its sign bit turned a weight is an unsigned byte, 128 too large: so the sum starts at -128
            // times the activations' sum.
            let sign = _mm256_set1_epi8(-128);
            let mut acc = [[_mm256_setzero_si256(); 2]; X];
            for i in 0..X {
                acc[i] = [_mm256_slli_epi32::<4>(_mm256_set1_epi32(offsets[i])); 2];
            }
            for g in 0..8 {
                let p = w.as_ptr().add(64 * g);
                let low = _mm256_xor_si256(_mm256_loadu_si256(p.cast()), sign);
                let high = _mm256_xor_si256(_mm256_loadu_si256(p.add(32).cast()), sign);
                for i in 0..X {
                    let x = _mm256_set1_epi32(run(&x[i], g));
                    acc[i][0] = _mm256_dpbusd_avx_epi32(acc[i][0], low, x);
                    acc[i][1] = _mm256_dpbusd_avx_epi32(acc[i][1], high, x);
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
        // SAFETY: see above.
        unsafe {
            let mask = _mm256_set1_epi8(15);
            let mut acc = start;
            for g in 0..4 {
                let p = w.as_ptr().add(64 * g);
                for half in 0..2 {
                    let w = _mm256_loadu_si256(p.add(32 * half).cast());
                    let low = _mm256_and_si256(w, mask);
                    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(w), mask);
                    for i in 0..X {
                        let a = _mm256_set1_epi32(run(&x[i], g));
                        let b = _mm256_set1_epi32(run(&x[i], g + 4));
                        let sum = _mm256_dpbusd_avx_epi32(acc[i][half], low, a);
                        acc[i][half] = _mm256_dpbusd_avx_epi32(sum, high, b);
                    }
                }
            }
            acc
        }
    }
}
