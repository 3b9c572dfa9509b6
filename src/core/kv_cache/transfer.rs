//! Export and import of a cache.

use std::ops::Range;

use super::KvCache;
use crate::core::kv_attention::AccumulatedAttention;
use crate::core::{Backend, Buffer, CoreError, Result};

/// What a cache stores of a text besides its keys and values, for evictions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvRecords {
    /// The first so many tokens' keys and values are kept unrotated, in f32.
    pub unrotated: usize,
    /// Number of layers that have accumulated attention for each slot, in f64.
    pub received: usize,
}

impl<B: Buffer> KvCache<B> {
    /// Passes each layer's keys and values of the slots `slots`, layer by layer, to `put`: see
    /// [`Backend::kv_export`] for the bytes. With [`Self::position`] they are all that [`Self::import`] needs.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] for slots that are not held, errors of the backend and of `put`.
    pub fn export<K: Backend<Buffer = B>, E: From<CoreError>>(
        &self,
        backend: &K,
        slots: Range<usize>,
        mut put: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check_ranges(std::slice::from_ref(&slots))?;
        for layer in 0..self.layers() {
            let (mut k, mut v) = self.layout(layer).room(slots.len())?;
            self.export_slots(backend, layer, slots.clone(), &mut k, &mut v)?;
            put(&k, &v)?;
        }
        Ok(())
    }

    /// Copies keys and values of some slots of a layer to the host, as [`Backend::kv_export`] does. Of those that were
    /// given back, since no later token sees them, there are zeros.
    ///
    /// # Errors
    /// As [`Backend::kv_export`].
    pub fn export_slots<K: Backend<Buffer = B>>(
        &self,
        backend: &K,
        layer: usize,
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        let (stored, pages) = self.layer(layer);
        let absent = self.absent(layer, &slots);
        let (key, value) = stored.layout.slot_bytes();
        let parts = (k.split_at_mut_checked(absent * key), v.split_at_mut_checked(absent * value));
        let (Some((no_k, k)), Some((no_v, v))) = parts else {
            return stored.check_transfer("kv_export", pages, &slots, (&[], &[]));
        };
        no_k.fill(0);
        no_v.fill(0);
        backend.kv_export(stored, pages, slots.start + absent..slots.end, k, v)
    }

    /// Stores what [`Self::export_slots`] of any backend gave in the slots from `at` on, as far as these are held.
    ///
    /// # Errors
    /// As [`Backend::kv_import`].
    pub fn import_slots<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        layer: usize,
        k: &[u8],
        v: &[u8],
        at: usize,
    ) -> Result<()> {
        let absent = self.absent(layer, &self.layout(layer).slots_of(k.len(), at));
        let (stored, pages) = self.layer_mut(layer);
        let (key, value) = stored.layout.slot_bytes();
        let [k, v] =
            [(k, key), (v, value)].map(|(bytes, slot)| bytes.get(absent * slot..).unwrap_or_default());
        backend.kv_import(k, v, stored, pages, at + absent)
    }

    /// How many of the first of these slots a layer has given back.
    fn absent(&self, layer: usize, slots: &Range<usize>) -> usize {
        self.first_held(self.pool.group_of(layer)).saturating_sub(slots.start).min(slots.len())
    }

    /// Replaces what is held by `len` tokens of a cache of the same types, heads and layers that had seen `position`
    /// tokens, the last ones since `retained` without an eviction between them. `get` fills in each layer's keys and values, layer by layer,
    /// as [`Self::export`] handed them out.
    ///
    /// # Errors
    /// As [`Self::reserve`], [`CoreError::Mismatch`] for counts that contradict each other, what the backend answers, and
    /// what `get` does. The cache is empty then.
    pub fn import<K: Backend<Buffer = B>, E: From<CoreError>>(
        &mut self,
        backend: &K,
        len: usize,
        position: usize,
        retained: usize,
        mut get: impl FnMut(&mut [u8], &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.clear();
        let op = "restoring the cache";
        if position < len {
            return Err(CoreError::Mismatch { op, what: "position", got: position, expected: len }.into());
        }
        if position.checked_sub(retained).is_none_or(|since| since > len)
            || (retained == 0) != (len == position)
        {
            let what = "position at the last eviction";
            return Err(CoreError::Mismatch { op, what, got: retained, expected: position - len }.into());
        }
        self.reserve(backend, len)?;
        for layer in 0..self.layers() {
            let (mut k, mut v) = self.layout(layer).room(len)?;
            get(&mut k, &mut v)?;
            self.import_slots(backend, layer, &k, &v, 0)?;
        }
        (self.len, self.position, self.retained) = (len, position, retained);
        Ok(())
    }

    /// What is stored besides the keys and values of a text of `position` tokens.
    pub fn records(&self, position: usize) -> KvRecords {
        KvRecords {
            unrotated: self.prefix_tokens().min(position),
            received: self.attention.as_ref().map_or(0, AccumulatedAttention::layers),
        }
    }

    /// Bytes of `held` slots as [`Self::export`] hands them out, and of such records as [`Self::export_records`] does;
    /// `None` if there is no such number.
    pub fn exported_bytes(&self, held: usize, records: KvRecords) -> Option<u64> {
        let layouts = || (0..self.layers()).map(|layer| self.layout(layer));
        let token = layouts().try_fold(0, |sum: usize, layout| sum.checked_add(layout.bytes_per_token()))?;
        let stored = token.checked_mul(held)?;
        let width = layouts().try_fold(0, |sum: usize, layout| sum.checked_add(layout.width()))?;
        let unrotated = records.unrotated.checked_mul(2)?.checked_mul(width)?.checked_mul(size_of::<f32>())?;
        let attention = records.received.checked_mul(held)?.checked_mul(size_of::<f64>())?;
        u64::try_from(stored.checked_add(unrotated)?.checked_add(attention)?).ok()
    }

    /// Hands the [records](Self::records) of the text to `put`, little endian: layer by layer the unrotated keys and then
    /// values, `[tokens][kv_heads][head_dim]` f32, and then layer by layer the sums, `[len]` f64.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] if some of the unrotated keys were never taken in, and what `put` does.
    pub fn export_records<E: From<CoreError>>(
        &mut self,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let KvRecords { unrotated, .. } = self.records(self.position);
        if let Some(prefix) = &self.prefix {
            prefix.check_captured(unrotated)?;
            for rows in prefix.rows(unrotated) {
                put(&rows.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
            }
        }
        for sums in self.attention.iter_mut().flat_map(|attention| attention.sums(self.len)) {
            put(&sums.iter().flat_map(|sum| sum.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        Ok(())
    }

    /// After [`Self::import`], fills in the records that this cache keeps: `get` fills in bytes as
    /// [`Self::export_records`] handed them out.
    ///
    /// # Errors
    /// What `get` does. The cache is of no use then.
    pub fn import_records<E>(&mut self, mut get: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
        let (len, KvRecords { unrotated, .. }) = (self.len, self.records(self.position));
        let mut bytes = Vec::new();
        if let Some(prefix) = &mut self.prefix {
            prefix.fill(unrotated, |rows: &mut [f32]| {
                bytes.resize(size_of_val(rows), 0);
                get(&mut bytes)?;
                let (values, _) = bytes.as_chunks();
                rows.iter_mut().zip(values).for_each(|(to, from)| *to = f32::from_le_bytes(*from));
                Ok(())
            })?;
        }
        if let Some(attention) = &mut self.attention {
            attention.fill(len, |sums: &mut [f64]| {
                bytes.resize(size_of_val(sums), 0);
                get(&mut bytes)?;
                let (values, _) = bytes.as_chunks();
                sums.iter_mut().zip(values).for_each(|(to, from)| *to = f64::from_le_bytes(*from));
                Ok(())
            })?;
        }
        Ok(())
    }
}
