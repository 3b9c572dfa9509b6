//! Formats with codes on NEON with dot products.
//!
//! Codes become bytes once for up to twelve activation rows, as what they stand for, so that nothing has to be taken off
//! their sums. A single row takes them as they are stored, which costs less than to change each.

use std::arch::aarch64::*;

use super::super::isa::DotProd;
use super::TILE;
use super::code_formats::{CodeFormat, GroupScales};
use super::code_rows::CodeRows;
use super::codes::{CodeLanes, RUNS};
use super::dotprod::{PANEL, add_dots, add_minima, sdot};
use super::dotprod_piece::{ZEROS, add_piece};
use super::exp::MAGIC;
use super::neon::{F, NeonProof, load_f16x4};
use super::neon_operands::{
    HIGH_START, Minima, Quarter, SUM_BITS, Sums, WideScales, excess_bits, runs, stored_excess, stored_runs,
    sums, widen,
};
use super::neon_quants::{PLAIN_START, start};
use super::packed::{QuantizedRows, TileLayout};
use crate::core::BLOCK_LEN;
use crate::quant::anatomy::GROUPS;

/// What is taken off the sums of four rows with each activation row; sums of high parts start at `from`.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
unsafe fn less<F: CodeFormat, const X: usize>(
    from: &'static [i32; 4],
    minima: &Minima,
    q: Quarter,
    sums: &[Sums; X],
) -> [int32x4_t; X] {
    // SAFETY: the caller promises the dot products.
    unsafe {
        let (a, b) = (minima.run(q, 0), minima.run(q, 1));
        let mut out = [vdupq_n_s32(0); X];
        for i in 0..X {
            out[i] = start(from);
        }
        if F::GROUP == 32 {
            for i in 0..X {
                out[i] = sdot::<2>(out[i], a, sums[i][0]);
            }
            for i in 0..X {
                out[i] = vshlq_n_s32::<SUM_BITS>(sdot::<3>(out[i], b, sums[i][0]));
            }
            for i in 0..X {
                out[i] = sdot::<0>(out[i], a, sums[i][0]);
            }
            for i in 0..X {
                out[i] = sdot::<1>(out[i], b, sums[i][0]);
            }
            return out;
        }
        let (c, d) = (minima.run(q, 2), minima.run(q, 3));
        for part in [1, 0] {
            for i in 0..X {
                out[i] = sdot::<0>(out[i], a, sums[i][part]);
            }
            for i in 0..X {
                out[i] = sdot::<1>(out[i], b, sums[i][part]);
            }
            for i in 0..X {
                out[i] = sdot::<2>(out[i], c, sums[i][part]);
            }
            for i in 0..X {
                out[i] = sdot::<3>(out[i], d, sums[i][part]);
                if part == 1 {
                    out[i] = vshlq_n_s32::<SUM_BITS>(out[i]);
                }
            }
        }
        out
    }
}

/// Adds the products of 32 columns of a quarter with activation rows `4 * S` to `4 * S + 3`, if there are so many.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
unsafe fn add_four<F: CodeFormat, const S: usize, const X: usize>(
    w: &[int8x16_t; RUNS],
    x: &[[i8; BLOCK_LEN]; X],
    scales: [int32x4_t; 2],
    sums: &mut [int32x4_t; X],
) {
    if let (Some(x), Some(sums)) = (x.as_chunks().0.get(S), sums.as_chunks_mut().0.get_mut(S)) {
        // SAFETY: the caller promises the dot products.
        unsafe { add_piece::<F>(w, x, scales, sums) };
    }
}

/// Rows by fours, up to [`super::GROUP`], from row `at` on against a tile of a format in blocks of 256.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
unsafe fn long_many<C: CodeFormat, N: NeonProof, const X: usize>(
    n: N,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the dot products; quarters are below 4.
    unsafe {
        let mut out = [F([vdupq_n_f32(0.0); 4]); X];
        let mut groups = GroupScales::new();
        let (mut wide, mut minima): (WideScales, _) = ([[0; TILE]; GROUPS], Minima::new());
        for b in 0..layout.blocks() {
            let Some((factors, body)) = layout.parts(tile, b) else { return out };
            let Some((scales, codes)) = body.split_at_checked(C::SCALES * TILE) else { return out };
            let (Some(d), Some(long)) = (factors.first_chunk(), x.long_block::<X>(b, at)) else { return out };
            C::groups(factors, scales, &mut groups);
            widen::<C>(&groups, &mut wide);
            let mut x_sums = [[vdupq_n_s8(0); 2]; X];
            if C::MINIMA {
                minima.fill::<C, N>(n, &groups);
                for i in 0..X {
                    x_sums[i] = sums::<C, N>(n, &long.pairs[i]);
                }
            }
            for q in 0..4 {
                let quarter = Quarter::new(n, q);
                let scale = |g: usize| vld1q_s32(wide[g].as_ptr().add(4 * q));
                let mut sums = [vdupq_n_s32(0); X];
                for j in 0..RUNS {
                    let Some(x) = x.quants::<X>(b * RUNS + j, at) else { return out };
                    let scales = match C::GROUP {
                        32 => [scale(j); 2],
                        _ => [scale(2 * j), scale(2 * j + 1)],
                    };
                    let w = runs::<C>(quarter, codes, j);
                    add_four::<C, 0, X>(&w, x, scales, &mut sums);
                    add_four::<C, 1, X>(&w, x, scales, &mut sums);
                    add_four::<C, 2, X>(&w, x, scales, &mut sums);
                }
                let d = load_f16x4(d, q);
                let m = factors.as_chunks().0.get(1).map_or(d, |m| load_f16x4(m, q));
                for (s, x_sums) in x_sums.as_chunks::<4>().0.iter().enumerate() {
                    let less = match C::MINIMA {
                        true => less::<C, 4>(HIGH_START, &minima, quarter, x_sums),
                        false => [vdupq_n_s32(0); 4],
                    };
                    for (i, less) in (4 * s..).zip(less) {
                        let mut sum = out[i].0[q];
                        sum = vfmaq_f32(sum, vmulq_n_f32(d, long.scales[i]), vcvtq_f32_s32(sums[i]));
                        if C::MINIMA {
                            let less = vsubq_f32(vreinterpretq_f32_s32(less), vdupq_n_f32(MAGIC));
                            sum = vfmsq_f32(sum, vmulq_n_f32(m, long.scales[i]), less);
                        }
                        out[i].0[q] = sum;
                    }
                }
            }
        }
        out
    }
}

/// As [`long_many`], of a format in blocks of 32.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
unsafe fn short_many<C: CodeFormat, N: NeonProof, const X: usize>(
    n: N,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the dot products.
    unsafe {
        let none = F([vdupq_n_f32(0.0); 4]);
        let mut out = [none; X];
        for first in (0..layout.blocks()).step_by(PANEL) {
            let panel = first..(first + PANEL).min(layout.blocks());
            let mut factors = [(none, none); PANEL];
            for (factors, b) in factors.iter_mut().zip(panel.clone()) {
                let Some((stored, _)) = layout.parts(tile, b) else { return out };
                *factors = C::factors(n, stored);
            }
            for q in 0..4 {
                let mut sums = [vdupq_n_f32(0.0); X];
                for i in 0..X {
                    sums[i] = out[i].0[q];
                }
                for (b, (d, m)) in panel.clone().zip(&factors) {
                    let (Some((_, codes)), Some(x)) = (layout.parts(tile, b), x.block::<X>(b, at)) else {
                        return out;
                    };
                    let w = runs::<C>(Quarter::new(n, q), codes, 0);
                    for s in 0..X / 4 {
                        let (rows, scales) = (&x.quants.as_chunks().0[s], &x.scales.as_chunks().0[s]);
                        let sums = &mut sums.as_chunks_mut().0[s];
                        add_dots(PLAIN_START, d.0[q], &w, rows, scales, sums);
                        if C::MINIMA {
                            add_minima(m.0[q], scales, &x.offsets.as_chunks().0[s], sums);
                        }
                    }
                }
                for i in 0..X {
                    out[i].0[q] = sums[i];
                }
            }
        }
        out
    }
}

/// Adds the products of all rows' runs `2 * P` and `2 * P + 1` of block `j` of 32 columns with the activation rows' halves.
///
/// # Safety
/// The dot products must be there, and `P` below 4.
#[inline(always)]
unsafe fn add_runs<C: CodeFormat, N: NeonProof, const P: usize, const X: usize>(
    n: N,
    codes: &[u8],
    j: usize,
    x: &[[int8x16_t; 2]; X],
    acc: &mut [[int32x4_t; 4]; X],
) {
    // SAFETY: the caller promises the dot products.
    unsafe {
        for q in 0..4 {
            let [a, b] = stored_runs::<C>(Quarter::new(n, q), codes, j, P);
            for i in 0..X {
                let (acc, x) = (&mut acc[i][q], x[i][P / 2]);
                *acc = match P % 2 {
                    0 => sdot::<1>(sdot::<0>(*acc, a, x), b, x),
                    _ => sdot::<3>(sdot::<2>(*acc, a, x), b, x),
                };
            }
        }
    }
}

/// Both halves of activation rows' 32 columns.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn halves<const X: usize>(x: &[[i8; BLOCK_LEN]; X]) -> [[int8x16_t; 2]; X] {
    // SAFETY: the caller promises NEON; loads stay within a row's 32 bytes.
    unsafe {
        let mut out = [[vdupq_n_s8(0); 2]; X];
        for i in 0..X {
            out[i] = [vld1q_s8(x[i].as_ptr()), vld1q_s8(x[i].as_ptr().add(16))];
        }
        out
    }
}

/// Adds sums times a group's scale to a block's, and begins new ones.
///
/// # Safety
/// NEON must be there.
#[inline(always)]
unsafe fn add_scaled<N: NeonProof, const X: usize>(
    n: N,
    scale: &[i8; TILE],
    acc: &mut [[int32x4_t; 4]; X],
    total: &mut [[int32x4_t; 4]; X],
) {
    let scale = n.scale(scale);
    // SAFETY: the caller promises NEON.
    unsafe {
        for i in 0..X {
            for q in 0..4 {
                total[i][q] = vmlaq_s32(total[i][q], acc[i][q], vreinterpretq_s32_u8(scale[q]));
                acc[i][q] = start(ZEROS);
            }
        }
    }
}

/// Few rows against a tile of a format in blocks of 256, which is read from front to back.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
unsafe fn long_few<C: CodeFormat, N: NeonProof, const X: usize>(
    n: N,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the dot products.
    unsafe {
        let mut out = [F([vdupq_n_f32(0.0); 4]); X];
        let (mut groups, mut minima) = (GroupScales::new(), Minima::new());
        for b in 0..layout.blocks() {
            let Some((factors, body)) = layout.parts(tile, b) else { return out };
            let Some((scales, codes)) = body.split_at_checked(C::SCALES * TILE) else { return out };
            let (Some(d), Some(long)) = (factors.first_chunk(), x.long_block::<X>(b, at)) else { return out };
            C::groups(factors, scales, &mut groups);
            let mut total = [[vdupq_n_s32(0); 4]; X];
            for j in 0..RUNS {
                let Some(x) = x.quants::<X>(b * RUNS + j, at) else { return out };
                let x = halves(x);
                let mut acc = [[start(ZEROS); 4]; X];
                if C::SCALES == 0 {
                    acc = total;
                }
                add_runs::<C, N, 0, X>(n, codes, j, &x, &mut acc);
                add_runs::<C, N, 1, X>(n, codes, j, &x, &mut acc);
                if C::GROUP == 16 {
                    add_scaled(n, &groups.scale[2 * j], &mut acc, &mut total);
                }
                add_runs::<C, N, 2, X>(n, codes, j, &x, &mut acc);
                add_runs::<C, N, 3, X>(n, codes, j, &x, &mut acc);
                match (C::SCALES, C::GROUP) {
                    (0, _) => total = acc,
                    (_, 32) => add_scaled(n, &groups.scale[j], &mut acc, &mut total),
                    _ => add_scaled(n, &groups.scale[2 * j + 1], &mut acc, &mut total),
                }
            }
            let mut x_sums = [[vdupq_n_s8(0); 2]; X];
            let taken_off = C::MINIMA || excess_bits::<C>().is_some();
            if taken_off {
                minima.fill::<C, N>(n, &groups);
                for i in 0..X {
                    x_sums[i] = sums::<C, N>(n, &long.pairs[i]);
                }
            }
            for q in 0..4 {
                let less = match taken_off {
                    true => less::<C, X>(ZEROS, &minima, Quarter::new(n, q), &x_sums),
                    false => [vdupq_n_s32(0); X],
                };
                let d = load_f16x4(d, q);
                for i in 0..X {
                    let out = &mut out[i].0[q];
                    let total = match excess_bits::<C>() {
                        Some(n) => vsubq_s32(total[i][q], vshlq_s32(less[i], vdupq_n_s32(n as i32))),
                        None => total[i][q],
                    };
                    *out = vfmaq_f32(*out, vmulq_n_f32(d, long.scales[i]), vcvtq_f32_s32(total));
                    if let (true, Some(m)) = (C::MINIMA, factors.as_chunks().0.get(1)) {
                        let m = vmulq_n_f32(load_f16x4(m, q), long.scales[i]);
                        *out = vfmsq_f32(*out, m, vcvtq_f32_s32(less[i]));
                    }
                }
            }
        }
        out
    }
}

/// As [`long_few`], of a format in blocks of 32.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
unsafe fn short_few<C: CodeFormat, N: NeonProof, const X: usize>(
    n: N,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the dot products.
    unsafe {
        let mut out = [F([vdupq_n_f32(0.0); 4]); X];
        for b in 0..layout.blocks() {
            let (Some((factors, codes)), Some(x)) = (layout.parts(tile, b), x.block::<X>(b, at)) else {
                return out;
            };
            let quants = halves(x.quants);
            let mut acc = [[start(PLAIN_START); 4]; X];
            add_runs::<C, N, 0, X>(n, codes, 0, &quants, &mut acc);
            add_runs::<C, N, 1, X>(n, codes, 0, &quants, &mut acc);
            add_runs::<C, N, 2, X>(n, codes, 0, &quants, &mut acc);
            add_runs::<C, N, 3, X>(n, codes, 0, &quants, &mut acc);
            let (d, m) = C::factors(n, factors);
            for i in 0..X {
                let excess = vdupq_n_f32(stored_excess::<C>(x.offsets[i]));
                for q in 0..4 {
                    let sum = &mut out[i].0[q];
                    let dot = vsubq_f32(vreinterpretq_f32_s32(acc[i][q]), excess);
                    *sum = vfmaq_f32(*sum, vmulq_n_f32(d.0[q], x.scales[i]), dot);
                    if C::MINIMA {
                        // An offset is -8 times the sum, and a division by 8 is exact.
                        let x_sum = x.offsets[i] as f32 * -0.125;
                        *sum = vfmaq_n_f32(*sum, vmulq_n_f32(m.0[q], x.scales[i]), x_sum);
                    }
                }
            }
        }
        out
    }
}

/// Few rows against a tile.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
pub(super) unsafe fn few<C: CodeFormat, N: NeonProof, const X: usize>(
    n: N,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [F; X] {
    // SAFETY: the caller promises the dot products.
    unsafe {
        match C::LONG {
            true => long_few::<C, N, X>(n, layout, tile, x, at),
            false => short_few::<C, N, X>(n, layout, tile, x, at),
        }
    }
}

impl CodeRows for DotProd {
    #[inline(always)]
    fn code_rows<C: CodeFormat, const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [F; X] {
        // SAFETY: `self` proves the dot products.
        unsafe {
            match (X.is_multiple_of(4), C::LONG) {
                (false, _) => few::<C, Self, X>(self, layout, tile, x, at),
                (true, true) => long_many::<C, Self, X>(self, layout, tile, x, at),
                (true, false) => short_many::<C, Self, X>(self, layout, tile, x, at),
            }
        }
    }
}
