//! Formats with codes as operands of NEON's dot and matrix products.

use std::arch::aarch64::*;
use std::arch::asm;

use super::TILE;
use super::code_formats::{CodeFormat, GroupScales};
use super::codes::{CodeBytes, RUNS};
use super::exp::MAGIC;
use super::neon::NeonProof;
use super::packed::Pairs;
use crate::core::K_BLOCK_LEN;
use crate::quant::anatomy::GROUPS;
use crate::quant::tiles::VECTOR;

/// A quarter of a tile: four of its rows. Also a proof of NEON.
#[derive(Clone, Copy)]
pub(super) struct Quarter(usize);

impl Quarter {
    /// Quarter `q` of four.
    #[inline(always)]
    pub fn new<N: NeonProof>(_: N, q: usize) -> Self {
        Self(q % 4)
    }
}

/// Powers of three.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

// SAFETY of every block below: a quarter proves NEON and is below 4; addresses come from references to arrays and stay
// within them, and the loads take any alignment.
impl CodeBytes for Quarter {
    type Q = uint8x16_t;

    #[inline(always)]
    fn load_codes(self, x: &[u8; VECTOR]) -> uint8x16_t {
        // SAFETY: see above.
        unsafe { vld1q_u8(x.as_ptr().add(16 * self.0)) }
    }
    #[inline(always)]
    fn shr(self, q: uint8x16_t, n: u32) -> uint8x16_t {
        if n == 0 {
            return q;
        }
        // SAFETY: see above.
        unsafe { vshlq_u8(q, vdupq_n_s8(-(n as i8))) }
    }
    #[inline(always)]
    fn shl(self, q: uint8x16_t, n: u32) -> uint8x16_t {
        if n == 0 {
            return q;
        }
        // SAFETY: see above.
        unsafe { vshlq_u8(q, vdupq_n_s8(n as i8)) }
    }
    #[inline(always)]
    fn and(self, q: uint8x16_t, mask: u8) -> uint8x16_t {
        // SAFETY: see above.
        unsafe { vandq_u8(q, vdupq_n_u8(mask)) }
    }
    #[inline(always)]
    fn or(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: see above.
        unsafe { vorrq_u8(a, b) }
    }
    #[inline(always)]
    fn with_bits(self, mut a: uint8x16_t, b: uint8x16_t, mask: u8) -> uint8x16_t {
        // As an intrinsic the compiler makes two instructions of it, since `a` has zeros there.
        // SAFETY: see above; the instruction works on registers alone.
        unsafe {
            asm!(
                "bit {0:v}.16b, {1:v}.16b, {2:v}.16b",
                inout(vreg) a,
                in(vreg) b,
                in(vreg) vdupq_n_u8(mask),
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        a
    }
    #[inline(always)]
    fn add_bytes(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: see above.
        unsafe { vaddq_u8(a, b) }
    }
    #[inline(always)]
    fn times_power_of_three(self, q: uint8x16_t, n: usize) -> uint8x16_t {
        // SAFETY: see above.
        unsafe { vmulq_u8(q, vdupq_n_u8(POWERS[n % 5])) }
    }
    #[inline(always)]
    fn at_least(self, q: uint8x16_t, least: u8) -> uint8x16_t {
        // SAFETY: see above.
        unsafe { vandq_u8(vcgeq_u8(q, vdupq_n_u8(least)), vdupq_n_u8(1)) }
    }
    #[inline(always)]
    fn lookup(self, q: uint8x16_t, table: &[i8; 16]) -> uint8x16_t {
        // SAFETY: see above.
        unsafe { vqtbl1q_u8(vreinterpretq_u8_s8(vld1q_s8(table.as_ptr())), q) }
    }
}

/// What codes are too large by, as two to this, where they are taken as they are stored: codes out of a table come as what
/// they stand for.
pub(super) const fn excess_bits<F: CodeFormat>() -> Option<u32> {
    if F::TABLE.is_some() { None } else { F::ZERO }
}

/// Runs `2 * p` and `2 * p + 1` of block `j` of 32 columns, too large by what [`excess_bits`] says.
#[inline(always)]
pub(super) fn stored_runs<F: CodeFormat>(q: Quarter, codes: &[u8], j: usize, p: usize) -> [int8x16_t; 2] {
    let [a, b] = F::runs(q, true, codes, j, p);
    // SAFETY: a quarter proves NEON.
    unsafe { [vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b)] }
}

/// All runs of block `j` of 32 columns, as what they stand for.
#[inline(always)]
pub(super) fn runs<F: CodeFormat>(q: Quarter, codes: &[u8], j: usize) -> [int8x16_t; RUNS] {
    // SAFETY: a quarter proves NEON.
    unsafe {
        let mut out = [vdupq_n_s8(0); RUNS];
        for p in 0..RUNS / 2 {
            let mut two = stored_runs::<F>(q, codes, j, p);
            if let Some(n) = excess_bits::<F>() {
                two = two.map(|w| vsubq_s8(w, vdupq_n_s8(1 << n)));
            }
            (out[2 * p], out[2 * p + 1]) = (two[0], two[1]);
        }
        out
    }
}

/// What is taken off sums that start at [`MAGIC`] over codes as they are stored, with an activation row of this offset
/// (-8 times its sum).
#[inline(always)]
pub(super) fn stored_excess<F: CodeFormat>(offset: i32) -> f32 {
    let too_large = excess_bits::<F>().map_or(0, |n| offset << n >> 3);
    // Whole numbers below 2^24, so this is the subtraction of f32.
    f32::from_bits(MAGIC.to_bits().wrapping_sub(too_large as u32))
}

/// Scales of groups as 32-bit numbers, sixteen rows each.
pub(super) type WideScales = [[i32; TILE]; GROUPS];

/// Widens the scales of the groups that the format has.
#[inline(always)]
pub(super) fn widen<F: CodeFormat>(groups: &GroupScales, out: &mut WideScales) {
    for (out, scale) in out.iter_mut().zip(&groups.scale).take(RUNS * 32 / F::GROUP) {
        for lane in 0..TILE {
            out[lane] = i32::from(scale[lane]);
        }
    }
}

/// Runs of what is taken off at most, four groups each.
const MINIMA_RUNS: usize = GROUPS / 4;

/// What a sum of quants of a group is a multiple of when it is taken off ([`GroupScales::pairs`]), as runs: four groups of
/// row 0, of row 1, ... of row 15.
pub(super) struct Minima([[i8; VECTOR]; MINIMA_RUNS]);

impl Minima {
    pub fn new() -> Self {
        Self([[0; VECTOR]; MINIMA_RUNS])
    }

    /// Those of a block.
    #[inline(always)]
    pub fn fill<F: CodeFormat, N: NeonProof>(&mut self, _: N, groups: &GroupScales) {
        // SAFETY: `N` proves NEON; there are 32 bytes in each pair and 64 in each run.
        unsafe {
            let halves =
                |p: usize, h: usize| vreinterpretq_s16_s8(vld1q_s8(groups.pairs[p].as_ptr().add(16 * h)));
            for (r, out) in self.0.iter_mut().enumerate().take(K_BLOCK_LEN / F::GROUP / 4) {
                for h in 0..2 {
                    let (a, b) = (halves(2 * r, h), halves(2 * r + 1, h));
                    let out = out.as_mut_ptr().add(32 * h);
                    vst1q_s8(out, vreinterpretq_s8_s16(vzip1q_s16(a, b)));
                    vst1q_s8(out.add(16), vreinterpretq_s8_s16(vzip2q_s16(a, b)));
                }
            }
        }
    }

    /// Run `r` of four rows.
    #[inline(always)]
    pub fn run(&self, q: Quarter, r: usize) -> int8x16_t {
        // SAFETY: a quarter proves NEON and is below 4.
        unsafe { vld1q_s8(self.0[r].as_ptr().add(16 * q.0)) }
    }
}

/// Sums of an activation row's quants over groups as operands: a sum is `(high << SUM_BITS) + low`. Groups of 32: eight low
/// parts, then eight high ones. Groups of 16: sixteen low parts, and sixteen high ones.
pub(super) type Sums = [int8x16_t; 2];

/// See [`Sums`].
pub(super) const SUM_BITS: i32 = 6;

/// What sums of products of high parts start at: shifted by [`SUM_BITS`] it is [`MAGIC`], so that the sum of all is an f32
/// that is too large by it. The largest is 63 times 256 times 127, below 2^22.
pub(super) const HIGH_START: &[i32; 4] = &[(MAGIC.to_bits() >> SUM_BITS) as i32; 4];

const _: () =
    assert!((MAGIC.to_bits() >> SUM_BITS) << SUM_BITS == MAGIC.to_bits() && 63 * 256 * 127 < 1 << 22);

/// See [`Sums`].
#[inline(always)]
pub(super) fn sums<F: CodeFormat, N: NeonProof>(_: N, pairs: &Pairs) -> Sums {
    // SAFETY: `N` proves NEON; there are 32 bytes, and 16. Of at most 32 quants' sums the high parts are from -64 to 63.
    unsafe {
        let low = vdupq_n_s16((1 << SUM_BITS) - 1);
        if F::GROUP == 32 {
            let sum = vld1q_s16(pairs.of_32.as_ptr().cast());
            let both = vcombine_s8(vmovn_s16(vandq_s16(sum, low)), vshrn_n_s16::<SUM_BITS>(sum));
            return [both, both];
        }
        let p: *const i16 = pairs.of_16.as_ptr().cast();
        let (a, b) = (vld1q_s16(p), vld1q_s16(p.add(8)));
        let lows = vcombine_s8(vmovn_s16(vandq_s16(a, low)), vmovn_s16(vandq_s16(b, low)));
        [lows, vcombine_s8(vshrn_n_s16::<SUM_BITS>(a), vshrn_n_s16::<SUM_BITS>(b))]
    }
}
