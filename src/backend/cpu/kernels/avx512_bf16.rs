//! Linear layers over f16 and bf16 weights by AVX512_BF16's products of pairs (`vdpbf16ps`): twice the arithmetic
//! of f32 products. Activations, and f16 weights, are rounded to bf16, so that results are other than those of every
//! other instruction set; hence it is only used when asked for by name.
//!
//! A dot product is 16 partial sums, each of the pairs of columns `32 i + 2 lane` and `32 i + 2 lane + 1` in ascending
//! `i`, then one tree. So results do not depend on how rows are grouped, on threads or on chunks. The instruction
//! takes subnormal numbers for zero (Intel SDM volume 2, VDPBF16PS).

use std::arch::x86_64::*;

use super::super::isa::Avx512Bf16;
use super::paired::{PAIRED, PairedRows};
use super::simd::Simd;
use super::{GROUP, Outputs, TILE};

/// How a weight's elements are stored.
pub(crate) trait StoredPairs {
    /// Weight rows and activation rows that are multiplied at a time, as many as the registers hold the sums of:
    /// the fewer weight rows, the less often they are converted.
    const BLOCK: Block;
    /// Thirty-two elements as bf16.
    fn load(s: Avx512Bf16, bytes: &[u8; 64]) -> __m512bh;
}

/// The shape of a block of sums.
pub(crate) enum Block {
    /// Four weight rows by six activation rows.
    FourBySix,
    /// Two weight rows by twelve activation rows.
    TwoByTwelve,
}

/// bf16 elements.
pub(crate) struct PairsBf16;
impl StoredPairs for PairsBf16 {
    const BLOCK: Block = Block::FourBySix;
    #[inline(always)]
    fn load(_: Avx512Bf16, bytes: &[u8; 64]) -> __m512bh {
        // SAFETY: the token proves AVX-512F; 64 bytes are there, and both types are 512 plain bits.
        unsafe { std::mem::transmute(_mm512_loadu_si512(bytes.as_ptr().cast())) }
    }
}

/// f16 elements.
pub(crate) struct PairsF16;
impl StoredPairs for PairsF16 {
    const BLOCK: Block = Block::TwoByTwelve;
    #[inline(always)]
    fn load(_: Avx512Bf16, bytes: &[u8; 64]) -> __m512bh {
        let (low, high) = bytes.split_at(32);
        // SAFETY: the token proves AVX-512F and BF16; each half has 32 bytes.
        unsafe {
            let low = _mm512_cvtph_ps(_mm256_loadu_si256(low.as_ptr().cast()));
            let high = _mm512_cvtph_ps(_mm256_loadu_si256(high.as_ptr().cast()));
            _mm512_cvtne2ps_pbh(high, low)
        }
    }
}

/// f32 rounded to the bits of bf16, ties to even, 32 columns in every `stride`-th place of `out`.
#[inline(always)]
pub(crate) fn narrow(_: Avx512Bf16, x: &[f32], stride: usize, out: &mut [[u16; PAIRED]]) {
    let (whole, tail) = x.as_chunks::<PAIRED>();
    let mut last = [0.0; PAIRED];
    last[..tail.len()].copy_from_slice(tail);
    let rest = (!tail.is_empty()).then_some(&last);
    for (x, out) in whole.iter().chain(rest).zip(out.iter_mut().step_by(stride.max(1))) {
        let (low, high) = x.split_at(16);
        // SAFETY: the token proves AVX-512F and BF16; each half has 16 values, `out` has 64 bytes.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(low.as_ptr()), _mm512_loadu_ps(high.as_ptr()));
            let pairs: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), pairs);
        }
    }
}

/// The last columns of a row, filled up with zeros.
#[inline(always)]
fn filled(tail: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    out[..tail.len()].copy_from_slice(tail);
    out
}

/// Adds the products of `W` weight rows with `X` activation rows of a group of `width`, from row `at` on, over the
/// columns that `x` holds.
#[inline(always)]
fn accumulate<D: StoredPairs, const W: usize, const X: usize>(
    s: Avx512Bf16,
    w: [&[[u8; 64]]; W],
    x: &[[u16; PAIRED]],
    (width, at): (usize, usize),
    sums: &mut [[__m512; W]; X],
) {
    let chunks = x.len() / width;
    let mut rows = w;
    for j in 0..W {
        rows[j] = &w[j][..chunks];
    }
    let mut acc = *sums;
    for c in 0..chunks {
        let Some(x) = x.get(c * width + at..).and_then(|x| x.first_chunk::<X>()) else { return };
        let mut wv = [D::load(s, &rows[0][c]); W];
        for j in 1..W {
            wv[j] = D::load(s, &rows[j][c]);
        }
        for i in 0..X {
            // SAFETY: the token proves AVX-512F and BF16; a chunk has 64 bytes, both types are 512 plain bits.
            unsafe {
                let xv: __m512bh = std::mem::transmute(_mm512_loadu_si512(x[i].as_ptr().cast()));
                for j in 0..W {
                    acc[i][j] = _mm512_dpbf16_ps(acc[i][j], wv[j], xv);
                }
            }
        }
    }
    *sums = acc;
}

/// Registers of columns that are taken at a time, so that the activation rows stay in the first-level cache for all
/// rows of a tile.
const STEP: usize = 32;

/// Weight rows against `X` activation rows from row `at` on, `W` at a time for as long as there are that many:
/// `out[activation row][weight row]`. Answers how many weight rows it has done.
#[inline(always)]
fn blocked<D: StoredPairs, const W: usize, const X: usize, const N: usize>(
    s: Avx512Bf16,
    w: &[&[u8]],
    x: &PairedRows<'_>,
    at: usize,
    out: &mut [[f32; TILE]],
) -> usize {
    let whole = &w.as_chunks::<W>().0[..(w.len() / W).min(N)];
    let mut sums = [[[s.avx512().splat(0.0); W]; X]; N];
    let chunks = x.cols / PAIRED;
    for from in (0..chunks).step_by(STEP) {
        let to = (from + STEP).min(chunks);
        let group = &x.chunks[from * x.width..to * x.width];
        for (w, sums) in whole.iter().zip(&mut sums) {
            let part = w.map(|row| &row.as_chunks().0[from..to]);
            accumulate::<D, W, X>(s, part, group, (x.width, at), sums);
        }
    }
    if !x.cols.is_multiple_of(PAIRED) {
        let group = &x.chunks[chunks * x.width..(chunks + 1) * x.width];
        for (w, sums) in whole.iter().zip(&mut sums) {
            let tails = w.map(|row| [filled(row.as_chunks::<64>().1)]);
            let mut part = [&tails[0][..]; W];
            for j in 1..W {
                part[j] = &tails[j];
            }
            accumulate::<D, W, X>(s, part, group, (x.width, at), sums);
        }
    }
    for (n, sums) in sums.iter().enumerate().take(whole.len()) {
        for i in 0..X {
            for j in 0..W {
                out[i][n * W + j] = s.avx512().sum(sums[i][j]);
            }
        }
    }
    whole.len() * W
}

/// All weight rows of a tile against `X` activation rows: blocks of `W`, and what is left one by one.
#[inline(always)]
fn rows<D: StoredPairs, const W: usize, const X: usize, const N: usize>(
    s: Avx512Bf16,
    w: &[&[u8]],
    x: &PairedRows<'_>,
    at: usize,
    out: &mut [[f32; TILE]],
) -> usize {
    let mut done = blocked::<D, W, X, N>(s, w, x, at, out);
    while done < w.len() {
        let mut one = [[0.0; TILE]; X];
        blocked::<D, 1, X, 1>(s, &w[done..], x, at, &mut one);
        for i in 0..X {
            out[i][done] = one[i][0];
        }
        done += 1;
    }
    X
}

/// Weight rows against one activation row, one after the other: memory is read fastest in a single stream.
#[inline(always)]
fn one<D: StoredPairs>(
    s: Avx512Bf16,
    w: &[&[u8]],
    x: &PairedRows<'_>,
    at: usize,
    out: &mut [f32; TILE],
) -> usize {
    let whole = x.cols / PAIRED * x.width;
    for (w, out) in w.iter().zip(out) {
        let (w, tail) = w.as_chunks();
        let mut sum = [[s.avx512().splat(0.0)]];
        accumulate::<D, 1, 1>(s, [w], &x.chunks[..whole], (x.width, at), &mut sum);
        if !tail.is_empty() {
            accumulate::<D, 1, 1>(s, [&[filled(tail)]], &x.chunks[whole..], (x.width, at), &mut sum);
        }
        *out = s.avx512().sum(sum[0][0]);
    }
    1
}

/// A tile of up to [`TILE`] consecutive weight rows against a group of activation rows: `out[i][j]` is the product
/// of activation row `i` and weight row `j`.
#[inline(always)]
pub(crate) fn tile<D: StoredPairs>(s: Avx512Bf16, w: &[u8], x: &PairedRows<'_>, out: &mut Outputs) {
    if x.cols == 0 {
        out.fill([0.0; TILE]);
        return;
    }
    let mut weights = [&w[..0]; TILE];
    let mut count = 0;
    for (row, bytes) in weights.iter_mut().zip(w.chunks_exact(2 * x.cols)) {
        *row = bytes;
        count += 1;
    }
    let w = &weights[..count];
    let mut at = 0;
    while at < x.width.min(GROUP) {
        let out = &mut out[at..];
        at += match (x.width - at, D::BLOCK) {
            (12.., Block::TwoByTwelve) => rows::<D, 2, 12, 8>(s, w, x, at, out),
            (6.., _) => rows::<D, 4, 6, 4>(s, w, x, at, out),
            (4.., _) => rows::<D, 4, 4, 4>(s, w, x, at, out),
            (2.., _) => rows::<D, 4, 2, 4>(s, w, x, at, out),
            _ => one::<D>(s, w, x, at, &mut out[0]),
        };
    }
}

#[cfg(test)]
mod tests {

    use super::super::Kernels;
    use super::*;
    use crate::backend::cpu::isa::Isa;
    use crate::core::DType;
    use crate::quant::{quantize_row, row_bytes};

    const COLS: [usize; 12] = [0, 1, 15, 16, 31, 32, 33, 63, 64, 65, 300, 1101];
    const SHAPES: [(usize, usize); 10] =
        [(0, 1), (1, 1), (4, 2), (7, 3), (16, 4), (15, 5), (16, 12), (9, 11), (3, 7), (3, 0)];

    /// Numbers in -1..1.
    fn numbers(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    /// Activation rows, brought into pairs by the kernel under test.
    fn chunks(k: &Kernels, x: &[f32], cols: usize, width: usize) -> Vec<[u16; PAIRED]> {
        let mut out = vec![[7; PAIRED]; cols.div_ceil(PAIRED) * width];
        for row in 0..width.min(out.len()) {
            (k.paired.unwrap().narrow)(&x[row * cols..(row + 1) * cols], width, &mut out[row..]);
        }
        out
    }

    #[test]
    fn products_are_those_of_the_rounded_values_whatever_the_group() {
        let Some(k) = Kernels::of(Isa::Avx512Bf16) else {
            crate::skip::inapplicable("the kernels of avx512bf16", "the processor lacks them");
            return;
        };
        for (dtype, cols) in [DType::F16, DType::BF16].into_iter().flat_map(|d| COLS.map(|c| (d, c))) {
            let tile = k.paired_tile(dtype).unwrap();
            let row = row_bytes(dtype, cols);
            let weights: Vec<f32> = numbers(3, cols * TILE);
            let mut w = vec![0; row * TILE + 1];
            for r in 0..TILE {
                quantize_row(dtype, &weights[r * cols..][..cols], &mut w[1 + r * row..][..row]).unwrap();
            }
            let w = &w[1..]; // an odd address
            let x = numbers(77, cols * GROUP);
            for (rows, width) in SHAPES {
                let mut out = [[9.0; TILE]; GROUP];
                let group = chunks(k, &x, cols, width);
                tile(&w[..rows * row], &PairedRows { width, cols, chunks: &group }, &mut out);
                for (i, j) in (0..width).flat_map(|i| (0..rows).map(move |j| (i, j))) {
                    let at = format!("{dtype} cols {cols} of {rows}x{width} at {i},{j}");
                    let (w, x) = (&w[j * row..(j + 1) * row], &x[i * cols..(i + 1) * cols]);
                    let mut alone = [[9.0; TILE]; GROUP];
                    let one = chunks(k, x, cols, 1);
                    tile(w, &PairedRows { width: 1, cols, chunks: &one }, &mut alone);
                    assert_eq!(out[i][j].to_bits(), alone[0][0].to_bits(), "{at}");
                    let (mut truth, mut size) = (0.0, 0.0);
                    for (w, &x) in w.chunks_exact(2).zip(x) {
                        let bits = u16::from_le_bytes([w[0], w[1]]);
                        let w = match dtype {
                            DType::F16 => half::bf16::from_f32(half::f16::from_bits(bits).to_f32()),
                            _ => half::bf16::from_bits(bits),
                        };
                        let product = w.to_f64() * half::bf16::from_f32(x).to_f64();
                        truth += product;
                        size += product.abs();
                    }
                    let error = (f64::from(out[i][j]) - truth).abs();
                    assert!(error <= 1e-6 * size, "{at}: {} is not {truth}", out[i][j]);
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let Some(k) = Kernels::of(Isa::Avx512Bf16) else { return };
        let mut out = [[9.0; TILE]; GROUP];
        for (x, good) in [(f32::NAN, f32::is_nan as fn(f32) -> bool), (f32::INFINITY, |v| v == f32::INFINITY)]
        {
            let group = chunks(k, &[0.5, x, 0.5], 3, 1);
            let w = [1.0f32, 2.0, 3.0].map(|v| half::bf16::from_f32(v).to_le_bytes()).concat();
            let group = PairedRows { width: 1, cols: 3, chunks: &group };
            k.paired_tile(DType::BF16).unwrap()(&w, &group, &mut out);
            assert!(good(out[0][0]), "{x} became {}", out[0][0]);
        }
    }
}
