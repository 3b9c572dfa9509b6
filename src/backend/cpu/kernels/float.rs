//! Linear layers over f32, f16 and bf16 weights.
//!
//! A dot product is 16 partial sums by index mod 16, fused multiply-adds in ascending order, then one tree.

use super::prefetch::{AHEAD, prefetch_after};
use super::simd::{Simd, tree_sum};
use super::{GROUP, Outputs, TILE};

/// How a weight's elements are stored and read.
pub(crate) trait Stored<const BYTES: usize> {
    /// Sixteen elements, exactly as f32.
    fn load<S: Simd>(s: S, bytes: &[u8; BYTES]) -> S::F;
    /// One element, exactly as f32.
    fn one(bytes: &[u8]) -> f32;
}

/// f32 elements.
pub(crate) struct StoredF32;
impl Stored<64> for StoredF32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, bytes: &[u8; 64]) -> S::F {
        s.load_f32(bytes)
    }
    #[inline(always)]
    fn one(b: &[u8]) -> f32 {
        f32::from_le_bytes([b[0], b[1], b[2], b[3]])
    }
}

/// f16 elements.
pub(crate) struct StoredF16;
impl Stored<32> for StoredF16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, bytes: &[u8; 32]) -> S::F {
        s.load_f16(bytes)
    }
    #[inline(always)]
    fn one(b: &[u8]) -> f32 {
        half::f16::from_le_bytes([b[0], b[1]]).to_f32()
    }
}

/// bf16 elements.
pub(crate) struct StoredBf16;
impl Stored<32> for StoredBf16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, bytes: &[u8; 32]) -> S::F {
        s.load_bf16(bytes)
    }
    #[inline(always)]
    fn one(b: &[u8]) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16)
    }
}

/// A group of activation rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FloatRows<'a> {
    /// Rows of the group.
    pub width: usize,
    /// Elements of a row.
    pub cols: usize,
    /// `[width][cols]`.
    pub x: &'a [f32],
    /// `[cols / 16][width]`: the first sixteen elements of all rows, then the next sixteen, ... Rows that are a
    /// multiple of 4096 bytes apart would drive each other from the first-level cache.
    pub chunks: &'a [[f32; 16]],
}

/// Chunks of sixteen columns that [`blocked`] takes at a time, so that the activation rows stay in the
/// first-level cache for all rows of a tile.
const STEP: usize = 32;

/// Adds the products of whole chunks to the partial sums of `W` weight rows against `X` activation rows. Every
/// product has its own partial sums; the rows only share loads.
#[inline(always)]
fn accumulate<S: Simd, D: Stored<B>, const B: usize, const W: usize, const X: usize>(
    s: S,
    w: [&[[u8; B]]; W],
    x: [&[[f32; 16]]; X],
    sums: &mut [[S::F; W]; X],
) {
    // Cut to one length, which the compiler then knows; the sums in a copy, which it keeps in registers.
    let chunks = x[0].len();
    let w = w.map(|row| &row[..chunks]);
    let x = x.map(|row| &row[..chunks]);
    let mut acc = *sums;
    for c in 0..chunks {
        let mut xv = [s.splat(0.0); X];
        for i in 0..X {
            xv[i] = s.load(&x[i][c]);
        }
        for j in 0..W {
            if X == 1 {
                // Each weight is read once, from memory.
                prefetch_after(&w[j][c], AHEAD);
            }
            let wv = D::load(s, &w[j][c]);
            for i in 0..X {
                acc[i][j] = s.fma(wv, xv[i], acc[i][j]);
            }
        }
    }
    *sums = acc;
}

/// The product that the partial sums of all whole chunks and the elements after them make.
#[inline(always)]
fn finish<S: Simd, D: Stored<B>, const B: usize>(s: S, sums: S::F, w: &[u8], x: &[f32]) -> f32 {
    let (_, w) = w.as_chunks::<B>();
    let (_, x) = x.as_chunks::<16>();
    if x.is_empty() {
        return s.sum(sums);
    }
    let mut lanes = [0.0; 16];
    s.store(sums, &mut lanes);
    for ((lane, &x), w) in lanes.iter_mut().zip(x).zip(w.chunks_exact(B / 16)) {
        *lane = D::one(w).mul_add(x, *lane);
    }
    tree_sum(lanes)
}

/// `W` weight rows against `X` activation rows of as many elements: `[activation row][weight row]`.
#[inline(always)]
pub(crate) fn block<S: Simd, D: Stored<B>, const B: usize, const W: usize, const X: usize>(
    s: S,
    w: [&[u8]; W],
    x: [&[f32]; X],
) -> [[f32; W]; X] {
    let mut sums = [[s.splat(0.0); W]; X];
    accumulate::<S, D, B, W, X>(s, w.map(|row| row.as_chunks().0), x.map(|row| row.as_chunks().0), &mut sums);
    let mut out = [[0.0; W]; X];
    for i in 0..X {
        for j in 0..W {
            out[i][j] = finish::<S, D, B>(s, sums[i][j], w[j], x[i]);
        }
    }
    out
}

/// As [`accumulate`], of interleaved activation rows: `X` of `width` from row `at` on.
#[inline(always)]
fn accumulate_group<S: Simd, D: Stored<B>, const B: usize, const W: usize, const X: usize>(
    s: S,
    w: [&[[u8; B]]; W],
    x: &[[f32; 16]],
    width: usize,
    at: usize,
    sums: &mut [[S::F; W]; X],
) {
    let chunks = x.len() / width;
    let mut rows = w;
    for j in 0..W {
        rows[j] = &w[j][..chunks];
    }
    let mut acc = *sums;
    for c in 0..chunks {
        let Some(x) = x.get(c * width + at..).and_then(|x| x.first_chunk::<X>()) else { return };
        let mut xv = [s.splat(0.0); X];
        for i in 0..X {
            xv[i] = s.load(&x[i]);
        }
        for j in 0..W {
            let wv = D::load(s, &rows[j][c]);
            for i in 0..X {
                acc[i][j] = s.fma(wv, xv[i], acc[i][j]);
            }
        }
    }
    *sums = acc;
}

/// Up to `W * N` weight rows against `X` activation rows from row `at` on, `W` at a time:
/// `out[activation row][weight row]`.
#[inline(always)]
fn blocked<S: Simd, D: Stored<B>, const B: usize, const W: usize, const X: usize, const N: usize>(
    s: S,
    w: &[&[u8]],
    x: &FloatRows<'_>,
    at: usize,
    out: &mut [[f32; TILE]],
) {
    let whole = w.as_chunks::<W>().0;
    let mut sums = [[[s.splat(0.0); W]; X]; N];
    let chunks = x.cols / 16;
    for from in (0..chunks).step_by(STEP) {
        let to = (from + STEP).min(chunks);
        let group = &x.chunks[from * x.width..to * x.width];
        for (w, sums) in whole.iter().zip(&mut sums) {
            let mut part = [&[][..]; W];
            for j in 0..W {
                part[j] = &w[j].as_chunks::<B>().0[from..to];
            }
            accumulate_group::<S, D, B, W, X>(s, part, group, x.width, at, sums);
        }
    }
    let mut rows = [x.x; X];
    for i in 0..X {
        rows[i] = &x.x[(at + i) * x.cols..(at + i + 1) * x.cols];
    }
    for (n, w) in whole.iter().enumerate().take(N) {
        for i in 0..X {
            for j in 0..W {
                out[i][n * W + j] = finish::<S, D, B>(s, sums[n][i][j], w[j], rows[i]);
            }
        }
    }
    for (j, w) in w.iter().enumerate().skip(whole.len() * W) {
        let products = block::<S, D, B, 1, X>(s, [w], rows);
        for i in 0..X {
            out[i][j] = products[i][0];
        }
    }
}

/// A tile of up to [`TILE`] consecutive weight rows against a group of activation rows: `out[i][j]` is the
/// product of activation row `i` and weight row `j`.
#[inline(always)]
pub(crate) fn tile<S: Simd, D: Stored<B>, const B: usize>(
    s: S,
    w: &[u8],
    x: &FloatRows<'_>,
    out: &mut Outputs,
) {
    if x.cols == 0 {
        out.fill([0.0; TILE]);
        return;
    }
    let mut weights = [&w[..0]; TILE];
    let mut rows = 0;
    for (row, bytes) in weights.iter_mut().zip(w.chunks_exact(x.cols * (B / 16))) {
        *row = bytes;
        rows += 1;
    }
    let weights = &weights[..rows];
    let mut at = 0;
    while at < x.width.min(GROUP) {
        let out = &mut out[at..];
        // As many products as the registers hold the sums of.
        at += match x.width - at {
            1 => {
                one::<S, D, B>(s, weights, &x.x[at * x.cols..], &mut out[0]);
                1
            }
            6.. if S::WIDE => {
                blocked::<S, D, B, 4, 6, 4>(s, weights, x, at, out);
                6
            }
            4.. if S::WIDE => {
                blocked::<S, D, B, 4, 4, 4>(s, weights, x, at, out);
                4
            }
            4.. => {
                blocked::<S, D, B, 1, 4, TILE>(s, weights, x, at, out);
                4
            }
            _ => {
                blocked::<S, D, B, 2, 2, 8>(s, weights, x, at, out);
                2
            }
        };
    }
}

/// Weight rows against one activation row.
#[inline(always)]
fn one<S: Simd, D: Stored<B>, const B: usize>(s: S, w: &[&[u8]], x: &[f32], out: &mut [f32; TILE]) {
    // Where one row's sums keep up with memory, a single stream is read fastest; elsewhere rows must share the wait
    // for each addition.
    let done = if S::ROW_BY_ROW { 0 } else { some::<S, D, B, 4>(s, w, x, out) };
    some::<S, D, B, 1>(s, &w[done..], x, &mut out[done..]);
}

/// As many weight rows as are a multiple of `W`, `W` at a time; answers their number.
#[inline(always)]
fn some<S: Simd, D: Stored<B>, const B: usize, const W: usize>(
    s: S,
    w: &[&[u8]],
    x: &[f32],
    out: &mut [f32],
) -> usize {
    let whole = w.as_chunks::<W>().0;
    for (w, out) in whole.iter().zip(out.as_chunks_mut::<W>().0) {
        *out = block::<S, D, B, W, 1>(s, *w, [x])[0];
    }
    whole.len() * W
}

/// Stored elements as f32, exactly.
#[inline(always)]
pub(crate) fn widen<S: Simd, D: Stored<B>, const B: usize>(s: S, from: &[u8], to: &mut [f32]) {
    let (from, from_tail) = from.as_chunks::<B>();
    let (to, to_tail) = to.as_chunks_mut::<16>();
    for (from, to) in from.iter().zip(to) {
        s.store(D::load(s, from), to);
    }
    for (from, to) in from_tail.chunks_exact(B / 16).zip(to_tail) {
        *to = D::one(from);
    }
}

/// f32 rounded to the bits of f16, ties to even.
#[inline(always)]
pub(crate) fn narrow_f16<S: Simd>(s: S, from: &[f32], to: &mut [u16]) {
    let (from, from_tail) = from.as_chunks::<16>();
    let (to, to_tail) = to.as_chunks_mut::<16>();
    for (from, to) in from.iter().zip(to) {
        s.store_f16(s.load(from), to);
    }
    for (from, to) in from_tail.iter().zip(to_tail) {
        *to = half::f16::from_f32(*from).to_bits();
    }
}
