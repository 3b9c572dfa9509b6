//! What is said of repeated measurements.

/// Of a list of measurements; all 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (`n - 1` in the divisor); 0 for fewer than two.
    pub deviation: f64,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
}

impl Summary {
    /// Of these measurements, in any order.
    pub fn of(samples: &[f64]) -> Self {
        if samples.is_empty() {
            return Self::default();
        }
        let n = samples.len();
        let mean = samples.iter().sum::<f64>() / n as f64;
        let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
        let deviation = if n < 2 { 0.0 } else { (squares / (n - 1) as f64).sqrt() };
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median =
            if n.is_multiple_of(2) { (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0 } else { sorted[n / 2] };
        Self { mean, deviation, median, min: sorted[0] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        // Squares of the distances from 5: 9, 1, 1, 1, 0, 0, 4, 16; their sum 32 over 7 is 4.571428...
        let s = Summary::of(&[9.0, 4.0, 2.0, 5.0, 4.0, 4.0, 7.0, 5.0]);
        assert_eq!((s.mean, s.median, s.min), (5.0, 4.5, 2.0));
        assert!((s.deviation - 2.138_089_935).abs() < 1e-9, "{}", s.deviation);
        let s = Summary::of(&[3.0, 1.0, 8.0]);
        assert_eq!((s.mean, s.median, s.min), (4.0, 3.0, 1.0));
        assert!((s.deviation - 13f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn one_and_none() {
        assert_eq!(Summary::of(&[2.5]), Summary { mean: 2.5, deviation: 0.0, median: 2.5, min: 2.5 });
        assert_eq!(Summary::of(&[]), Summary::default());
    }
}
