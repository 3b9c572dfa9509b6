//! Attention weights for policies that accumulate them (`attention_weights`), separate from attention itself.

use super::exp::exp;
use super::simd::{Simd, max_lane};

/// Queries that share the loads of a key.
const QUERIES: usize = 4;

/// The products of sixteen keys, `[head_dim][16]`, with each of `queries`, `[..][head_dim]`: for each element a
/// multiplication and an addition, in ascending order. Those of query `i` go to `out[i * stride]`.
#[inline(always)]
pub(crate) fn products<S: Simd>(s: S, keys: &[f32], queries: &[f32], out: &mut [[f32; 16]], stride: usize) {
    let keys = keys.as_chunks::<16>().0;
    let count = queries.len() / keys.len().max(1);
    for at in (0..count).step_by(QUERIES) {
        let (queries, out) = (&queries[at * keys.len()..], &mut out[at * stride..]);
        match count - at {
            1 => several::<S, 1>(s, keys, queries, out, stride),
            2 => several::<S, 2>(s, keys, queries, out, stride),
            3 => several::<S, 3>(s, keys, queries, out, stride),
            _ => several::<S, QUERIES>(s, keys, queries, out, stride),
        }
    }
}

#[inline(always)]
fn several<S: Simd, const X: usize>(
    s: S,
    keys: &[[f32; 16]],
    queries: &[f32],
    out: &mut [[f32; 16]],
    stride: usize,
) {
    let mut qs = [queries; X];
    for x in 0..X {
        qs[x] = &queries[x * keys.len()..(x + 1) * keys.len()];
    }
    let mut sums = [s.splat(0.0); X];
    for (d, key) in keys.iter().enumerate() {
        let key = s.load(key);
        for x in 0..X {
            sums[x] = s.add(sums[x], s.mul(key, s.splat(qs[x][d])));
        }
    }
    for x in 0..X {
        s.store(sums[x], &mut out[x * stride]);
    }
}

/// Adds to each slot of `out` its weight: the softmax of `scale` times the products of as many slots. What `products` has
/// after them may be anything; afterwards nothing in it is of use.
#[inline(always)]
pub(crate) fn add_weights<S: Simd>(s: S, products: &mut [[f32; 16]], scale: f32, out: &mut [f32]) {
    products.as_flattened_mut()[out.len()..].fill(f32::NEG_INFINITY);
    let mut top = s.splat(f32::NEG_INFINITY);
    for product in products.iter() {
        top = s.max(top, s.load(product));
    }
    let (top, scale) = (s.splat(max_lane(s, top)), s.splat(scale));
    let mut sums = s.splat(0.0);
    for product in products.iter_mut() {
        let weight = exp(s, s.mul(s.sub(s.load(product), top), scale));
        sums = s.add(sums, weight);
        s.store(weight, product);
    }
    let share = 1.0 / s.sum(sums);
    let (whole, tail) = out.as_chunks_mut::<16>();
    let (weights, last) = products.split_at(whole.len());
    for (out, weights) in whole.iter_mut().zip(weights) {
        s.store(s.add(s.load(out), s.mul(s.load(weights), s.splat(share))), out);
    }
    for (out, weight) in tail.iter_mut().zip(last.as_flattened()) {
        *out += weight * share;
    }
}
