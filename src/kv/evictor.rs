//! A policy at work on a cache.

use super::{Eviction, EvictionPolicy, Occupancy, Plan, Positions};
use crate::core::{Backend, CoreError, KvCache, Result};

/// What was evicted from a text's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictionStats {
    /// How often.
    pub evictions: usize,
    /// Tokens, all together.
    pub evicted: usize,
    /// How many of [`Self::evictions`] came early for want of memory.
    pub for_memory: usize,
}

/// What follows the tokens held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tokens that fit: at least one.
    pub tokens: usize,
    /// Where the protected tokens stand from now on, if they have to move: the position of the first one.
    pub turn_prefix_to: Option<usize>,
}

/// Keeps a cache within its window.
///
/// It evicts when the window is full and another token comes, and at no other time. So what each token can see
/// depends on its position alone, and not on the chunks in which a text goes through the model.
pub struct Evictor {
    settings: Eviction,
    /// As long as memory is short, a smaller window.
    in_force: Eviction,
    policy: Box<dyn EvictionPolicy>,
    stats: EvictionStats,
}

impl Evictor {
    /// With a fresh policy.
    pub fn new(settings: Eviction) -> Self {
        Self {
            settings,
            in_force: settings,
            policy: (settings.policy().make)(),
            stats: EvictionStats::default(),
        }
    }

    /// The numbers that it keeps to.
    pub fn settings(&self) -> &Eviction {
        &self.settings
    }

    /// What was evicted since [`Self::restart`].
    pub fn stats(&self) -> EvictionStats {
        self.stats
    }

    /// Goes on with a text whose cache has given up so much.
    pub fn resume(&mut self, stats: EvictionStats) {
        self.stats = stats;
    }

    /// Another text begins.
    pub fn restart(&mut self) {
        *self = Self::new(self.settings);
    }

    /// Whether an eviction is due before the next token goes in, or pays before `early` more of them do: it makes room for
    /// them, or for as many as it can.
    pub fn is_full(&self, held: usize, early: usize) -> bool {
        let Eviction { window, target, .. } = self.in_force;
        held >= window || held > target && held + early.min(window - target) > window
    }

    /// What a token's position is counted from.
    pub fn positions(&self) -> Positions {
        self.policy.positions()
    }

    /// Whether attention has to be accumulated.
    pub fn wants_attention(&self) -> bool {
        self.policy.wants_attention()
    }

    /// Hears whether memory is short, where that is known. If so, the window becomes smaller, in `step`s of slots, so
    /// that the next eviction lets the cache take less memory (at the least what it takes at first) and it does not
    /// grow; if not, the window is as it was set. What comes of that depends on the machine's state.
    pub fn hear_of_memory(&mut self, held: usize, step: usize, is_short: Option<bool>) {
        match is_short {
            Some(true) => self.in_force = self.in_force.cut(held, step).unwrap_or(self.in_force),
            Some(false) => self.in_force = self.settings,
            None => {}
        }
    }

    /// Evicts if the cache [is full](Self::is_full). Afterwards there is room for at least one token.
    ///
    /// # Errors
    /// As [`KvCache::retain`], and [`CoreError::Mismatch`] for a plan that is not what was asked for.
    pub fn make_room<B: Backend>(
        &mut self,
        backend: &B,
        cache: &mut KvCache<B::Buffer>,
        early: usize,
    ) -> Result<Room> {
        let held = cache.len();
        let Eviction { window, protected, target, .. } = self.in_force;
        let mut turn_prefix_to = None;
        if self.is_full(held, early) {
            let plan = self.policy.plan(Occupancy {
                held,
                protected,
                target,
                attention: cache.accumulated_attention(),
            });
            let kept = self.check(&plan)?;
            cache.retain(backend, plan.ranges(), window - kept)?;
            self.stats.evictions += 1;
            self.stats.for_memory += usize::from(window < self.settings.window);
            self.stats.evicted += held - kept;
            if self.positions() == Positions::Cache {
                // Position less slots is where slot 0 would be if all that are held were contiguous.
                turn_prefix_to = Some(cache.position() - kept);
            }
        }
        Ok(Room { tokens: window - cache.len(), turn_prefix_to })
    }

    /// How many tokens a plan keeps, if that is what was asked for.
    fn check(&self, plan: &Plan) -> Result<usize> {
        let Eviction { protected, target, .. } = self.in_force;
        let (op, kept) = (self.settings.policy().name, plan.kept());
        if kept > target {
            let what = "number of tokens kept";
            return Err(CoreError::Mismatch { op, what, got: kept, expected: target });
        }
        // The protected tokens can move up to one row of others, not to several.
        let last = plan.ranges().last().map_or(0, ExactSizeIterator::len);
        if self.positions() == Positions::Cache && kept - last > protected {
            let what = "number of tokens before the newest ones";
            return Err(CoreError::Mismatch { op, what, got: kept - last, expected: protected });
        }
        Ok(kept)
    }
}
