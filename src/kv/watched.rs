//! What a policy watches of a sequence.

use std::ops::Range;

use super::received::AccumulatedAttention;
use super::unrotated::UnrotatedPrefix;
use crate::core::{AttentionParams, Backend, CoreError, KvLayer, KvLayout, KvObserver, Result, Run, Tensor};

/// What a sequence's policy needs besides the keys and values that are held: it follows what becomes of the sequence.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    prefix: Option<UnrotatedPrefix>,
    attention: Option<AccumulatedAttention>,
}

/// How much of it a stored sequence has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvRecords {
    /// The first so many tokens' keys and values are kept unrotated, in f32.
    pub unrotated: usize,
    /// Number of layers that have accumulated attention for each slot, in f64.
    pub received: usize,
}

impl KvRecords {
    /// Bytes of it for `held` slots in layers that store as `layouts` say; `None` if there is no such number.
    pub fn bytes(&self, held: usize, layouts: &[KvLayout]) -> Option<usize> {
        let width = layouts.iter().try_fold(0, |sum: usize, layout| sum.checked_add(layout.width()))?;
        let unrotated = self.unrotated.checked_mul(2)?.checked_mul(width)?.checked_mul(size_of::<f32>())?;
        let attention = self.received.checked_mul(held)?.checked_mul(size_of::<f64>())?;
        unrotated.checked_add(attention)
    }
}

impl Watched {
    /// From now on the first `tokens` of each text are kept unrotated as well, in f32, in layers that store as `layouts`
    /// say.
    pub fn keep_prefix(&mut self, tokens: usize, layouts: &[KvLayout]) {
        let widths = layouts.iter().map(KvLayout::width).collect();
        self.prefix = Some(UnrotatedPrefix::new(widths, tokens));
    }

    /// From now on the attention of each token is accumulated in each of `layers` layers. [`Self::rewind`] takes back no
    /// more than `drafts` tokens of a pass.
    ///
    /// # Errors
    /// [`CoreError::Lacking`] if the backend does not compute it for `layer`, one of them.
    pub fn accumulate_attention<B: Backend>(
        &mut self,
        backend: &B,
        layer: &KvLayer<B::Buffer>,
        layers: usize,
        drafts: usize,
    ) -> Result<()> {
        let how = AttentionParams::of_head_dim(layer.layout.head_dim);
        let nothing = Run { rows: 0..0, pages: &[], len: 0 };
        let no_queries = backend.tensor(0, layer.layout.width())?;
        backend.attention_weights(&no_queries, layer, &how, &nothing, &mut [])?;
        // Of a prompt's tokens the last layer computes the queries of the last one alone.
        self.attention = Some(AccumulatedAttention::new(layers.saturating_sub(1).max(1), drafts));
        Ok(())
    }

    /// How many of the first tokens are kept unrotated.
    pub fn prefix_tokens(&self) -> usize {
        self.prefix.as_ref().map_or(0, UnrotatedPrefix::tokens)
    }

    /// The unrotated keys, and the values, of the first tokens in a layer, `[tokens, kv_heads * head_dim]` each.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] if some of them were never taken in.
    pub fn prefix(&self, layer: usize) -> Result<[&[f32]; 2]> {
        self.prefix.as_ref().map_or(Ok([&[], &[]]), |prefix| prefix.of_layer(layer))
    }

    /// Whether a sequence that was cut back is as it was then: attention from tokens that are forgotten stays in the sums.
    pub fn can_rewind(&self) -> bool {
        self.attention.is_none()
    }

    /// The accumulated attention of each of the `len` slots held since its token came, over all heads and all layers but the
    /// last (unless there is only one). Empty if it is not accumulated.
    pub fn accumulated_attention(&mut self, len: usize) -> &[f64] {
        self.attention.as_mut().map_or(&[], |attention| attention.total(len))
    }

    /// The sequence was cleared.
    pub fn clear(&mut self) {
        if let Some(attention) = &mut self.attention {
            attention.clear();
        }
        self.rewind(0);
    }

    /// The tokens from `position` on were forgotten.
    pub fn rewind(&mut self, position: usize) {
        if let Some(prefix) = &mut self.prefix {
            prefix.forget_from(position);
        }
    }

    /// Of `held` slots those of `keep` moved together, and all others went.
    pub fn retain(&mut self, held: usize, keep: &[Range<usize>]) {
        if let Some(attention) = &mut self.attention {
            attention.retain(held, keep);
        }
    }

    /// Memory taken for the prefix, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.prefix.as_ref().map_or(0, UnrotatedPrefix::size_bytes)
    }

    /// What there is of a text of `position` tokens.
    pub fn records(&self, position: usize) -> KvRecords {
        KvRecords {
            unrotated: self.prefix_tokens().min(position),
            received: self.attention.as_ref().map_or(0, AccumulatedAttention::layers),
        }
    }

    /// Hands the [records](Self::records) of a text of `position` tokens, in `len` slots, to `put`, little endian: layer by
    /// layer the unrotated keys and then values, `[tokens][kv_heads][head_dim]` f32, and then layer by layer the sums,
    /// `[len]` f64.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] if some of the unrotated keys were never taken in, and what `put` does.
    pub fn export<E: From<CoreError>>(
        &mut self,
        (len, position): (usize, usize),
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let KvRecords { unrotated, .. } = self.records(position);
        if let Some(prefix) = &self.prefix {
            prefix.check_captured(unrotated)?;
            for rows in prefix.rows(unrotated) {
                put(&rows.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
            }
        }
        for sums in self.attention.iter_mut().flat_map(|attention| attention.sums(len)) {
            put(&sums.iter().flat_map(|sum| sum.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        Ok(())
    }

    /// Fills in what is watched of a text of `position` tokens in `len` slots: `get` fills in bytes as [`Self::export`]
    /// handed them out.
    ///
    /// # Errors
    /// What `get` does. The text is of no use then.
    pub fn import<E>(
        &mut self,
        (len, position): (usize, usize),
        mut get: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let KvRecords { unrotated, .. } = self.records(position);
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

impl<B: Backend> KvObserver<B> for Watched {
    fn stores(
        &mut self,
        backend: &B,
        layer: usize,
        kv: (&Tensor<B::Buffer>, &Tensor<B::Buffer>),
        rows: Range<usize>,
        position: usize,
    ) -> Result<()> {
        match &mut self.prefix {
            Some(prefix) => prefix.capture(backend, layer, kv, rows, position),
            None => Ok(()),
        }
    }

    fn attends(
        &mut self,
        backend: &B,
        layer: usize,
        q: &Tensor<B::Buffer>,
        stored: &KvLayer<B::Buffer>,
        how: &AttentionParams,
        run: &Run<'_>,
    ) -> Result<()> {
        let Some(attention) = self.attention.as_mut().filter(|attention| attention.has(layer)) else {
            return Ok(());
        };
        let weigh = |weights: &mut [f32]| backend.attention_weights(q, stored, how, run, weights);
        attention.add(layer, (run.len, run.rows.len()), weigh)
    }
}
