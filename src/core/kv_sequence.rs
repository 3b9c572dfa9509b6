//! Which pages of a pool hold the keys and values of the tokens of one sequence.

mod eviction;
mod transfer;

use std::ops::Range;

use super::kv_pool::{GROWTH, pages_of};
use super::{Backend, Buffer, CoreError, KvLayout, KvPool, PageId, Result, Run};

/// The slots of one sequence: the tables of its pages, and how many tokens they hold. All calls take the same pool.
///
/// Two counts that must not be confused: [`Self::len`] is how many tokens are held (it can shrink when some
/// are evicted), [`Self::position`] is how many have been seen (it only grows). Keys are rotated by position.
#[derive(Debug)]
pub struct KvSequence {
    /// One for each group of layers.
    tables: Vec<Table>,
    len: usize,
    position: usize,
    /// [`Self::position`] at the last [`Self::retain`].
    retained: usize,
    max_len: usize,
}

/// The pages of a group of layers, by slot. Those wholly before a window are given back.
#[derive(Clone, Debug)]
struct Table {
    window: Option<usize>,
    pages: Vec<PageId>,
}

impl Table {
    /// The first slot that a token in slot `slot` sees.
    fn first_visible(&self, slot: usize) -> usize {
        self.window.map_or(0, |window| slot.saturating_add(1).saturating_sub(window))
    }

    /// The first slot whose page was not given back.
    fn first_held(&self) -> usize {
        let given_back = self.pages.iter().take_while(|page| **page == PageId::NONE);
        given_back.count() * KvLayout::PAGE
    }
}

impl KvSequence {
    /// Slots that are taken at first, and the step in which a pool grows until doubling takes over.
    pub const GROWTH: usize = GROWTH;

    /// An empty sequence that may hold up to `max_len` tokens. Pages are taken as they are needed.
    pub fn new<B: Buffer>(pool: &KvPool<B>, max_len: usize) -> Self {
        let table = |group| Table { window: pool.window(group), pages: Vec::new() };
        let tables = (0..pool.groups()).map(table).collect();
        Self { tables, len: 0, position: 0, retained: 0, max_len }
    }

    /// Makes room for `more` tokens after those held, and gives back the pages that no later token sees. A pool that grows
    /// goes buffer by buffer, and takes the memory that one more of them had before.
    ///
    /// # Errors
    /// [`CoreError::CacheFull`] beyond `max_len`, [`CoreError::OutOfMemory`]. The contents stay as they were then.
    pub fn reserve<K: Backend>(
        &mut self,
        backend: &K,
        pool: &mut KvPool<K::Buffer>,
        more: usize,
    ) -> Result<()> {
        let need = self.check_room(more)?;
        for group in 0..self.tables.len() {
            self.reserve_in(backend, pool, group, need)?;
        }
        self.own(backend, pool, self.len..need)
    }

    /// As [`Self::reserve`] for a text of `more` tokens that comes in several passes: room in the layers that will hold all of
    /// it, while those with a window get theirs pass by pass.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn reserve_text<K: Backend>(
        &mut self,
        backend: &K,
        pool: &mut KvPool<K::Buffer>,
        more: usize,
    ) -> Result<()> {
        let need = self.check_room(more)?;
        for group in 0..self.tables.len() {
            if self.tables[group].window.is_none() {
                self.reserve_in(backend, pool, group, need)?;
            }
        }
        Ok(())
    }

    /// The slots that are held with `more` tokens.
    fn check_room(&self, more: usize) -> Result<usize> {
        let full = CoreError::CacheFull { len: self.len, max: self.max_len, more };
        self.len.checked_add(more).filter(|need| *need <= self.max_len).ok_or(full)
    }

    fn reserve_in<K: Backend>(
        &mut self,
        backend: &K,
        pool: &mut KvPool<K::Buffer>,
        group: usize,
        need: usize,
    ) -> Result<()> {
        let table = &mut self.tables[group];
        // Wholly before the window of the next token.
        let first = table.first_visible(self.len);
        for page in table.pages.iter_mut().take(first / KvLayout::PAGE) {
            pool.give_back(group, &[*page]);
            *page = PageId::NONE;
        }
        match pages_of(need).saturating_sub(table.pages.len()) {
            0 => Ok(()),
            missing => pool.take(backend, group, missing, &mut table.pages),
        }
    }

    /// Makes the pages of some slots the sequence's own, so that they can be written: of those that it shares with others,
    /// what they hold moves to new ones.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn own<K: Backend>(
        &mut self,
        backend: &K,
        pool: &mut KvPool<K::Buffer>,
        slots: Range<usize>,
    ) -> Result<()> {
        let len = self.len;
        for (group, table) in self.tables.iter_mut().enumerate() {
            let end = pages_of(slots.end).min(table.pages.len());
            for index in slots.start / KvLayout::PAGE..end {
                let page = table.pages[index];
                if !pool.is_shared(group, page) {
                    continue;
                }
                let mut fresh = Vec::with_capacity(1);
                pool.take(backend, group, 1, &mut fresh)?;
                let held = len.saturating_sub(index * KvLayout::PAGE).min(KvLayout::PAGE);
                let copied = pool.layers_of(group).into_iter().try_for_each(|layer| {
                    backend.kv_copy(pool.layer_mut(layer), (&[page], 0), (&fresh, 0), held)
                });
                if copied.is_err() {
                    pool.give_back(group, &fresh);
                    return copied;
                }
                pool.give_back(group, &[page]);
                table.pages[index] = fresh[0];
            }
        }
        Ok(())
    }

    /// Another sequence that begins with the first tokens of this one, up to position `position`, in the same pages; it may
    /// hold up to `max_len` tokens. `None` where it [cannot be cut back](Self::can_rewind) to there.
    pub fn fork<B: Buffer>(&self, pool: &mut KvPool<B>, position: usize, max_len: usize) -> Option<Self> {
        let len = self.len.checked_sub(self.position.checked_sub(position)?)?;
        if !self.can_rewind(position) || len > max_len {
            return None;
        }
        let tables = self.tables.iter().enumerate().map(|(group, table)| {
            let pages = table.pages[..pages_of(len).min(table.pages.len())].to_vec();
            pool.share(group, &pages);
            Table { window: table.window, pages }
        });
        let tables = tables.collect();
        Some(Self { tables, len, position, retained: self.retained, max_len })
    }

    /// Counts `tokens` that every layer has stored by now.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
        self.position += tokens;
        debug_assert!(self.is_reserved(self.len));
    }

    fn is_reserved(&self, slots: usize) -> bool {
        self.tables.iter().all(|table| pages_of(slots) <= table.pages.len())
    }

    /// Counts `len` tokens, of which the caller knows that the slots hold them, of `position` seen, the last ones since
    /// `retained` without an eviction between them: what was kept of a sequence that another backend goes on with, or what
    /// [`Self::import_slots`] has brought in.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] for counts that contradict each other.
    pub fn recount(&mut self, len: usize, position: usize, retained: usize) -> Result<()> {
        let op = "restoring the cache";
        if position < len {
            return Err(CoreError::Mismatch { op, what: "position", got: position, expected: len });
        }
        if position.checked_sub(retained).is_none_or(|since| since > len)
            || (retained == 0) != (len == position)
        {
            let what = "position at the last eviction";
            return Err(CoreError::Mismatch { op, what, got: retained, expected: position - len });
        }
        debug_assert!(self.is_reserved(len));
        (self.len, self.position, self.retained) = (len, position, retained);
        Ok(())
    }

    /// Forgets everything; memory stays in the pool.
    pub fn clear<B: Buffer>(&mut self, pool: &mut KvPool<B>) {
        (self.len, self.position, self.retained) = (0, 0, 0);
        for (group, table) in self.tables.iter_mut().enumerate() {
            pool.give_back(group, &table.pages);
            table.pages.clear();
        }
    }

    /// Forgets the tokens from position `position` on, as if they had not been seen; memory is kept. Does nothing if
    /// no more than `position` were seen.
    ///
    /// They must have been added after the last [`Self::retain`]: what it has dropped does not come back.
    /// [`Self::can_rewind`] returns whether the sequence is afterwards what it was then; those of the last pass can always
    /// be forgotten.
    pub fn rewind(&mut self, position: usize) {
        let forgotten = self.position.saturating_sub(position);
        debug_assert!(forgotten <= self.len);
        self.len = self.len.saturating_sub(forgotten);
        self.position -= forgotten;
    }

    /// Whether nothing was evicted since `position` tokens were seen, and nothing given back that the next token would
    /// see then.
    pub fn can_rewind(&self, position: usize) -> bool {
        let slot = self.len.saturating_sub(self.position.saturating_sub(position));
        let held = |table: &Table| table.first_held() <= table.first_visible(slot);
        position == self.position || position >= self.retained && self.tables.iter().all(held)
    }

    /// How many tokens were seen at the last [`Self::retain`]; 0 where there was none.
    pub fn retained(&self) -> usize {
        self.retained
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens seen: the position of the next one.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The most tokens that may be held.
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// The pages that hold this sequence's slots in the layers of a group.
    pub fn pages(&self, group: usize) -> &[PageId] {
        &self.tables[group].pages
    }

    /// The share of a pass over the layers of a group whose rows `rows` are this sequence's tokens from slot `at` on.
    pub fn run(&self, group: usize, rows: Range<usize>, at: usize) -> Run<'_> {
        Run { rows, pages: self.pages(group), len: at }
    }
}
