//! Measuring: how long a model's passes, a backend's operations and the machine's own limits take.
//!
//! Gives figures to its caller; knows no flags, no files of results and no terminal, and speaks to any
//! [`crate::core::Backend`].

mod machine;
mod model;
mod operands;
mod ops;
mod repeat;
mod stats;

pub use machine::{Limits, last_level_cache};
pub use model::{ModelBench, Test};
pub use ops::{Case, Figure, Operator, cases, cost, measure};
pub use repeat::{Budget, repeat};
pub use stats::Summary;
