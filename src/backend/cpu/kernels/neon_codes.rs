//! Formats with codes on base NEON.

use std::arch::aarch64::*;

use super::TILE;
use super::codes::{CodeBytes, CodeLanes};
use super::neon::{F as NeonF, NeonProof};
use super::neon_operands::Quarter;
use crate::quant::tiles::VECTOR;

/// Four rows of a tile each.
type Quarters = [int32x4_t; 4];

/// 64 bytes, four rows in a register.
type Bytes = [uint8x16_t; 4];

/// What a function of registers makes of four.
#[inline(always)]
fn each<A: Copy, B>(x: [A; 4], f: impl Fn(A) -> B) -> [B; 4] {
    [f(x[0]), f(x[1]), f(x[2]), f(x[3])]
}

/// As [`each`], of two times four.
#[inline(always)]
fn zip<A: Copy, B: Copy, C>(a: [A; 4], b: [B; 4], f: impl Fn(A, B) -> C) -> [C; 4] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

/// Products of a register of codes with a run of an activation row, for rows 0 and 1 and rows 2 and 3: `low`, `high` plus
/// these.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn add_products(a: (int16x8_t, int16x8_t), w: uint8x16_t, x: int8x16_t) -> (int16x8_t, int16x8_t) {
    // SAFETY: the caller promises NEON.
    unsafe {
        let w = vreinterpretq_s8_u8(w);
        (vmlal_s8(a.0, vget_low_s8(w), vget_low_s8(x)), vmlal_high_s8(a.1, w, x))
    }
}

/// The four rows' sums.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn row_sums(a: (int16x8_t, int16x8_t)) -> int32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe { vpaddq_s32(vpaddlq_s16(a.0), vpaddlq_s16(a.1)) }
}

/// All quarters of a tile.
#[inline(always)]
fn quarters<N: NeonProof>(n: N) -> [Quarter; 4] {
    [Quarter::new(n, 0), Quarter::new(n, 1), Quarter::new(n, 2), Quarter::new(n, 3)]
}

impl<N: NeonProof> CodeBytes for N {
    type Q = Bytes;

    #[inline(always)]
    fn load_codes(self, x: &[u8; VECTOR]) -> Bytes {
        each(quarters(self), |n| n.load_codes(x))
    }
    #[inline(always)]
    fn shr(self, q: Bytes, n: u32) -> Bytes {
        zip(quarters(self), q, |s, q| s.shr(q, n))
    }
    #[inline(always)]
    fn shl(self, q: Bytes, n: u32) -> Bytes {
        zip(quarters(self), q, |s, q| s.shl(q, n))
    }
    #[inline(always)]
    fn and(self, q: Bytes, mask: u8) -> Bytes {
        zip(quarters(self), q, |s, q| s.and(q, mask))
    }
    #[inline(always)]
    fn or(self, a: Bytes, b: Bytes) -> Bytes {
        zip(a, b, |a, b| Quarter::new(self, 0).or(a, b))
    }
    #[inline(always)]
    fn with_bits(self, a: Bytes, b: Bytes, mask: u8) -> Bytes {
        zip(a, b, |a, b| Quarter::new(self, 0).with_bits(a, b, mask))
    }
    #[inline(always)]
    fn add_bytes(self, a: Bytes, b: Bytes) -> Bytes {
        zip(a, b, |a, b| Quarter::new(self, 0).add_bytes(a, b))
    }
    #[inline(always)]
    fn times_power_of_three(self, q: Bytes, n: usize) -> Bytes {
        zip(quarters(self), q, |s, q| s.times_power_of_three(q, n))
    }
    #[inline(always)]
    fn at_least(self, q: Bytes, least: u8) -> Bytes {
        zip(quarters(self), q, |s, q| s.at_least(q, least))
    }
    #[inline(always)]
    fn lookup(self, q: Bytes, table: &[i8; 16]) -> Bytes {
        zip(quarters(self), q, |s, q| s.lookup(q, table))
    }
}

// SAFETY of every block below: `self` proves NEON; addresses come from references to arrays and stay within them, and
// the loads take any alignment.
impl<N: NeonProof> CodeLanes for N {
    type I = Quarters;
    type A = [(int16x8_t, int16x8_t); 4];

    const WIDE_SUMS: bool = false;
    const UNSIGNED: bool = false;
    const CODE_ROWS: usize = 4;

    #[inline(always)]
    fn store_codes(self, q: Bytes, to: &mut [u8; VECTOR]) {
        let p = to.as_mut_ptr();
        // SAFETY: see above.
        unsafe {
            vst1q_u8(p, q[0]);
            vst1q_u8(p.add(16), q[1]);
            vst1q_u8(p.add(32), q[2]);
            vst1q_u8(p.add(48), q[3]);
        }
    }
    #[inline(always)]
    fn zero_i(self) -> Quarters {
        // SAFETY: see above.
        unsafe { [vdupq_n_s32(0); 4] }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Quarters {
        // SAFETY: see above.
        unsafe { [vdupq_n_s32(x); 4] }
    }
    #[inline(always)]
    fn none(self) -> Self::A {
        // SAFETY: see above.
        unsafe { [(vdupq_n_s16(0), vdupq_n_s16(0)); 4] }
    }
    #[inline(always)]
    fn products(self, w: Bytes, x: i32) -> Self::A {
        // SAFETY: see above.
        unsafe {
            let x = vreinterpretq_s8_s32(vdupq_n_s32(x));
            each(w, |w| {
                let w = vreinterpretq_s8_u8(w);
                (vmull_s8(vget_low_s8(w), vget_low_s8(x)), vmull_high_s8(w, x))
            })
        }
    }
    #[inline(always)]
    fn add_products(self, a: Self::A, w: Bytes, x: i32) -> Self::A {
        // SAFETY: see above. The caller counts how many products fit in 16 bits.
        unsafe {
            let x = vreinterpretq_s8_s32(vdupq_n_s32(x));
            zip(a, w, |a, w| add_products(a, w, x))
        }
    }
    #[inline(always)]
    fn add_scaled(self, sum: Quarters, a: Self::A, scale: Bytes) -> Quarters {
        // SAFETY: see above.
        unsafe {
            let dots = each(a, |a| row_sums(a));
            let mut out = sum;
            for q in 0..4 {
                out[q] = vmlaq_s32(sum[q], dots[q], vreinterpretq_s32_u8(scale[q]));
            }
            out
        }
    }
    #[inline(always)]
    fn scale(self, x: &[i8; TILE]) -> Bytes {
        // SAFETY: see above.
        unsafe {
            let x = vld1q_s8(x.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
            let wide = [
                vmovl_s16(vget_low_s16(low)),
                vmovl_high_s16(low),
                vmovl_s16(vget_low_s16(high)),
                vmovl_high_s16(high),
            ];
            each(wide, |x| vreinterpretq_u8_s32(x))
        }
    }
    #[inline(always)]
    fn pairs(self, x: &[i8; 2 * TILE]) -> Bytes {
        let p = x.as_ptr();
        // SAFETY: see above.
        unsafe {
            let (a, b) = (vld1q_s8(p), vld1q_s8(p.add(16)));
            let wide =
                [vmovl_s8(vget_low_s8(a)), vmovl_high_s8(a), vmovl_s8(vget_low_s8(b)), vmovl_high_s8(b)];
            each(wide, |x| vreinterpretq_u8_s16(x))
        }
    }
    #[inline(always)]
    fn add_pairs(self, sum: Quarters, pairs: Bytes, x: i32) -> Quarters {
        // SAFETY: see above.
        unsafe {
            let x = vreinterpretq_s16_s32(vdupq_n_s32(x));
            zip(sum, pairs, |sum, m| {
                let m = vreinterpretq_s16_u8(m);
                let products = vpaddq_s32(vmull_s16(vget_low_s16(m), vget_low_s16(x)), vmull_high_s16(m, x));
                vaddq_s32(sum, products)
            })
        }
    }
    #[inline(always)]
    fn sub_shifted(self, a: Quarters, b: Quarters, n: u32) -> Quarters {
        // SAFETY: see above.
        unsafe { zip(a, b, |a, b| vsubq_s32(a, vshlq_s32(b, vdupq_n_s32(n as i32)))) }
    }
    #[inline(always)]
    fn i_to_f32(self, v: Quarters) -> NeonF {
        // SAFETY: see above.
        unsafe { NeonF(each(v, |v| vcvtq_f32_s32(v))) }
    }
}
