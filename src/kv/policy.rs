//! What a policy is, and the list of all.

use super::{Plan, h2o, sliding, streaming};

/// How full a cache is, and how many slots may stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occupancy<'a> {
    /// Slots in use, oldest first: `0..held`.
    pub held: usize,
    /// The first so many must stay.
    pub protected: usize,
    /// The most slots that may be in use afterwards; more than `protected`, fewer than `held`.
    pub target: usize,
    /// The accumulated attention of each slot, if the policy [wants it](EvictionPolicy::wants_attention); else empty.
    pub attention: &'a [f64],
}

/// Chooses which tokens a full cache gives up.
///
/// The choice must depend only on the arguments, never on a clock or a random number: texts are reproducible.
pub trait EvictionPolicy: Send {
    /// What to keep: the protected slots and the newest one among them, `target` slots at most.
    fn plan(&self, now: Occupancy<'_>) -> Plan;

    /// What positions of the tokens that stay count from. Always the same.
    fn positions(&self) -> Positions {
        Positions::Text
    }

    /// Whether the choice uses [`Occupancy::attention`]: then each pass accumulates it, which costs time, and which not
    /// every backend can do. Always the same.
    fn wants_attention(&self) -> bool {
        false
    }
}

/// What a token's position is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// The beginning of the text: a key keeps its rotation.
    Text,
    /// The first slot of the cache: after an eviction the protected tokens move up to the others, which are contiguous.
    Cache,
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
pub const POLICIES: &[Registered] = &[
    Registered { name: "sliding", make: || Box::new(sliding::Sliding) },
    Registered { name: "streaming", make: || Box::new(streaming::Streaming) },
    Registered { name: "h2o", make: || Box::new(h2o::H2o) },
];

impl Registered {
    /// Whether each token of a text has to go through the cache that the policy evicts from.
    pub fn watches_tokens(&self) -> bool {
        let policy = (self.make)();
        policy.positions() == Positions::Cache || policy.wants_attention()
    }

    /// The policy of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        POLICIES.iter().find(|policy| policy.name.eq_ignore_ascii_case(name))
    }
}
