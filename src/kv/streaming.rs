//! `streaming`: as `sliding`, but with positions counted inside the cache (StreamingLLM, Xiao et al. 2023,
//! arXiv 2309.17453).
//!
//! The protected tokens are the attention sinks. After each eviction they stand just before the oldest of the others,
//! so that no distance is ever longer than the window, however long the text. RoPE depends on differences alone: it is
//! enough to rotate the few sinks again, and all other keys stay as they are.

use super::sliding::Sliding;
use super::{EvictionPolicy, Occupancy, Plan, Positions};

/// Keeps what [`Sliding`] keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streaming;

impl EvictionPolicy for Streaming {
    fn plan(&self, now: Occupancy<'_>) -> Plan {
        Sliding.plan(now)
    }

    fn positions(&self) -> Positions {
        Positions::Cache
    }
}
