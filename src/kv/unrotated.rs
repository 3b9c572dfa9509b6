//! The first keys and values of a text, as they were before rotation.

use std::ops::Range;

use crate::core::{Backend, CoreError, Result, Tensor};

/// Keys and values of a text's first tokens in every layer, unrotated, in f32 and on the host: to be rotated to other
/// positions as often as wanted, each time with no more than one rounding.
#[derive(Clone, Debug)]
pub(super) struct UnrotatedPrefix {
    tokens: usize,
    /// How many of this text's tokens are there.
    captured: usize,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
struct Layer {
    /// Elements of a token's keys, or values.
    width: usize,
    /// `[tokens, width]` keys, then as many values.
    rows: [Vec<f32>; 2],
}

impl UnrotatedPrefix {
    /// Room for `tokens` tokens; `widths` has `kv_heads * head_dim` of each layer.
    pub(super) fn new(widths: Vec<usize>, tokens: usize) -> Self {
        let empty = |width: usize| vec![0.0; tokens.saturating_mul(width)];
        let layer = |width| Layer { width, rows: [empty(width), empty(width)] };
        Self { tokens, captured: 0, layers: widths.into_iter().map(layer).collect() }
    }

    /// How many of the first tokens are kept.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// No more than the first `tokens` of what is kept are of this text.
    pub(super) fn forget_from(&mut self, tokens: usize) {
        self.captured = self.captured.min(tokens);
    }

    /// Keeps those of the rows `rows` of `k` and `v` that belong to the first tokens; the first one stands at `position`.
    pub(super) fn capture<K: Backend>(
        &mut self,
        backend: &K,
        layer: usize,
        (k, v): (&Tensor<K::Buffer>, &Tensor<K::Buffer>),
        rows: Range<usize>,
        position: usize,
    ) -> Result<()> {
        let end = self.tokens.min(position.saturating_add(rows.len()));
        if position >= end {
            return Ok(());
        }
        let Some(Layer { width, rows: kept }) = self.layers.get_mut(layer) else { return Ok(()) };
        let values = position * *width..end * *width;
        for (from, to) in [k, v].into_iter().zip(kept) {
            backend.download(from, rows.start, &mut to[values.clone()])?;
        }
        // Layers come in ascending order, and a failure in one of them ends the text.
        if position <= self.captured {
            self.captured = self.captured.max(end);
        }
        Ok(())
    }

    /// The unrotated keys, and the values, of all tokens that are kept, `[tokens, width]` each.
    pub(super) fn of_layer(&self, layer: usize) -> Result<[&[f32]; 2]> {
        self.check_captured(self.tokens)?;
        let rows = self.layers.get(layer).map(|layer| layer.rows.each_ref());
        Ok(rows.map_or([&[], &[]], |rows| rows.map(|values| &values[..])))
    }

    /// Checks that `tokens` tokens of this text are there.
    pub(super) fn check_captured(&self, tokens: usize) -> Result<()> {
        CoreError::expect_eq("turning the first tokens", "number kept unrotated", self.captured, tokens)
    }

    /// The keys and the values of the first `tokens` tokens, `[tokens, width]` each, layer by layer.
    pub(super) fn rows(&self, tokens: usize) -> impl Iterator<Item = &[f32]> {
        self.layers
            .iter()
            .flat_map(move |Layer { width, rows }| rows.iter().map(move |rows| &rows[..tokens * width]))
    }

    /// Takes the first `tokens` tokens of a text from `get`, which fills in what [`Self::rows`] gives.
    pub(super) fn fill<E>(
        &mut self,
        tokens: usize,
        mut get: impl FnMut(&mut [f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.captured = 0;
        for Layer { width, rows } in &mut self.layers {
            rows.iter_mut().try_for_each(|rows| get(&mut rows[..tokens * *width]))?;
        }
        self.captured = tokens;
        Ok(())
    }

    /// Memory taken, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.layers.iter().flat_map(|layer| &layer.rows).map(|rows| size_of_val(&rows[..])).sum()
    }
}
