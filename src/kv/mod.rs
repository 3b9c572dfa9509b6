//! Which tokens stay when the key/value cache is full.
//!
//! A policy looks at counts and answers with a [`Plan`]: the ranges of slots to keep. It never sees a type, a buffer
//! or a device; only [`crate::core::KvCache::retain`] moves memory. `docs/KV_CACHE.md` explains how to add one.

mod budget;
mod evictor;
mod h2o;
mod plan;
mod policy;
mod settings;
mod sliding;
mod streaming;
#[cfg(test)]
mod tests;

pub use budget::CacheShape;
pub use evictor::{EvictionStats, Evictor, Room};
pub use plan::Plan;
pub use policy::{EvictionPolicy, Occupancy, POLICIES, Positions, Registered};
pub use settings::{Eviction, EvictionError};
