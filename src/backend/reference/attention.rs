//! Attention of one query row, written as its definition.

use super::ReferenceBuffer;
use crate::core::{KvLayer, KvLayout};

/// `out = softmax(q . k^T / sqrt(head_dim)) . v` over slots `0..seen`, for every head of the row `q`.
pub(super) fn row(
    q: &[f32],
    cache: &KvLayer<ReferenceBuffer>,
    layout: &KvLayout,
    seen: usize,
    out: &mut [f32],
) {
    let d = layout.head_dim;
    let heads_per_kv_head = q.len() / d / layout.kv_heads;
    let scale = 1.0 / (d as f64).sqrt();
    for (head, (query, result)) in q.chunks_exact(d).zip(out.chunks_exact_mut(d)).enumerate() {
        let kv_head = head / heads_per_kv_head;
        let slot = |buffer: &'_ ReferenceBuffer, s: usize, i: usize| {
            f64::from(buffer.values()[layout.offset(kv_head, s) + i])
        };
        let scores: Vec<f64> = (0..seen)
            .map(|s| {
                query.iter().enumerate().map(|(i, &a)| f64::from(a) * slot(&cache.k, s, i)).sum::<f64>()
                    * scale
            })
            .collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| libm::exp(s - largest)).collect();
        let total: f64 = weights.iter().sum();
        for (i, value) in result.iter_mut().enumerate() {
            let sum: f64 = weights.iter().enumerate().map(|(s, w)| w * slot(&cache.v, s, i)).sum();
            *value = (sum / total) as f32;
        }
    }
}
