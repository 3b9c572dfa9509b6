//! Linear layers over quantized weights, and the quantization of their input.
//!
//! Per block and lane (a lane is a weight row): an exact i32 dot product, then
//! `acc = fma(dw * dx, dot as f32, acc)`; Q4_1 adds `acc = fma(m * dx, sum as f32, acc)`.

use crate::core::{BLOCK_LEN, DType};
use crate::quant::activation::MIN_AMAX;

use super::packed::{Q4_BYTES, Q8_BYTES, QuantizedRows, RUN, SCALES, TileLayout};
use super::simd::Simd;
use super::{GROUP, Outputs, TILE};

/// The integer half of a quantized kernel: eight lanes, one a weight row.
pub(crate) trait Lanes: Simd {
    /// Eight f32.
    type F8: Copy;
    /// Eight i32.
    type I8: Copy;

    fn splat8(self, x: f32) -> Self::F8;
    /// Eight f16 as f32.
    fn scales(self, bytes: &[u8; SCALES]) -> Self::F8;
    fn mul8(self, a: Self::F8, b: Self::F8) -> Self::F8;
    /// `a * b + c`, rounded once.
    fn fma8(self, a: Self::F8, b: Self::F8, c: Self::F8) -> Self::F8;
    fn store8(self, v: Self::F8, out: &mut [f32; TILE]);
    /// Rounded to nearest, which matters not below 2^24.
    fn to_f32(self, v: Self::I8) -> Self::F8;
    /// `a - 8 * b`.
    fn minus_8_times(self, a: Self::I8, b: i32) -> Self::I8;
    /// Per lane: the dot products of an 8-bit block with `X` activation blocks; quants of -128..=127 times
    /// quants of -127..=127.
    fn dot_q8<const X: usize>(self, w: &[u8; Q8_BYTES], x: [&[i8; BLOCK_LEN]; X]) -> [Self::I8; X];
    /// Per lane: the dot products of a block of nibbles (0..=15) with `X` activation blocks.
    fn dot_q4<const X: usize>(self, w: &[u8; Q4_BYTES], x: [&[i8; BLOCK_LEN]; X]) -> [Self::I8; X];
}

/// Block `b` of each of `X` rows.
#[inline(always)]
fn blocks_at<'a, const X: usize>(x: &QuantizedRows<'a>, blocks: usize, b: usize) -> [&'a [i8; BLOCK_LEN]; X] {
    let mut out = [&x.quants[0]; X];
    for i in 0..X {
        out[i] = &x.quants[i * blocks + b];
    }
    out
}

#[inline(always)]
fn rows_q8<L: Lanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    out: &mut Outputs,
) {
    let (scales, quants) = layout.split(tile);
    let (scales, quants) = (scales.as_chunks::<SCALES>().0, quants.as_chunks::<Q8_BYTES>().0);
    let blocks = layout.blocks();
    let mut acc = [l.splat8(0.0); X];
    for (b, (d, w)) in scales.iter().zip(quants).enumerate() {
        let d = l.scales(d);
        let dots = l.dot_q8::<X>(w, blocks_at(x, blocks, b));
        for i in 0..X {
            let scale = l.mul8(d, l.splat8(x.scales[i * blocks + b]));
            acc[i] = l.fma8(scale, l.to_f32(dots[i]), acc[i]);
        }
    }
    for i in 0..X {
        l.store8(acc[i], &mut out[i]);
    }
}

#[inline(always)]
fn rows_q4_0<L: Lanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    out: &mut Outputs,
) {
    let (scales, quants) = layout.split(tile);
    let (scales, quants) = (scales.as_chunks::<SCALES>().0, quants.as_chunks::<Q4_BYTES>().0);
    let blocks = layout.blocks();
    let mut acc = [l.splat8(0.0); X];
    for (b, (d, w)) in scales.iter().zip(quants).enumerate() {
        let d = l.scales(d);
        let dots = l.dot_q4::<X>(w, blocks_at(x, blocks, b));
        for i in 0..X {
            let scale = l.mul8(d, l.splat8(x.scales[i * blocks + b]));
            // The stored quants are 8 too large.
            let dot = l.minus_8_times(dots[i], x.sums[i * blocks + b]);
            acc[i] = l.fma8(scale, l.to_f32(dot), acc[i]);
        }
    }
    for i in 0..X {
        l.store8(acc[i], &mut out[i]);
    }
}

#[inline(always)]
fn rows_q4_1<L: Lanes, const X: usize>(
    l: L,
    layout: &TileLayout,
    tile: &[u8],
    x: &QuantizedRows<'_>,
    out: &mut Outputs,
) {
    let (scales, quants) = layout.split(tile);
    let (scales, quants) = (scales.as_chunks::<SCALES>().0, quants.as_chunks::<Q4_BYTES>().0);
    let blocks = layout.blocks();
    let mut acc = [l.splat8(0.0); X];
    for (b, (dm, w)) in scales.as_chunks::<2>().0.iter().zip(quants).enumerate() {
        let (d, m) = (l.scales(&dm[0]), l.scales(&dm[1]));
        let dots = l.dot_q4::<X>(w, blocks_at(x, blocks, b));
        for i in 0..X {
            let dx = l.splat8(x.scales[i * blocks + b]);
            acc[i] = l.fma8(l.mul8(d, dx), l.to_f32(dots[i]), acc[i]);
            acc[i] = l.fma8(l.mul8(m, dx), l.splat8(x.sums[i * blocks + b] as f32), acc[i]);
        }
    }
    for i in 0..X {
        l.store8(acc[i], &mut out[i]);
    }
}

macro_rules! tile_kernel {
    ($(#[$doc:meta])* $name:ident, $rows:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<L: Lanes>(
            l: L,
            layout: &TileLayout,
            tile: &[u8],
            x: &QuantizedRows<'_>,
            out: &mut Outputs,
        ) {
            *out = [[0.0; TILE]; GROUP];
            if layout.blocks() == 0 {
                return;
            }
            match x.scales.len() / layout.blocks() {
                0 => {}
                1 => $rows::<L, 1>(l, layout, tile, x, out),
                2 => $rows::<L, 2>(l, layout, tile, x, out),
                3 => $rows::<L, 3>(l, layout, tile, x, out),
                _ => $rows::<L, GROUP>(l, layout, tile, x, out),
            }
        }
    };
}

tile_kernel!(
    /// A tile of Q8_0 rows against up to [`GROUP`] activation rows: `out[i][lane]`.
    tile_q8_0,
    rows_q8
);
tile_kernel!(
    /// A tile of Q4_0 rows against up to [`GROUP`] activation rows: `out[i][lane]`.
    tile_q4_0,
    rows_q4_0
);
tile_kernel!(
    /// A tile of Q4_1 rows against up to [`GROUP`] activation rows: `out[i][lane]`.
    tile_q4_1,
    rows_q4_1
);

/// Quantizes a row of activations as [`crate::quant::activation::quantize_block`] does; a last partial block is
/// padded with zeros. The outputs have one entry a block.
#[inline(always)]
pub(crate) fn quantize<S: Simd>(
    s: S,
    x: &[f32],
    quants: &mut [[i8; BLOCK_LEN]],
    scales: &mut [f32],
    sums: &mut [i32],
) {
    let (full, rest) = x.as_chunks::<BLOCK_LEN>();
    let n = full.len();
    for (((x, q), scale), sum) in full.iter().zip(&mut *quants).zip(&mut *scales).zip(&mut *sums) {
        (*scale, *sum) = quantize_block(s, x, q);
    }
    if !rest.is_empty() {
        let mut last = [0.0; BLOCK_LEN];
        last[..rest.len()].copy_from_slice(rest);
        (scales[n], sums[n]) = quantize_block(s, &last, &mut quants[n]);
    }
}

#[inline(always)]
fn quantize_block<S: Simd>(s: S, x: &[f32; BLOCK_LEN], q: &mut [i8; BLOCK_LEN]) -> (f32, i32) {
    let halves = x.as_chunks::<16>().0;
    let (a, b) = (s.load(&halves[0]), s.load(&halves[1]));
    let mut lanes = [0.0; 16];
    s.store(s.max_bits(s.abs(a), s.abs(b)), &mut lanes);
    let mut bits = 0;
    for lane in lanes {
        bits = lane.to_bits().max(bits);
    }
    let amax = f32::from_bits(bits);
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
    (amax / 127.0, sum)
}

/// The four columns of an activation block that meet run `g` of the weights, as one 32-bit lane.
#[inline(always)]
pub(crate) fn run(x: &[i8; BLOCK_LEN], g: usize) -> i32 {
    let r = &x.as_chunks::<RUN>().0[g];
    i32::from_le_bytes([r[0] as u8, r[1] as u8, r[2] as u8, r[3] as u8])
}

/// Which of the tables' kernels serves a format.
pub(crate) const fn index(dtype: DType) -> usize {
    match dtype {
        DType::Q8_0 => 0,
        DType::Q4_0 => 1,
        _ => 2,
    }
}
