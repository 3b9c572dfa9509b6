//! Angles of the rotary position embedding (Su et al. 2021, arXiv 2104.09864).
//!
//! Everything is computed in f64 with `libm`, whose results are the same on every machine, and stored as f32.

use std::ops::Range;

use super::{RopeConfig, RopeScaling};

/// The angle per position of each pair of a head, in radians.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    frequencies: Vec<f64>,
}

impl Rope {
    /// Frequencies for heads of `head_dim` (even) elements.
    pub fn new(config: &RopeConfig, head_dim: usize) -> Self {
        let frequencies = (0..head_dim / 2)
            .map(|i| {
                let plain = 1.0 / libm::pow(config.theta, (2 * i) as f64 / head_dim as f64);
                scale(plain, &config.scaling)
            })
            .collect();
        Self { frequencies }
    }

    /// Pairs of a head.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Radians a position, one for each pair.
    pub fn frequencies(&self) -> &[f64] {
        &self.frequencies
    }

    /// Fills one row for each position: `pairs` cosines, then `pairs` sines.
    ///
    /// # Panics
    /// If `out` is not `2 * pairs` values for each position.
    pub fn fill(&self, positions: Range<usize>, out: &mut [f32]) {
        let pairs = self.pairs();
        assert_eq!(out.len(), positions.len() * 2 * pairs);
        for (row, position) in out.chunks_exact_mut(2 * pairs).zip(positions) {
            let (cosines, sines) = row.split_at_mut(pairs);
            for ((c, s), f) in cosines.iter_mut().zip(sines).zip(&self.frequencies) {
                let (sin, cos) = libm::sincos(position as f64 * f);
                (*c, *s) = (cos as f32, sin as f32);
            }
        }
    }
}

/// Applies a checkpoint's scaling to one frequency.
fn scale(frequency: f64, scaling: &RopeScaling) -> f64 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        // Llama 3.1, "apply_scaling" of Meta's reference code: long wavelengths are stretched by `factor`,
        // short ones are kept, and those in between are blended.
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let trained = original_max_position_embeddings as f64;
            let wavelength = std::f64::consts::TAU / frequency;
            if wavelength < trained / high_freq_factor {
                frequency
            } else if wavelength > trained / low_freq_factor {
                frequency / factor
            } else {
                let keep = (trained / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (1.0 - keep) * frequency / factor + keep * frequency
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(scaling: RopeScaling) -> Rope {
        Rope::new(&RopeConfig { theta: 10000.0, scaling }, 8)
    }

    #[test]
    fn plain_angles_are_position_times_theta_to_the_minus_2i_over_d() {
        let r = rope(RopeScaling::None);
        let expected = [1.0, 0.1, 0.01, 0.001];
        assert!(r.frequencies.iter().zip(expected).all(|(f, e): (&f64, f64)| (f - e).abs() < 1e-15));
        let mut out = [0.0; 16];
        r.fill(3..5, &mut out);
        assert_eq!(out[0], 3f64.cos() as f32);
        assert_eq!(out[8 + 1], 0.4f64.cos() as f32);
        assert_eq!(out[8 + 4], 4f64.sin() as f32);
    }

    #[test]
    fn a_difference_of_positions_turns_alike_however_far_a_text_has_come() {
        let config = RopeConfig { theta: 500_000.0, scaling: RopeScaling::None };
        let r = Rope::new(&config, 64);
        let (mut key, mut query) = ([0.0; 64], [0.0; 64]);
        for (first, bound) in [(0, 1.5e-7), (1_000_000, 1.5e-7), (1_000_000_000, 4e-7)] {
            r.fill(first..first + 1, &mut key);
            r.fill(first + 300..first + 301, &mut query);
            for (i, f) in r.frequencies.iter().enumerate() {
                let at = |row: &[f32; 64]| (f64::from(row[i]), f64::from(row[32 + i]));
                let ((c0, s0), (c1, s1)) = (at(&key), at(&query));
                let apart = (c0 * c1 + s0 * s1 - (300.0 * f).cos()).abs();
                assert!(apart < bound, "pair {i} at {first}: {apart:e}");
            }
        }
    }

    #[test]
    fn linear_scaling_divides() {
        let r = rope(RopeScaling::Linear { factor: 4.0 });
        assert!((r.frequencies[1] - 0.025).abs() < 1e-15);
    }

    #[test]
    fn llama3_keeps_short_stretches_long_and_blends_between() {
        // Trained on 1000 positions: wavelengths below 250 are kept, above 1000 divided by 8.
        let r = rope(RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 1000,
        });
        assert_eq!(r.frequencies[0], 1.0); // wavelength 6.3
        assert!((r.frequencies[1] - 0.1).abs() < 1e-15); // 63
        // 628: keep = (1000 / 628.3185 - 1) / 3 = 0.1971831
        let expected = 0.01 * (0.802_816_9 / 8.0 + 0.197_183_1);
        assert!((r.frequencies[2] - expected).abs() < 1e-9, "{}", r.frequencies[2]);
        assert!((r.frequencies[3] - 0.001 / 8.0).abs() < 1e-15); // 6283
    }
}
