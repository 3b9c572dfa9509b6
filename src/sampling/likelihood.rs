//! How likely each token is by a row of logits.

use crate::core::Top;

/// The probabilities of all tokens, and the likeliest few of them.
#[derive(Clone, Debug)]
pub struct Likelihood {
    logits: Vec<f32>,
    /// The logarithm of the sum of all exponentials.
    log_sum: f64,
    /// The likeliest tokens with the natural logarithms of their probabilities, the likeliest first.
    pub top: Vec<(u32, f64)>,
}

impl Likelihood {
    /// Of one logit for each token. Sums are in f64, in the order of tokens.
    pub fn of(logits: &[f32], count: usize) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let max = if max.is_finite() { f64::from(max) } else { 0.0 };
        let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - max)).sum();
        let log_sum = max + libm::log(sum);
        let mut top = Top::default();
        if count > 0 {
            top.find(logits, count);
        }
        let top = top.sorted().into_iter().map(|(id, logit)| (id, f64::from(logit) - log_sum)).collect();
        Self { logits: logits.to_vec(), log_sum, top }
    }

    /// The natural logarithm of a token's probability; -inf for one that has no logit.
    pub fn logprob(&self, id: u32) -> f64 {
        self.logits.get(id as usize).map_or(f64::NEG_INFINITY, |&logit| f64::from(logit) - self.log_sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_the_definition() {
        // Odds of 1 : 2 : 4 : 1, so eighths.
        let odds = [1.0_f32, 2.0, 4.0, 1.0];
        let logits = odds.map(|odd| odd.ln() + 300.0);
        let likely = Likelihood::of(&logits, 2);
        for (id, odd) in (0..).zip(odds) {
            assert!((likely.logprob(id).exp() - f64::from(odd) / 8.0).abs() < 1e-5, "{id}");
        }
        assert_eq!(likely.top.iter().map(|t| t.0).collect::<Vec<_>>(), [2, 1]);
        assert!((likely.top[0].1.exp() - 0.5).abs() < 1e-5);
        assert_eq!(likely.logprob(4), f64::NEG_INFINITY);
        assert!(Likelihood::of(&logits, 0).top.is_empty());
    }

    #[test]
    fn a_token_that_is_ruled_out_has_no_probability() {
        let likely = Likelihood::of(&[0.0, f32::NEG_INFINITY], 5);
        assert_eq!((likely.logprob(0), likely.logprob(1)), (0.0, f64::NEG_INFINITY));
        assert_eq!(likely.top.len(), 1);
    }
}
