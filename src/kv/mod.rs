//! Which tokens stay when the key/value cache is full.
//!
//! A policy looks at counts and answers with a [`Plan`]: the ranges of slots to keep. It never sees a type, a buffer
//! or a device; only [`crate::core::KvSequence::retain`] moves memory. What it has to know besides counts is in [`Watched`].
//! `docs/KV_CACHE.md` explains how to add one.

mod budget;
mod evictor;
mod h2o;
mod plan;
mod policy;
mod received;
mod settings;
mod sliding;
mod streaming;
#[cfg(test)]
mod tests;
mod unrotated;
mod watched;

pub use budget::CacheShape;
pub use evictor::{Due, EvictionStats, Evictor};
pub use plan::Plan;
pub use policy::{EvictionPolicy, Occupancy, POLICIES, Positions, Registered};
pub use settings::{Eviction, EvictionError};
pub use watched::{KvRecords, Watched};
