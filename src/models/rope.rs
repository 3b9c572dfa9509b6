//! Angles of the rotary position embedding (Su et al. 2021, arXiv 2104.09864).
//!
//! Everything is computed in f64 with `libm`, whose results are the same on every machine, and stored as f32.

use std::f64::consts::TAU;
use std::ops::Range;

use super::spec::{QueryGrowth, RopeSpec};

/// Changes of the frequencies, named as `rope_type` names them.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// `default`: as they are.
    None,
    /// `linear`: every frequency divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// At least 1 in practice.
        factor: f64,
    },
    /// `dynamic`: for texts longer than `original`, a base that grows with the context (bloc97 and emozilla 2023).
    Dynamic {
        /// How fast it grows.
        factor: f64,
        /// Positions that the model was first trained for.
        original: usize,
    },
    /// `yarn`: low frequencies divided by `factor`, high ones kept, a ramp between them over the pairs; angles are
    /// multiplied by `attention_factor` (Peng et al. 2023, arXiv 2309.00071).
    Yarn {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Pairs that turn more often than this within `original` positions are kept.
        beta_fast: f64,
        /// Pairs that turn less often than this are divided.
        beta_slow: f64,
        /// Positions that the model was first trained for.
        original: usize,
        /// The length of a turned vector.
        attention_factor: f64,
        /// The ramp begins and ends at whole pairs.
        truncate: bool,
    },
    /// `llama3`: low frequencies divided by `factor`, high ones kept, a ramp between them (Llama 3.1).
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Positions that the model was first trained for.
        original: usize,
    },
    /// `longrope`: a divisor for each frequency, and others for texts longer than `original` (Ding et al. 2024, arXiv
    /// 2402.13753).
    LongRope {
        /// Up to that length, one for each pair.
        short: Vec<f64>,
        /// Beyond it.
        long: Vec<f64>,
        /// Positions that the model was first trained for.
        original: usize,
        /// The length of a turned vector.
        attention_factor: f64,
    },
}

impl RopeScaling {
    /// The length of a text beyond which it has other frequencies.
    pub fn switch(&self) -> Option<usize> {
        match self {
            RopeScaling::Dynamic { original, .. } | RopeScaling::LongRope { original, .. } => Some(*original),
            RopeScaling::None
            | RopeScaling::Linear { .. }
            | RopeScaling::Yarn { .. }
            | RopeScaling::Llama3 { .. } => None,
        }
    }
}

/// How long a text is, as far as frequencies depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextSpan {
    /// Within the length that the model was first trained for.
    #[default]
    Original,
    /// Longer, in a context of this many tokens.
    Beyond(usize),
}

/// The angle per position of each pair of a head, in radians.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    frequencies: Vec<f64>,
    /// The length of a vector of length 1 that was turned.
    length: f64,
    query_growth: Option<QueryGrowth>,
}

impl Rope {
    /// The frequencies for texts of this span.
    pub fn new(spec: &RopeSpec, span: TextSpan) -> Self {
        let plain = |theta: f64| -> Vec<f64> {
            (0..spec.dims / 2).map(|i| 1.0 / libm::pow(theta, (2 * i) as f64 / spec.dims as f64)).collect()
        };
        let each =
            |change: &dyn Fn(f64) -> f64| plain(spec.theta).into_iter().map(change).collect::<Vec<_>>();
        let (frequencies, length) = match &spec.scaling {
            RopeScaling::None => (plain(spec.theta), 1.0),
            RopeScaling::Linear { factor } => (each(&|f| f / factor), 1.0),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                let band = (*low_freq_factor, *high_freq_factor);
                (each(&|f| llama3(f, *factor, band, *original as f64)), 1.0)
            }
            RopeScaling::Dynamic { factor, original } => {
                (plain(dynamic(spec, *factor, *original, span)), 1.0)
            }
            RopeScaling::Yarn { factor, attention_factor, .. } => {
                let kept = yarn_kept(spec);
                let blend = |(f, kept): (f64, &f64)| f / factor * (1.0 - kept) + f * kept;
                (plain(spec.theta).into_iter().zip(&kept).map(blend).collect(), *attention_factor)
            }
            RopeScaling::LongRope { short, long, attention_factor, .. } => {
                let divisors = if span == TextSpan::Original { short } else { long };
                let all = plain(spec.theta).into_iter().zip(divisors).map(|(f, divisor)| f / divisor);
                (all.collect(), *attention_factor)
            }
        };
        Self { frequencies, length, query_growth: spec.query_growth }
    }

    /// Pairs of a head that are turned.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Radians a position, one for each pair.
    pub fn frequencies(&self) -> &[f64] {
        &self.frequencies
    }

    /// Whether queries are turned by other numbers than keys.
    pub fn grows_queries(&self) -> bool {
        self.query_growth.is_some()
    }

    /// Fills one row for each position: `pairs` cosines, then `pairs` sines.
    ///
    /// # Panics
    /// If `out` is not `2 * pairs` values for each position.
    pub fn fill(&self, positions: Range<usize>, out: &mut [f32]) {
        self.fill_scaled(positions, out, |_| self.length);
    }

    /// The same for queries.
    ///
    /// # Panics
    /// As [`Self::fill`].
    pub fn fill_queries(&self, positions: Range<usize>, out: &mut [f32]) {
        self.fill_scaled(positions, out, |position| match self.query_growth {
            None => self.length,
            Some(QueryGrowth { beta, original }) => {
                self.length * (1.0 + beta * libm::log((1 + position / original) as f64))
            }
        });
    }

    fn fill_scaled(&self, positions: Range<usize>, out: &mut [f32], length: impl Fn(usize) -> f64) {
        let pairs = self.pairs();
        assert_eq!(out.len(), positions.len() * 2 * pairs);
        for (row, position) in out.chunks_exact_mut((2 * pairs).max(1)).zip(positions) {
            let length = length(position);
            let (cosines, sines) = row.split_at_mut(pairs);
            for ((c, s), f) in cosines.iter_mut().zip(sines).zip(&self.frequencies) {
                let (sin, cos) = libm::sincos(position as f64 * f);
                (*c, *s) = ((cos * length) as f32, (sin * length) as f32);
            }
        }
    }
}

/// Llama 3.1, "apply_scaling" of Meta's reference code: long wavelengths are stretched by `factor`, short ones are kept,
/// and those in between are blended.
fn llama3(frequency: f64, factor: f64, (low, high): (f64, f64), trained: f64) -> f64 {
    let wavelength = TAU / frequency;
    if wavelength < trained / high {
        frequency
    } else if wavelength > trained / low {
        frequency / factor
    } else {
        let keep = (trained / wavelength - low) / (high - low);
        (1.0 - keep) * frequency / factor + keep * frequency
    }
}

/// The base of the frequencies for a context beyond the original one: as transformers has it for a text as long as the
/// context, so that all of a text has the same frequencies.
fn dynamic(spec: &RopeSpec, factor: f64, original: usize, span: TextSpan) -> f64 {
    let TextSpan::Beyond(context) = span else { return spec.theta };
    let longer = factor * context.max(original) as f64 / original as f64 - (factor - 1.0);
    let dims = spec.dims as f64;
    // A single pair does not depend on the base.
    if spec.dims > 2 { spec.theta * libm::pow(longer, dims / (dims - 2.0)) } else { spec.theta }
}

/// How much of each pair's frequency is kept: 1 for those that turn often, 0 for those that turn seldom.
fn yarn_kept(spec: &RopeSpec) -> Vec<f64> {
    let RopeScaling::Yarn { beta_fast, beta_slow, original, truncate, .. } = spec.scaling else {
        return vec![1.0; spec.dims / 2];
    };
    // The pair that turns `turns` times within the original positions.
    let pair = |turns: f64| {
        spec.dims as f64 * libm::log(original as f64 / (turns * TAU)) / (2.0 * libm::log(spec.theta))
    };
    let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(spec.dims as f64 - 1.0));
    if low == high {
        high += 0.001;
    }
    (0..spec.dims / 2).map(|i| 1.0 - ((i as f64 - low) / (high - low)).clamp(0.0, 1.0)).collect()
}

#[cfg(test)]
#[path = "rope_tests.rs"]
mod tests;
