//! The whole way from logits to a token, in the order that people expect.

use super::candidates::Candidates;
use super::filters::{LogitsFilter, MinP, Temperature, TopK, TopP};
use super::params::SamplingParams;
use super::penalties::Penalties;
use super::rng::RandomSource;
use super::sampler::{Categorical, Sampler};
use super::{Result, SamplingError};
use crate::core::Largest;

/// Penalties, temperature, top-k, top-p, min-p and the draw, in this order (that of Hugging Face's
/// `transformers`). Top-k in fact runs before the temperature, which does not change who the k likeliest are:
/// so only these are divided. Stages that are off are left out. Nothing is allocated after the first token,
/// unless the vocabulary or the history within the window grows.
pub struct Chain {
    penalties: Penalties,
    /// `None` chooses the likeliest token.
    random: Option<Random>,
}

struct Random {
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
            return Ok(Self { penalties, random: None });
        }
        let mut filters: Vec<Box<dyn LogitsFilter + Send + Sync>> = Vec::new();
        if params.top_k > 0 {
            filters.push(Box::new(TopK(params.top_k)));
        }
        if params.temperature != 1.0 {
            filters.push(Box::new(Temperature(params.temperature)));
        }
        if params.top_p < 1.0 {
            filters.push(Box::new(TopP(params.top_p)));
        }
        if params.min_p > 0.0 {
            filters.push(Box::new(MinP(params.min_p)));
        }
        let random = Random { filters, sampler: Box::new(Categorical), candidates: Candidates::default() };
        Ok(Self { penalties, random: Some(random) })
    }

    /// Whether the choice is the largest logit always, as it comes from the model: then [`Self::likeliest`] is all that
    /// it takes.
    pub fn is_argmax(&self) -> bool {
        self.random.is_none() && self.penalties.is_off()
    }

    /// The token with the largest of `vocab` logits, the lowest id of equals.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn likeliest(largest: Largest, vocab: usize) -> Result<u32> {
        match largest {
            Largest { nan: Some(token), .. } => Err(SamplingError::NanLogit { token }),
            Largest { index: Some(id), .. } => Ok(id),
            Largest { index: None, .. } => Err(SamplingError::NoCandidates { vocab }),
        }
    }

    /// Chooses the next token. `logits` has one value per token of the vocabulary and is left with the
    /// penalties applied; `history` holds all tokens so far, the prompt's included. Draws one random number,
    /// none if greedy.
    ///
    /// Logits of +inf are taken as certain: the choice is among them alone.
    ///
    /// # Errors
    /// [`SamplingError::NanLogit`] if a logit is NaN, [`SamplingError::NoCandidates`] if all are -inf or there
    /// are none.
    pub fn sample(&mut self, logits: &mut [f32], history: &[u32], rng: &mut dyn RandomSource) -> Result<u32> {
        self.penalties.apply(logits, history);
        let likeliest = Self::likeliest(Largest::of(logits), logits.len())?;
        let Some(random) = &mut self.random else { return Ok(likeliest) };
        random.candidates.fill(logits);
        for filter in &random.filters {
            filter.apply(&mut random.candidates);
        }
        let sampled = random.sampler.sample(&mut random.candidates, rng);
        sampled.ok_or(SamplingError::NoCandidates { vocab: logits.len() })
    }
}
