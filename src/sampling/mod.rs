//! Logits to a token id.
//!
//! Penalties, filters and samplers are small parts with one-method traits; [`Chain`] puts them in order.
//! Random numbers are passed in. The choice is the same on every machine: probabilities are integers
//! ([`Candidates::weigh`]), so that no sum depends on its order, and the exponential is `libm`'s.

mod candidates;
mod chain;
mod constraint;
mod filters;
mod likelihood;
mod params;
mod penalties;
mod rng;
mod sampler;
#[cfg(test)]
mod tests;

pub use candidates::{Candidate, Candidates, MAX_WEIGHT};
pub use chain::{Chain, Need};
pub use constraint::Constraint;
pub use filters::{LogitsFilter, MinP, Temperature, TopP};
pub use likelihood::Likelihood;
pub use params::SamplingParams;
pub use penalties::Penalties;
pub use rng::{RandomSource, SeededRng};
pub use sampler::{Categorical, Greedy, Sampler};

/// Errors of sampling.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// A setting makes no sense.
    #[error("{name} is {value}; it must be {expected}")]
    BadParam {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f32,
        /// What it has to be.
        expected: &'static str,
    },
    /// A logit is not a number: something went wrong in the model's arithmetic or in its weights.
    #[error("the logit of token {token} is NaN: the model's weights or its arithmetic are broken")]
    NanLogit {
        /// The first such token.
        token: u32,
    },
    /// There is no token to choose.
    #[error("none of the {vocab} tokens can be chosen: each one's logit is -inf")]
    NoCandidates {
        /// How many logits there are.
        vocab: usize,
    },
}

/// Result of a sampling operation.
pub type Result<T, E = SamplingError> = std::result::Result<T, E>;
