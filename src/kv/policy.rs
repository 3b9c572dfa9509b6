//! What a policy is, and the list of all.

use super::{Plan, sliding};

/// How full a cache is, and what is asked of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Slots in use, oldest first: `0..held`.
    pub held: usize,
    /// The first so many must stay.
    pub protected: usize,
    /// The most slots that may be in use afterwards; more than `protected`, fewer than `held`.
    pub target: usize,
}

/// Chooses which tokens a full cache gives up.
///
/// The choice must follow from what the policy has been told alone, never from a clock or a random number: texts are
/// the same every time.
pub trait EvictionPolicy: Send {
    /// What to keep: the protected slots and the newest one among them, `target` slots at most.
    fn plan(&mut self, now: Occupancy) -> Plan;
}

/// A policy that can be asked for by name.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// As in `--eviction-policy`.
    pub name: &'static str,
    /// A fresh one, for a session.
    pub make: fn() -> Box<dyn EvictionPolicy>,
}

/// All policies. A new one is a file with a type that is an [`EvictionPolicy`], and a line here.
pub const POLICIES: &[Registered] = &[Registered { name: "sliding", make: || Box::new(sliding::Sliding) }];

impl Registered {
    /// The policy of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        POLICIES.iter().find(|policy| policy.name.eq_ignore_ascii_case(name))
    }
}
