//! `h2o`: heavy hitters and the newest (Zhang et al. 2023, arXiv 2306.14048).
//!
//! A few tokens get most of all attention, and continue to get it. Half of the slots after the protected prefix is for the
//! newest tokens, which few queries have seen yet, and half for those with the most accumulated attention. Keys keep
//! their rotations.

use super::{EvictionPolicy, Occupancy, Plan};

/// Keeps the protected slots, the newest, and of those between them the ones with the most attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct H2o;

impl EvictionPolicy for H2o {
    fn plan(&self, now: Occupancy<'_>) -> Plan {
        let protected = now.protected.min(now.held);
        let room = now.target.saturating_sub(protected).max(1).min(now.held - protected);
        let newest = now.held - room.div_ceil(2);
        let attention = |slot: usize| now.attention.get(slot).copied().unwrap_or(0.0);
        let mut between: Vec<usize> = (protected..newest).collect();
        // Of equals, which only a text without any attention has, the newer ones.
        between.sort_by(|&a, &b| attention(b).total_cmp(&attention(a)).then(b.cmp(&a)));
        between.truncate(room / 2);
        between.sort_unstable();
        let heavy =
            between.into_iter().fold(Plan::new().keep(0..protected), |plan, slot| plan.keep(slot..slot + 1));
        heavy.keep(newest..now.held)
    }

    fn wants_attention(&self) -> bool {
        true
    }
}
