//! The quantized kernels on NEON with matrix products (`smmla`).
//!
//! `smmla` multiplies two rows of eight columns by two rows of eight columns. Zipping two runs of a tile gives two
//! such pairs of weight rows; activation rows are stored in pairs. A pair has its sums in squares: those of both
//! rows with weight rows 0 and 1 of a quarter, then with rows 2 and 3. They stay like that to the end.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::isa::I8mm;
use super::GROUP;
use super::dotprod::{PANEL, few};
use super::neon::{F, load_f16x4};
use super::neon_quants::{Format, Q4, Q4Minima, Q8, start, to_f32};
use super::packed::{Q4_BYTES, Q8_BYTES, QuantizedBlock, QuantizedRows, TileLayout};
use super::quantized::Rows;
use crate::core::BLOCK_LEN;

/// `acc` plus the square of products of two rows of `x` with two rows of `w`: first row of `x` with both of `w`,
/// then the second.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
pub(super) unsafe fn smmla(mut acc: int32x4_t, x: int8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: the caller promises the instruction, which works on registers alone.
    unsafe {
        asm!(
            "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) acc,
            in(vreg) x,
            in(vreg) w,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// Adds to the squares of two pairs of activation rows `x` with a quarter: `fma(d * dx, dot, sum)`; first pair with
/// weight rows 0 and 1, with rows 2 and 3, then the second pair. `start` is [`Format::START`].
///
/// In one piece for the reasons of the dot products' one.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
pub(super) unsafe fn add_squares(
    start: &'static [i32; 4],
    d: &[float32x4_t; 2],
    w: &[[int8x16_t; 2]; 4],
    x: &[[i8; BLOCK_LEN]; 4],
    scales: &[f32; 4],
    sums: &mut [float32x4_t; 4],
) {
    let [s0, s1, s2, s3] = sums;
    // SAFETY: the caller promises the instruction; 16 bytes of `start` and of `scales` and 128 of `x` are read.
    unsafe {
        asm!(
            "ldr {a0:q}, [{start}]",
            "ldr {x0:q}, [{x}]",
            "ldr {a1:q}, [{start}]",
            "ldr {a2:q}, [{start}]",
            "ldr {y0:q}, [{x}, #64]",
            "ldr {a3:q}, [{start}]",
            "ldr {x1:q}, [{x}, #16]",
            "ldr {y1:q}, [{x}, #80]",
            "smmla {a0:v}.4s, {x0:v}.16b, {v0:v}.16b",
            "smmla {a1:v}.4s, {x0:v}.16b, {w0:v}.16b",
            "ldr {x0:q}, [{x}, #32]",
            "smmla {a2:v}.4s, {y0:v}.16b, {v0:v}.16b",
            "smmla {a3:v}.4s, {y0:v}.16b, {w0:v}.16b",
            "ldr {y0:q}, [{x}, #96]",
            "smmla {a0:v}.4s, {x1:v}.16b, {v1:v}.16b",
            "smmla {a1:v}.4s, {x1:v}.16b, {w1:v}.16b",
            "ldr {x1:q}, [{x}, #48]",
            "smmla {a2:v}.4s, {y1:v}.16b, {v1:v}.16b",
            "smmla {a3:v}.4s, {y1:v}.16b, {w1:v}.16b",
            "ldr {y1:q}, [{x}, #112]",
            "smmla {a0:v}.4s, {x0:v}.16b, {v2:v}.16b",
            "smmla {a1:v}.4s, {x0:v}.16b, {w2:v}.16b",
            "ldr {x0:q}, [{scales}]",
            "smmla {a2:v}.4s, {y0:v}.16b, {v2:v}.16b",
            "smmla {a3:v}.4s, {y0:v}.16b, {w2:v}.16b",
            "ldr {y0:q}, [{start}]",
            "smmla {a0:v}.4s, {x1:v}.16b, {v3:v}.16b",
            "smmla {a1:v}.4s, {x1:v}.16b, {w3:v}.16b",
            "smmla {a2:v}.4s, {y1:v}.16b, {v3:v}.16b",
            "smmla {a3:v}.4s, {y1:v}.16b, {w3:v}.16b",
            "zip1 {x1:v}.4s, {x0:v}.4s, {x0:v}.4s",
            "zip2 {y1:v}.4s, {x0:v}.4s, {x0:v}.4s",
            "fsub {a0:v}.4s, {a0:v}.4s, {y0:v}.4s",
            "fsub {a1:v}.4s, {a1:v}.4s, {y0:v}.4s",
            "fsub {a2:v}.4s, {a2:v}.4s, {y0:v}.4s",
            "fsub {a3:v}.4s, {a3:v}.4s, {y0:v}.4s",
            "fmul {x0:v}.4s, {x1:v}.4s, {d0:v}.4s",
            "fmul {x1:v}.4s, {x1:v}.4s, {d1:v}.4s",
            "fmul {y0:v}.4s, {y1:v}.4s, {d0:v}.4s",
            "fmul {y1:v}.4s, {y1:v}.4s, {d1:v}.4s",
            "fmla {s0:v}.4s, {x0:v}.4s, {a0:v}.4s",
            "fmla {s1:v}.4s, {x1:v}.4s, {a1:v}.4s",
            "fmla {s2:v}.4s, {y0:v}.4s, {a2:v}.4s",
            "fmla {s3:v}.4s, {y1:v}.4s, {a3:v}.4s",
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
            y0 = out(vreg) _,
            y1 = out(vreg) _,
            v0 = in(vreg) w[0][0],
            w0 = in(vreg) w[0][1],
            v1 = in(vreg) w[1][0],
            w1 = in(vreg) w[1][1],
            v2 = in(vreg) w[2][0],
            w2 = in(vreg) w[2][1],
            v3 = in(vreg) w[3][0],
            w3 = in(vreg) w[3][1],
            d0 = in(vreg) d[0],
            d1 = in(vreg) d[1],
            x = in(reg) x,
            scales = in(reg) scales,
            start = in(reg) start,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
}

/// Adds to the squares of two pairs of activation rows: `fma(m * dx, sum of quants, sum)`.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
pub(super) unsafe fn add_minima(
    m: &[float32x4_t; 2],
    scales: &[f32; 4],
    offsets: &[i32; 4],
    sums: &mut [float32x4_t; 4],
) {
    let [s0, s1, s2, s3] = sums;
    // SAFETY: the caller promises NEON; 16 bytes of `scales` and of `offsets` are read.
    unsafe {
        asm!(
            "ldr {p:q}, [{scales}]",
            "ldr {x:q}, [{offsets}]",
            // An offset is -8 times the sum.
            "scvtf {x:v}.4s, {x:v}.4s, #3",
            "zip2 {q:v}.4s, {p:v}.4s, {p:v}.4s",
            "zip1 {p:v}.4s, {p:v}.4s, {p:v}.4s",
            "zip2 {y:v}.4s, {x:v}.4s, {x:v}.4s",
            "zip1 {x:v}.4s, {x:v}.4s, {x:v}.4s",
            "fmul {t0:v}.4s, {p:v}.4s, {m0:v}.4s",
            "fmul {t1:v}.4s, {p:v}.4s, {m1:v}.4s",
            "fmul {t2:v}.4s, {q:v}.4s, {m0:v}.4s",
            "fmul {t3:v}.4s, {q:v}.4s, {m1:v}.4s",
            "fmls {s0:v}.4s, {t0:v}.4s, {x:v}.4s",
            "fmls {s1:v}.4s, {t1:v}.4s, {x:v}.4s",
            "fmls {s2:v}.4s, {t2:v}.4s, {y:v}.4s",
            "fmls {s3:v}.4s, {t3:v}.4s, {y:v}.4s",
            s0 = inout(vreg) *s0,
            s1 = inout(vreg) *s1,
            s2 = inout(vreg) *s2,
            s3 = inout(vreg) *s3,
            t0 = out(vreg) _,
            t1 = out(vreg) _,
            t2 = out(vreg) _,
            t3 = out(vreg) _,
            p = out(vreg) _,
            q = out(vreg) _,
            x = out(vreg) _,
            y = out(vreg) _,
            m0 = in(vreg) m[0],
            m1 = in(vreg) m[1],
            scales = in(reg) scales,
            offsets = in(reg) offsets,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
}

/// A value of each of a pair of activation rows, for squares.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
pub(super) unsafe fn pair(a: f32, b: f32) -> float32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe { vcombine_f32(vdup_n_f32(a), vdup_n_f32(b)) }
}

/// The values of four weight rows for squares: those of rows 0 and 1 twice, those of rows 2 and 3 twice.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
pub(super) unsafe fn twice(v: float32x4_t) -> [float32x4_t; 2] {
    // SAFETY: the caller promises NEON.
    unsafe {
        let v = vreinterpretq_f64_f32(v);
        [vreinterpretq_f32_f64(vdupq_laneq_f64::<0>(v)), vreinterpretq_f32_f64(vdupq_laneq_f64::<1>(v))]
    }
}

/// A quarter of a block for squares: scales, minima, and for each eight columns two pairs of rows.
struct Quarter {
    d: [float32x4_t; 2],
    m: [float32x4_t; 2],
    w: [[int8x16_t; 2]; 4],
}

impl Quarter {
    /// Adds the products with activation rows `4 * S` to `4 * S + 3`. Of the rows' places in `sums` two are a
    /// pair's: with weight rows 0 and 1, and with rows 2 and 3.
    ///
    /// # Safety
    /// The matrix products must be there.
    #[inline(always)]
    unsafe fn add_four<T: Format<BYTES>, const BYTES: usize, const S: usize, const X: usize>(
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
        // SAFETY: the caller promises the matrix products; loads stay within the arrays.
        unsafe {
            add_squares(T::START, &self.d, &self.w, rows, scales, sums);
            if T::MINIMA {
                add_minima(&self.m, scales, offsets, sums);
            }
        }
    }

    /// As [`Self::add_four`], of the only two rows.
    ///
    /// # Safety
    /// The matrix products must be there.
    #[inline(always)]
    unsafe fn add_two<T: Format<BYTES>, const BYTES: usize, const X: usize>(
        &self,
        x: &QuantizedBlock<'_, X>,
        sums: &mut [float32x4_t; X],
    ) {
        let (Some(rows), Some(&[dx0, dx1]), Some(&[o0, o1]), Some(sums)) = (
            x.quants.as_flattened().as_chunks::<16>().0.first_chunk::<4>(),
            x.scales.first_chunk(),
            x.offsets.first_chunk(),
            sums.first_chunk_mut::<2>(),
        ) else {
            return;
        };
        // SAFETY: the caller promises the matrix products; loads stay within the arrays.
        unsafe {
            let mut acc = [start(T::START), start(T::START)];
            for c in 0..4 {
                let x = vld1q_s8(rows[c].as_ptr());
                acc[0] = smmla(acc[0], x, self.w[c][0]);
                acc[1] = smmla(acc[1], x, self.w[c][1]);
            }
            let dx = pair(dx0, dx1);
            let x = pair(o0 as f32 * -0.125, o1 as f32 * -0.125);
            for h in 0..2 {
                let dot = to_f32::<T, BYTES>(acc[h]);
                sums[h] = vfmaq_f32(sums[h], vmulq_f32(self.d[h], dx), dot);
                if T::MINIMA {
                    sums[h] = vfmaq_f32(sums[h], vmulq_f32(self.m[h], dx), x);
                }
            }
        }
    }
}

/// Two rows, or rows by fours up to [`super::GROUP`], from row `at` on against a tile.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
unsafe fn many<T: Format<BYTES>, const HEADS: usize, const BYTES: usize, const X: usize>(
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the matrix products; `q` is below 4.
    unsafe {
        let zero = vdupq_n_f32(0.0);
        let mut squares = [[zero; X]; 4];
        for first in (0..layout.blocks()).step_by(PANEL) {
            for q in 0..4 {
                let mut sums = squares[q];
                for b in first..(first + PANEL).min(layout.blocks()) {
                    let (Some((heads, w)), Some(x)) =
                        (layout.block::<HEADS, BYTES>(tile, b), x.block::<X>(b, at))
                    else {
                        return [F([zero; 4]); X];
                    };
                    let quarter = Quarter {
                        d: twice(load_f16x4(&heads[0], q)),
                        m: twice(load_f16x4(&heads[HEADS - 1], q)),
                        w: T::columns(w, q),
                    };
                    if X == 2 {
                        quarter.add_two::<T, BYTES, X>(&x, &mut sums);
                    } else {
                        quarter.add_four::<T, BYTES, 0, X>(&x, &mut sums);
                        quarter.add_four::<T, BYTES, 1, X>(&x, &mut sums);
                        quarter.add_four::<T, BYTES, 2, X>(&x, &mut sums);
                    }
                }
                squares[q] = sums;
            }
        }
        rows_of(&squares)
    }
}

/// The sums of each row, out of those of squares, a quarter of weight rows each.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
pub(super) unsafe fn rows_of<const X: usize>(squares: &[[float32x4_t; X]; 4]) -> [F; X] {
    // SAFETY: the caller promises NEON.
    unsafe {
        let mut out = [F([vdupq_n_f32(0.0); 4]); X];
        for q in 0..4 {
            for p in 0..X / 2 {
                let a = vreinterpretq_f64_f32(squares[q][2 * p]);
                let b = vreinterpretq_f64_f32(squares[q][2 * p + 1]);
                out[2 * p].0[q] = vreinterpretq_f32_f64(vzip1q_f64(a, b));
                out[2 * p + 1].0[q] = vreinterpretq_f32_f64(vzip2q_f64(a, b));
            }
        }
        out
    }
}

/// A method of [`Rows`] for one format. A single row has no partner, and does as well with dot products.
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
            // SAFETY: `self` proves the matrix products, and the dot products as well.
            unsafe {
                if X == 1 {
                    few::<$format, $heads, $bytes, X>(layout, tile, x, at)
                } else {
                    many::<$format, $heads, $bytes, X>(layout, tile, x, at)
                }
            }
        }
    };
}

impl Rows for I8mm {
    const MOST: usize = GROUP;
    const SIX: bool = false;

    rows!(rows_q8, Q8, 1, Q8_BYTES);
    rows!(rows_q4_0, Q4, 1, Q4_BYTES);
    rows!(rows_q4_1, Q4Minima, 2, Q4_BYTES);

    /// Pairs of rows: of each eight columns first one row's, then the other's. An odd last row stays as it is.
    #[inline(always)]
    fn arrange(self, quants: &mut [[i8; BLOCK_LEN]], width: usize) {
        for rows in quants.chunks_exact_mut(width.max(1)) {
            for pair in rows.as_chunks_mut::<2>().0 {
                let [a, b] = *pair;
                let out = pair.as_flattened_mut().as_chunks_mut::<16>().0;
                for ((out, a), b) in out.iter_mut().zip(a.as_chunks::<8>().0).zip(b.as_chunks::<8>().0) {
                    out[..8].copy_from_slice(a);
                    out[8..].copy_from_slice(b);
                }
            }
        }
    }
}
