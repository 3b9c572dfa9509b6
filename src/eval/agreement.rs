//! How alike two models are at the same places of a text.

use super::Step;
use super::kendall::tau_b;

/// Sums over the steps of two runs.
///
/// The Kullback-Leibler divergence is that of this run from the other (the other's probabilities weigh), in nats, over
/// the other's top ids and all remaining ones together: it is at most the divergence over the whole vocabulary,
/// and the nearer to it the more ids were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    steps: usize,
    same_first: usize,
    divergence: f64,
    largest: f64,
    largest_at: usize,
    taus: usize,
    tau: f64,
}

impl Agreement {
    /// Compares the other run's step with this run's `logits` and their `log_sum_exp`.
    pub fn add(&mut self, theirs: &Step, logits: &[f32], logsumexp: f64) {
        self.steps += 1;
        let first = logits.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (id, &logit)| {
            if logit > best.1 { (id, logit) } else { best }
        });
        self.same_first += usize::from(theirs.top.first().is_some_and(|top| top.0 as usize == first.0));
        let divergence = divergence(theirs, logits, logsumexp);
        self.divergence += divergence;
        if divergence > self.largest {
            (self.largest, self.largest_at) = (divergence, theirs.target);
        }
        let ours: Vec<f32> =
            theirs.top.iter().filter_map(|(id, _)| logits.get(*id as usize).copied()).collect();
        let others: Vec<f32> = theirs.top.iter().map(|top| top.1).collect();
        if let Some(tau) = tau_b(&others, &ours) {
            self.taus += 1;
            self.tau += tau;
        }
    }

    /// Steps that were compared.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The share of steps at which both have the same argmax (of equal ids the lowest).
    pub fn same_first(&self) -> f64 {
        self.same_first as f64 / self.steps.max(1) as f64
    }

    /// Mean divergence.
    pub fn mean_divergence(&self) -> f64 {
        self.divergence / self.steps.max(1) as f64
    }

    /// The largest divergence, and the index of the token that was expected there.
    pub fn largest_divergence(&self) -> (f64, usize) {
        (self.largest, self.largest_at)
    }

    /// Mean of Kendall's tau-b between the two runs' logits of the other's top ids, over the steps where it is
    /// defined; `None` if it is nowhere.
    pub fn mean_tau(&self) -> Option<f64> {
        (self.taus > 0).then(|| self.tau / self.taus as f64)
    }
}

/// A remainder below this is what rounding leaves of none.
const NOTHING: f64 = 1e-12;

fn divergence(theirs: &Step, logits: &[f32], logsumexp: f64) -> f64 {
    let (mut sum, mut rest_theirs, mut rest_ours) = (0.0, 1.0, 1.0);
    for (id, logit) in &theirs.top {
        let log_p = f64::from(*logit) - theirs.logsumexp;
        let log_q = logits.get(*id as usize).map_or(f64::NEG_INFINITY, |&l| f64::from(l) - logsumexp);
        let p = libm::exp(log_p);
        sum += p * (log_p - log_q);
        rest_theirs -= p;
        rest_ours -= libm::exp(log_q);
    }
    if rest_theirs > NOTHING {
        sum += rest_theirs * libm::log(rest_theirs / rest_ours.max(f64::MIN_POSITIVE));
    }
    sum.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{log_sum_exp, top};

    /// Logits whose probabilities are these.
    fn logits(probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() as f32).collect()
    }

    fn step(logits: &[f32], k: usize) -> Step {
        Step { target: 7, logsumexp: log_sum_exp(logits), top: top(logits, k, &mut Vec::new()) }
    }

    fn compare(p: &[f64], q: &[f64], k: usize) -> Agreement {
        let (p, q) = (logits(p), logits(q));
        let mut agreement = Agreement::default();
        agreement.add(&step(&p, k), &q, log_sum_exp(&q));
        agreement
    }

    #[test]
    fn divergence_by_hand() {
        // Whole vocabulary: 0.5 ln(0.5/0.25) + 0.25 ln(0.25/0.25) + 0.25 ln(0.25/0.5) = 0.25 ln 2.
        let (p, q) = ([0.5, 0.25, 0.25], [0.25, 0.25, 0.5]);
        let all = compare(&p, &q, 3);
        assert!((all.mean_divergence() - 0.25 * 2f64.ln()).abs() < 1e-7, "{all:?}");
        assert_eq!((all.same_first(), all.largest_divergence().1), (0.0, 7));
        // The top id and the rest: 0.5 ln(0.5/0.25) + 0.5 ln(0.5/0.75).
        let coarse = compare(&p, &q, 1);
        assert!((coarse.mean_divergence() - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-7, "{coarse:?}");
        assert!(coarse.mean_divergence() < all.mean_divergence());
        assert_eq!(coarse.mean_tau(), None, "one id has no order");
    }

    #[test]
    fn the_same_agrees_wholly() {
        let p = [0.4, 0.3, 0.2, 0.1];
        let same = compare(&p, &p, 3);
        assert!(same.mean_divergence() < 1e-12);
        assert_eq!((same.same_first(), same.mean_tau(), same.steps()), (1.0, Some(1.0), 1));
    }

    #[test]
    fn means_and_largest_are_over_all_steps() {
        let (p, q) = (logits(&[0.5, 0.3, 0.2]), logits(&[0.3, 0.5, 0.2]));
        let mut agreement = Agreement::default();
        agreement.add(&Step { target: 3, ..step(&p, 2) }, &p, log_sum_exp(&p));
        agreement.add(&Step { target: 5, ..step(&p, 2) }, &q, log_sum_exp(&q));
        let (largest, at) = agreement.largest_divergence();
        // 0.5 ln(0.5/0.3) + 0.3 ln(0.3/0.5), and nothing for the rest.
        assert!((largest - 0.2 * (5.0f64 / 3.0).ln()).abs() < 1e-7);
        assert_eq!((at, agreement.same_first(), agreement.mean_tau()), (5, 0.5, Some(0.0)));
        assert!((agreement.mean_divergence() - largest / 2.0).abs() < 1e-12);
    }

    #[test]
    fn certainty_about_something_else_is_far_but_finite() {
        let (p, q) = (vec![60.0, 0.0, 0.0], vec![0.0, 60.0, 0.0]);
        let mut agreement = Agreement::default();
        agreement.add(&step(&p, 2), &q, log_sum_exp(&q));
        assert!((agreement.mean_divergence() - 60.0).abs() < 1e-6, "{agreement:?}");
    }
}
