//! A policy at work on a cache.

use super::{Eviction, EvictionPolicy, Occupancy};
use crate::core::{Backend, CoreError, KvCache, Result};

/// What was evicted from a text's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictionStats {
    /// How often.
    pub evictions: usize,
    /// Tokens, all together.
    pub evicted: usize,
}

/// Keeps a cache within its window.
///
/// It evicts when the window is full and another token comes, and at no other time. So what each token can see
/// depends on its position alone, and not on the chunks in which a text goes through the model.
pub struct Evictor {
    settings: Eviction,
    policy: Box<dyn EvictionPolicy>,
    stats: EvictionStats,
}

impl Evictor {
    /// With a fresh policy.
    pub fn new(settings: Eviction) -> Self {
        Self { settings, policy: (settings.policy().make)(), stats: EvictionStats::default() }
    }

    /// The numbers that it keeps to.
    pub fn settings(&self) -> &Eviction {
        &self.settings
    }

    /// What was evicted since [`Self::restart`].
    pub fn stats(&self) -> EvictionStats {
        self.stats
    }

    /// Another text begins.
    pub fn restart(&mut self) {
        *self = Self::new(self.settings);
    }

    /// Whether the next token needs an eviction.
    pub fn is_full(&self, held: usize) -> bool {
        held >= self.settings.window
    }

    /// Evicts if the window is full. Afterwards there is room for at least one token; gives for how many.
    ///
    /// # Errors
    /// As [`KvCache::retain`], and [`CoreError::Mismatch`] for a plan that is not what was asked for.
    pub fn make_room<B: Backend>(&mut self, backend: &B, cache: &mut KvCache<B::Buffer>) -> Result<usize> {
        let Eviction { window, protected, target, .. } = self.settings;
        let held = cache.len();
        if held >= window {
            let plan = self.policy.plan(Occupancy { held, protected, target });
            let kept = plan.kept();
            if kept > target {
                return Err(CoreError::Mismatch {
                    op: self.settings.policy().name,
                    what: "number of tokens kept",
                    got: kept,
                    expected: target,
                });
            }
            cache.retain(backend, plan.ranges(), window - kept)?;
            self.stats.evictions += 1;
            self.stats.evicted += held - kept;
        }
        Ok(window - cache.len())
    }
}
