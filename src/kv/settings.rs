//! How a cache is kept within its window.

use super::Registered;

/// A policy with its numbers, which fit each other.
#[derive(Clone, Copy, Debug)]
pub struct Eviction {
    pub(super) policy: &'static Registered,
    pub(super) window: usize,
    pub(super) protected: usize,
    pub(super) target: usize,
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
    /// Nothing would be left beside the protected tokens, or nothing dropped.
    #[error(
        "an eviction window of {window} tokens is too small: an eviction would leave {target}, which must be more than \
         the {protected} protected and fewer than the window; raise --eviction-window, or change --protected-prefix or \
         --eviction-target-ratio"
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
        let target = (window as f64 * ratio) as usize;
        if target <= protected || target >= window {
            return Err(EvictionError::Window { window, target, protected });
        }
        Ok(Self { policy, window, protected, target })
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

    /// Tokens that are held after an eviction.
    pub fn target(&self) -> usize {
        self.target
    }
}
