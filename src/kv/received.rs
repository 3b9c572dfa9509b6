//! The accumulated attention of each token of a cache.

use std::ops::Range;

/// Sums of attention weights over all heads and over all tokens since a token came, for each slot of each layer.
///
/// Each sum is over the rows in order of their positions, and those of the layers are added in ascending order: the
/// same bits however a text is cut into passes. What a pass adds counts only when the next one begins, since a draft
/// may be taken back; only of passes larger than any draft it counts at once, and the memory of their weights serves one
/// layer after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct AccumulatedAttention {
    layers: Vec<Layer>,
    /// The most rows that may be taken back.
    drafts: usize,
    total: Vec<f64>,
}

#[derive(Clone, Debug, Default)]
struct Layer {
    sums: Vec<f64>,
    /// Weights of a pass that do not count yet, `[rows, at + rows]`.
    pending: Vec<f32>,
    at: usize,
    rows: usize,
}

impl AccumulatedAttention {
    /// Of so many layers; passes of up to `drafts` rows may be taken back.
    pub fn new(layers: usize, drafts: usize) -> Self {
        Self { layers: vec![Layer::default(); layers], drafts, total: Vec::new() }
    }

    /// How many layers count.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Whether this layer counts.
    pub fn has(&self, layer: usize) -> bool {
        layer < self.layers.len()
    }

    /// Adds what `rows` rows attend to, the first of them in slot `at`; `weigh` fills in their weights,
    /// `[rows, at + rows]`.
    pub fn add<E>(
        &mut self,
        layer: usize,
        (at, rows): (usize, usize),
        weigh: impl FnOnce(&mut [f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let drafts = self.drafts;
        let Some(layer) = self.layers.get_mut(layer) else { return Ok(()) };
        layer.settle(at);
        layer.pending.clear();
        layer.pending.resize(rows * (at + rows), 0.0);
        (layer.at, layer.rows) = (at, 0);
        weigh(&mut layer.pending)?;
        layer.rows = rows;
        if rows > drafts {
            layer.settle(at + rows);
            layer.pending = Vec::new();
        }
        Ok(())
    }

    /// The accumulated attention of each of the `len` slots held.
    pub fn total(&mut self, len: usize) -> &[f64] {
        self.total.clear();
        self.total.resize(len, 0.0);
        for layer in &mut self.layers {
            layer.settle(len);
            self.total.iter_mut().zip(&layer.sums).for_each(|(total, sum)| *total += sum);
        }
        &self.total
    }

    /// The accumulated attention of each of the `len` slots held, layer by layer.
    pub fn sums(&mut self, len: usize) -> impl Iterator<Item = &[f64]> {
        self.layers.iter_mut().map(move |layer| {
            layer.settle(len);
            &layer.sums[..]
        })
    }

    /// Restores the sums of the `len` slots of a text from `get`, which fills in what [`Self::sums`] gave.
    pub fn fill<E>(&mut self, len: usize, mut get: impl FnMut(&mut [f64]) -> Result<(), E>) -> Result<(), E> {
        self.clear();
        self.layers.iter_mut().try_for_each(|layer| {
            layer.sums.resize(len, 0.0);
            get(&mut layer.sums)
        })
    }

    /// The slots of `keep` move together, and all others go.
    pub fn retain(&mut self, len: usize, keep: &[Range<usize>]) {
        for layer in &mut self.layers {
            layer.settle(len);
            layer.sums = keep.iter().flat_map(|range| &layer.sums[range.clone()]).copied().collect();
        }
    }

    /// Another text begins.
    pub fn clear(&mut self) {
        for layer in &mut self.layers {
            layer.rows = 0;
            layer.sums.clear();
        }
    }
}

impl Layer {
    /// Counts the rows that wait, as far as they are still held; from now on there are `len` slots.
    fn settle(&mut self, len: usize) {
        let width = self.at + self.rows;
        for row in 0..self.rows {
            let slots = self.at + row + 1;
            if slots > len {
                break;
            }
            self.sums.resize(slots, 0.0);
            let weights = &self.pending[row * width..row * width + slots];
            self.sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += f64::from(*weight));
        }
        self.rows = 0;
        self.sums.resize(len, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row `r` of a text attends to slot `s` with this weight.
    fn weight(row: usize, slot: usize) -> f32 {
        ((row * 31 + slot * 17) % 23) as f32 / 23.0
    }

    fn pass(attention: &mut AccumulatedAttention, at: usize, rows: usize) {
        for layer in 0..2 {
            attention
                .add(layer, (at, rows), |weights| {
                    for (row, weights) in weights.chunks_exact_mut(at + rows).enumerate() {
                        for (slot, w) in weights.iter_mut().enumerate().take(at + row + 1) {
                            *w = weight(at + row, slot) + layer as f32;
                        }
                    }
                    Ok::<(), ()>(())
                })
                .unwrap();
        }
    }

    #[test]
    fn sums_do_not_depend_on_passes_or_drafts() {
        let mut whole = AccumulatedAttention::new(2, 1);
        pass(&mut whole, 0, 300);
        let expected = whole.total(300).to_vec();
        assert!((expected[299] - f64::from(2.0 * weight(299, 299) + 1.0)).abs() < 1e-6);
        let mut parts = AccumulatedAttention::new(2, 100);
        for (at, rows) in [(0, 1), (1, 129), (130, 20), (140, 5), (142, 100), (200, 100)] {
            pass(&mut parts, at, rows);
        }
        assert_eq!(parts.total(300), expected);
    }

    #[test]
    fn what_goes_takes_its_sum_along() {
        let mut attention = AccumulatedAttention::new(2, 1);
        pass(&mut attention, 0, 40);
        let all = attention.total(40).to_vec();
        attention.retain(40, &[0..2, 5..6, 30..40]);
        let kept: Vec<f64> = (0..2).chain(5..6).chain(30..40).map(|slot| all[slot]).collect();
        assert_eq!(attention.total(13), kept);
        pass(&mut attention, 13, 1);
        assert_eq!(attention.total(14).len(), 14);
        attention.clear();
        assert_eq!(attention.total(3), [0.0; 3]);
    }
}
