//! Linear layers over the formats whose elements are codes with scales of groups (`quant::anatomy`): Q2_K to Q6_K, IQ4_XS,
//! TQ1_0 and TQ2_0 in blocks of 256 columns, and Q5_0, Q5_1, IQ4_NL and MXFP4 in blocks of 32.
//!
//! Codes are small numbers that are not negative, so that one multiplication of bytes serves all formats; what they are too
//! large by, the same for all of a format, is taken off a block's sum at its end.

use super::code_formats::{CodeFormat, GroupScales};
use super::packed::{PackedTiles, QuantizedRows, TileLayout};
use super::quantized::run;
use super::simd::Simd;
use super::{GROUP, Outputs, TILE};
use crate::quant::tiles::VECTOR;

/// Activation rows of a group at most, whatever the instruction set.
const WIDEST: usize = 32;

/// Runs of a block of 32 columns.
pub(crate) const RUNS: usize = 8;

/// What an instruction set does with codes: sixteen lanes, one a weight row.
pub(crate) trait CodeLanes: Simd {
    /// 64 codes: a run of each row.
    type Q: Copy;
    /// Sixteen i32.
    type I: Copy;
    /// Sums of products before they meet a scale.
    type A: Copy;
    /// A scale of each row.
    type S: Copy;
    /// Two numbers of each row.
    type P: Copy;

    /// Whether [`Self::A`] has room for any block; else for sums of 16 bits.
    const WIDE_SUMS: bool;
    /// Whether codes may be up to 255; else up to 127, and negative.
    const UNSIGNED: bool;
    /// Activation rows at a time at most, of 4, 6, 8 and [`GROUP`].
    const CODE_ROWS: usize;

    fn load_codes(self, x: &[u8; VECTOR]) -> Self::Q;
    /// Shifts that may carry bits from one byte into the next.
    fn shr(self, q: Self::Q, n: u32) -> Self::Q;
    fn shl(self, q: Self::Q, n: u32) -> Self::Q;
    fn and(self, q: Self::Q, mask: u8) -> Self::Q;
    fn or(self, a: Self::Q, b: Self::Q) -> Self::Q;
    /// Bytes, without carry.
    fn add_bytes(self, a: Self::Q, b: Self::Q) -> Self::Q;
    /// 1 where a byte, not negative, is at least `least`, else 0.
    fn at_least(self, q: Self::Q, least: u8) -> Self::Q;
    /// The entry of each byte, all below 16.
    fn lookup(self, q: Self::Q, table: &[i8; 16]) -> Self::Q;

    fn zero_i(self) -> Self::I;
    fn splat_i32(self, x: i32) -> Self::I;
    fn none(self) -> Self::A;
    /// Adds the products of two runs with theirs of an activation row.
    fn add_runs(self, a: Self::A, w: [Self::Q; 2], x: [i32; 2]) -> Self::A;
    /// `sum` plus scale times `a`.
    fn add_scaled(self, sum: Self::I, a: Self::A, scale: Self::S) -> Self::I;
    /// Both at once, with codes from -127 to 127, where sums of 16 bits have no room for more than a run of them.
    fn add_signed(self, sum: Self::I, w: [Self::Q; 2], x: [i32; 2], scale: Self::S) -> Self::I;
    fn scale(self, x: &[i8; TILE]) -> Self::S;
    fn pairs(self, x: &[i8; 2 * TILE]) -> Self::P;
    /// `sum` plus the products of the pairs with the two i16 that `x` is.
    fn add_pairs(self, sum: Self::I, pairs: Self::P, x: i32) -> Self::I;
    /// `a - (b << n)`.
    fn sub_shifted(self, a: Self::I, b: Self::I, n: u32) -> Self::I;
    /// Rounded to nearest, ties to even.
    fn i_to_f32(self, v: Self::I) -> Self::F;
}

/// Whether an instruction set takes the format's codes as the signed numbers that they stand for.
const fn signed<F: CodeFormat, L: CodeLanes>() -> bool {
    F::MOST > 127 && !L::UNSIGNED
}

/// Pairs of runs whose products fit in sums of 16 bits: two of them a lane.
const fn pairs_of_runs<F: CodeFormat>() -> usize {
    match 32_767 / (4 * 127 * F::MOST as usize) {
        0 => 1,
        pairs => pairs,
    }
}

/// Adds to `sums` the scaled products of `PAIRS` pairs of runs from pair `first` on of block `j` of 32 columns.
#[inline(always)]
fn add_group<F: CodeFormat, L: CodeLanes, const X: usize>(
    l: L,
    codes: &[u8],
    (j, first, count): (usize, usize, usize),
    x: &[[i8; 32]; X],
    scale: L::S,
    sums: &mut [L::I; X],
) {
    let mut a = [l.none(); X];
    let mut waiting = 0;
    for p in first..first + count {
        let w = F::runs(l, signed::<F, L>(), codes, j, p);
        if signed::<F, L>() && !L::WIDE_SUMS {
            for i in 0..X {
                sums[i] = l.add_signed(sums[i], w, [run(&x[i], 2 * p), run(&x[i], 2 * p + 1)], scale);
            }
            continue;
        }
        for i in 0..X {
            a[i] = l.add_runs(a[i], w, [run(&x[i], 2 * p), run(&x[i], 2 * p + 1)]);
        }
        waiting += 1;
        if p + 1 == first + count || !L::WIDE_SUMS && waiting == pairs_of_runs::<F>() {
            for i in 0..X {
                sums[i] = l.add_scaled(sums[i], a[i], scale);
                a[i] = l.none();
            }
            waiting = 0;
        }
    }
}

/// `X` rows of the group, from row `at` on, against a tile of a format in blocks of 256.
#[inline(always)]
fn long_rows<F: CodeFormat, L: CodeLanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [L::F; X] {
    let mut acc = [l.splat(0.0); X];
    let mut groups = GroupScales::new();
    let zero = if signed::<F, L>() { None } else { F::ZERO };
    for b in 0..layout.blocks() {
        let Some((factors, body)) = layout.parts(tile, b) else { return acc };
        let Some((scales, codes)) = body.split_at_checked(F::SCALES * TILE) else { return acc };
        F::groups(factors, scales, &mut groups);
        let mut sums = [l.zero_i(); X];
        for j in 0..RUNS {
            let Some(x) = x.quants::<X>(b * RUNS + j, at) else { return acc };
            if F::GROUP == 32 {
                let scale = l.scale(&groups.scale[j]);
                add_group::<F, L, X>(l, codes, (j, 0, 4), x, scale, &mut sums);
            } else {
                let scale = [l.scale(&groups.scale[2 * j]), l.scale(&groups.scale[2 * j + 1])];
                add_group::<F, L, X>(l, codes, (j, 0, 2), x, scale[0], &mut sums);
                add_group::<F, L, X>(l, codes, (j, 2, 2), x, scale[1], &mut sums);
            }
        }
        let Some(x) = x.long_block::<X>(b, at) else { return acc };
        let mut less = [l.zero_i(); X];
        if F::MINIMA || zero.is_some() {
            for p in 0..RUNS {
                let pairs = l.pairs(&groups.pairs[p]);
                for i in 0..X {
                    less[i] = l.add_pairs(less[i], pairs, x.pairs[i][p]);
                }
            }
        }
        let Some((d, rest)) = factors.split_first_chunk() else { return acc };
        let d = l.load_f16(d);
        for i in 0..X {
            let total = match zero {
                Some(n) => l.sub_shifted(sums[i], less[i], n),
                None => sums[i],
            };
            acc[i] = l.fma(l.mul(d, l.splat(x.scales[i])), l.i_to_f32(total), acc[i]);
        }
        if let (true, Some(m)) = (F::MINIMA, rest.first_chunk()) {
            let m = l.load_f16(m);
            for i in 0..X {
                acc[i] = l.fnma(l.mul(m, l.splat(x.scales[i])), l.i_to_f32(less[i]), acc[i]);
            }
        }
    }
    acc
}

/// As [`long_rows`], of a format in blocks of 32.
#[inline(always)]
fn short_rows<F: CodeFormat, L: CodeLanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [L::F; X] {
    let mut acc = [l.splat(0.0); X];
    let ones = l.scale(&[1; TILE]);
    for b in 0..layout.blocks() {
        let (Some((factors, codes)), Some(x)) = (layout.parts(tile, b), x.block::<X>(b, at)) else {
            return acc;
        };
        let mut dots = [l.zero_i(); X];
        if let (Some(n), false) = (F::ZERO, signed::<F, L>()) {
            for i in 0..X {
                // An offset is -8 times the sum.
                dots[i] = l.splat_i32(x.offsets[i] << (n - 3));
            }
        }
        add_group::<F, L, X>(l, codes, (0, 0, 4), x.quants, ones, &mut dots);
        let (d, m) = F::factors(l, factors);
        for i in 0..X {
            let dx = l.splat(x.scales[i]);
            acc[i] = l.fma(l.mul(d, dx), l.i_to_f32(dots[i]), acc[i]);
            if F::MINIMA {
                // A division by 8 is exact.
                let sum = l.splat(x.offsets[i] as f32 * -0.125);
                acc[i] = l.fma(l.mul(m, dx), sum, acc[i]);
            }
        }
    }
    acc
}

/// Tiles of a format with codes against a group of activation rows: `out[i][lane]`, tile by tile.
#[inline(always)]
pub(crate) fn tiles<F: CodeFormat, L: CodeLanes>(
    l: L,
    tiles: &PackedTiles<'_>,
    x: &QuantizedRows<'_>,
    put: &mut dyn FnMut(usize, &Outputs),
) {
    let mut out = [[0.0; TILE]; WIDEST];
    for (t, tile) in tiles.each() {
        let mut at = 0;
        while at < x.width.min(WIDEST) {
            let mut keep = |results: &[L::F]| {
                for (&r, out) in results.iter().zip(&mut out[at..]) {
                    l.store(r, out);
                }
                results.len()
            };
            at += match x.width - at {
                GROUP.. if L::CODE_ROWS >= GROUP => keep(&rows::<F, L, GROUP>(l, tiles.layout, tile, x, at)),
                8.. if L::CODE_ROWS >= 8 => keep(&rows::<F, L, 8>(l, tiles.layout, tile, x, at)),
                6.. if L::CODE_ROWS >= 6 => keep(&rows::<F, L, 6>(l, tiles.layout, tile, x, at)),
                4.. => keep(&rows::<F, L, 4>(l, tiles.layout, tile, x, at)),
                2.. => keep(&rows::<F, L, 2>(l, tiles.layout, tile, x, at)),
                _ => keep(&rows::<F, L, 1>(l, tiles.layout, tile, x, at)),
            };
        }
        put(t, &out);
    }
}

#[inline(always)]
fn rows<F: CodeFormat, L: CodeLanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [L::F; X] {
    if F::LONG {
        long_rows::<F, L, X>(l, layout, tile, x, at)
    } else {
        short_rows::<F, L, X>(l, layout, tile, x, at)
    }
}
