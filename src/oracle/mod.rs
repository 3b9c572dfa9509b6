//! The oracle: every operation of a backend, compared with [`crate::backend::reference`], element by element.
//!
//! A [`Case`] is an operation at a size, in a format, with a kind of numbers. [`Trial`] makes its operands and what the
//! reference computes from them, then [`Trial::check`] lets any number of [`Subject`]s compute the same and judges
//! each by the [`Bound`] of its format. [`Perturbed`] is a backend with one operation made wrong on purpose: that it is
//! caught proves that the comparison can fail.
//!
//! Knows no flags and no terminal, and speaks to any [`crate::core::Backend`].

mod bound;
mod case;
mod difference;
mod execute;
mod operands;
mod operator;
mod perturbed;
mod shapes;
mod subject;
#[cfg(test)]
mod tests;
mod trial;
mod values;

pub use bound::Bound;
pub use case::{Cache, Case, Work};
pub use difference::Difference;
pub use operands::Operands;
pub use operator::{Operator, UnknownOperator};
pub use perturbed::Perturbed;
pub use shapes::{ShapeList, cases};
pub use subject::{InputRounding, Outcome, Subject, Tested};
pub use trial::{Trial, Verdict};
pub use values::Values;
