//! `sliding`: the protected tokens and the newest ones.
//!
//! Keys keep the rotation of the position at which they were seen, and positions only grow. So what is computed is
//! full attention over the whole text with a mask, exactly. The protected first tokens are what much of attention
//! rests on, whatever they say (Xiao et al. 2023, arXiv 2309.17453).

use super::{EvictionPolicy, Occupancy, Plan};

/// Keeps the protected slots and fills the rest of the target with the newest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliding;

impl EvictionPolicy for Sliding {
    fn plan(&self, now: Occupancy<'_>) -> Plan {
        let protected = now.protected.min(now.held);
        let newest = now.target.saturating_sub(protected).max(1).min(now.held);
        Plan::new().keep(0..protected).keep(now.held - newest..now.held)
    }
}
