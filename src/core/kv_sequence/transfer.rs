//! Keys and values to the host and back.

use std::ops::Range;

use super::KvSequence;
use crate::core::{Backend, KvPool, Result};

impl KvSequence {
    /// Copies keys and values of some slots of a layer to the host, as [`Backend::kv_export`] does. Of those that were
    /// given back, since no later token sees them, there are zeros.
    ///
    /// # Errors
    /// As [`Backend::kv_export`].
    pub fn export_slots<K: Backend>(
        &self,
        backend: &K,
        pool: &KvPool<K::Buffer>,
        layer: usize,
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        let group = pool.group_of(layer);
        let (stored, pages) = (pool.layer(layer), self.pages(group));
        let absent = self.absent(group, &slots);
        let (key, value) = stored.layout.slot_bytes();
        let parts = (k.split_at_mut_checked(absent * key), v.split_at_mut_checked(absent * value));
        let (Some((no_k, k)), Some((no_v, v))) = parts else {
            return stored.check_transfer("kv_export", pages, &slots, (&[], &[]));
        };
        no_k.fill(0);
        no_v.fill(0);
        backend.kv_export(stored, pages, slots.start + absent..slots.end, k, v)
    }

    /// Stores what [`Self::export_slots`] of any backend gave in the slots from `at` on, which are the sequence's own, as far
    /// as these are held.
    ///
    /// # Errors
    /// As [`Backend::kv_import`].
    pub fn import_slots<K: Backend>(
        &mut self,
        backend: &K,
        pool: &mut KvPool<K::Buffer>,
        layer: usize,
        k: &[u8],
        v: &[u8],
        at: usize,
    ) -> Result<()> {
        let group = pool.group_of(layer);
        let stored = pool.layer_mut(layer);
        let absent = self.absent(group, &stored.layout.slots_of(k.len(), at));
        let (key, value) = stored.layout.slot_bytes();
        let [k, v] =
            [(k, key), (v, value)].map(|(bytes, slot)| bytes.get(absent * slot..).unwrap_or_default());
        backend.kv_import(k, v, stored, self.pages(group), at + absent)
    }

    /// How many of the first of these slots a group has given back.
    fn absent(&self, group: usize, slots: &Range<usize>) -> usize {
        self.tables[group].first_held().saturating_sub(slots.start).min(slots.len())
    }
}
