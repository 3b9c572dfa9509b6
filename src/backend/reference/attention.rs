//! Attention of one query row, written as its definition.

use super::ReferenceBuffer;
use crate::core::{KvLayer, KvLayout, Result};

/// `out = softmax(q . k^T / sqrt(head_dim)) . v` over slots `0..seen`, for every head of the row `q`.
pub(super) fn row(
    q: &[f32],
    cache: &KvLayer<ReferenceBuffer>,
    layout: &KvLayout,
    seen: usize,
    out: &mut [f32],
) -> Result<()> {
    let d = layout.head_dim;
    let heads_per_kv_head = q.len() / d / layout.kv_heads;
    for kv_head in 0..layout.kv_heads {
        let (keys, values) = (load(&cache.k, layout, kv_head, seen)?, load(&cache.v, layout, kv_head, seen)?);
        let group = kv_head * heads_per_kv_head * d..(kv_head + 1) * heads_per_kv_head * d;
        for (query, result) in q[group.clone()].chunks_exact(d).zip(out[group].chunks_exact_mut(d)) {
            let (weights, total) = softmax(query, &keys);
            for (i, value) in result.iter_mut().enumerate() {
                let sum: f64 =
                    weights.iter().zip(values.chunks_exact(d)).map(|(w, v)| w * f64::from(v[i])).sum();
                *value = (sum / total) as f32;
            }
        }
    }
    Ok(())
}

/// What the heads of the row `q` give to each of the slots `0..seen`, all together; 0 to those after them.
pub(super) fn weights(
    q: &[f32],
    cache: &KvLayer<ReferenceBuffer>,
    layout: &KvLayout,
    seen: usize,
    out: &mut [f32],
) -> Result<()> {
    let d = layout.head_dim;
    let heads_per_kv_head = q.len() / d / layout.kv_heads;
    let mut sums = vec![0.0; out.len()];
    for (kv_head, group) in q.chunks_exact(heads_per_kv_head * d).enumerate() {
        let keys = load(&cache.k, layout, kv_head, seen)?;
        for query in group.chunks_exact(d) {
            let (weights, total) = softmax(query, &keys);
            sums.iter_mut().zip(&weights).for_each(|(sum, weight)| *sum += weight / total);
        }
    }
    out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = *sum as f32);
    Ok(())
}

/// A head's keys, or values, of slots `0..seen`: `[seen][head_dim]`.
fn load(buffer: &ReferenceBuffer, layout: &KvLayout, kv_head: usize, seen: usize) -> Result<Vec<f32>> {
    let mut all = vec![0.0; seen * layout.head_dim];
    for (slot, one) in all.chunks_exact_mut(layout.head_dim).enumerate() {
        buffer.load(layout.row(kv_head, slot), one)?;
    }
    Ok(all)
}

/// The weights of `keys` for `query`, and what to divide them by.
fn softmax(query: &[f32], keys: &[f32]) -> (Vec<f64>, f64) {
    let d = query.len();
    let scale = 1.0 / (d as f64).sqrt();
    let dot =
        |key: &[f32]| query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() * scale;
    let scores: Vec<f64> = keys.chunks_exact(d).map(dot).collect();
    // Relative to the largest, so that no exponential is beyond what a number can be.
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| libm::exp(s - largest)).collect();
    let total = weights.iter().sum();
    (weights, total)
}
