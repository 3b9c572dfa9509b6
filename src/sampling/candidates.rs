//! The tokens that are still to be chosen from.

use std::cmp::Ordering;

/// The weight of the most likely candidate.
pub const MAX_WEIGHT: u64 = 1 << 46;

/// A token that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its logit: never NaN or +inf.
    pub logit: f32,
    /// Its probability relative to the most likely one's, in units of 1 / [`MAX_WEIGHT`]; valid after
    /// [`Candidates::weigh`].
    pub weight: u64,
}

impl Candidate {
    /// The likelier candidate first; of equals the one with the lower id.
    pub fn rank(&self, other: &Self) -> Ordering {
        // No NaN and no -0.0 (see `fill`): the total order is the numeric one.
        other.logit.total_cmp(&self.logit).then(self.id.cmp(&other.id))
    }
}

/// A set of candidates, in any order, with a workspace that is kept from token to token.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    items: Vec<Candidate>,
    weighed: bool,
}

impl Candidates {
    /// Takes every token of the vocabulary whose logit is above -inf; no logit may be NaN. If some are +inf,
    /// they alone are taken, equally likely.
    pub fn fill(&mut self, logits: &[f32]) {
        self.fill_some((0..).zip(logits.iter().copied()));
    }

    /// As [`Self::fill`], of some tokens with their logits.
    pub fn fill_some(&mut self, logits: impl Iterator<Item = (u32, f32)> + Clone) {
        self.weighed = false;
        self.items.clear();
        let infinite = logits.clone().any(|(_, logit)| logit == f32::INFINITY);
        self.items.extend(logits.filter_map(|(id, logit)| {
            let keep = if infinite { logit == f32::INFINITY } else { logit > f32::NEG_INFINITY };
            // -0.0 + 0.0 is 0.0
            let logit = if infinite { 0.0 } else { logit + 0.0 };
            keep.then_some(Candidate { id, logit, weight: 0 })
        }));
    }

    /// The candidates, in no particular order.
    pub fn items(&self) -> &[Candidate] {
        &self.items
    }

    /// Replaces each logit `x` by `f(x)`, which has to keep their order and be neither NaN nor +inf.
    pub fn map_logits(&mut self, f: impl Fn(f32) -> f32) {
        self.weighed = false;
        for candidate in &mut self.items {
            candidate.logit = f(candidate.logit) + 0.0;
        }
    }

    /// The candidates for a filter to reorder or drop. The most likely one has to stay, and logits and weights
    /// as they are.
    pub fn items_mut(&mut self) -> &mut Vec<Candidate> {
        &mut self.items
    }

    /// The largest logit, -inf if there is no candidate.
    pub fn max_logit(&self) -> f32 {
        self.items.iter().fold(f32::NEG_INFINITY, |max, c| if c.logit > max { c.logit } else { max })
    }

    /// Computes every candidate's weight, exp(logit - max) in whole units of 1 / [`MAX_WEIGHT`], if that has
    /// not been done yet, and returns their sum. Whole numbers add up to the same sum in any order.
    pub fn weigh(&mut self) -> u128 {
        if !self.weighed {
            let max = f64::from(self.max_logit());
            for candidate in &mut self.items {
                candidate.weight = weight(f64::from(candidate.logit) - max);
            }
            self.weighed = true;
        }
        self.items.iter().map(|c| u128::from(c.weight)).sum()
    }
}

/// exp(x) in units of 1 / [`MAX_WEIGHT`], rounded to the nearest, for x <= 0.
fn weight(x: f64) -> u64 {
    // exp(-33) * 2^46 is below a half.
    if x < -33.0 { 0 } else { (libm::exp(x) * MAX_WEIGHT as f64 + 0.5) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2^46 / e, which is 25887214284015.22, rounded.
    const INV_E: u64 = 25_887_214_284_015;

    #[test]
    fn weights_are_relative_to_the_argmax() {
        let mut candidates = Candidates::default();
        candidates.fill(&[1.0, 0.0, 1.0, -40.0, f32::NEG_INFINITY]);
        let total = candidates.weigh();
        let weights: Vec<(u32, u64)> = candidates.items().iter().map(|c| (c.id, c.weight)).collect();
        assert_eq!(weights, [(0, MAX_WEIGHT), (1, INV_E), (2, MAX_WEIGHT), (3, 0)]);
        assert_eq!(total, u128::from(2 * MAX_WEIGHT + INV_E));
    }

    #[test]
    fn infinite_logits_stand_alone() {
        let mut candidates = Candidates::default();
        candidates.fill(&[1.0, f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY]);
        assert_eq!(candidates.weigh(), u128::from(2 * MAX_WEIGHT));
        assert_eq!(candidates.items().iter().map(|c| c.id).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_change_of_logits_changes_the_weights() {
        let mut candidates = Candidates::default();
        candidates.fill(&[2.0, 0.0]);
        candidates.weigh();
        candidates.map_logits(|x| x / 2.0);
        assert_eq!(candidates.weigh(), u128::from(MAX_WEIGHT + INV_E));
    }

    #[test]
    fn zeros_of_both_signs_are_equal() {
        let mut candidates = Candidates::default();
        candidates.fill(&[-0.0, 0.0]);
        assert_eq!(candidates.items()[0].rank(&candidates.items()[1]), Ordering::Less);
    }
}
