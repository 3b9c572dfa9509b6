//! The int8 form of a linear layer's input: per block of 32, the quants, an f32 scale and the quants' sum.

use super::round::ties_even;
use crate::core::BLOCK_LEN;

/// Blocks whose largest magnitude is below this (2^-119) count as zero, so that neither the scale is
/// subnormal nor its inverse infinite.
pub const MIN_AMAX: f32 = f32::MIN_POSITIVE * 128.0;

/// Quantizes a block; answers its scale and the sum of its quants.
///
/// With `amax = max |x|`: `scale = amax / 127`, `inv = 127 / amax` and `q = x * inv` (one f32 product), rounded to
/// nearest with ties to even, within `-127..=127`. Two cases are apart:
///
/// - `amax < `[`MIN_AMAX`] (zeros): scale, quants and sum are 0.
/// - An element is NaN or infinite: the scale is NaN, quants and sum are 0. So whatever is computed from the block
///   is NaN and shows, rather than a number that looks right.
///
/// Magnitudes compare as the bits of `|x|` taken as integers, which puts both infinity and NaN above every
/// finite value: kernels can find all cases by one integer maximum.
pub fn quantize_block(x: &[f32; BLOCK_LEN], q: &mut [i8; BLOCK_LEN]) -> (f32, i32) {
    let bits = x.iter().fold(0u32, |m, v| m.max(v.abs().to_bits()));
    let amax = f32::from_bits(bits);
    if !amax.is_finite() || amax < MIN_AMAX {
        *q = [0; BLOCK_LEN];
        return (if amax.is_finite() { 0.0 } else { f32::NAN }, 0);
    }
    let inv = 127.0 / amax;
    let mut sum = 0;
    for (q, &v) in q.iter_mut().zip(x) {
        // |v * inv| is at most 127 plus a rounding error, which rounds to 127: the limit needs no code.
        let n = ties_even(v * inv) as i32;
        *q = n as i8;
        sum += n;
    }
    (amax / 127.0, sum)
}

/// A row of activations, quantized in blocks of [`BLOCK_LEN`]; a last partial block is padded with zeros.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantizedRow {
    /// `[blocks * 32]` quants in `-127..=127`.
    pub quants: Vec<i8>,
    /// `[blocks]` scales.
    pub scales: Vec<f32>,
    /// `[blocks]` sums of a block's quants.
    pub sums: Vec<i32>,
}

impl QuantizedRow {
    /// An empty row.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the contents by `x`, quantized block by block with [`quantize_block`]. Allocates only if it never
    /// held as long a row.
    pub fn quantize(&mut self, x: &[f32]) {
        let blocks = x.len().div_ceil(BLOCK_LEN);
        self.quants.resize(blocks * BLOCK_LEN, 0);
        self.scales.resize(blocks, 0.0);
        self.sums.resize(blocks, 0);
        let (quants, _) = self.quants.as_chunks_mut::<BLOCK_LEN>();
        let out = quants.iter_mut().zip(&mut self.scales).zip(&mut self.sums);
        for (((q, scale), sum), x) in out.zip(x.chunks(BLOCK_LEN)) {
            (*scale, *sum) = match x.first_chunk() {
                Some(x) => quantize_block(x, q),
                None => quantize_block(&super::pad(x), q),
            };
        }
    }

    /// The values that it stands for, `q * scale`; `out` takes as many as it is long.
    ///
    /// # Panics
    /// If `out` is longer than the row, padding included.
    pub fn dequantize(&self, out: &mut [f32]) {
        assert!(out.len() <= self.quants.len(), "{} elements of a row of {}", out.len(), self.quants.len());
        for (i, v) in out.iter_mut().enumerate() {
            *v = f32::from(self.quants[i]) * self.scales[i / BLOCK_LEN];
        }
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.scales.len()
    }

    /// Quants, scale and sum of block `i`.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn block(&self, i: usize) -> (&[i8; BLOCK_LEN], f32, i32) {
        (&self.quants.as_chunks().0[i], self.scales[i], self.sums[i])
    }
}
