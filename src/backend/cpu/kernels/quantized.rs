//! Linear layers over quantized weights, and the quantization of their input.
//!
//! Per block and lane (a lane is a weight row): an exact i32 dot product, then
//! `acc = fma(dw * dx, dot as f32, acc)`; Q4_1 adds `acc = fma(m * dx, sum as f32, acc)`.

use crate::core::{BLOCK_LEN, K_BLOCK_LEN};
use crate::quant::activation::MIN_AMAX;

use super::codes::WIDEST;
use super::packed::{PackedTiles, Pairs, Q4_BYTES, Q8_BYTES, QuantizedRows, RUN, TileLayout};
use super::prefetch::{AHEAD, prefetch_after};
use super::simd::Simd;
use super::{GROUP, Outputs, TILE};

/// The integer half of a quantized kernel: sixteen lanes, one a weight row.
pub(crate) trait Lanes: Simd {
    /// Sixteen i32.
    type I: Copy;

    /// Activation rows at a time at most, of 4, 6, 8 and [`GROUP`]: as many as it is quickest with.
    const ROWS: usize = 4;

    fn splat_i(self, x: i32) -> Self::I;
    /// Rounded to nearest, which matters not below 2^24.
    fn to_f32(self, v: Self::I) -> Self::F;
    /// Per lane: the dot products of an 8-bit block with `X` activation blocks; quants of -128..=127 times
    /// quants of -127..=127. `offsets` are those of [`QuantizedRows`].
    fn dot_q8<const X: usize>(
        self,
        w: &[u8; Q8_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        offsets: &[i32; X],
    ) -> [Self::I; X];
    /// Per lane: `start` plus the dot products of a block of nibbles (0..=15) with `X` activation blocks.
    fn dot_q4<const X: usize>(
        self,
        w: &[u8; Q4_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        start: [Self::I; X],
    ) -> [Self::I; X];
}

/// How a set multiplies a tile.
pub(crate) trait Rows: Simd {
    /// The most activation rows at a time that pay.
    const MOST: usize;
    /// Whether six are among the numbers that it takes, besides twelve, eight, four, two and one.
    const SIX: bool;

    /// `X` rows of the group, from row `at` on, against a tile of Q8_0.
    fn rows_q8<const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [Self::F; X];
    /// As [`Self::rows_q8`], of Q4_0.
    fn rows_q4_0<const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [Self::F; X];
    /// As [`Self::rows_q8`], of Q4_1.
    fn rows_q4_1<const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [Self::F; X];

    /// Puts a finished group of `width` rows of quantized activations, `[blocks][width]`, into the order in which
    /// this set reads it.
    fn arrange(self, quants: &mut [[i8; BLOCK_LEN]], width: usize);
}

impl<L: Lanes> Rows for L {
    const MOST: usize = Self::ROWS;
    const SIX: bool = Self::ROWS >= 6;

    #[inline(always)]
    fn rows_q8<const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [Self::F; X] {
        rows_q8(self, layout, tile, x, at)
    }
    #[inline(always)]
    fn rows_q4_0<const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [Self::F; X] {
        rows_q4_0(self, layout, tile, x, at)
    }
    #[inline(always)]
    fn rows_q4_1<const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [Self::F; X] {
        rows_q4_1(self, layout, tile, x, at)
    }
    #[inline(always)]
    fn arrange(self, _: &mut [[i8; BLOCK_LEN]], _: usize) {}
}

/// Has what follows come from memory, where one activation row passes and each weight is read once.
#[inline(always)]
fn fetch<const X: usize>(w: &[u8]) {
    if X == 1 {
        prefetch_after(w, AHEAD);
    }
}

/// `X` rows of the group, from row `at` on, against a tile of Q8_0.
#[inline(always)]
fn rows_q8<L: Lanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [L::F; X] {
    let mut acc = [l.splat(0.0); X];
    for b in 0..layout.blocks() {
        let (Some((heads, w)), Some(x)) = (layout.block::<1, Q8_BYTES>(tile, b), x.block::<X>(b, at)) else {
            return acc;
        };
        fetch::<X>(w);
        let d = l.load_f16(&heads[0]);
        let dots = l.dot_q8::<X>(w, x.quants, x.offsets);
        for i in 0..X {
            acc[i] = l.fma(l.mul(d, l.splat(x.scales[i])), l.to_f32(dots[i]), acc[i]);
        }
    }
    acc
}

/// As [`rows_q8`], of Q4_0.
#[inline(always)]
fn rows_q4_0<L: Lanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [L::F; X] {
    let mut acc = [l.splat(0.0); X];
    for b in 0..layout.blocks() {
        let (Some((heads, w)), Some(x)) = (layout.block::<1, Q4_BYTES>(tile, b), x.block::<X>(b, at)) else {
            return acc;
        };
        fetch::<X>(w);
        let d = l.load_f16(&heads[0]);
        // The stored quants are 8 too large.
        let mut start = [l.splat_i(0); X];
        for i in 0..X {
            start[i] = l.splat_i(x.offsets[i]);
        }
        let dots = l.dot_q4::<X>(w, x.quants, start);
        for i in 0..X {
            acc[i] = l.fma(l.mul(d, l.splat(x.scales[i])), l.to_f32(dots[i]), acc[i]);
        }
    }
    acc
}

/// As [`rows_q8`], of Q4_1.
#[inline(always)]
fn rows_q4_1<L: Lanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    at: usize,
) -> [L::F; X] {
    let mut acc = [l.splat(0.0); X];
    for b in 0..layout.blocks() {
        let (Some((heads, w)), Some(x)) = (layout.block::<2, Q4_BYTES>(tile, b), x.block::<X>(b, at)) else {
            return acc;
        };
        fetch::<X>(w);
        let (d, m) = (l.load_f16(&heads[0]), l.load_f16(&heads[1]));
        let dots = l.dot_q4::<X>(w, x.quants, [l.splat_i(0); X]);
        for i in 0..X {
            let dx = l.splat(x.scales[i]);
            acc[i] = l.fma(l.mul(d, dx), l.to_f32(dots[i]), acc[i]);
            // An offset is -8 times the sum, and a division by 8 is exact.
            let sum = l.mul(l.to_f32(l.splat_i(x.offsets[i])), l.splat(-0.125));
            acc[i] = l.fma(l.mul(m, dx), sum, acc[i]);
        }
    }
    acc
}

macro_rules! tile_kernel {
    ($(#[$doc:meta])* $name:ident, $rows:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<L: Rows>(
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
                        GROUP.. if L::MOST >= GROUP => keep(&l.$rows::<GROUP>(tiles.layout, tile, x, at)),
                        8.. if L::MOST >= 8 => keep(&l.$rows::<8>(tiles.layout, tile, x, at)),
                        6.. if L::SIX => keep(&l.$rows::<6>(tiles.layout, tile, x, at)),
                        4.. => keep(&l.$rows::<4>(tiles.layout, tile, x, at)),
                        2.. => keep(&l.$rows::<2>(tiles.layout, tile, x, at)),
                        _ => keep(&l.$rows::<1>(tiles.layout, tile, x, at)),
                    };
                }
                put(t, &out);
            }
        }
    };
}

tile_kernel!(
    /// Tiles of Q8_0 rows against a group of activation rows: `out[i][lane]`, tile by tile.
    tiles_q8_0,
    rows_q8
);
tile_kernel!(
    /// Tiles of Q4_0 rows against a group of activation rows: `out[i][lane]`, tile by tile.
    tiles_q4_0,
    rows_q4_0
);
tile_kernel!(
    /// Tiles of Q4_1 rows against a group of activation rows: `out[i][lane]`, tile by tile.
    tiles_q4_1,
    rows_q4_1
);

/// Quantizes a row of activations as [`crate::quant::activation::quantize_block`] does; a last partial block is
/// padded with zeros. Block `b` goes to place `b * stride` of the outputs, which end with the last block.
#[inline(always)]
pub(crate) fn quantize<S: Simd>(
    s: S,
    x: &[f32],
    stride: usize,
    quants: &mut [[i8; BLOCK_LEN]],
    scales: &mut [f32],
    offsets: &mut [i32],
) {
    let (full, rest) = x.as_chunks::<BLOCK_LEN>();
    let mut at = 0;
    for x in full {
        (scales[at], offsets[at]) = quantize_block(s, x, &mut quants[at]);
        at += stride;
    }
    if !rest.is_empty() {
        let mut last = [0.0; BLOCK_LEN];
        last[..rest.len()].copy_from_slice(rest);
        (scales[at], offsets[at]) = quantize_block(s, &last, &mut quants[at]);
    }
}

/// Returns the scale and the offset, -8 times the quants' sum.
#[inline(always)]
fn quantize_block<S: Simd>(s: S, x: &[f32; BLOCK_LEN], q: &mut [i8; BLOCK_LEN]) -> (f32, i32) {
    let halves = x.as_chunks::<16>().0;
    let (a, b) = (s.load(&halves[0]), s.load(&halves[1]));
    let amax = largest(s, s.max_bits(s.abs(a), s.abs(b)));
    if !amax.is_finite() || amax < MIN_AMAX {
        *q = [0; BLOCK_LEN];
        return (if amax.is_finite() { 0.0 } else { f32::NAN }, 0);
    }
    let inv = s.splat(127.0 / amax);
    let (qs, _) = q.as_chunks_mut::<16>();
    qs[0] = s.round_i8(s.mul(a, inv));
    qs[1] = s.round_i8(s.mul(b, inv));
    let mut sum = 0;
    for &q in q.iter() {
        sum += i32::from(q);
    }
    (amax / 127.0, -8 * sum)
}

/// The lane with the largest bits, of lanes that are not negative.
#[inline(always)]
fn largest<S: Simd>(s: S, v: S::F) -> f32 {
    let mut lanes = [0.0; 16];
    s.store(v, &mut lanes);
    let mut bits = 0;
    for lane in lanes {
        bits = lane.to_bits().max(bits);
    }
    f32::from_bits(bits)
}

/// Quantizes a row of activations in blocks of 256 as [`crate::quant::activation::quantize_block`] does. Block `b` goes
/// to place `b * stride` of the scales and pairs, its pieces to eight places of the quants. A rest of the row is not taken:
/// weights in such blocks have none.
#[inline(always)]
pub(crate) fn quantize_long<S: Simd>(
    s: S,
    x: &[f32],
    stride: usize,
    quants: &mut [[i8; BLOCK_LEN]],
    scales: &mut [f32],
    pairs: &mut [Pairs],
) {
    for (b, x) in x.as_chunks::<K_BLOCK_LEN>().0.iter().enumerate() {
        let parts = x.as_chunks::<16>().0;
        let mut most = s.splat(0.0);
        for x in parts {
            most = s.max_bits(most, s.abs(s.load(x)));
        }
        let amax = largest(s, most);
        let usable = amax.is_finite() && amax >= MIN_AMAX;
        let inv = s.splat(if usable { 127.0 / amax } else { 0.0 });
        scales[b * stride] = match (usable, amax.is_finite()) {
            (true, _) => amax / 127.0,
            (false, true) => 0.0,
            (false, false) => f32::NAN,
        };
        for (j, x) in parts.as_chunks::<2>().0.iter().enumerate() {
            let mut piece = [[0; 16]; 2];
            let mut sums = [0; 2];
            if usable {
                for h in 0..2 {
                    piece[h] = s.round_i8(s.mul(s.load(&x[h]), inv));
                    for q in piece[h] {
                        sums[h] += i32::from(q);
                    }
                }
            }
            let pairs = &mut pairs[b * stride];
            pairs.of_16[j] = sums[0] & 0xffff | sums[1] << 16;
            let both = sums[0] + sums[1];
            if j % 2 == 0 {
                pairs.of_32[j / 2] = both & 0xffff;
            } else {
                pairs.of_32[j / 2] |= both << 16;
            }
            let (out, _) = quants[(b * 8 + j) * stride].as_chunks_mut();
            out.copy_from_slice(&piece);
        }
    }
}

/// [`Rows::arrange`] as a function.
#[inline(always)]
pub(crate) fn arrange<L: Rows>(l: L, quants: &mut [[i8; BLOCK_LEN]], width: usize) {
    l.arrange(quants, width);
}

/// The four columns of an activation block that meet run `g` of the weights, as one 32-bit lane.
#[inline(always)]
pub(crate) fn run(x: &[i8; BLOCK_LEN], g: usize) -> i32 {
    let r = &x.as_chunks::<RUN>().0[g];
    i32::from_le_bytes([r[0] as u8, r[1] as u8, r[2] as u8, r[3] as u8])
}
