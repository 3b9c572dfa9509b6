//! Formats with codes on AVX2, without and with AVX-VNNI.

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::isa::{Avx2, AvxVnni};
use super::TILE;
use super::avx2::F;
use super::codes::{CodeBytes, CodeLanes};
use crate::quant::tiles::VECTOR;

/// Rows 0 to 7 and 8 to 15 of a tile.
type Halves = [__m256i; 2];

/// Bytes of codes, the same with and without AVX-VNNI.
macro_rules! bytes {
    () => {
        type Q = Halves;

        #[inline(always)]
        fn load_codes(self, x: &[u8; VECTOR]) -> Halves {
            let p = x.as_ptr();
            // SAFETY: see above.
            unsafe { [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())] }
        }
        #[inline(always)]
        fn shr(self, q: Halves, n: u32) -> Halves {
            // SAFETY: see above.
            unsafe {
                let n = _mm_cvtsi32_si128(n as i32);
                [_mm256_srl_epi16(q[0], n), _mm256_srl_epi16(q[1], n)]
            }
        }
        #[inline(always)]
        fn shl(self, q: Halves, n: u32) -> Halves {
            // SAFETY: see above.
            unsafe {
                let n = _mm_cvtsi32_si128(n as i32);
                [_mm256_sll_epi16(q[0], n), _mm256_sll_epi16(q[1], n)]
            }
        }
        #[inline(always)]
        fn and(self, q: Halves, mask: u8) -> Halves {
            // SAFETY: see above.
            unsafe {
                let mask = _mm256_set1_epi8(mask as i8);
                [_mm256_and_si256(q[0], mask), _mm256_and_si256(q[1], mask)]
            }
        }
        #[inline(always)]
        fn or(self, a: Halves, b: Halves) -> Halves {
            // SAFETY: see above.
            unsafe { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
        }
        #[inline(always)]
        fn add_bytes(self, a: Halves, b: Halves) -> Halves {
            // SAFETY: see above.
            unsafe { [_mm256_add_epi8(a[0], b[0]), _mm256_add_epi8(a[1], b[1])] }
        }
        #[inline(always)]
        fn at_least(self, q: Halves, least: u8) -> Halves {
            // SAFETY: see above.
            unsafe {
                let (least, one) = (_mm256_set1_epi8(least as i8), _mm256_set1_epi8(1));
                let mut out = q;
                for q in &mut out {
                    *q = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_max_epu8(*q, least), *q), one);
                }
                out
            }
        }
        #[inline(always)]
        fn lookup(self, q: Halves, table: &[i8; 16]) -> Halves {
            // SAFETY: see above.
            unsafe {
                let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
                [_mm256_shuffle_epi8(table, q[0]), _mm256_shuffle_epi8(table, q[1])]
            }
        }
    };
}

/// What else works the same with and without AVX-VNNI.
macro_rules! common {
    () => {
        type I = Halves;
        type A = Halves;

        #[inline(always)]
        fn store_codes(self, q: Halves, to: &mut [u8; VECTOR]) {
            let p = to.as_mut_ptr();
            // SAFETY: see above.
            unsafe {
                _mm256_storeu_si256(p.cast(), q[0]);
                _mm256_storeu_si256(p.add(32).cast(), q[1]);
            }
        }
        #[inline(always)]
        fn zero_i(self) -> Halves {
            // SAFETY: see above.
            unsafe { [_mm256_setzero_si256(); 2] }
        }
        #[inline(always)]
        fn splat_i32(self, x: i32) -> Halves {
            // SAFETY: see above.
            unsafe { [_mm256_set1_epi32(x); 2] }
        }
        #[inline(always)]
        fn none(self) -> Halves {
            self.zero_i()
        }
        #[inline(always)]
        fn pairs(self, x: &[i8; 2 * TILE]) -> Halves {
            let p = x.as_ptr();
            // SAFETY: see above.
            unsafe {
                [
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast())),
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(p.add(16).cast())),
                ]
            }
        }
        #[inline(always)]
        fn sub_shifted(self, a: Halves, b: Halves, n: u32) -> Halves {
            // SAFETY: see above.
            unsafe {
                let n = _mm_cvtsi32_si128(n as i32);
                [
                    _mm256_sub_epi32(a[0], _mm256_sll_epi32(b[0], n)),
                    _mm256_sub_epi32(a[1], _mm256_sll_epi32(b[1], n)),
                ]
            }
        }
        #[inline(always)]
        fn i_to_f32(self, v: Halves) -> F {
            // SAFETY: see above.
            unsafe { F(_mm256_cvtepi32_ps(v[0]), _mm256_cvtepi32_ps(v[1])) }
        }
    };
}

/// Sixteen signed bytes as i32.
///
/// # Safety
/// AVX2 must be there.
#[inline(always)]
unsafe fn widen(x: &[i8; TILE]) -> Halves {
    let p = x.as_ptr();
    // SAFETY: the caller promises AVX2; the loads read the array's two halves.
    unsafe {
        [
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())),
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.add(8).cast())),
        ]
    }
}

/// Has the compiler add to these sums now: in the order as written there are registers enough (see `avx2_int`).
///
/// # Safety
/// AVX2 must be there.
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

// SAFETY of every block below: `self` proves AVX2; addresses come from references to arrays and stay within them, and
// the loads take any alignment.
impl CodeBytes for Avx2 {
    bytes!();
}

impl CodeLanes for Avx2 {
    common!();

    const WIDE_SUMS: bool = false;
    const UNSIGNED: bool = false;
    const CODE_ROWS: usize = 3;

    #[inline(always)]
    fn products(self, w: Halves, x: i32) -> Halves {
        // SAFETY: see above. `maddubs` multiplies unsigned by signed bytes and adds two products.
        unsafe {
            let x = _mm256_set1_epi32(x);
            [_mm256_maddubs_epi16(w[0], x), _mm256_maddubs_epi16(w[1], x)]
        }
    }
    #[inline(always)]
    fn add_products(self, a: Halves, w: Halves, x: i32) -> Halves {
        // SAFETY: see above. The caller counts how many of these sums fit in 16 bits.
        unsafe {
            let products = self.products(w, x);
            let mut out = [_mm256_add_epi16(a[0], products[0]), _mm256_add_epi16(a[1], products[1])];
            in_order(&mut out);
            out
        }
    }
    #[inline(always)]
    fn add_scaled(self, sum: Halves, a: Halves, scale: Halves) -> Halves {
        // SAFETY: see above. A scale stands in both halves of its lane.
        unsafe {
            let mut out = [
                _mm256_add_epi32(sum[0], _mm256_madd_epi16(a[0], scale[0])),
                _mm256_add_epi32(sum[1], _mm256_madd_epi16(a[1], scale[1])),
            ];
            in_order(&mut out);
            out
        }
    }
    #[inline(always)]
    fn add_signed(self, sum: Halves, w: Halves, x: i32, scale: Halves) -> Halves {
        // SAFETY: see above. The weight's sign moves to the activation; two products are at most 2 * 127 * 127.
        unsafe {
            let x = _mm256_set1_epi32(x);
            let mut out = sum;
            for half in 0..2 {
                let (magnitude, signed) = (_mm256_abs_epi8(w[half]), _mm256_sign_epi8(x, w[half]));
                let products = _mm256_maddubs_epi16(magnitude, signed);
                out[half] = _mm256_add_epi32(out[half], _mm256_madd_epi16(products, scale[half]));
            }
            in_order(&mut out);
            out
        }
    }
    #[inline(always)]
    fn scale(self, x: &[i8; TILE]) -> Halves {
        // SAFETY: see above.
        unsafe {
            let [a, b] = widen(x);
            [
                _mm256_blend_epi16::<0b1010_1010>(a, _mm256_slli_epi32::<16>(a)),
                _mm256_blend_epi16::<0b1010_1010>(b, _mm256_slli_epi32::<16>(b)),
            ]
        }
    }
    #[inline(always)]
    fn add_pairs(self, sum: Halves, pairs: Halves, x: i32) -> Halves {
        // SAFETY: see above.
        unsafe {
            let x = _mm256_set1_epi32(x);
            [
                _mm256_add_epi32(sum[0], _mm256_madd_epi16(pairs[0], x)),
                _mm256_add_epi32(sum[1], _mm256_madd_epi16(pairs[1], x)),
            ]
        }
    }
}

// SAFETY of every block below: `self` proves AVX2 and AVX-VNNI; addresses come from references to arrays and stay within
// them, and the loads take any alignment. `dpbusd` adds four products of an unsigned and a signed byte to a lane, `dpwssd`
// two of 16 bits, without saturation; a block's sums are below 2^31.
impl CodeBytes for AvxVnni {
    bytes!();
}

impl CodeLanes for AvxVnni {
    common!();

    const WIDE_SUMS: bool = true;
    const UNSIGNED: bool = true;
    const CODE_ROWS: usize = 3;

    #[inline(always)]
    fn products(self, w: Halves, x: i32) -> Halves {
        self.add_products(self.none(), w, x)
    }
    #[inline(always)]
    fn add_products(self, a: Halves, w: Halves, x: i32) -> Halves {
        // SAFETY: see above.
        unsafe {
            let x = _mm256_set1_epi32(x);
            [_mm256_dpbusd_avx_epi32(a[0], w[0], x), _mm256_dpbusd_avx_epi32(a[1], w[1], x)]
        }
    }
    #[inline(always)]
    fn add_scaled(self, sum: Halves, a: Halves, scale: Halves) -> Halves {
        // SAFETY: see above.
        unsafe {
            [
                _mm256_add_epi32(sum[0], _mm256_mullo_epi32(a[0], scale[0])),
                _mm256_add_epi32(sum[1], _mm256_mullo_epi32(a[1], scale[1])),
            ]
        }
    }
    #[inline(always)]
    fn scale(self, x: &[i8; TILE]) -> Halves {
        // SAFETY: see above.
        unsafe { widen(x) }
    }
    #[inline(always)]
    fn add_pairs(self, sum: Halves, pairs: Halves, x: i32) -> Halves {
        // SAFETY: see above.
        unsafe {
            let x = _mm256_set1_epi32(x);
            [_mm256_dpwssd_avx_epi32(sum[0], pairs[0], x), _mm256_dpwssd_avx_epi32(sum[1], pairs[1], x)]
        }
    }
}
