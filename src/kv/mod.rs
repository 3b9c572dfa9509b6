//! Which tokens stay when the key/value cache is full.
//!
//! A policy looks at counts and answers with a [`Plan`]: the ranges of slots to keep. It never sees a type, a buffer
//! or a device; only [`crate::core::KvCache::retain`] moves memory. `docs/KV_CACHE.md` tells how to add one.

mod evictor;
mod plan;
mod policy;
mod settings;
mod sliding;
#[cfg(test)]
mod tests;

pub use evictor::{EvictionStats, Evictor};
pub use plan::Plan;
pub use policy::{EvictionPolicy, Occupancy, POLICIES, Registered};
pub use settings::{Eviction, EvictionError};
