//! A policy at work.

use super::{Eviction, EvictionPolicy, Occupancy, Plan, Positions};
use crate::core::{CoreError, Result};

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

/// An eviction that has to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What stays.
    pub plan: Plan,
    /// Tokens for which there has to be room after it: at least one.
    pub room: usize,
    /// The protected tokens move up to the others: the first one stands then where slot 0 would be if all that are held were
    /// contiguous, at the number of tokens seen less that of those kept.
    pub turns_prefix: bool,
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

    /// What to evict of `held` tokens, if the cache [is full](Self::is_full), and counts it as done. `attention` as in
    /// [`Occupancy`].
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] for a plan that is not what was asked for.
    pub fn due(&mut self, held: usize, early: usize, attention: &[f64]) -> Result<Option<Due>> {
        let Eviction { window, protected, target, .. } = self.in_force;
        if !self.is_full(held, early) {
            return Ok(None);
        }
        let plan = self.policy.plan(Occupancy { held, protected, target, attention });
        let kept = self.check(&plan)?;
        self.stats.evictions += 1;
        self.stats.for_memory += usize::from(window < self.settings.window);
        self.stats.evicted += held - kept;
        Ok(Some(Due { plan, room: window - kept, turns_prefix: self.positions() == Positions::Cache }))
    }

    /// Tokens that fit after `held` ones.
    pub fn room(&self, held: usize) -> usize {
        self.in_force.window.saturating_sub(held)
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
