//! Filters over the candidates. None of them drops the likeliest candidate, so the set is never empty.

use super::candidates::{Candidate, Candidates, MAX_WEIGHT};

/// Changes logits or drops candidates.
pub trait LogitsFilter {
    /// Applies the filter. The likeliest candidate stays.
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

/// Keeps the k likeliest candidates; of equals those with the lower ids.
#[derive(Debug, Clone, Copy)]
pub struct TopK(
    /// How many: at least one.
    pub usize,
);

impl LogitsFilter for TopK {
    /// O(n) for n candidates: a buffer of the best so far, at the front, is cut to k whenever it holds 2k;
    /// its k-th then is the bar for the rest.
    fn apply(&self, candidates: &mut Candidates) {
        let k = self.0.max(1);
        let items = candidates.items_mut();
        if items.len() <= k {
            return;
        }
        let mut bar: Option<Candidate> = None;
        let mut held = 0;
        for i in 0..items.len() {
            if bar.is_some_and(|bar| bar.rank(&items[i]).is_lt()) {
                continue;
            }
            items[held] = items[i];
            held += 1;
            if held == k.saturating_mul(2) {
                items[..held].select_nth_unstable_by(k - 1, Candidate::rank);
                bar = Some(items[k - 1]);
                held = k;
            }
        }
        if held > k {
            items[..held].select_nth_unstable_by(k - 1, Candidate::rank);
        }
        items.truncate(k);
    }
}

/// Keeps the shortest run of likeliest candidates whose probabilities sum up to at least p (nucleus sampling,
/// arXiv:1904.09751); of equals those with the lower ids come first.
#[derive(Debug, Clone, Copy)]
pub struct TopP(
    /// Above 0; 1 keeps all.
    pub f32,
);

impl TopP {
    /// How many candidates are ranked first; each next batch is four times as large.
    const FIRST_BATCH: usize = 64;
}

impl LogitsFilter for TopP {
    /// Ranks the likeliest candidates in growing batches until they are enough; the rest is never sorted.
    fn apply(&self, candidates: &mut Candidates) {
        if self.0 >= 1.0 {
            return;
        }
        let target = share(self.0, candidates.weigh());
        let items = candidates.items_mut();
        let (mut mass, mut ranked, mut batch) = (0_u128, 0, Self::FIRST_BATCH);
        while ranked < items.len() {
            let rest = &mut items[ranked..];
            let batch_len = batch.min(rest.len());
            if batch_len < rest.len() {
                rest.select_nth_unstable_by(batch_len - 1, Candidate::rank);
            }
            let batch_items = &mut rest[..batch_len];
            batch_items.sort_unstable_by(Candidate::rank);
            for candidate in batch_items {
                mass += u128::from(candidate.weight);
                ranked += 1;
                if mass >= target {
                    items.truncate(ranked);
                    return;
                }
            }
            batch = batch.saturating_mul(4);
        }
    }
}

/// Drops candidates whose probability is below a share of the likeliest one's (arXiv:2407.01082).
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
