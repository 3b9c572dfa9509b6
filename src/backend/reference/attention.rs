//! Attention of one query row, written as its definition.

use std::ops::Range;

use super::{ReferenceBuffer, softcap};
use crate::core::{AttentionParams, KvLayer, KvLayout, PageId, Result};

/// `out = softmax(scores of q and k) . v` over the slots `seen`, for every head of the row `q`.
pub(super) fn row(
    q: &[f32],
    layer: &KvLayer<ReferenceBuffer>,
    how: &AttentionParams,
    (pages, seen): (&[PageId], Range<usize>),
    out: &mut [f32],
) -> Result<()> {
    let layout = &layer.layout;
    let d = layout.head_dim;
    let heads_per_kv_head = q.len() / d / layout.kv_heads;
    for kv_head in 0..layout.kv_heads {
        let (keys, values) =
            (load(&layer.k, layout, pages, kv_head, &seen)?, load(&layer.v, layout, pages, kv_head, &seen)?);
        let group = kv_head * heads_per_kv_head * d..(kv_head + 1) * heads_per_kv_head * d;
        for (query, result) in q[group.clone()].chunks_exact(d).zip(out[group].chunks_exact_mut(d)) {
            let (weights, total) = softmax(query, &keys, how);
            for (i, value) in result.iter_mut().enumerate() {
                let sum: f64 =
                    weights.iter().zip(values.chunks_exact(d)).map(|(w, v)| w * f64::from(v[i])).sum();
                *value = (sum / total) as f32;
            }
        }
    }
    Ok(())
}

/// What the heads of the row `q` give to each of the slots `seen`, all together; 0 to all others.
pub(super) fn weights(
    q: &[f32],
    layer: &KvLayer<ReferenceBuffer>,
    how: &AttentionParams,
    (pages, seen): (&[PageId], Range<usize>),
    out: &mut [f32],
) -> Result<()> {
    let layout = &layer.layout;
    let d = layout.head_dim;
    let heads_per_kv_head = q.len() / d / layout.kv_heads;
    let mut sums = vec![0.0; out.len()];
    for (kv_head, group) in q.chunks_exact(heads_per_kv_head * d).enumerate() {
        let keys = load(&layer.k, layout, pages, kv_head, &seen)?;
        for query in group.chunks_exact(d) {
            let (weights, total) = softmax(query, &keys, how);
            sums[seen.clone()].iter_mut().zip(&weights).for_each(|(sum, weight)| *sum += weight / total);
        }
    }
    out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = *sum as f32);
    Ok(())
}

/// A head's keys, or values, of the slots `slots`: `[slots][head_dim]`.
fn load(
    buffer: &ReferenceBuffer,
    layout: &KvLayout,
    pages: &[PageId],
    kv_head: usize,
    slots: &Range<usize>,
) -> Result<Vec<f32>> {
    let mut all = vec![0.0; slots.len() * layout.head_dim];
    for (slot, one) in slots.clone().zip(all.chunks_exact_mut(layout.head_dim)) {
        buffer.load(layout.row(pages, kv_head, slot), one)?;
    }
    Ok(all)
}

/// The weights of `keys` for `query`, and what to divide them by.
fn softmax(query: &[f32], keys: &[f32], how: &AttentionParams) -> (Vec<f64>, f64) {
    let score = |key: &[f32]| {
        let products = query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b));
        let score = products.sum::<f64>() * f64::from(how.scale);
        how.softcap.map_or(score, |cap| softcap(score, cap))
    };
    let scores: Vec<f64> = keys.chunks_exact(query.len()).map(score).collect();
    // Relative to the largest, so that no exponential is beyond what a number can be.
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| libm::exp(s - largest)).collect();
    let total = weights.iter().sum();
    (weights, total)
}
