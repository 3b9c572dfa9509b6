//! The integer half of the quantized kernels on base NEON (no dot product instructions).

use std::arch::aarch64::*;

use super::super::isa::Neon;
use super::neon::F;
use super::packed::{Q4_BYTES, Q8_BYTES};
use super::quantized::{Lanes, run};
use crate::core::BLOCK_LEN;

/// Four rows of a tile each.
type Quarters = [int32x4_t; 4];

/// Products of 16 weights (four columns of four rows) with four columns of the activation: rows 0 and 1, then
/// rows 2 and 3.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn products(w: int8x16_t, x: int8x16_t) -> (int16x8_t, int16x8_t) {
    // SAFETY: the caller promises NEON.
    unsafe { (vmull_s8(vget_low_s8(w), vget_low_s8(x)), vmull_high_s8(w, x)) }
}

/// As [`products`], added to `acc`.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn add_products(acc: (int16x8_t, int16x8_t), w: int8x16_t, x: int8x16_t) -> (int16x8_t, int16x8_t) {
    // SAFETY: the caller promises NEON.
    unsafe { (vmlal_s8(acc.0, vget_low_s8(w), vget_low_s8(x)), vmlal_high_s8(acc.1, w, x)) }
}

// SAFETY of every block below: `self` proves NEON; addresses come from references to arrays and stay within
// them, and the loads and stores take any alignment.
impl Lanes for Neon {
    type I = Quarters;

    #[inline(always)]
    fn splat_i(self, x: i32) -> Quarters {
        // SAFETY: see above.
        unsafe { [vdupq_n_s32(x); 4] }
    }
    #[inline(always)]
    fn to_f32(self, v: Quarters) -> F {
        // SAFETY: see above.
        unsafe { F([vcvtq_f32_s32(v[0]), vcvtq_f32_s32(v[1]), vcvtq_f32_s32(v[2]), vcvtq_f32_s32(v[3])]) }
    }
    #[inline(always)]
    fn dot_q8<const X: usize>(
        self,
        w: &[u8; Q8_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        _: &[i32; X],
    ) -> [Quarters; X] {
        // SAFETY: see above. Two products of at most 128 * 127 fit in 16 bits.
        unsafe {
            let mut out = [[vdupq_n_s32(0); 4]; X];
            for half in 0..2 {
                let mut acc = [[vdupq_n_s32(0); 4]; X];
                for g in 0..4 {
                    // Runs 2g and 2g + 1; of each, four rows and the next four.
                    let p = w.as_ptr().cast::<i8>().add(128 * g + 32 * half);
                    let w = [vld1q_s8(p), vld1q_s8(p.add(16)), vld1q_s8(p.add(64)), vld1q_s8(p.add(80))];
                    for i in 0..X {
                        let a = vreinterpretq_s8_s32(vdupq_n_s32(run(&x[i], 2 * g)));
                        let b = vreinterpretq_s8_s32(vdupq_n_s32(run(&x[i], 2 * g + 1)));
                        let low = add_products(products(w[0], a), w[2], b);
                        let high = add_products(products(w[1], a), w[3], b);
                        acc[i][0] = vpadalq_s16(acc[i][0], low.0);
                        acc[i][1] = vpadalq_s16(acc[i][1], low.1);
                        acc[i][2] = vpadalq_s16(acc[i][2], high.0);
                        acc[i][3] = vpadalq_s16(acc[i][3], high.1);
                    }
                }
                for i in 0..X {
                    out[i][2 * half] = vpaddq_s32(acc[i][0], acc[i][1]);
                    out[i][2 * half + 1] = vpaddq_s32(acc[i][2], acc[i][3]);
                }
            }
            out
        }
    }
    #[inline(always)]
    fn dot_q4<const X: usize>(
        self,
        w: &[u8; Q4_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        start: [Quarters; X],
    ) -> [Quarters; X] {
        // SAFETY: see above. Eight products of at most 15 * 127 fit in 16 bits.
        unsafe {
            let mask = vdupq_n_u8(15);
            let zero = (vdupq_n_s16(0), vdupq_n_s16(0));
            let mut out = start;
            for half in 0..2 {
                let mut acc = [[zero; 2]; X];
                for g in 0..4 {
                    let p = w.as_ptr().add(64 * g + 32 * half);
                    for quarter in 0..2 {
                        let w = vld1q_u8(p.add(16 * quarter));
                        let low = vreinterpretq_s8_u8(vandq_u8(w, mask));
                        let high = vreinterpretq_s8_u8(vshrq_n_u8::<4>(w));
                        for i in 0..X {
                            let a = vreinterpretq_s8_s32(vdupq_n_s32(run(&x[i], g)));
                            let b = vreinterpretq_s8_s32(vdupq_n_s32(run(&x[i], g + 4)));
                            acc[i][quarter] = add_products(add_products(acc[i][quarter], low, a), high, b);
                        }
                    }
                }
                for i in 0..X {
                    for quarter in 0..2 {
                        let (low, high) = acc[i][quarter];
                        let dots = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
                        out[i][2 * half + quarter] = vaddq_s32(out[i][2 * half + quarter], dots);
                    }
                }
            }
            out
        }
    }
}
