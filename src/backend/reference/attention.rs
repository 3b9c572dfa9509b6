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
    let scale = 1.0 / (d as f64).sqrt();
    let (mut keys, mut values) = (vec![0.0; seen * d], vec![0.0; seen * d]);
    for kv_head in 0..layout.kv_heads {
        for (buffer, stored) in [(&cache.k, &mut keys), (&cache.v, &mut values)] {
            for (slot, stored) in stored.chunks_exact_mut(d).enumerate() {
                buffer.load(layout.row(kv_head, slot), stored)?;
            }
        }
        let group = kv_head * heads_per_kv_head * d..(kv_head + 1) * heads_per_kv_head * d;
        for (query, result) in q[group.clone()].chunks_exact(d).zip(out[group].chunks_exact_mut(d)) {
            let dot = |key: &[f32]| {
                query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() * scale
            };
            let scores: Vec<f64> = keys.chunks_exact(d).map(dot).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| libm::exp(s - largest)).collect();
            let total: f64 = weights.iter().sum();
            for (i, value) in result.iter_mut().enumerate() {
                let sum: f64 =
                    weights.iter().zip(values.chunks_exact(d)).map(|(w, v)| w * f64::from(v[i])).sum();
                *value = (sum / total) as f32;
            }
        }
    }
    Ok(())
}

/// What the heads of the row `q` give to each of the slots `0..seen`, all together; 0 to those behind.
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
    let mut key = vec![0.0; d];
    for (head, query) in q.chunks_exact(d).enumerate() {
        let mut weights = Vec::with_capacity(seen);
        for slot in 0..seen {
            cache.k.load(layout.row(head / heads_per_kv_head, slot), &mut key)?;
            let dot: f64 = query.iter().zip(&key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            weights.push(libm::exp(dot / (d as f64).sqrt()));
        }
        let total: f64 = weights.iter().sum();
        sums.iter_mut().zip(&weights).for_each(|(sum, weight)| *sum += weight / total);
    }
    out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = *sum as f32);
    Ok(())
}
