//! Evaluation: how likely a model finds a text, and how alike two models are at each of its tokens.
//!
//! On top of [`crate::engine::Session`], so that what is measured is what generates. Sums are kept in f64 and in a fixed
//! order: on the CPU backend every figure is the same to the bit wherever it is measured. Knows no flags and no
//! terminal.

mod agreement;
mod dump;
mod error;
mod evaluate;
mod kendall;
mod likelihood;
#[cfg(test)]
mod tests;
pub mod texts;
mod windows;

pub use agreement::Agreement;
pub use dump::{LogitDump, MOST as MOST_TOP, Step, top};
pub use error::EvalError;
pub use evaluate::{Evaluation, Sequence, Wanted, evaluate};
pub use kendall::tau_b;
pub use likelihood::{Likelihood, log_sum_exp};
pub use windows::{Window, Windows};
