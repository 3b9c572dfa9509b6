//! Linear layers over the formats whose elements are codes with scales of groups (`quant::anatomy`): Q2_K to Q6_K, IQ4_XS,
//! TQ1_0 and TQ2_0 in blocks of 256 columns, and Q5_0, Q5_1, IQ4_NL and MXFP4 in blocks of 32.
//!
//! Codes are small numbers that are not negative, so that one multiplication of bytes serves all formats; what they are too
//! large by, the same for all of a format, is taken off a block's sum at its end.
//!
//! One activation row meets the codes as they come out of the tile ([`single`]). For several rows a piece of the tile is
//! unpacked first ([`unpack`]); then a kernel that is the same for several formats multiplies it ([`multiply_long`],
//! [`multiply_short`]).

use std::marker::PhantomData;

pub(crate) use super::code_bytes::CodeBytes;
use super::code_formats::{CodeFormat, GroupScales};
use super::packed::{PackedTiles, QuantizedRows, TileLayout};
use super::prefetch::{AHEAD, prefetch_after};
use super::quantized::run;
use super::simd::Simd;
use super::{GROUP as GROUP_ROWS, Outputs, TILE};
use crate::core::K_BLOCK_LEN;
use crate::quant::anatomy::GROUPS;
use crate::quant::tiles::VECTOR;

/// Runs of a block of 32 columns.
pub(crate) const RUNS: usize = 8;

/// Activation rows of a group at most. The more they are, the less often a tile is unpacked.
pub(crate) const WIDEST: usize = 48;

/// Runs a piece of code for the rows of a group, as many at a time (`X`) as the instruction set takes, with their sums.
macro_rules! each_rows {
    ($l:ident, $x:ident, $out:ident, |$at:ident, $acc:ident| $code:block) => {{
        let mut $at = 0;
        while $at < $x.width.min($out.len()) {
            $at += match $x.width - $at {
                GROUP_ROWS.. if const { L::CODE_ROWS >= GROUP_ROWS } => {
                    each_rows!(@ GROUP_ROWS, $l, $out, $at, $acc, $code)
                }
                4.. if const { L::CODE_ROWS >= 4 } => each_rows!(@ 4, $l, $out, $at, $acc, $code),
                3.. if const { L::CODE_ROWS >= 3 } => each_rows!(@ 3, $l, $out, $at, $acc, $code),
                2.. if const { L::CODE_ROWS >= 2 } => each_rows!(@ 2, $l, $out, $at, $acc, $code),
                _ => each_rows!(@ 1, $l, $out, $at, $acc, $code),
            };
        }
    }};
    (@ $rows:expr, $l:ident, $out:ident, $at:ident, $acc:ident, $code:block) => {{
        const X: usize = $rows;
        let mut $acc = [$l.splat(0.0); X];
        for i in 0..X {
            $acc[i] = $l.load(&$out[$at + i]);
        }
        $code
        for i in 0..X {
            $l.store($acc[i], &mut $out[$at + i]);
        }
        X
    }};
}

/// What an instruction set does with codes: sixteen lanes, one a weight row.
pub(crate) trait CodeLanes: Simd + CodeBytes {
    /// Sixteen i32.
    type I: Copy;
    /// Sums of products before they meet a scale.
    type A: Copy;

    /// Whether [`Self::A`] has room for any block; else for sums of 16 bits.
    const WIDE_SUMS: bool;
    /// Whether codes may be up to 255; else up to 127, and negative.
    const UNSIGNED: bool;
    /// Activation rows at a time at most: 1, 3, 4 or [`super::GROUP`].
    const CODE_ROWS: usize;

    fn store_codes(self, q: Self::Q, to: &mut [u8; VECTOR]);
    fn zero_i(self) -> Self::I;
    fn splat_i32(self, x: i32) -> Self::I;
    fn none(self) -> Self::A;
    /// The products of a run with that of an activation row.
    fn products(self, w: Self::Q, x: i32) -> Self::A;
    /// Adds these.
    fn add_products(self, a: Self::A, w: Self::Q, x: i32) -> Self::A;
    /// `sum` plus scale times `a`.
    fn add_scaled(self, sum: Self::I, a: Self::A, scale: Self::Q) -> Self::I;
    /// `sum` plus scale times the products of a run of codes from -127 to 127: these sums have no room for more.
    fn add_signed(self, sum: Self::I, w: Self::Q, x: i32, scale: Self::Q) -> Self::I {
        self.add_scaled(sum, self.products(w, x), scale)
    }
    /// A scale of each row, as [`Self::add_scaled`] takes it.
    fn scale(self, x: &[i8; TILE]) -> Self::Q;
    /// Two numbers of each row, as i16.
    fn pairs(self, x: &[i8; 2 * TILE]) -> Self::Q;
    /// `sum` plus the products of the pairs with the two i16 that `x` is.
    fn add_pairs(self, sum: Self::I, pairs: Self::Q, x: i32) -> Self::I;
    /// `a - (b << n)`.
    fn sub_shifted(self, a: Self::I, b: Self::I, n: u32) -> Self::I;
    /// Rounded to nearest, ties to even.
    fn i_to_f32(self, v: Self::I) -> Self::F;
}

/// Runs whose products fit in sums of 16 bits, two of them a lane: of codes up to `most`. None is the class of signed codes.
const fn runs_in_sum(most: u8) -> usize {
    match 32_767 / (2 * 127 * most as usize) {
        0 | 1 => 0,
        2 | 3 => 2,
        4..8 => 4,
        _ => 8,
    }
}

/// The class of a format: formats of a class have the same kernels for several rows. Columns of a group, and
/// [`runs_in_sum`].
pub(crate) const fn class<F: CodeFormat>() -> (usize, usize) {
    (F::GROUP, runs_in_sum(F::MOST))
}

/// Whether an instruction set takes codes of a class of `runs` as the signed numbers that they stand for.
const fn signed<L: CodeLanes>(runs: usize) -> bool {
    runs == 0 && !L::UNSIGNED
}

/// Where the codes and scales of 256 columns come from. (A closure would be a function of its own, compiled without the
/// instruction set.)
trait Source<L: CodeLanes> {
    /// Run `g` of block `j` of 32 columns.
    fn run(&self, l: L, j: usize, g: usize) -> L::Q;
    /// The scales of group `g`.
    fn scale(&self, l: L, g: usize) -> L::Q;
    /// Pair `p` of what a sum of quants is multiplied by ([`GroupScales::pairs`]).
    fn pairs(&self, l: L, p: usize) -> L::Q;
    /// Has an eighth of what is read next, part `j`, come from memory.
    #[inline(always)]
    fn fetch(&self, _j: usize) {}
}

/// Codes as they are in a tile.
struct Packed<'a, F> {
    codes: &'a [u8],
    groups: &'a GroupScales,
    signed: bool,
    format: PhantomData<F>,
}

impl<F: CodeFormat, L: CodeLanes> Source<L> for Packed<'_, F> {
    #[inline(always)]
    fn run(&self, l: L, j: usize, g: usize) -> L::Q {
        F::runs(l, self.signed, self.codes, j, g / 2)[g % 2]
    }
    #[inline(always)]
    fn scale(&self, l: L, g: usize) -> L::Q {
        l.scale(&self.groups.scale[g])
    }
    #[inline(always)]
    fn pairs(&self, l: L, p: usize) -> L::Q {
        l.pairs(&self.groups.pairs[p])
    }
    #[inline(always)]
    fn fetch(&self, j: usize) {
        // Lower and upper bits are read in turns, and a processor takes a while to see that of each block.
        if F::LONG {
            let part = self.codes.len() / RUNS;
            let codes = self.codes.get(j * part..(j + 1) * part).unwrap_or_default();
            prefetch_after(codes, self.codes.len());
        } else {
            prefetch_after(self.codes, AHEAD);
        }
    }
}

impl<L: CodeLanes> Source<L> for Unpacked {
    #[inline(always)]
    fn run(&self, l: L, j: usize, g: usize) -> L::Q {
        l.load_codes(&self.codes[j * RUNS + g])
    }
    #[inline(always)]
    fn scale(&self, l: L, g: usize) -> L::Q {
        l.load_codes(&self.scales[g])
    }
    #[inline(always)]
    fn pairs(&self, l: L, p: usize) -> L::Q {
        l.load_codes(&self.pairs[p])
    }
}

/// Adds to `sums` the scaled products of a group of columns: of `count` runs from run `first` on of block `j`.
#[inline(always)]
fn add_group<L: CodeLanes, const IN_SUM: usize, const X: usize>(
    l: L,
    source: &impl Source<L>,
    (j, first, count): (usize, usize, usize),
    x: &[[i8; 32]; X],
    scale: L::Q,
    sums: &mut [L::I; X],
) {
    // Runs by pairs, in loops without conditions: they are quick whether a compiler unrolls them or not.
    if signed::<L>(IN_SUM) {
        for p in first / 2..(first + count) / 2 {
            for half in 0..2 {
                let w = source.run(l, j, 2 * p + half);
                for i in 0..X {
                    sums[i] = l.add_signed(sums[i], w, run(&x[i], 2 * p + half), scale);
                }
            }
        }
        return;
    }
    let in_sum = if L::WIDE_SUMS || IN_SUM > count { count } else { IN_SUM };
    let mut a = [l.none(); X];
    for from in (first..first + count).step_by(in_sum.max(2)) {
        let w = source.run(l, j, from);
        for i in 0..X {
            a[i] = l.products(w, run(&x[i], from));
        }
        add_run(l, source.run(l, j, from + 1), x, from + 1, &mut a);
        for p in 1..in_sum / 2 {
            add_run(l, source.run(l, j, from + 2 * p), x, from + 2 * p, &mut a);
            add_run(l, source.run(l, j, from + 2 * p + 1), x, from + 2 * p + 1, &mut a);
        }
        for i in 0..X {
            sums[i] = l.add_scaled(sums[i], a[i], scale);
        }
    }
}

/// Adds the products of run `g` with that of each activation row.
#[inline(always)]
fn add_run<L: CodeLanes, const X: usize>(l: L, w: L::Q, x: &[[i8; 32]; X], g: usize, a: &mut [L::A; X]) {
    for i in 0..X {
        a[i] = l.add_products(a[i], w, run(&x[i], g));
    }
}

/// What is added to a row's sum at the end of a block of 256 columns.
#[derive(Clone, Copy)]
struct BlockEnd<F> {
    /// Factors of the block and of its minima.
    d: F,
    m: F,
    /// Codes are too large by two to this.
    zero: Option<u32>,
    minima: bool,
}

impl<F: Copy> BlockEnd<F> {
    /// Adds block `b` with the integers `sums` to `acc`. `None` if the activations are short, which does not happen.
    #[inline(always)]
    fn add<L: CodeLanes<F = F>, const GROUP: usize, const X: usize>(
        self,
        l: L,
        source: &impl Source<L>,
        (x, b, at): (&QuantizedRows<'_>, usize, usize),
        sums: &[L::I; X],
        acc: &mut [F; X],
    ) -> Option<()> {
        let x = x.long_block::<X>(b, at)?;
        let mut less = [l.zero_i(); X];
        if self.minima || self.zero.is_some() {
            for p in 0..K_BLOCK_LEN / GROUP / 2 {
                let pairs = source.pairs(l, p);
                for i in 0..X {
                    let sums = if GROUP == 16 { x.pairs[i].of_16[p] } else { x.pairs[i].of_32[p] };
                    less[i] = l.add_pairs(less[i], pairs, sums);
                }
            }
        }
        for i in 0..X {
            let total = match self.zero {
                Some(n) => l.sub_shifted(sums[i], less[i], n),
                None => sums[i],
            };
            let dx = l.splat(x.scales[i]);
            acc[i] = l.fma(l.mul(self.d, dx), l.i_to_f32(total), acc[i]);
            if self.minima {
                acc[i] = l.fnma(l.mul(self.m, dx), l.i_to_f32(less[i]), acc[i]);
            }
        }
        Some(())
    }
}

/// Adds the integers of a block of 256 columns.
#[inline(always)]
fn add_long<L: CodeLanes, const GROUP: usize, const IN_SUM: usize, const X: usize>(
    l: L,
    source: &impl Source<L>,
    (x, b, at): (&QuantizedRows<'_>, usize, usize),
    sums: &mut [L::I; X],
) -> Option<()> {
    for j in 0..RUNS {
        source.fetch(j);
        let x = x.quants::<X>(b * RUNS + j, at)?;
        if GROUP == 32 {
            add_group::<L, IN_SUM, X>(l, source, (j, 0, 8), x, source.scale(l, j), sums);
        } else {
            add_group::<L, IN_SUM, X>(l, source, (j, 0, 4), x, source.scale(l, 2 * j), sums);
            add_group::<L, IN_SUM, X>(l, source, (j, 4, 4), x, source.scale(l, 2 * j + 1), sums);
        }
    }
    Some(())
}

/// Adds to `acc` the products of a block of 32 columns, block `b` of the row and `j` of the source.
#[inline(always)]
fn add_short<L: CodeLanes, const IN_SUM: usize, const X: usize>(
    l: L,
    end: BlockEnd<L::F>,
    (source, j): (&impl Source<L>, usize),
    (x, b, at): (&QuantizedRows<'_>, usize, usize),
    acc: &mut [L::F; X],
) -> Option<()> {
    let x = x.block::<X>(b, at)?;
    let mut dots = [l.zero_i(); X];
    if let Some(n) = end.zero {
        for i in 0..X {
            // An offset is -8 times the sum.
            dots[i] = l.splat_i32(x.offsets[i] << (n - 3));
        }
    }
    source.fetch(j);
    add_group::<L, IN_SUM, X>(l, source, (j, 0, 8), x.quants, l.scale(&[1; TILE]), &mut dots);
    for i in 0..X {
        let dx = l.splat(x.scales[i]);
        acc[i] = l.fma(l.mul(end.d, dx), l.i_to_f32(dots[i]), acc[i]);
        if end.minima {
            // A division by 8 is exact.
            let sum = l.splat(x.offsets[i] as f32 * -0.125);
            acc[i] = l.fma(l.mul(end.m, dx), sum, acc[i]);
        }
    }
    Some(())
}

/// What codes of a format are too large by on this instruction set, as a power of two.
const fn zero<F: CodeFormat, L: CodeLanes>() -> Option<u32> {
    if signed::<L>(class::<F>().1) { None } else { F::ZERO }
}

/// One activation row against tiles: `out[0][lane]`, tile by tile. `GROUP` and `IN_SUM` are the format's [`class`].
#[inline(always)]
pub(crate) fn single<F: CodeFormat, L: CodeLanes, const GROUP: usize, const IN_SUM: usize>(
    l: L,
    tiles: &PackedTiles<'_>,
    x: &QuantizedRows<'_>,
    put: &mut dyn FnMut(usize, &Outputs),
) {
    let mut groups = GroupScales::new();
    for (t, tile) in tiles.each() {
        let mut acc = [l.splat(0.0)];
        for b in 0..tiles.layout.blocks() {
            let Some((factors, body)) = tiles.layout.parts(tile, b) else { return };
            let Some((scales, codes)) = body.split_at_checked(F::SCALES * TILE) else { return };
            let (d, m) = F::factors(l, factors);
            let end = BlockEnd { d, m, zero: zero::<F, L>(), minima: F::MINIMA };
            F::groups(factors, scales, &mut groups);
            let source =
                Packed { codes, groups: &groups, signed: signed::<L>(IN_SUM), format: PhantomData::<F> };
            if F::LONG {
                let mut sums = [l.zero_i()];
                add_long::<L, GROUP, IN_SUM, 1>(l, &source, (x, b, 0), &mut sums);
                end.add::<L, GROUP, 1>(l, &source, (x, b, 0), &sums, &mut acc);
            } else {
                add_short::<L, IN_SUM, 1>(l, end, (&source, 0), (x, b, 0), &mut acc);
            }
        }
        let mut out = [[0.0; TILE]];
        l.store(acc[0], &mut out[0]);
        put(t, &out);
    }
}

/// Vectors of codes of 256 columns.
const VECTORS: usize = RUNS * RUNS;

/// 256 columns of a tile: a block, or up to eight short ones.
#[repr(align(64))]
pub(crate) struct Unpacked {
    codes: [[u8; VECTOR]; VECTORS],
    /// [`GroupScales`] as the instruction set takes them.
    scales: [[u8; VECTOR]; GROUPS],
    pairs: [[u8; VECTOR]; RUNS],
    /// The factors of the blocks and of their minima.
    d: [[f32; TILE]; RUNS],
    m: [[f32; TILE]; RUNS],
    /// How many blocks there are.
    blocks: usize,
    zero: Option<u32>,
    minima: bool,
}

/// Unpacks the blocks of a tile from block `b` on: one of 256 columns, or up to eight of 32.
#[inline(always)]
pub(crate) fn unpack<F: CodeFormat, L: CodeLanes>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    b: usize,
    out: &mut Unpacked,
) {
    let signed = signed::<L>(class::<F>().1);
    out.blocks = if F::LONG { 1 } else { RUNS.min(layout.blocks() - b) };
    (out.zero, out.minima) = (zero::<F, L>(), F::MINIMA);
    for i in 0..out.blocks {
        let Some((factors, body)) = layout.parts(tile, b + i) else { return };
        let Some((scales, codes)) = body.split_at_checked(F::SCALES * TILE) else { return };
        let (d, m) = F::factors(l, factors);
        l.store(d, &mut out.d[i]);
        l.store(m, &mut out.m[i]);
        if F::LONG {
            let mut groups = GroupScales::new();
            F::groups(factors, scales, &mut groups);
            for g in 0..K_BLOCK_LEN / F::GROUP {
                l.store_codes(l.scale(&groups.scale[g]), &mut out.scales[g]);
            }
            for p in 0..K_BLOCK_LEN / F::GROUP / 2 {
                l.store_codes(l.pairs(&groups.pairs[p]), &mut out.pairs[p]);
            }
        }
        for j in 0..if F::LONG { RUNS } else { 1 } {
            for p in 0..RUNS / 2 {
                let at = (i + j) * RUNS + 2 * p;
                let runs = F::runs(l, signed, codes, j, p);
                l.store_codes(runs[0], &mut out.codes[at]);
                l.store_codes(runs[1], &mut out.codes[at + 1]);
            }
        }
    }
}

/// Adds the products of an unpacked block of 256 columns, block `b`, with all rows of the group.
#[inline(always)]
pub(crate) fn multiply_long<L: CodeLanes, const GROUP: usize, const IN_SUM: usize>(
    l: L,
    w: &Unpacked,
    x: &QuantizedRows<'_>,
    b: usize,
    out: &mut Outputs,
) {
    let end = BlockEnd { d: l.load(&w.d[0]), m: l.load(&w.m[0]), zero: w.zero, minima: w.minima };
    each_rows!(l, x, out, |at, acc| {
        let mut sums = [l.zero_i(); X];
        add_long::<L, GROUP, IN_SUM, X>(l, w, (x, b, at), &mut sums);
        end.add::<L, GROUP, X>(l, w, (x, b, at), &sums, &mut acc);
    });
}

/// As [`multiply_long`], of blocks of 32 columns from block `b` on.
#[inline(always)]
pub(crate) fn multiply_short<L: CodeLanes, const IN_SUM: usize>(
    l: L,
    w: &Unpacked,
    x: &QuantizedRows<'_>,
    b: usize,
    out: &mut Outputs,
) {
    each_rows!(l, x, out, |at, acc| {
        for i in 0..w.blocks {
            let end = BlockEnd { d: l.load(&w.d[i]), m: l.load(&w.m[i]), zero: w.zero, minima: w.minima };
            add_short::<L, IN_SUM, X>(l, end, (w, i), (x, b + i, at), &mut acc);
        }
    });
}

/// Unpacks the blocks of a tile from a block on.
pub(crate) type Unpack = fn(&TileLayout, &[u8], usize, &mut Unpacked);
/// Adds the products of unpacked blocks, of which the first is this one, with a group of activation rows.
pub(crate) type Multiply = fn(&Unpacked, &QuantizedRows<'_>, usize, &mut Outputs);

/// Several activation rows against tiles: `out[i][lane]`, tile by tile.
pub(crate) fn several(
    (unpack, multiply): (Unpack, Multiply),
    tiles: &PackedTiles<'_>,
    x: &QuantizedRows<'_>,
    put: &mut dyn FnMut(usize, &Outputs),
) {
    let mut w = Unpacked {
        codes: [[0; VECTOR]; VECTORS],
        scales: [[0; VECTOR]; GROUPS],
        pairs: [[0; VECTOR]; RUNS],
        d: [[0.0; TILE]; RUNS],
        m: [[0.0; TILE]; RUNS],
        blocks: 1,
        zero: None,
        minima: false,
    };
    for (t, tile) in tiles.each() {
        let mut out = [[0.0; TILE]; WIDEST];
        let mut b = 0;
        while b < tiles.layout.blocks() {
            unpack(tiles.layout, tile, b, &mut w);
            multiply(&w, x, b, &mut out);
            b += w.blocks.max(1);
        }
        put(t, &out);
    }
}
