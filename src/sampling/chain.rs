//! From logits to a token, in the usual order of steps.

use super::candidates::{Candidate, Candidates};
use super::filters::{LogitsFilter, MinP, Temperature, TopP};
use super::params::SamplingParams;
use super::penalties::Penalties;
use super::rng::RandomSource;
use super::sampler::{Categorical, Sampler};
use super::{Result, SamplingError};
use crate::core::{Largest, Top};

/// A bias, penalties, temperature, top-k, top-p, min-p and the draw, in this order (that of Hugging Face's
/// `transformers`). Top-k in fact runs before the temperature, which does not change the top k:
/// so only these are divided, and no other logits are needed. Stages that are off are left out. Nothing is allocated after the first token,
/// unless the vocabulary or the history within the window grows.
pub struct Chain {
    bias: Vec<(u32, f32)>,
    penalties: Penalties,
    /// `None` chooses the argmax.
    random: Option<Random>,
    /// For logits that come whole.
    top: Top,
}

/// What a [`Chain`] needs to know of a token's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Where the largest one is: for [`Chain::argmax`].
    Largest,
    /// So many of the largest: for [`Chain::sample_top`].
    Top(usize),
    /// All of them: for [`Chain::sample`].
    All,
}

struct Random {
    /// How many of the top tokens are candidates; 0 for all.
    top_k: usize,
    filters: Vec<Box<dyn LogitsFilter + Send + Sync>>,
    sampler: Box<dyn Sampler + Send + Sync>,
    candidates: Candidates,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages = self.random.as_ref().map_or(0, |random| random.filters.len());
        f.debug_struct("Chain").field("penalties", &self.penalties).field("filters", &stages).finish()
    }
}

impl Chain {
    /// The stages for `params`. Greedy (temperature 0 or top-k 1) still applies the penalties.
    ///
    /// # Errors
    /// As [`SamplingParams::validate`].
    pub fn new(params: &SamplingParams) -> Result<Self> {
        params.validate()?;
        let penalties = Penalties::new(params);
        if params.is_greedy() {
            return Ok(Self { bias: Vec::new(), penalties, random: None, top: Top::default() });
        }
        let mut filters: Vec<Box<dyn LogitsFilter + Send + Sync>> = Vec::new();
        if params.temperature != 1.0 {
            filters.push(Box::new(Temperature(params.temperature)));
        }
        if params.top_p < 1.0 {
            filters.push(Box::new(TopP(params.top_p)));
        }
        if params.min_p > 0.0 {
            filters.push(Box::new(MinP(params.min_p)));
        }
        let random = Random {
            top_k: params.top_k,
            filters,
            sampler: Box::new(Categorical),
            candidates: Candidates::default(),
        };
        Ok(Self { bias: Vec::new(), penalties, random: Some(random), top: Top::default() })
    }

    /// The same, with these numbers added to the logits of these tokens first. Ids without a logit are passed over.
    pub fn biased(self, bias: &[(u32, f32)]) -> Self {
        Self { bias: bias.to_vec(), ..self }
    }

    /// The least of the logits, as they come from the model, that the choice depends on.
    pub fn need(&self) -> Need {
        match &self.random {
            _ if !self.penalties.is_off() || !self.bias.is_empty() => Need::All,
            None => Need::Largest,
            Some(Random { top_k: 0, .. }) => Need::All,
            Some(random) => Need::Top(random.top_k),
        }
    }

    /// The token with the largest of `vocab` logits, the lowest id of equals.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn argmax(largest: Largest, vocab: usize) -> Result<u32> {
        match largest {
            Largest { nan: Some(token), .. } => Err(SamplingError::NanLogit { token }),
            Largest { index: Some(id), .. } => Ok(id),
            Largest { index: None, .. } => Err(SamplingError::NoCandidates { vocab }),
        }
    }

    /// Chooses the next token. `logits` has one value per token of the vocabulary and is left with bias
    /// and penalties applied; `history` holds all tokens so far, the prompt's included. Draws one random number,
    /// none if greedy.
    ///
    /// Logits of +inf are taken as certain: the choice is among them alone.
    ///
    /// # Errors
    /// [`SamplingError::NanLogit`] if a logit is NaN, [`SamplingError::NoCandidates`] if all are -inf or there
    /// are none.
    pub fn sample(&mut self, logits: &mut [f32], history: &[u32], rng: &mut dyn RandomSource) -> Result<u32> {
        for &(id, bias) in &self.bias {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit += bias;
            }
        }
        self.penalties.apply(logits, history);
        let Some(random) = &mut self.random else {
            return Self::argmax(Largest::of(logits), logits.len());
        };
        if random.top_k > 0 {
            self.top.find(logits, random.top_k);
            return random.draw_top(&self.top, logits.len(), rng);
        }
        Self::argmax(Largest::of(logits), logits.len())?;
        random.candidates.fill(logits);
        random.draw(logits.len(), rng)
    }

    /// The tokens of which `chosen` has just been chosen, with the chance that each had, the likeliest first. Those whose
    /// chance is below the resolution of a draw are left out; a token that was not drawn has been certain.
    pub fn chances(&self, chosen: u32) -> Vec<(u32, f64)> {
        let Some(random) = &self.random else { return vec![(chosen, 1.0)] };
        let mut items: Vec<&Candidate> = random.candidates.items().iter().filter(|c| c.weight > 0).collect();
        items.sort_unstable_by(|a, b| a.rank(b));
        let total: u128 = items.iter().map(|c| u128::from(c.weight)).sum();
        items.into_iter().map(|c| (c.id, c.weight as f64 / total as f64)).collect()
    }

    /// As [`Self::sample`], from no more than what [`Need::Top`] asks for of `vocab` logits. The choice is the same.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn sample_top(&mut self, top: &Top, vocab: usize, rng: &mut dyn RandomSource) -> Result<u32> {
        match &mut self.random {
            None => Self::argmax(top.largest(), vocab),
            Some(random) => random.draw_top(top, vocab, rng),
        }
    }
}

impl Random {
    /// Chooses from what `top` holds.
    fn draw_top(&mut self, top: &Top, vocab: usize, rng: &mut dyn RandomSource) -> Result<u32> {
        if let Some(token) = top.nan() {
            return Err(SamplingError::NanLogit { token });
        }
        self.candidates.fill_some(top.found().iter().copied());
        self.draw(vocab, rng)
    }

    /// Chooses from the candidates.
    fn draw(&mut self, vocab: usize, rng: &mut dyn RandomSource) -> Result<u32> {
        if self.candidates.items().is_empty() {
            return Err(SamplingError::NoCandidates { vocab });
        }
        for filter in &self.filters {
            filter.apply(&mut self.candidates);
        }
        let sampled = self.sampler.sample(&mut self.candidates, rng);
        sampled.ok_or(SamplingError::NoCandidates { vocab })
    }
}
