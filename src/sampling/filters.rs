//! Filters over the candidates. None of them drops the most likely candidate, so the set is never empty.

use super::candidates::{Candidate, Candidates, MAX_WEIGHT};

/// Changes logits or drops candidates.
pub trait LogitsFilter {
    /// Applies the filter. The most likely candidate stays.
    fn apply(&self, candidates: &mut Candidates);
}

/// Divides the logits' distances from the largest one by the temperature.
#[derive(Debug, Clone, Copy)]
pub struct Temperature(
    /// A positive number: below 1 sharpens, above 1 flattens.
    pub f32,
);

impl LogitsFilter for Temperature {
    fn apply(&self, candidates: &mut Candidates) {
        // The distance first: a tiny temperature then leads to -inf and 0, never to +inf.
        let max = candidates.max_logit();
        candidates.map_logits(|logit| (logit - max) / self.0);
    }
}

/// Keeps the shortest run of most likely candidates whose probabilities sum up to at least p (nucleus sampling,
/// arXiv:1904.09751); of equals those with the lower ids come first.
#[derive(Debug, Clone, Copy)]
pub struct TopP(
    /// Above 0; 1 keeps all.
    pub f32,
);

impl LogitsFilter for TopP {
    /// O(n) on average for n candidates: leaves out those that are too unlikely even together, then halves
    /// the range in which the run ends until it is short enough to be sorted.
    fn apply(&self, candidates: &mut Candidates) {
        if self.0 >= 1.0 {
            return;
        }
        let total = candidates.weigh();
        let target = share(self.0, total);
        let items = candidates.items_mut();
        // n candidates below (total - target) / n each are in sum below total - target: without them there
        // still is enough.
        let least = (total - target) / (items.len() as u128).max(1);
        items.retain(|c| u128::from(c.weight) >= least);
        // The first `low` candidates are the most likely, hold `mass`, and are not enough; the first `high` are.
        let (mut low, mut high, mut mass) = (0, items.len(), 0);
        while high - low > SORTED_LEN {
            let half = (high - low) / 2;
            items[low..high].select_nth_unstable_by(half, Candidate::rank);
            let with_half = mass + items[low..low + half].iter().map(|c| u128::from(c.weight)).sum::<u128>();
            if with_half >= target {
                high = low + half;
            } else {
                low += half;
                mass = with_half;
            }
        }
        items[low..high].sort_unstable_by(Candidate::rank);
        let end = items[low..high].iter().position(|c| {
            mass += u128::from(c.weight);
            mass >= target
        });
        items.truncate(end.map_or(high, |end| low + end + 1));
    }
}

/// Ranges of at most this many candidates are sorted.
const SORTED_LEN: usize = 64;

/// Drops candidates whose probability is below a share of the most likely one's (arXiv:2407.01082).
#[derive(Debug, Clone, Copy)]
pub struct MinP(
    /// At least 0 (keeps all) and below 1.
    pub f32,
);

impl LogitsFilter for MinP {
    fn apply(&self, candidates: &mut Candidates) {
        if self.0 <= 0.0 {
            return;
        }
        candidates.weigh();
        let least = share(self.0, u128::from(MAX_WEIGHT));
        candidates.items_mut().retain(|c| u128::from(c.weight) >= least);
    }
}

/// `fraction * whole`, rounded up, but at most the whole.
fn share(fraction: f32, whole: u128) -> u128 {
    ((f64::from(fraction) * whole as f64).ceil() as u128).min(whole)
}
