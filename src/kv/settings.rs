//! How a cache is kept within its window.

use super::{Positions, Registered};
use crate::core::Remedy;

/// A policy with its numbers, which fit each other.
#[derive(Clone, Copy, Debug)]
pub struct Eviction {
    pub(super) policy: &'static Registered,
    pub(super) window: usize,
    pub(super) protected: usize,
    pub(super) target: usize,
    pub(super) ratio: f64,
}

/// Numbers that do not fit each other.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvictionError {
    /// A ratio that keeps nothing, or everything.
    #[error(
        "an eviction target ratio of {ratio} is not between 0 and 1; 0.75 keeps three quarters of the window"
    )]
    Ratio {
        /// The ratio.
        ratio: f64,
    },
    /// Nothing would be left besides the protected tokens, or nothing dropped.
    #[error(
        "an eviction window of {window} tokens is too small: an eviction would leave {target}, which must be more than \
         the {protected} protected and fewer than the window; use a larger window, or \
         change what is protected or the target ratio"
    )]
    Window {
        /// The window.
        window: usize,
        /// What an eviction would leave.
        target: usize,
        /// What must stay.
        protected: usize,
    },
}

impl EvictionError {
    /// The settings that the error's advice is about.
    pub fn remedies(&self) -> &'static [Remedy] {
        match self {
            EvictionError::Ratio { .. } => &[Remedy::EvictionRatio],
            EvictionError::Window { .. } => {
                &[Remedy::EvictionWindow, Remedy::ProtectedPrefix, Remedy::EvictionRatio]
            }
        }
    }
}

impl Eviction {
    /// What is left of the window after an eviction, unless it is said.
    pub const RATIO: f64 = 0.75;

    /// Tokens that always stay, unless it is said: the sinks that arXiv 2309.17453 found to be enough.
    pub const PROTECTED: usize = 4;

    /// Holds `window` tokens at most; when they are reached, `policy` leaves `ratio` of them (rounded down), the first
    /// `protected` among them.
    ///
    /// # Errors
    /// A ratio that is not between 0 and 1, a window that has no room for the protected tokens, one more, and one
    /// to evict.
    pub fn new(
        policy: &'static Registered,
        window: usize,
        protected: usize,
        ratio: f64,
    ) -> Result<Self, EvictionError> {
        if !(ratio > 0.0 && ratio < 1.0) {
            return Err(EvictionError::Ratio { ratio });
        }
        let target = Self::target_of(window, ratio);
        if target <= protected || target >= window {
            return Err(EvictionError::Window { window, target, protected });
        }
        Ok(Self { policy, window, protected, target, ratio })
    }

    /// The smallest window for these numbers, if there is one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn least(policy: &'static Registered, protected: usize, ratio: f64) -> Result<Self, EvictionError> {
        // Nearly so much, since the target is rounded down.
        let near = ((protected as f64 + 1.0) / ratio) as usize;
        let from = near.saturating_sub(1).max(1);
        let mut windows = from..from.saturating_add(1_000_000);
        let fits = windows.find_map(|window| Self::new(policy, window, protected, ratio).ok());
        fits.map_or_else(|| Self::new(policy, near, protected, ratio), Ok)
    }

    fn target_of(window: usize, ratio: f64) -> usize {
        (window as f64 * ratio) as usize
    }

    /// The same in a smaller window, for a cache of `held` tokens whose memory is taken in steps of `step` slots: such
    /// that an eviction gives memory back, or else such that no more is taken. `None` if there is no such window that
    /// has room for the protected tokens and one more.
    pub(super) fn cut(&self, held: usize, step: usize) -> Option<Self> {
        let now = held.next_multiple_of(step).max(step);
        let less = (Self::target_of(held, self.ratio) / step * step).max(step);
        let smaller = [less, now].into_iter().filter(|&window| window < self.window);
        smaller.filter_map(|window| Self::new(self.policy, window, self.protected, self.ratio).ok()).next()
    }

    /// The same window with other protected tokens, [`Self::PROTECTED`] at least.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn protecting(self, protected: usize) -> Result<Self, EvictionError> {
        let protected = protected.max(Self::PROTECTED);
        if self.target <= protected {
            return Err(EvictionError::Window { window: self.window, target: self.target, protected });
        }
        Ok(Self { protected, ..self })
    }

    /// The policy.
    pub fn policy(&self) -> &'static Registered {
        self.policy
    }

    /// The most tokens held.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Tokens that always stay.
    pub fn protected(&self) -> usize {
        self.protected
    }

    /// Tokens whose keys are kept unrotated too.
    pub fn unrotated(&self) -> usize {
        match (self.policy.make)().positions() {
            Positions::Cache => self.protected,
            Positions::Text => 0,
        }
    }

    /// Tokens that are held after an eviction.
    pub fn target(&self) -> usize {
        self.target
    }
}
