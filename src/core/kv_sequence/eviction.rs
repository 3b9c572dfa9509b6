//! Dropping tokens from the middle of a text.

use std::ops::Range;

use super::{GROWTH, KvSequence, pages_of};
use crate::core::{Backend, CoreError, KvLayout, KvPool, PageId, Result};

impl KvSequence {
    /// Drops all tokens but those in the slots of `keep` (ascending, disjoint, within the slots held), which move
    /// together in their order, and leaves room for `more` after them. Memory of the pool that this does not need goes back
    /// to the system; [`Self::position`] stays, and so does each key's rotation.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] for other ranges, [`CoreError::CacheFull`] if `more` do not fit after them: nothing changes
    /// then. A backend that fails on its way leaves an empty sequence.
    pub fn retain<K: Backend>(
        &mut self,
        backend: &K,
        pool: &mut KvPool<K::Buffer>,
        keep: &[Range<usize>],
        more: usize,
    ) -> Result<()> {
        let kept = self.check_ranges(keep)?;
        let need = kept.checked_add(more).filter(|&need| need <= self.max_len);
        let need = need.ok_or(CoreError::CacheFull { len: kept, max: self.max_len, more })?;
        for group in 0..self.tables.len() {
            self.check_window(group, keep, kept)?;
        }
        if let Err(error) = self.move_together(backend, pool, keep, kept, need) {
            self.clear(pool);
            return Err(error);
        }
        self.len = kept;
        self.retained = self.position;
        Ok(())
    }

    /// How many slots `keep` has, if its ranges are ascending, disjoint and within the slots held.
    fn check_ranges(&self, keep: &[Range<usize>]) -> Result<usize> {
        let mut end = 0;
        for range in keep {
            let op = "keeping slots of the cache";
            if range.start < end {
                return Err(CoreError::Mismatch {
                    op,
                    what: "start of a range",
                    got: range.start,
                    expected: end,
                });
            }
            if range.end < range.start || range.end > self.len {
                return Err(CoreError::Mismatch {
                    op,
                    what: "end of a range",
                    got: range.end,
                    expected: self.len,
                });
            }
            end = range.end;
        }
        Ok(keep.iter().map(ExactSizeIterator::len).sum())
    }

    /// Checks that a group still has what the next token would see of the `kept` slots.
    fn check_window(&self, group: usize, keep: &[Range<usize>], kept: usize) -> Result<()> {
        let table = &self.tables[group];
        let (visible, held) = (table.first_visible(kept), table.first_held());
        let lost: usize = keep.iter().map(|range| range.end.min(held).saturating_sub(range.start)).sum();
        if lost > visible {
            let (op, what) = ("keeping slots of the cache", "slots before a window");
            return Err(CoreError::Mismatch { op, what, got: lost, expected: visible });
        }
        Ok(())
    }

    /// Moves the slots of `keep` together in every layer, and leaves pages for `need` slots.
    fn move_together<K: Backend>(
        &mut self,
        backend: &K,
        pool: &mut KvPool<K::Buffer>,
        keep: &[Range<usize>],
        kept: usize,
        need: usize,
    ) -> Result<()> {
        for group in 0..self.tables.len() {
            let visible = self.tables[group].first_visible(kept);
            let moves = moves(keep, visible);
            let wanted = visible / KvLayout::PAGE..pages_of(kept);
            let pages = self.pages_after(backend, pool, group, wanted, &moves)?;
            let old = std::mem::replace(&mut self.tables[group].pages, pages);
            let pages = &self.tables[group].pages;
            let moved = pool.layers_of(group).into_iter().try_for_each(|layer| {
                let moving = moves.iter().filter(|m| {
                    m.from != m.to || old[m.from / KvLayout::PAGE] != pages[m.to / KvLayout::PAGE]
                });
                let stored = pool.layer_mut(layer);
                moving.into_iter().try_for_each(|&Move { from, to, count }| {
                    backend.kv_copy(stored, (&old, from), (pages, to), count)
                })
            });
            let free: Vec<PageId> = old.into_iter().filter(|page| !pages.contains(page)).collect();
            pool.give_back(group, &free);
            moved?;
            let room = need.checked_next_multiple_of(GROWTH).unwrap_or(need).min(self.max_len);
            pool.shrink(backend, group, room)?;
            // Without a window there is room for all that is needed at once.
            let missing = pages_of(need) - pages_of(kept);
            if pool.window(group).is_none() && missing > 0 {
                pool.take(backend, group, missing, &mut self.tables[group].pages)?;
            }
        }
        Ok(())
    }

    /// The pages of a group after these moves, which needs some in the places `wanted` alone.
    ///
    /// Slots only move down, so they can do so in place, unless another sequence holds the page. Where a group holds the last
    /// ones alone, the pages of these move down in the table as far as their slots do.
    fn pages_after<K: Backend>(
        &self,
        backend: &K,
        pool: &mut KvPool<K::Buffer>,
        group: usize,
        wanted: Range<usize>,
        moves: &[Move],
    ) -> Result<Vec<PageId>> {
        let down = moves.first().map_or(0, |m| (m.from - m.to) / KvLayout::PAGE);
        let shift = if wanted.start > 0 { down } else { 0 };
        let old = &self.tables[group].pages;
        let stay = moves.first().map_or(0, |m| if m.from == m.to { m.to + m.count } else { 0 });
        let own = |index: usize| {
            let page = old.get(index + shift).copied().unwrap_or(PageId::NONE);
            let changes = shift > 0 || (index + 1) * KvLayout::PAGE > stay;
            if changes && pool.is_shared(group, page) { PageId::NONE } else { page }
        };
        let mut pages: Vec<PageId> = (0..wanted.end)
            .map(|index| if wanted.contains(&index) { own(index) } else { PageId::NONE })
            .collect();
        let absent = pages[wanted.start..].iter().filter(|page| **page == PageId::NONE).count();
        let mut fresh = Vec::new();
        pool.take(backend, group, absent, &mut fresh)?;
        let places = pages[wanted.start..].iter_mut().filter(|page| **page == PageId::NONE);
        places.zip(fresh).for_each(|(place, fresh)| *place = fresh);
        Ok(pages)
    }
}

/// Slots that move down together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    from: usize,
    to: usize,
    count: usize,
}

/// Where the slots of `keep` go, as far as that is slot `first` or after it.
fn moves(keep: &[Range<usize>], first: usize) -> Vec<Move> {
    let mut to = 0;
    let mut all = Vec::new();
    for range in keep {
        let before = first.saturating_sub(to).min(range.len());
        if range.len() > before {
            all.push(Move { from: range.start + before, to: to + before, count: range.len() - before });
        }
        to += range.len();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_move_down_from_the_first_one_that_is_wanted() {
        let keep = [0..4, 10..12, 20..30];
        let all = |first| moves(&keep, first).iter().map(|m| (m.from, m.to, m.count)).collect::<Vec<_>>();
        assert_eq!(all(0), [(0, 0, 4), (10, 4, 2), (20, 6, 10)]);
        assert_eq!(all(5), [(11, 5, 1), (20, 6, 10)]);
        assert_eq!(all(9), [(23, 9, 7)]);
        assert_eq!(all(16), []);
    }
}
