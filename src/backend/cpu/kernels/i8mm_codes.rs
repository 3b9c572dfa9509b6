//! Formats with codes on NEON with matrix products: squares as in [`super::i8mm`], codes as in [`super::dotprod_codes`].

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::isa::I8mm;
use super::TILE;
use super::code_formats::{CodeFormat, GroupScales};
use super::code_rows::CodeRows;
use super::codes::RUNS;
use super::dotprod::PANEL;
use super::dotprod_codes::few;
use super::dotprod_piece::ZEROS;
use super::exp::MAGIC;
use super::i8mm::{add_minima, add_squares, pair, rows_of, smmla, twice};
use super::neon::{F, load_f16x4};
use super::neon_operands::{HIGH_START, Minima, Quarter, SUM_BITS, WideScales, runs, sums, widen};
use super::neon_quants::{PLAIN_START, start};
use super::packed::{LongBlock, QuantizedBlock, QuantizedRows, TileLayout};
use crate::core::BLOCK_LEN;
use crate::quant::anatomy::GROUPS;

/// Weights of 32 columns: for each eight rows 0 and 1 of a quarter, and rows 2 and 3.
type Columns = [[int8x16_t; 2]; 4];

/// Two runs of four rows as eight columns of rows 0 and 1, and of rows 2 and 3.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn zip(a: int8x16_t, b: int8x16_t) -> [int8x16_t; 2] {
    // SAFETY: the caller promises NEON.
    unsafe {
        let (a, b) = (vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b));
        [vreinterpretq_s8_s32(vzip1q_s32(a, b)), vreinterpretq_s8_s32(vzip2q_s32(a, b))]
    }
}

/// Block `j` of 32 columns, as what its codes stand for.
#[inline(always)]
fn columns<C: CodeFormat>(q: Quarter, codes: &[u8], j: usize) -> Columns {
    let w = runs::<C>(q, codes, j);
    // SAFETY: a quarter proves NEON.
    unsafe { [zip(w[0], w[1]), zip(w[2], w[3]), zip(w[4], w[5]), zip(w[6], w[7])] }
}

/// Both halves of two vectors, the first halves first.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn halves(a: int8x16_t, b: int8x16_t) -> [int8x16_t; 2] {
    // SAFETY: the caller promises NEON.
    unsafe {
        let (a, b) = (vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b));
        [vreinterpretq_s8_s64(vzip1q_s64(a, b)), vreinterpretq_s8_s64(vzip2q_s64(a, b))]
    }
}

/// `smmla` of both pairs of weight rows `c`, eight columns, with two pairs of activation rows into registers of that letter.
macro_rules! squares {
    ($to:literal, $c:literal, $x:literal) => {
        concat!(
            "smmla {",
            $to,
            "0:v}.4s, {x",
            $x,
            ":v}.16b, {v",
            $c,
            ":v}.16b\n",
            "smmla {",
            $to,
            "1:v}.4s, {x",
            $x,
            ":v}.16b, {w",
            $c,
            ":v}.16b\n",
            "smmla {",
            $to,
            "2:v}.4s, {y",
            $x,
            ":v}.16b, {v",
            $c,
            ":v}.16b\n",
            "smmla {",
            $to,
            "3:v}.4s, {y",
            $x,
            ":v}.16b, {w",
            $c,
            ":v}.16b\n"
        )
    };
    // The eight columns of the activation after the next ones come in after it.
    ($to:literal, $c:literal, $x:literal, then $first:literal, $second:literal) => {
        concat!(
            squares!($to, $c, $x),
            "ldr {x",
            $x,
            ":q}, [{x}, #",
            $first,
            "]\n",
            "ldr {y",
            $x,
            ":q}, [{x}, #",
            $second,
            "]\n"
        )
    };
}

/// The products of 32 or 16 columns, as these lines have it, in one piece for the reasons of the dot products' one.
macro_rules! piece {
    ([$($line:expr),*], $x:expr, $sums:ident, $($more:tt)*) => {{
        let [s0, s1, s2, s3] = $sums;
        asm!(
            "ldr {x0:q}, [{x}]\n ldr {y0:q}, [{x}, #64]\n ldr {x1:q}, [{x}, #16]\n ldr {y1:q}, [{x}, #80]",
            $($line,)*
            s0 = inout(vreg) *s0,
            s1 = inout(vreg) *s1,
            s2 = inout(vreg) *s2,
            s3 = inout(vreg) *s3,
            x0 = out(vreg) _,
            x1 = out(vreg) _,
            y0 = out(vreg) _,
            y1 = out(vreg) _,
            x = in(reg) $x,
            $($more)*
            options(pure, readonly, nostack, preserves_flags)
        );
    }};
}

/// Sums of squares times a scale of weight rows 0 and 1, and one of rows 2 and 3.
macro_rules! scaled {
    () => {
        "mla {s0:v}.4s, {a0:v}.4s, {c0:v}.4s\n mla {s1:v}.4s, {a1:v}.4s, {c1:v}.4s\n \
         mla {s2:v}.4s, {a2:v}.4s, {c0:v}.4s\n mla {s3:v}.4s, {a3:v}.4s, {c1:v}.4s"
    };
}

/// Starts of four sums.
macro_rules! begin {
    () => {
        "ldr {a0:q}, [{zeros}]\n ldr {a1:q}, [{zeros}]\n ldr {a2:q}, [{zeros}]\n ldr {a3:q}, [{zeros}]"
    };
}

/// A scale of four rows for squares.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn twice_i32(v: int32x4_t) -> [int32x4_t; 2] {
    // SAFETY: the caller promises NEON.
    unsafe {
        let v = vreinterpretq_s64_s32(v);
        [vreinterpretq_s32_s64(vdupq_laneq_s64::<0>(v)), vreinterpretq_s32_s64(vdupq_laneq_s64::<1>(v))]
    }
}

/// Adds to the squares of two pairs of activation rows with a quarter the products of 32 columns, each group times its
/// scale: first pair with weight rows 0 and 1, with rows 2 and 3, then the second pair.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
unsafe fn add_four<C: CodeFormat>(
    w: &Columns,
    x: &[[i8; BLOCK_LEN]; 4],
    scales: &[[int32x4_t; 2]; 2],
    sums: &mut [int32x4_t; 4],
) {
    // SAFETY: the caller promises the instruction; 16 bytes of `ZEROS` and 128 of `x` are read.
    unsafe {
        if C::SCALES == 0 {
            piece!(
                [
                    squares!("s", "0", "0", then "32", "96"), squares!("s", "1", "1", then "48", "112"),
                    squares!("s", "2", "0"), squares!("s", "3", "1")
                ],
                x, sums,
                v0 = in(vreg) w[0][0], w0 = in(vreg) w[0][1], v1 = in(vreg) w[1][0], w1 = in(vreg) w[1][1],
                v2 = in(vreg) w[2][0], w2 = in(vreg) w[2][1], v3 = in(vreg) w[3][0], w3 = in(vreg) w[3][1],
            );
        } else if C::GROUP == 32 {
            piece!(
                [
                    begin!(),
                    squares!("a", "0", "0", then "32", "96"), squares!("a", "1", "1", then "48", "112"),
                    squares!("a", "2", "0"), squares!("a", "3", "1"),
                    scaled!()
                ],
                x, sums,
                v0 = in(vreg) w[0][0], w0 = in(vreg) w[0][1], v1 = in(vreg) w[1][0], w1 = in(vreg) w[1][1],
                v2 = in(vreg) w[2][0], w2 = in(vreg) w[2][1], v3 = in(vreg) w[3][0], w3 = in(vreg) w[3][1],
                a0 = out(vreg) _, a1 = out(vreg) _, a2 = out(vreg) _, a3 = out(vreg) _,
                c0 = in(vreg) scales[0][0], c1 = in(vreg) scales[0][1], zeros = in(reg) ZEROS,
            );
        } else {
            let [s0, s1, s2, s3] = sums;
            for h in 0..2 {
                let (x, sums) =
                    (x.as_flattened()[32 * h..].as_ptr(), [&mut *s0, &mut *s1, &mut *s2, &mut *s3]);
                piece!(
                    [begin!(), squares!("a", "0", "0"), squares!("a", "1", "1"), scaled!()],
                    x, sums,
                    v0 = in(vreg) w[2 * h][0], w0 = in(vreg) w[2 * h][1],
                    v1 = in(vreg) w[2 * h + 1][0], w1 = in(vreg) w[2 * h + 1][1],
                    a0 = out(vreg) _, a1 = out(vreg) _, a2 = out(vreg) _, a3 = out(vreg) _,
                    c0 = in(vreg) scales[h][0], c1 = in(vreg) scales[h][1], zeros = in(reg) ZEROS,
                );
            }
        }
    }
}

/// As [`add_four`], of the first two rows, an only pair.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
unsafe fn add_two<C: CodeFormat, const X: usize>(
    w: &Columns,
    x: &[[i8; BLOCK_LEN]; X],
    scales: &[[int32x4_t; 2]; 2],
    sums: &mut [int32x4_t; X],
) {
    let (Some(x), Some(sums)) =
        (x.as_flattened().as_chunks::<16>().0.first_chunk::<4>(), sums.first_chunk_mut::<2>())
    else {
        return;
    };
    // SAFETY: the caller promises the matrix products; loads stay within the arrays.
    unsafe {
        for h in 0..2 {
            for half in 0..2 {
                let mut acc = start(ZEROS);
                for c in 2 * half..2 * half + 2 {
                    acc = smmla(acc, vld1q_s8(x[c].as_ptr()), w[c][h]);
                }
                let scale = scales[if C::GROUP == 16 { half } else { 0 }][h];
                sums[h] =
                    if C::SCALES == 0 { vaddq_s32(sums[h], acc) } else { vmlaq_s32(sums[h], acc, scale) };
            }
        }
    }
}

/// Adds the products with activation rows `4 * S` to `4 * S + 3`, if there are so many.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
unsafe fn add_fours<C: CodeFormat, const S: usize, const X: usize>(
    w: &Columns,
    x: &[[i8; BLOCK_LEN]; X],
    scales: &[[int32x4_t; 2]; 2],
    sums: &mut [int32x4_t; X],
) {
    if let (Some(x), Some(sums)) = (x.as_chunks().0.get(S), sums.as_chunks_mut().0.get_mut(S)) {
        // SAFETY: the caller promises the matrix products.
        unsafe { add_four::<C>(w, x, scales, sums) };
    }
}

/// What pairs of activation rows have beside their quants.
struct Pair {
    scale: float32x4_t,
    /// Sums of groups, eight of both rows each: low parts, then high parts. Of groups of 32 there are but two.
    sums: [int8x16_t; 4],
}

/// Those of pair `p`.
#[inline(always)]
fn pair_of<C: CodeFormat, const X: usize>(n: I8mm, x: &LongBlock<'_, X>, p: usize) -> Pair {
    // SAFETY: `n` proves NEON.
    unsafe {
        let scale = pair(x.scales[2 * p], x.scales[2 * p + 1]);
        let zero = vdupq_n_s8(0);
        if !C::MINIMA {
            return Pair { scale, sums: [zero; 4] };
        }
        let (a, b) = (sums::<C, I8mm>(n, &x.pairs[2 * p]), sums::<C, I8mm>(n, &x.pairs[2 * p + 1]));
        let [low, high] = halves(a[0], b[0]);
        if C::GROUP == 32 {
            return Pair { scale, sums: [low, high, zero, zero] };
        }
        let [first, last] = halves(a[1], b[1]);
        Pair { scale, sums: [low, high, first, last] }
    }
}

/// What is taken off the squares of a quarter with a pair of activation rows, as f32 that are too large by [`MAGIC`].
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
unsafe fn less<C: CodeFormat>(m: &[[int8x16_t; 2]; 2], x: &[int8x16_t; 4]) -> [int32x4_t; 2] {
    // SAFETY: the caller promises the matrix products.
    unsafe {
        let mut out = [vdupq_n_s32(0); 2];
        for h in 0..2 {
            if C::GROUP == 32 {
                let high = vshlq_n_s32::<SUM_BITS>(smmla(start(HIGH_START), x[1], m[0][h]));
                out[h] = smmla(high, x[0], m[0][h]);
            } else {
                let high = smmla(smmla(start(HIGH_START), x[2], m[0][h]), x[3], m[1][h]);
                out[h] = smmla(smmla(vshlq_n_s32::<SUM_BITS>(high), x[0], m[0][h]), x[1], m[1][h]);
            }
        }
        out
    }
}

/// Two rows, or rows by fours up to [`super::GROUP`], from row `at` on against a tile of a format in blocks of 256.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
unsafe fn long_many<C: CodeFormat, const X: usize>(
    n: I8mm,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the matrix products; quarters are below 4.
    unsafe {
        let mut out = [[vdupq_n_f32(0.0); X]; 4];
        let mut groups = GroupScales::new();
        let (mut wide, mut minima): (WideScales, _) = ([[0; TILE]; GROUPS], Minima::new());
        for b in 0..layout.blocks() {
            let Some((factors, body)) = layout.parts(tile, b) else { break };
            let Some((scales, codes)) = body.split_at_checked(C::SCALES * TILE) else { break };
            let (Some(d), Some(long)) = (factors.first_chunk(), x.long_block::<X>(b, at)) else { break };
            C::groups(factors, scales, &mut groups);
            widen::<C>(&groups, &mut wide);
            if C::MINIMA {
                minima.fill::<C, I8mm>(n, &groups);
            }
            // Of `X / 2` pairs.
            let pairs: [Pair; X] = std::array::from_fn(|p| pair_of::<C, X>(n, &long, p % (X / 2)));
            for q in 0..4 {
                let quarter = Quarter::new(n, q);
                let scale = |g: usize| twice_i32(vld1q_s32(wide[g].as_ptr().add(4 * q)));
                let mut sums = [vdupq_n_s32(0); X];
                for j in 0..RUNS {
                    let Some(x) = x.quants::<X>(b * RUNS + j, at) else { break };
                    let scales = match C::GROUP {
                        32 => [scale(j); 2],
                        _ => [scale(2 * j), scale(2 * j + 1)],
                    };
                    let w = columns::<C>(quarter, codes, j);
                    if X == 2 {
                        add_two::<C, X>(&w, x, &scales, &mut sums);
                    } else {
                        add_fours::<C, 0, X>(&w, x, &scales, &mut sums);
                        add_fours::<C, 1, X>(&w, x, &scales, &mut sums);
                        add_fours::<C, 2, X>(&w, x, &scales, &mut sums);
                    }
                }
                let d = twice(load_f16x4(d, q));
                let m = factors.as_chunks().0.get(1).map_or(d, |m| twice(load_f16x4(m, q)));
                let run = |r| minima.run(quarter, r);
                let w = [zip(run(0), run(1)), zip(run(2), run(3))];
                for p in 0..X / 2 {
                    let less = match C::MINIMA {
                        true => less::<C>(&w, &pairs[p].sums),
                        false => [vdupq_n_s32(0); 2],
                    };
                    for h in 0..2 {
                        let mut sum = out[q][2 * p + h];
                        sum = vfmaq_f32(sum, vmulq_f32(d[h], pairs[p].scale), vcvtq_f32_s32(sums[2 * p + h]));
                        if C::MINIMA {
                            let less = vsubq_f32(vreinterpretq_f32_s32(less[h]), vdupq_n_f32(MAGIC));
                            sum = vfmsq_f32(sum, vmulq_f32(m[h], pairs[p].scale), less);
                        }
                        out[q][2 * p + h] = sum;
                    }
                }
            }
        }
        rows_of(&out)
    }
}

/// Adds a block of 32 columns to the squares of the only two activation rows.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
unsafe fn add_short_two<C: CodeFormat, const X: usize>(
    w: &Columns,
    (d, m): (&[float32x4_t; 2], &[float32x4_t; 2]),
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
        let dx = pair(dx0, dx1);
        let x_sums = pair(o0 as f32 * -0.125, o1 as f32 * -0.125);
        for h in 0..2 {
            let mut acc = start(PLAIN_START);
            for c in 0..4 {
                acc = smmla(acc, vld1q_s8(rows[c].as_ptr()), w[c][h]);
            }
            let dot = vsubq_f32(vreinterpretq_f32_s32(acc), vdupq_n_f32(MAGIC));
            sums[h] = vfmaq_f32(sums[h], vmulq_f32(d[h], dx), dot);
            if C::MINIMA {
                sums[h] = vfmaq_f32(sums[h], vmulq_f32(m[h], dx), x_sums);
            }
        }
    }
}

/// As [`long_many`], of a format in blocks of 32.
///
/// # Safety
/// The matrix products must be there.
#[inline(always)]
unsafe fn short_many<C: CodeFormat, const X: usize>(
    n: I8mm,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the matrix products.
    unsafe {
        let none = F([vdupq_n_f32(0.0); 4]);
        let mut out = [[vdupq_n_f32(0.0); X]; 4];
        for first in (0..layout.blocks()).step_by(PANEL) {
            let panel = first..(first + PANEL).min(layout.blocks());
            let mut factors = [(none, none); PANEL];
            for (factors, b) in factors.iter_mut().zip(panel.clone()) {
                let Some((stored, _)) = layout.parts(tile, b) else { return [none; X] };
                *factors = C::factors(n, stored);
            }
            for q in 0..4 {
                let mut sums = out[q];
                for (b, (d, m)) in panel.clone().zip(&factors) {
                    let (Some((_, codes)), Some(x)) = (layout.parts(tile, b), x.block::<X>(b, at)) else {
                        return [none; X];
                    };
                    let w = columns::<C>(Quarter::new(n, q), codes, 0);
                    let (d, m) = (twice(d.0[q]), twice(m.0[q]));
                    if X == 2 {
                        add_short_two::<C, X>(&w, (&d, &m), &x, &mut sums);
                    }
                    for s in 0..X / 4 {
                        let (rows, scales) = (&x.quants.as_chunks().0[s], &x.scales.as_chunks().0[s]);
                        let sums = &mut sums.as_chunks_mut().0[s];
                        add_squares(PLAIN_START, &d, &w, rows, scales, sums);
                        if C::MINIMA {
                            add_minima(&m, scales, &x.offsets.as_chunks().0[s], sums);
                        }
                    }
                }
                out[q] = sums;
            }
        }
        rows_of(&out)
    }
}

impl CodeRows for I8mm {
    #[inline(always)]
    fn code_rows<C: CodeFormat, const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [F; X] {
        // SAFETY: `self` proves the matrix products, and the dot products as well.
        unsafe {
            match (X.is_multiple_of(2), C::LONG) {
                // A single row has no partner.
                (false, _) => few::<C, Self, X>(self, layout, tile, x, at),
                (true, true) => long_many::<C, X>(self, layout, tile, x, at),
                (true, false) => short_many::<C, X>(self, layout, tile, x, at),
            }
        }
    }
}
