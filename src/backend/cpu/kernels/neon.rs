//! Sixteen lanes in four NEON registers.

use std::arch::aarch64::*;

use super::super::isa::{DotProd, I8mm, Neon};
use super::exp::MAGIC;
use super::simd::Simd;

/// Lanes 0 to 3, 4 to 7, 8 to 11 and 12 to 15.
#[derive(Clone, Copy)]
pub(crate) struct F(pub [float32x4_t; 4]);

/// A proof of NEON, whatever else it proves.
pub(super) trait NeonProof: Copy {}
impl NeonProof for Neon {}
impl NeonProof for DotProd {}
impl NeonProof for I8mm {}

/// Four f16 as f32, exactly; a signalling NaN becomes a quiet one.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn widen_f16(bits: uint16x4_t) -> float32x4_t {
    // SAFETY: the caller promises NEON, which has the conversion (half-precision arithmetic is another matter).
    unsafe { vcvt_f32_f16(vreinterpret_f16_u16(bits)) }
}

/// Values `4 * q` to `4 * q + 3` of sixteen f16, exactly.
///
/// # Safety
/// NEON must be there, and `q` below 4.
#[inline(always)]
pub(super) unsafe fn load_f16x4(x: &[u8; 32], q: usize) -> float32x4_t {
    // SAFETY: the caller promises NEON and the place.
    unsafe { widen_f16(vreinterpret_u16_u8(vld1_u8(x.as_ptr().add(8 * q)))) }
}

/// Two vectors of four, as f16, rounded to nearest with ties to even.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn narrow_f16(a: float32x4_t, b: float32x4_t) -> uint16x8_t {
    // SAFETY: the caller promises NEON.
    unsafe { vreinterpretq_u16_f16(vcombine_f16(vcvt_f16_f32(a), vcvt_f16_f32(b))) }
}

/// `2^n` from `n + 127` in the exponent's place.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn pow2(n: int32x4_t) -> float32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe { vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127)))) }
}

/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn scale(p: float32x4_t, t: float32x4_t) -> float32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe {
        let n = vsubq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(MAGIC.to_bits() as i32));
        let half = vshrq_n_s32::<1>(n);
        let rest = vsubq_s32(n, half);
        vmulq_f32(vmulq_f32(p, pow2(half)), pow2(rest))
    }
}

/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // Not `vmaxq`, whose answer for NaN and for zeros of two signs is another one.
    // SAFETY: the caller promises NEON.
    unsafe { vbslq_f32(vcgtq_f32(b, a), b, a) }
}

/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe { vbslq_f32(vcltq_f32(b, a), b, a) }
}

/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn max_bits(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe { vreinterpretq_f32_s32(vmaxq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b))) }
}

/// Applies an intrinsic to the four registers of its operands.
macro_rules! each {
    ($op:path, $a:expr) => {{
        let a = $a.0;
        // SAFETY: see at the implementation.
        unsafe { F([$op(a[0]), $op(a[1]), $op(a[2]), $op(a[3])]) }
    }};
    ($op:path, $a:expr, $b:expr) => {{
        let (a, b) = ($a.0, $b.0);
        // SAFETY: see at the implementation.
        unsafe { F([$op(a[0], b[0]), $op(a[1], b[1]), $op(a[2], b[2]), $op(a[3], b[3])]) }
    }};
    ($op:path, $a:expr, $b:expr, $c:expr) => {{
        let (a, b, c) = ($a.0, $b.0, $c.0);
        // SAFETY: see at the implementation.
        unsafe {
            F([$op(a[0], b[0], c[0]), $op(a[1], b[1], c[1]), $op(a[2], b[2], c[2]), $op(a[3], b[3], c[3])])
        }
    }};
}

/// Sixteen signed bytes as f32.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn signed_bytes(x: int8x16_t) -> F {
    // SAFETY: the caller promises NEON.
    unsafe {
        let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
        F([
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
            vcvtq_f32_s32(vmovl_high_s16(low)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
            vcvtq_f32_s32(vmovl_high_s16(high)),
        ])
    }
}

// SAFETY of every block below: `self` proves NEON; addresses come from references to arrays of the size that is
// read or written, by instructions that take any alignment.
impl<P: NeonProof> Simd for P {
    type F = F;

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        // SAFETY: see above.
        let x = unsafe { vdupq_n_f32(x) };
        F([x; 4])
    }
    #[inline(always)]
    fn load(self, x: &[f32; 16]) -> F {
        let p = x.as_ptr();
        // SAFETY: see above.
        unsafe { F([vld1q_f32(p), vld1q_f32(p.add(4)), vld1q_f32(p.add(8)), vld1q_f32(p.add(12))]) }
    }
    #[inline(always)]
    fn load_f32(self, x: &[u8; 64]) -> F {
        let p = x.as_ptr();
        // SAFETY: see above; read as bytes, since the address may be odd.
        unsafe {
            let at = |i| vreinterpretq_f32_u8(vld1q_u8(p.add(i)));
            F([at(0), at(16), at(32), at(48)])
        }
    }
    #[inline(always)]
    fn load_f16(self, x: &[u8; 32]) -> F {
        let p = x.as_ptr();
        // SAFETY: see above.
        unsafe {
            let low = vreinterpretq_u16_u8(vld1q_u8(p));
            let high = vreinterpretq_u16_u8(vld1q_u8(p.add(16)));
            F([
                widen_f16(vget_low_u16(low)),
                widen_f16(vget_high_u16(low)),
                widen_f16(vget_low_u16(high)),
                widen_f16(vget_high_u16(high)),
            ])
        }
    }
    #[inline(always)]
    fn load_bf16(self, x: &[u8; 32]) -> F {
        let p = x.as_ptr();
        // SAFETY: see above.
        unsafe {
            let low = vreinterpretq_u16_u8(vld1q_u8(p));
            let high = vreinterpretq_u16_u8(vld1q_u8(p.add(16)));
            F([
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(low))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(low)),
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(high))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(high)),
            ])
        }
    }
    #[inline(always)]
    fn load_i8(self, x: &[u8; 16]) -> F {
        // SAFETY: see above.
        unsafe { signed_bytes(vld1q_s8(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_nibbles(self, x: &[u8; 16]) -> (F, F) {
        // SAFETY: see above.
        unsafe {
            let (bytes, eight) = (vld1q_u8(x.as_ptr()), vdupq_n_s8(8));
            let low = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
            let high = vreinterpretq_s8_u8(vshrq_n_u8::<4>(bytes));
            (signed_bytes(vsubq_s8(low, eight)), signed_bytes(vsubq_s8(high, eight)))
        }
    }
    #[inline(always)]
    fn store(self, v: F, out: &mut [f32; 16]) {
        let p = out.as_mut_ptr();
        // SAFETY: see above.
        unsafe {
            vst1q_f32(p, v.0[0]);
            vst1q_f32(p.add(4), v.0[1]);
            vst1q_f32(p.add(8), v.0[2]);
            vst1q_f32(p.add(12), v.0[3]);
        }
    }
    #[inline(always)]
    fn store_f16(self, v: F, out: &mut [u16; 16]) {
        let p = out.as_mut_ptr();
        // SAFETY: see above.
        unsafe {
            vst1q_u16(p, narrow_f16(v.0[0], v.0[1]));
            vst1q_u16(p.add(8), narrow_f16(v.0[2], v.0[3]));
        }
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        each!(vaddq_f32, a, b)
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        each!(vsubq_f32, a, b)
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        each!(vmulq_f32, a, b)
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        each!(vdivq_f32, a, b)
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        // The instruction takes the addend first.
        each!(vfmaq_f32, c, a, b)
    }
    #[inline(always)]
    fn fnma(self, a: F, b: F, c: F) -> F {
        each!(vfmsq_f32, c, a, b)
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        each!(max, a, b)
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        each!(min, a, b)
    }
    #[inline(always)]
    fn abs(self, a: F) -> F {
        each!(vabsq_f32, a)
    }
    #[inline(always)]
    fn max_bits(self, a: F, b: F) -> F {
        each!(max_bits, a, b)
    }
    #[inline(always)]
    fn round_i8(self, a: F) -> [i8; 16] {
        let mut out = [0i8; 16];
        // SAFETY: see above.
        unsafe {
            let words = |a, b| vcombine_s16(vmovn_s32(vcvtnq_s32_f32(a)), vmovn_s32(vcvtnq_s32_f32(b)));
            let bytes = vcombine_s8(vmovn_s16(words(a.0[0], a.0[1])), vmovn_s16(words(a.0[2], a.0[3])));
            vst1q_s8(out.as_mut_ptr(), bytes);
        }
        out
    }
    #[inline(always)]
    fn scale_by_pow2(self, p: F, t: F) -> F {
        each!(scale, p, t)
    }
    #[inline(always)]
    fn sum(self, a: F) -> f32 {
        // SAFETY: see above.
        unsafe {
            let s = vaddq_f32(vaddq_f32(a.0[0], a.0[2]), vaddq_f32(a.0[1], a.0[3]));
            let s = vadd_f32(vget_low_f32(s), vget_high_f32(s));
            vget_lane_f32::<0>(s) + vget_lane_f32::<1>(s)
        }
    }
}
