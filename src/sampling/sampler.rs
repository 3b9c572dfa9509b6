//! Samplers: one token out of the candidates.

use super::candidates::Candidates;
use super::rng::RandomSource;

/// Chooses a token.
pub trait Sampler {
    /// The chosen token, or `None` if there is no candidate. May reorder the candidates.
    fn sample(&mut self, candidates: &mut Candidates, rng: &mut dyn RandomSource) -> Option<u32>;
}

/// The most likely candidate (argmax), of equals the one with the lowest id. Draws no random number.
#[derive(Debug, Clone, Copy, Default)]
pub struct Greedy;

impl Sampler for Greedy {
    fn sample(&mut self, candidates: &mut Candidates, _rng: &mut dyn RandomSource) -> Option<u32> {
        candidates.items().iter().min_by(|a, b| a.rank(b)).map(|c| c.id)
    }
}

/// Each candidate with its probability. Draws one random number, even if there is one candidate alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Categorical;

impl Sampler for Categorical {
    /// The draw, scaled to the sum of the weights, falls on a candidate as they stand in order of id.
    fn sample(&mut self, candidates: &mut Candidates, rng: &mut dyn RandomSource) -> Option<u32> {
        let draw = u128::from(rng.next_bits53());
        let total = candidates.weigh();
        let items = candidates.items_mut();
        if !items.is_sorted_by_key(|c| c.id) {
            items.sort_unstable_by_key(|c| c.id);
        }
        // Below the total, as the draw is below 2^53. 128 bits hold the product for 2^29 candidates.
        let point = (draw * total) >> 53;
        let mut passed = 0;
        items
            .iter()
            .find(|c| {
                passed += u128::from(c.weight);
                passed > point
            })
            .map(|c| c.id)
    }
}
