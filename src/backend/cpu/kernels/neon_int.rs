//! The integer half of the quantized kernels on base NEON (no dot product instructions).

use std::arch::aarch64::*;

use super::super::isa::Neon;
use super::TILE;
use super::neon::widen_f16;
use super::packed::{Q4_BYTES, Q8_BYTES, SCALES};
use super::quantized::{Lanes, run};
use crate::core::BLOCK_LEN;

/// Rows 0 to 3 and 4 to 7 of a tile.
#[derive(Clone, Copy)]
pub(crate) struct F8(float32x4_t, float32x4_t);

/// Rows 0 to 3 and 4 to 7 of a tile.
#[derive(Clone, Copy)]
pub(crate) struct I8(int32x4_t, int32x4_t);

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
    type F8 = F8;
    type I8 = I8;

    #[inline(always)]
    fn splat8(self, x: f32) -> F8 {
        // SAFETY: see above.
        let x = unsafe { vdupq_n_f32(x) };
        F8(x, x)
    }
    #[inline(always)]
    fn scales(self, bytes: &[u8; SCALES]) -> F8 {
        // SAFETY: see above.
        unsafe {
            let bits = vreinterpretq_u16_u8(vld1q_u8(bytes.as_ptr()));
            F8(widen_f16(vget_low_u16(bits)), widen_f16(vget_high_u16(bits)))
        }
    }
    #[inline(always)]
    fn mul8(self, a: F8, b: F8) -> F8 {
        // SAFETY: see above.
        unsafe { F8(vmulq_f32(a.0, b.0), vmulq_f32(a.1, b.1)) }
    }
    #[inline(always)]
    fn fma8(self, a: F8, b: F8, c: F8) -> F8 {
        // SAFETY: see above.
        unsafe { F8(vfmaq_f32(c.0, a.0, b.0), vfmaq_f32(c.1, a.1, b.1)) }
    }
    #[inline(always)]
    fn store8(self, v: F8, out: &mut [f32; TILE]) {
        // SAFETY: see above.
        unsafe {
            vst1q_f32(out.as_mut_ptr(), v.0);
            vst1q_f32(out.as_mut_ptr().add(4), v.1);
        }
    }
    #[inline(always)]
    fn to_f32(self, v: I8) -> F8 {
        // SAFETY: see above.
        unsafe { F8(vcvtq_f32_s32(v.0), vcvtq_f32_s32(v.1)) }
    }
    #[inline(always)]
    fn minus_8_times(self, a: I8, b: i32) -> I8 {
        // SAFETY: see above.
        unsafe {
            let b = vdupq_n_s32(8 * b);
            I8(vsubq_s32(a.0, b), vsubq_s32(a.1, b))
        }
    }
    #[inline(always)]
    fn dot_q8<const X: usize>(self, w: &[u8; Q8_BYTES], x: [&[i8; BLOCK_LEN]; X]) -> [I8; X] {
        // SAFETY: see above. Two products of at most 128 * 127 fit in 16 bits.
        unsafe {
            let mut acc = [[vdupq_n_s32(0); 4]; X];
            for g in 0..4 {
                // Runs 2g and 2g + 1; of each, rows 0 to 3 and rows 4 to 7.
                let p = w.as_ptr().cast::<i8>().add(64 * g);
                let w = [vld1q_s8(p), vld1q_s8(p.add(16)), vld1q_s8(p.add(32)), vld1q_s8(p.add(48))];
                for i in 0..X {
                    let a = vreinterpretq_s8_s32(vdupq_n_s32(run(x[i], 2 * g)));
                    let b = vreinterpretq_s8_s32(vdupq_n_s32(run(x[i], 2 * g + 1)));
                    let low = add_products(products(w[0], a), w[2], b);
                    let high = add_products(products(w[1], a), w[3], b);
                    acc[i][0] = vpadalq_s16(acc[i][0], low.0);
                    acc[i][1] = vpadalq_s16(acc[i][1], low.1);
                    acc[i][2] = vpadalq_s16(acc[i][2], high.0);
                    acc[i][3] = vpadalq_s16(acc[i][3], high.1);
                }
            }
            let mut out = [I8(vdupq_n_s32(0), vdupq_n_s32(0)); X];
            for i in 0..X {
                out[i] = I8(vpaddq_s32(acc[i][0], acc[i][1]), vpaddq_s32(acc[i][2], acc[i][3]));
            }
            out
        }
    }
    #[inline(always)]
    fn dot_q4<const X: usize>(self, w: &[u8; Q4_BYTES], x: [&[i8; BLOCK_LEN]; X]) -> [I8; X] {
        // SAFETY: see above. Eight products of at most 15 * 127 fit in 16 bits.
        unsafe {
            let mask = vdupq_n_u8(15);
            let zero = (vdupq_n_s16(0), vdupq_n_s16(0));
            let mut acc = [[zero; 2]; X];
            for g in 0..4 {
                let p = w.as_ptr().add(32 * g);
                for half in 0..2 {
                    let w = vld1q_u8(p.add(16 * half));
                    let low = vreinterpretq_s8_u8(vandq_u8(w, mask));
                    let high = vreinterpretq_s8_u8(vshrq_n_u8::<4>(w));
                    for i in 0..X {
                        let a = vreinterpretq_s8_s32(vdupq_n_s32(run(x[i], g)));
                        let b = vreinterpretq_s8_s32(vdupq_n_s32(run(x[i], g + 4)));
                        acc[i][half] = add_products(add_products(acc[i][half], low, a), high, b);
                    }
                }
            }
            let mut out = [I8(vdupq_n_s32(0), vdupq_n_s32(0)); X];
            for i in 0..X {
                let [low, high] = acc[i];
                out[i] = I8(
                    vpaddq_s32(vpaddlq_s16(low.0), vpaddlq_s16(low.1)),
                    vpaddq_s32(vpaddlq_s16(high.0), vpaddlq_s16(high.1)),
                );
            }
            out
        }
    }
}
