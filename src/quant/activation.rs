//! The int8 form of a linear layer's input: per block the quants, an f32 scale and the quants' sum. A block has as many
//! elements as one of the weights that it is multiplied with: 32 or 256.

use super::round::ties_even;
use crate::core::BLOCK_LEN;

/// Blocks whose largest magnitude is below this (2^-119) count as zero, so that neither the scale is
/// subnormal nor its inverse infinite.
pub const MIN_AMAX: f32 = f32::MIN_POSITIVE * 128.0;

/// Quantizes a block of any length; returns its scale and the sum of its quants.
///
/// With `amax = max |x|`: `scale = amax / 127`, `inv = 127 / amax` and `q = x * inv` (one f32 product), rounded to
/// nearest with ties to even, within `-127..=127`. Two cases are apart:
///
/// - `amax < `[`MIN_AMAX`] (zeros): scale, quants and sum are 0.
/// - An element is NaN or infinite: the scale is NaN, quants and sum are 0. So whatever is computed from the block
///   is NaN and shows, rather than a number that looks right.
///
/// Magnitudes compare as the bits of `|x|` taken as integers, which puts both infinity and NaN above every
/// finite value: kernels can find all cases by one integer maximum. Elements of `q` beyond those of `x` become 0.
pub fn quantize_block(x: &[f32], q: &mut [i8]) -> (f32, i32) {
    let bits = x.iter().fold(0u32, |m, v| m.max(v.abs().to_bits()));
    let amax = f32::from_bits(bits);
    q.fill(0);
    if !amax.is_finite() || amax < MIN_AMAX {
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

/// A row of activations, quantized in blocks; a last partial block is padded with zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedRow {
    /// Elements of a block.
    block_len: usize,
    /// `[blocks * block_len]` quants in `-127..=127`.
    pub quants: Vec<i8>,
    /// `[blocks]` scales.
    pub scales: Vec<f32>,
    /// `[blocks]` sums of a block's quants.
    pub sums: Vec<i32>,
}

impl QuantizedRow {
    /// An empty row of blocks of so many elements: [`crate::core::DType::block_len`] of the weights.
    pub fn new(block_len: usize) -> Self {
        Self { block_len: block_len.max(1), quants: vec![], scales: vec![], sums: vec![] }
    }

    /// `x`, quantized in blocks of so many elements.
    pub fn of(x: &[f32], block_len: usize) -> Self {
        let mut row = Self::new(block_len);
        row.quantize(x);
        row
    }

    /// Replaces the contents by `x`, quantized block by block with [`quantize_block`]. Allocates only if it never
    /// held as long a row.
    pub fn quantize(&mut self, x: &[f32]) {
        let blocks = x.len().div_ceil(self.block_len);
        self.quants.resize(blocks * self.block_len, 0);
        self.scales.resize(blocks, 0.0);
        self.sums.resize(blocks, 0);
        let out = self.quants.chunks_exact_mut(self.block_len).zip(&mut self.scales).zip(&mut self.sums);
        for (((q, scale), sum), x) in out.zip(x.chunks(self.block_len)) {
            (*scale, *sum) = quantize_block(x, q);
        }
    }

    /// The values that it stands for, `q * scale`; `out` takes as many as it is long.
    ///
    /// # Panics
    /// If `out` is longer than the row, padding included.
    pub fn dequantize(&self, out: &mut [f32]) {
        assert!(out.len() <= self.quants.len(), "{} elements of a row of {}", out.len(), self.quants.len());
        for (i, v) in out.iter_mut().enumerate() {
            *v = f32::from(self.quants[i]) * self.scales[i / self.block_len];
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
    pub fn block(&self, i: usize) -> (&[i8], f32, i32) {
        (&self.quants[i * self.block_len..][..self.block_len], self.scales[i], self.sums[i])
    }
}

impl Default for QuantizedRow {
    /// An empty row for weights in short blocks.
    fn default() -> Self {
        Self::new(BLOCK_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantized(x: [f32; 32]) -> ([i8; 32], f32, i32) {
        let mut q = [99; 32];
        let (scale, sum) = quantize_block(&x, &mut q);
        (q, scale, sum)
    }

    #[test]
    fn ties_go_to_even() {
        let mut x = [0.0; 32];
        x[..8].copy_from_slice(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2.500_000_2]);
        let (q, scale, sum) = quantized(x);
        assert_eq!(q[..9], [127, 0, 2, 2, 0, -2, -2, 3, 0]);
        assert_eq!((scale, sum), (1.0, 130));
        assert_eq!(quantized([-254.0; 32]), ([-127; 32], 2.0, -127 * 32));
    }

    #[test]
    fn zeros_and_what_is_too_small_are_zero() {
        for v in [0.0, -0.0, 1e-45, f32::MIN_POSITIVE, f32::from_bits(MIN_AMAX.to_bits() - 1)] {
            assert_eq!(quantized([v; 32]), ([0; 32], 0.0, 0), "{v:e}");
        }
        let (q, scale, sum) = quantized([MIN_AMAX; 32]);
        assert_eq!((q, sum), ([127; 32], 127 * 32));
        assert!(scale.is_normal());
        let (q, scale, _) = quantized([f32::MIN; 32]);
        assert_eq!(q, [-127; 32]);
        assert!(scale.is_normal());
    }

    #[test]
    fn what_is_not_finite_shows() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.0; 32];
            x[17] = bad;
            let (q, scale, sum) = quantized(x);
            assert_eq!((q, sum), ([0; 32], 0));
            assert!(scale.is_nan());
        }
    }

    #[test]
    fn rows_of_any_length_are_padded_with_zeros() {
        let mut row = QuantizedRow::default();
        // From long to short and back: nothing of an earlier row may stay.
        for len in [95usize, 0, 1, 31, 32, 33, 64, 95] {
            let x: Vec<f32> = (0..len).map(|i| (i as f32 - 20.0) * 0.37).collect();
            row.quantize(&x);
            assert_eq!(row.blocks(), len.div_ceil(32));
            assert_eq!(row.quants.len(), row.blocks() * 32);
            assert!(row.quants[len..].iter().all(|&q| q == 0));
            for i in 0..row.blocks() {
                let (q, _, sum) = row.block(i);
                assert_eq!(q.iter().map(|&v| i32::from(v)).sum::<i32>(), sum);
            }
            let mut y = vec![f32::NAN; len];
            row.dequantize(&mut y);
            for (i, (x, y)) in x.iter().zip(&y).enumerate() {
                assert!((x - y).abs() <= row.scales[i / 32] * 0.500_01, "{len} {i}");
            }
        }
    }

    proptest! {
        #[test]
        fn follows_its_definition_on_any_bits(bits in prop::array::uniform32(any::<u32>()), finite: bool) {
            // Clearing the highest exponent bit leaves only finite values.
            let x = bits.map(|b| f32::from_bits(if finite { b & !(1 << 30) } else { b }));
            let (q, scale, sum) = quantized(x);
            if x.iter().all(|v| v.is_finite()) {
                let amax = x.iter().fold(0f32, |m, v| m.max(v.abs()));
                prop_assume!(amax >= MIN_AMAX);
                prop_assert_eq!(scale, amax / 127.0);
                for (q, v) in q.iter().zip(x) {
                    prop_assert_eq!(f32::from(*q), (v * (127.0 / amax)).round_ties_even());
                    prop_assert!(*q >= -127);
                }
            } else {
                prop_assert!(scale.is_nan());
            }
            prop_assert_eq!(sum, q.iter().map(|&v| i32::from(v)).sum::<i32>());
        }
    }
}
