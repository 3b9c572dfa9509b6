//! How likely tokens were.

/// Negative log-likelihoods of tokens, in nats, summed up one by one (Welford 1962): the same tokens in the same order
/// give the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likelihood {
    tokens: usize,
    mean: f64,
    squares: f64,
}

impl Likelihood {
    /// Counts a token.
    pub fn add(&mut self, nll: f64) {
        self.tokens += 1;
        let distance = nll - self.mean;
        self.mean += distance / self.tokens as f64;
        self.squares += distance * (nll - self.mean);
    }

    /// Counts all tokens of another sum (Chan, Golub and LeVeque 1983).
    pub fn merge(&mut self, other: &Self) {
        let tokens = self.tokens + other.tokens;
        if other.tokens == 0 {
            return;
        }
        let share = other.tokens as f64 / tokens as f64;
        let distance = other.mean - self.mean;
        self.squares += other.squares + distance * distance * self.tokens as f64 * share;
        self.mean += distance * share;
        self.tokens = tokens;
    }

    /// Tokens counted.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The mean, each token weighing the same; 0 for none.
    pub fn mean_nll(&self) -> f64 {
        self.mean
    }

    /// Standard error of the mean, as if tokens were independent; `None` for fewer than two.
    pub fn standard_error(&self) -> Option<f64> {
        let n = self.tokens as f64;
        (self.tokens > 1).then(|| (self.squares / (n - 1.0) / n).sqrt())
    }

    /// `exp` of the mean.
    pub fn perplexity(&self) -> f64 {
        libm::exp(self.mean)
    }

    /// Standard error of the perplexity, to first order.
    pub fn perplexity_error(&self) -> Option<f64> {
        Some(self.perplexity() * self.standard_error()?)
    }
}

/// `ln(sum(exp(logits)))`, in f64.
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&l| libm::exp(f64::from(l) - largest)).sum();
    libm::log(sum) + largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        // Mean 3; squared distances 4 + 1 + 9 = 14, over 2 is 7, over 3 tokens.
        let mut l = Likelihood::default();
        [1.0, 2.0, 6.0].into_iter().for_each(|nll| l.add(nll));
        assert_eq!((l.tokens(), l.mean_nll()), (3, 3.0));
        assert!((l.standard_error().unwrap() - (7.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((l.perplexity() - 20.085_536_923_187_668).abs() < 1e-12);
        assert!((l.perplexity_error().unwrap() - 20.085_536_923 * (7.0f64 / 3.0).sqrt()).abs() < 1e-7);
        let mut one = Likelihood::default();
        assert_eq!((one.mean_nll(), one.standard_error()), (0.0, None));
        one.add(0.5);
        assert_eq!((one.mean_nll(), one.standard_error()), (0.5, None));
    }

    #[test]
    fn parts_make_the_whole() {
        let of = |nlls: &[f64]| {
            let mut l = Likelihood::default();
            nlls.iter().for_each(|&nll| l.add(nll));
            l
        };
        let (whole, mut parts) = (of(&[1.0, 5.0, 2.5, 0.5, 7.0]), of(&[]));
        for part in [&[1.0, 5.0][..], &[], &[2.5], &[0.5, 7.0]] {
            parts.merge(&of(part));
        }
        assert_eq!(parts.tokens(), 5);
        assert!((parts.mean_nll() - whole.mean_nll()).abs() < 1e-15);
        assert!((parts.standard_error().unwrap() - whole.standard_error().unwrap()).abs() < 1e-15);
    }

    #[test]
    fn sums_of_exponentials_do_not_overflow() {
        // Three equal logits: their own plus ln 3.
        for base in [0.0f32, 1e4, -1e4] {
            assert!((log_sum_exp(&[base; 3]) - f64::from(base) - 3f64.ln()).abs() < 1e-11);
        }
        assert!((log_sum_exp(&[0.0, f32::NEG_INFINITY]) - 0.0).abs() < 1e-15);
    }
}
