//! The block formats as operands of NEON's dot and matrix products, and the integers that come out as f32.
//!
//! Integer sums do not start at zero but at the bits of an f32, 1.5 * 2^23 or a fraction of it, whose last place
//! is worth one: they are then f32 numbers that are too large by it, exactly, as long as they stay below 2^22.
//! A subtraction costs a quarter of what a conversion costs on many cores.

use std::arch::aarch64::*;
use std::arch::asm;

use super::TILE;
use super::exp::MAGIC;
use super::packed::{Q4_BYTES, Q8_BYTES, RUN};

/// Bytes from one run of a tile to the next.
const RUN_BYTES: usize = TILE * RUN;

/// A block format. A quarter is four rows of a tile, a register of weights a run of a quarter.
///
/// # Safety
/// Of all functions: NEON must be there, and `q`, the quarter, below 4.
pub(super) trait Format<const BYTES: usize> {
    /// What is taken off a sum. Quants may be multiples of what they stand for: then so is a sum's last place.
    const EXCESS: f32;
    /// What sums start at.
    const START: &'static [i32; 4];
    /// Whether there are minima.
    const MINIMA: bool;

    /// Whether the operands of [`Self::plain_runs`] are 8 too large.
    const SHIFTED: bool;

    /// Runs `g` and `g + 4`, `g` below 4, as they are stored: their sums start at [`MAGIC`].
    unsafe fn plain_runs(w: &[u8; BYTES], q: usize, g: usize) -> [int8x16_t; 2];

    /// Runs `g` and `g + 4`, `g` below 4.
    unsafe fn two_runs(w: &[u8; BYTES], q: usize, g: usize) -> [int8x16_t; 2];

    /// For each eight columns: rows 0 and 1 of the quarter, and rows 2 and 3.
    unsafe fn columns(w: &[u8; BYTES], q: usize) -> [[int8x16_t; 2]; 4];

    /// All eight runs.
    #[inline(always)]
    unsafe fn runs(w: &[u8; BYTES], q: usize) -> [int8x16_t; 8] {
        // SAFETY: the caller promises NEON and the quarter.
        unsafe {
            let mut out = [vdupq_n_s8(0); 8];
            for g in 0..4 {
                let [low, high] = Self::two_runs(w, q, g);
                (out[g], out[g + 4]) = (low, high);
            }
            out
        }
    }
}

/// What sums of plain operands start at.
pub(super) const PLAIN_START: &[i32; 4] = &[MAGIC.to_bits() as i32; 4];

/// A sum's start. The compiler would keep it in a register and copy that, which takes the place of
/// multiplications in the processor, where loads have room.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
pub(super) unsafe fn start(from: &'static [i32; 4]) -> int32x4_t {
    let out;
    // SAFETY: reads the sixteen bytes that the reference stands for.
    unsafe {
        asm!("ldr {0:q}, [{1}]", out(vreg) out, in(reg) from, options(readonly, nostack, preserves_flags));
    }
    out
}

/// A finished sum as f32.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
pub(super) unsafe fn to_f32<F: Format<BYTES>, const BYTES: usize>(sum: int32x4_t) -> float32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe { vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(F::EXCESS)) }
}

/// What is taken off plain sums with an activation row of this offset, see [`super::packed::QuantizedRows`].
#[inline(always)]
pub(super) fn plain_excess<F: Format<BYTES>, const BYTES: usize>(offset: i32) -> f32 {
    // Whole numbers below 2^24, so this is the subtraction of f32.
    f32::from_bits(MAGIC.to_bits().wrapping_sub(if F::SHIFTED { offset as u32 } else { 0 }))
}

/// Run `g` of quarter `q`.
///
/// # Safety
/// NEON must be there; `q` is below 4, and run `g` there.
#[inline(always)]
unsafe fn run<const BYTES: usize>(w: &[u8; BYTES], q: usize, g: usize) -> uint8x16_t {
    // SAFETY: the caller promises NEON and that the run is within the block.
    unsafe { vld1q_u8(w.as_ptr().add(RUN_BYTES * g + 16 * q)) }
}

/// Two runs of four rows as eight columns of rows 0 and 1, and of rows 2 and 3.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn zip(a: uint8x16_t, b: uint8x16_t) -> [uint8x16_t; 2] {
    // SAFETY: the caller promises NEON.
    unsafe {
        let (a, b) = (vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b));
        [vreinterpretq_u8_u32(vzip1q_u32(a, b)), vreinterpretq_u8_u32(vzip2q_u32(a, b))]
    }
}

/// Q8_0.
pub(super) struct Q8;

impl Format<Q8_BYTES> for Q8 {
    const EXCESS: f32 = MAGIC;
    const START: &'static [i32; 4] = PLAIN_START;
    const MINIMA: bool = false;
    const SHIFTED: bool = false;

    #[inline(always)]
    unsafe fn plain_runs(w: &[u8; Q8_BYTES], q: usize, g: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller promises the same.
        unsafe { Self::two_runs(w, q, g) }
    }
    #[inline(always)]
    unsafe fn two_runs(w: &[u8; Q8_BYTES], q: usize, g: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller promises NEON and the quarter; there are eight runs.
        unsafe { [vreinterpretq_s8_u8(run(w, q, g)), vreinterpretq_s8_u8(run(w, q, g + 4))] }
    }
    #[inline(always)]
    unsafe fn columns(w: &[u8; Q8_BYTES], q: usize) -> [[int8x16_t; 2]; 4] {
        // SAFETY: the caller promises NEON and the quarter; there are eight runs.
        unsafe {
            let mut out = [[vdupq_n_s8(0); 2]; 4];
            for c in 0..4 {
                let [low, high] = zip(run(w, q, 2 * c), run(w, q, 2 * c + 1));
                out[c] = [vreinterpretq_s8_u8(low), vreinterpretq_s8_u8(high)];
            }
            out
        }
    }
}

/// How the nibbles of a 4-bit format become operands.
pub(super) trait Nibbles {
    const EXCESS: f32;
    const START: &'static [i32; 4];
    const MINIMA: bool;

    /// The low and the high nibbles.
    ///
    /// # Safety
    /// NEON must be there.
    unsafe fn split(w: uint8x16_t) -> [int8x16_t; 2];
}

impl<N: Nibbles> Format<Q4_BYTES> for N {
    const EXCESS: f32 = N::EXCESS;
    const START: &'static [i32; 4] = N::START;
    const MINIMA: bool = N::MINIMA;
    const SHIFTED: bool = !N::MINIMA;

    #[inline(always)]
    unsafe fn plain_runs(w: &[u8; Q4_BYTES], q: usize, g: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller promises NEON and the quarter; there are four runs of nibbles.
        unsafe { Q4Minima::split(run(w, q, g)) }
    }
    #[inline(always)]
    unsafe fn two_runs(w: &[u8; Q4_BYTES], q: usize, g: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller promises NEON and the quarter; there are four runs of nibbles.
        unsafe { N::split(run(w, q, g)) }
    }
    #[inline(always)]
    unsafe fn columns(w: &[u8; Q4_BYTES], q: usize) -> [[int8x16_t; 2]; 4] {
        // SAFETY: the caller promises NEON and the quarter; there are four runs of nibbles.
        unsafe {
            let mut out = [[vdupq_n_s8(0); 2]; 4];
            for c in 0..2 {
                let [first, last] = zip(run(w, q, 2 * c), run(w, q, 2 * c + 1));
                [out[c][0], out[c + 2][0]] = N::split(first);
                [out[c][1], out[c + 2][1]] = N::split(last);
            }
            out
        }
    }
}

/// Q4_0. A nibble is 8 too large; moved to the upper half of a byte, with the highest bit turned, it is a signed
/// number, 16 times what it stands for.
pub(super) struct Q4;

impl Nibbles for Q4 {
    const EXCESS: f32 = MAGIC / 16.0;
    const START: &'static [i32; 4] = &[(MAGIC / 16.0).to_bits() as i32; 4];
    const MINIMA: bool = false;

    #[inline(always)]
    unsafe fn split(w: uint8x16_t) -> [int8x16_t; 2] {
        // SAFETY: the caller promises NEON.
        unsafe {
            let w = veorq_u8(w, vdupq_n_u8(0x88));
            let high = vandq_u8(w, vdupq_n_u8(0xf0));
            [vreinterpretq_s8_u8(vshlq_n_u8::<4>(w)), vreinterpretq_s8_u8(high)]
        }
    }
}

/// Q4_1, whose nibbles are as they should be.
pub(super) struct Q4Minima;

impl Nibbles for Q4Minima {
    const EXCESS: f32 = MAGIC;
    const START: &'static [i32; 4] = PLAIN_START;
    const MINIMA: bool = true;

    #[inline(always)]
    unsafe fn split(w: uint8x16_t) -> [int8x16_t; 2] {
        // SAFETY: the caller promises NEON.
        unsafe {
            let low = vandq_u8(w, vdupq_n_u8(15));
            [vreinterpretq_s8_u8(low), vreinterpretq_s8_u8(vshrq_n_u8::<4>(w))]
        }
    }
}
