//! The quantized kernels on NEON with dot products (`sdot`).
//!
//! A register holds a run of four rows (a quarter of a tile), a lane each; `sdot` by element multiplies it with a
//! run of the activation.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::isa::DotProd;
use super::GROUP;
use super::neon::{F, load_f16x4};
use super::neon_quants::{Format, PLAIN_START, Q4, Q4Minima, Q8, plain_excess, start};
use super::packed::{Q4_BYTES, Q8_BYTES, QuantizedBlock, QuantizedRows, TileLayout};
use super::quantized::Rows;
use crate::core::BLOCK_LEN;

/// Blocks over which the sums of a quarter stay in registers, before the next quarter has its turn: their weights
/// and activations stay in the first-level cache.
pub(super) const PANEL: usize = 16;

/// Per lane: `acc` plus the dot product of a row's four columns in `w` with run `RUN` of `x`.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
pub(super) unsafe fn sdot<const RUN: i32>(mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: the caller promises the instruction, which works on registers alone.
    unsafe {
        asm!(
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{3}]",
            inout(vreg) acc,
            in(vreg) w,
            in(vreg) x,
            const RUN,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// Adds to `sums`, a vector an activation row: `fma(d * dx, dot, sum)`, with `dot` the products of four rows of
/// `w`, a run each, with four activation rows `x`. `start` is [`Format::START`].
///
/// One piece, so that four sums grow in turns (a core that keeps the order needs that) and that not more
/// registers are in use than there are.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
pub(super) unsafe fn add_dots(
    start: &'static [i32; 4],
    d: float32x4_t,
    w: &[int8x16_t; 8],
    x: &[[i8; BLOCK_LEN]; 4],
    scales: &[f32; 4],
    sums: &mut [float32x4_t; 4],
) {
    let [s0, s1, s2, s3] = sums;
    // SAFETY: the caller promises the instruction; 16 bytes of `start` and of `scales` and 128 of `x` are read.
    unsafe {
        asm!(
            "ldr {e:q}, [{start}]",
            "ldr {a0:q}, [{start}]",
            "ldr {x0:q}, [{x}]",
            "ldr {a1:q}, [{start}]",
            "ldr {x1:q}, [{x}, #32]",
            "ldr {a2:q}, [{start}]",
            "ldr {x2:q}, [{x}, #64]",
            "ldr {a3:q}, [{start}]",
            "ldr {x3:q}, [{x}, #96]",
            "ldr {dx:q}, [{scales}]",
            "sdot {a0:v}.4s, {w0:v}.16b, {x0:v}.4b[0]",
            "sdot {a1:v}.4s, {w0:v}.16b, {x1:v}.4b[0]",
            "sdot {a2:v}.4s, {w0:v}.16b, {x2:v}.4b[0]",
            "sdot {a3:v}.4s, {w0:v}.16b, {x3:v}.4b[0]",
            "sdot {a0:v}.4s, {w1:v}.16b, {x0:v}.4b[1]",
            "sdot {a1:v}.4s, {w1:v}.16b, {x1:v}.4b[1]",
            "sdot {a2:v}.4s, {w1:v}.16b, {x2:v}.4b[1]",
            "sdot {a3:v}.4s, {w1:v}.16b, {x3:v}.4b[1]",
            "sdot {a0:v}.4s, {w2:v}.16b, {x0:v}.4b[2]",
            "sdot {a1:v}.4s, {w2:v}.16b, {x1:v}.4b[2]",
            "sdot {a2:v}.4s, {w2:v}.16b, {x2:v}.4b[2]",
            "sdot {a3:v}.4s, {w2:v}.16b, {x3:v}.4b[2]",
            "sdot {a0:v}.4s, {w3:v}.16b, {x0:v}.4b[3]",
            "ldr {x0:q}, [{x}, #16]",
            "sdot {a1:v}.4s, {w3:v}.16b, {x1:v}.4b[3]",
            "ldr {x1:q}, [{x}, #48]",
            "sdot {a2:v}.4s, {w3:v}.16b, {x2:v}.4b[3]",
            "ldr {x2:q}, [{x}, #80]",
            "sdot {a3:v}.4s, {w3:v}.16b, {x3:v}.4b[3]",
            "ldr {x3:q}, [{x}, #112]",
            "sdot {a0:v}.4s, {w4:v}.16b, {x0:v}.4b[0]",
            "sdot {a1:v}.4s, {w4:v}.16b, {x1:v}.4b[0]",
            "sdot {a2:v}.4s, {w4:v}.16b, {x2:v}.4b[0]",
            "sdot {a3:v}.4s, {w4:v}.16b, {x3:v}.4b[0]",
            "sdot {a0:v}.4s, {w5:v}.16b, {x0:v}.4b[1]",
            "sdot {a1:v}.4s, {w5:v}.16b, {x1:v}.4b[1]",
            "sdot {a2:v}.4s, {w5:v}.16b, {x2:v}.4b[1]",
            "sdot {a3:v}.4s, {w5:v}.16b, {x3:v}.4b[1]",
            "sdot {a0:v}.4s, {w6:v}.16b, {x0:v}.4b[2]",
            "sdot {a1:v}.4s, {w6:v}.16b, {x1:v}.4b[2]",
            "sdot {a2:v}.4s, {w6:v}.16b, {x2:v}.4b[2]",
            "sdot {a3:v}.4s, {w6:v}.16b, {x3:v}.4b[2]",
            "sdot {a0:v}.4s, {w7:v}.16b, {x0:v}.4b[3]",
            "sdot {a1:v}.4s, {w7:v}.16b, {x1:v}.4b[3]",
            "sdot {a2:v}.4s, {w7:v}.16b, {x2:v}.4b[3]",
            "sdot {a3:v}.4s, {w7:v}.16b, {x3:v}.4b[3]",
            "fmul {x0:v}.4s, {d:v}.4s, {dx:v}.s[0]",
            "fmul {x1:v}.4s, {d:v}.4s, {dx:v}.s[1]",
            "fmul {x2:v}.4s, {d:v}.4s, {dx:v}.s[2]",
            "fmul {x3:v}.4s, {d:v}.4s, {dx:v}.s[3]",
            "fsub {a0:v}.4s, {a0:v}.4s, {e:v}.4s",
            "fsub {a1:v}.4s, {a1:v}.4s, {e:v}.4s",
            "fsub {a2:v}.4s, {a2:v}.4s, {e:v}.4s",
            "fsub {a3:v}.4s, {a3:v}.4s, {e:v}.4s",
            "fmla {s0:v}.4s, {x0:v}.4s, {a0:v}.4s",
            "fmla {s1:v}.4s, {x1:v}.4s, {a1:v}.4s",
            "fmla {s2:v}.4s, {x2:v}.4s, {a2:v}.4s",
            "fmla {s3:v}.4s, {x3:v}.4s, {a3:v}.4s",
            s0 = inout(vreg) *s0,
            s1 = inout(vreg) *s1,
            s2 = inout(vreg) *s2,
            s3 = inout(vreg) *s3,
            a0 = out(vreg) _,
            a1 = out(vreg) _,
            a2 = out(vreg) _,
            a3 = out(vreg) _,
            x0 = out(vreg) _,
            x1 = out(vreg) _,
            x2 = out(vreg) _,
            x3 = out(vreg) _,
            w0 = in(vreg) w[0],
            w1 = in(vreg) w[1],
            w2 = in(vreg) w[2],
            w3 = in(vreg) w[3],
            w4 = in(vreg) w[4],
            w5 = in(vreg) w[5],
            w6 = in(vreg) w[6],
            w7 = in(vreg) w[7],
            dx = out(vreg) _,
            e = out(vreg) _,
            d = in(vreg) d,
            x = in(reg) x,
            scales = in(reg) scales,
            start = in(reg) start,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
}

/// Adds to `sums`, a vector an activation row: `fma(m * dx, sum of quants, sum)`.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
pub(super) unsafe fn add_minima(
    m: float32x4_t,
    scales: &[f32; 4],
    offsets: &[i32; 4],
    sums: &mut [float32x4_t; 4],
) {
    let [s0, s1, s2, s3] = sums;
    // SAFETY: the caller promises NEON; 16 bytes of `scales` and of `offsets` are read.
    unsafe {
        asm!(
            "ldr {dx:q}, [{scales}]",
            "ldr {x:q}, [{offsets}]",
            // An offset is -8 times the sum.
            "scvtf {x:v}.4s, {x:v}.4s, #3",
            "fmul {t0:v}.4s, {m:v}.4s, {dx:v}.s[0]",
            "fmul {t1:v}.4s, {m:v}.4s, {dx:v}.s[1]",
            "fmul {t2:v}.4s, {m:v}.4s, {dx:v}.s[2]",
            "fmul {t3:v}.4s, {m:v}.4s, {dx:v}.s[3]",
            "fmls {s0:v}.4s, {t0:v}.4s, {x:v}.s[0]",
            "fmls {s1:v}.4s, {t1:v}.4s, {x:v}.s[1]",
            "fmls {s2:v}.4s, {t2:v}.4s, {x:v}.s[2]",
            "fmls {s3:v}.4s, {t3:v}.4s, {x:v}.s[3]",
            s0 = inout(vreg) *s0,
            s1 = inout(vreg) *s1,
            s2 = inout(vreg) *s2,
            s3 = inout(vreg) *s3,
            t0 = out(vreg) _,
            t1 = out(vreg) _,
            t2 = out(vreg) _,
            t3 = out(vreg) _,
            dx = out(vreg) _,
            x = out(vreg) _,
            m = in(vreg) m,
            scales = in(reg) scales,
            offsets = in(reg) offsets,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
}

/// A quarter of a block: scales, minima and quants of four rows.
struct Quarter {
    d: float32x4_t,
    m: float32x4_t,
    w: [int8x16_t; 8],
}

impl Quarter {
    /// Adds the products with activation rows `4 * S` to `4 * S + 3`, if there are so many. `MINIMA`: whether `m`
    /// counts.
    ///
    /// # Safety
    /// The dot products must be there.
    #[inline(always)]
    unsafe fn add<T: Format<BYTES>, const BYTES: usize, const S: usize, const X: usize>(
        &self,
        x: &QuantizedBlock<'_, X>,
        sums: &mut [float32x4_t; X],
    ) {
        let (Some(rows), Some(scales), Some(offsets), Some(sums)) = (
            x.quants.as_chunks().0.get(S),
            x.scales.as_chunks().0.get(S),
            x.offsets.as_chunks().0.get(S),
            sums.as_chunks_mut().0.get_mut(S),
        ) else {
            return;
        };
        // SAFETY: the caller promises the dot products; loads stay within the arrays.
        unsafe {
            add_dots(T::START, self.d, &self.w, rows, scales, sums);
            if T::MINIMA {
                add_minima(self.m, scales, offsets, sums);
            }
        }
    }
}

/// Rows by fours, up to [`super::GROUP`], from row `at` on against a tile.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
unsafe fn many<T: Format<BYTES>, const HEADS: usize, const BYTES: usize, const X: usize>(
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the dot products; `q` is below 4.
    unsafe {
        let mut out = [F([vdupq_n_f32(0.0); 4]); X];
        for first in (0..layout.blocks()).step_by(PANEL) {
            for q in 0..4 {
                let mut sums = [vdupq_n_f32(0.0); X];
                for i in 0..X {
                    sums[i] = out[i].0[q];
                }
                for b in first..(first + PANEL).min(layout.blocks()) {
                    let (Some((heads, w)), Some(x)) =
                        (layout.block::<HEADS, BYTES>(tile, b), x.block::<X>(b, at))
                    else {
                        return out;
                    };
                    let quarter = Quarter {
                        d: load_f16x4(&heads[0], q),
                        m: load_f16x4(&heads[HEADS - 1], q),
                        w: T::runs(w, q),
                    };
                    quarter.add::<T, BYTES, 0, X>(&x, &mut sums);
                    quarter.add::<T, BYTES, 1, X>(&x, &mut sums);
                    quarter.add::<T, BYTES, 2, X>(&x, &mut sums);
                }
                for i in 0..X {
                    out[i].0[q] = sums[i];
                }
            }
        }
        out
    }
}

/// Adds the products of all rows' runs `RUN` and `RUN + 4` with those of the activation rows.
///
/// # Safety
/// The dot products must be there, and `RUN` below 4.
#[inline(always)]
unsafe fn add_runs<T: Format<BYTES>, const BYTES: usize, const RUN: i32, const X: usize>(
    w: &[u8; BYTES],
    x: &[[int8x16_t; 2]; X],
    acc: &mut [[int32x4_t; 4]; X],
) {
    // SAFETY: the caller promises the dot products.
    unsafe {
        for q in 0..4 {
            let [low, high] = T::plain_runs(w, q, RUN as usize);
            for i in 0..X {
                acc[i][q] = sdot::<RUN>(acc[i][q], low, x[i][0]);
                acc[i][q] = sdot::<RUN>(acc[i][q], high, x[i][1]);
            }
        }
    }
}

/// Few rows against a tile, which is read from front to back.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
pub(super) unsafe fn few<T: Format<BYTES>, const HEADS: usize, const BYTES: usize, const X: usize>(
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the dot products; loads stay within a row's 32 bytes.
    unsafe {
        let mut out = [F([vdupq_n_f32(0.0); 4]); X];
        for b in 0..layout.blocks() {
            let (Some((heads, w)), Some(x)) = (layout.block::<HEADS, BYTES>(tile, b), x.block::<X>(b, at))
            else {
                return out;
            };
            let mut acc = [[vdupq_n_s32(0); 4]; X];
            let mut excess = [vdupq_n_f32(0.0); X];
            let mut halves = [[vdupq_n_s8(0); 2]; X];
            for i in 0..X {
                excess[i] = vdupq_n_f32(plain_excess::<T, BYTES>(x.offsets[i]));
                let p = x.quants[i].as_ptr();
                halves[i] = [vld1q_s8(p), vld1q_s8(p.add(16))];
                for q in 0..4 {
                    acc[i][q] = start(PLAIN_START);
                }
            }
            add_runs::<T, BYTES, 0, X>(w, &halves, &mut acc);
            add_runs::<T, BYTES, 1, X>(w, &halves, &mut acc);
            add_runs::<T, BYTES, 2, X>(w, &halves, &mut acc);
            add_runs::<T, BYTES, 3, X>(w, &halves, &mut acc);
            for q in 0..4 {
                let (d, m) = (load_f16x4(&heads[0], q), load_f16x4(&heads[HEADS - 1], q));
                for i in 0..X {
                    let sum = &mut out[i].0[q];
                    let scale = vmulq_n_f32(d, x.scales[i]);
                    let dot = vsubq_f32(vreinterpretq_f32_s32(acc[i][q]), excess[i]);
                    *sum = vfmaq_f32(*sum, scale, dot);
                    if T::MINIMA {
                        // An offset is -8 times the sum, and a division by 8 is exact.
                        let x_sum = x.offsets[i] as f32 * -0.125;
                        *sum = vfmaq_n_f32(*sum, vmulq_n_f32(m, x.scales[i]), x_sum);
                    }
                }
            }
        }
        out
    }
}

/// A method of [`Rows`] for one format.
macro_rules! rows {
    ($name:ident, $format:ident, $heads:literal, $bytes:ident) => {
        #[inline(always)]
        fn $name<const X: usize>(
            self,
            layout: &TileLayout,
            tile: &[u8],
            x: &QuantizedRows<'_>,
            at: usize,
        ) -> [F; X] {
            // SAFETY: `self` proves the dot products.
            unsafe {
                if X % 4 == 0 {
                    many::<$format, $heads, $bytes, X>(layout, tile, x, at)
                } else {
                    few::<$format, $heads, $bytes, X>(layout, tile, x, at)
                }
            }
        }
    };
}

impl Rows for DotProd {
    const MOST: usize = GROUP;
    const SIX: bool = false;

    rows!(rows_q8, Q8, 1, Q8_BYTES);
    rows!(rows_q4_0, Q4, 1, Q4_BYTES);
    rows!(rows_q4_1, Q4Minima, 2, Q4_BYTES);

    #[inline(always)]
    fn arrange(self, _: &mut [[i8; BLOCK_LEN]], _: usize) {}
}
