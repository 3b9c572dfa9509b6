//! Normalization, rotation, activation functions, factors and sums.

use super::exp::{exp, tanh};
use super::simd::{Simd, padded, tree_sum};

/// `1 / sqrt(mean(x^2) + eps)`. The squares go into 16 partial sums and one tree.
#[inline(always)]
fn inverse_root<S: Simd>(s: S, x: &[f32], eps: f32) -> f32 {
    let (chunks, tail) = x.as_chunks::<16>();
    let mut acc = s.splat(0.0);
    for c in chunks {
        let v = s.load(c);
        acc = s.fma(v, v, acc);
    }
    let mut lanes = [0.0; 16];
    s.store(acc, &mut lanes);
    for (lane, &v) in lanes.iter_mut().zip(tail) {
        *lane = v.mul_add(v, *lane);
    }
    1.0 / (tree_sum(lanes) / x.len() as f32 + eps).sqrt()
}

/// `out = (x * (1 / sqrt(mean(x^2) + eps))) * gain`, the order of Hugging Face's `LlamaRMSNorm`.
#[inline(always)]
pub(crate) fn rms_norm<S: Simd>(s: S, x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    let inv = inverse_root(s, x, eps);
    let (chunks, tail) = x.as_chunks::<16>();
    let (gains, gain_tail) = gain.as_chunks::<16>();
    let (outs, out_tail) = out.as_chunks_mut::<16>();
    for ((c, g), o) in chunks.iter().zip(gains).zip(outs) {
        s.store(s.mul(s.mul(s.load(c), s.splat(inv)), s.load(g)), o);
    }
    for ((&v, &g), o) in tail.iter().zip(gain_tail).zip(out_tail) {
        *o = v * inv * g;
    }
}

/// As [`rms_norm`], in place.
#[inline(always)]
pub(crate) fn rms_norm_in_place<S: Simd>(s: S, x: &mut [f32], gain: &[f32], eps: f32) {
    let inv = inverse_root(s, x, eps);
    let (chunks, tail) = x.as_chunks_mut::<16>();
    let (gains, gain_tail) = gain.as_chunks::<16>();
    for (c, g) in chunks.iter_mut().zip(gains) {
        s.store(s.mul(s.mul(s.load(c), s.splat(inv)), s.load(g)), c);
    }
    for (v, &g) in tail.iter_mut().zip(gain_tail) {
        *v = *v * inv * g;
    }
}

/// `acc += x`.
#[inline(always)]
pub(crate) fn add<S: Simd>(s: S, x: &[f32], acc: &mut [f32]) {
    let (xs, x_tail) = x.as_chunks::<16>();
    let (accs, acc_tail) = acc.as_chunks_mut::<16>();
    for (x, a) in xs.iter().zip(accs) {
        s.store(s.add(s.load(a), s.load(x)), a);
    }
    for (x, a) in x_tail.iter().zip(acc_tail) {
        *a += x;
    }
}

/// A function of one element. No closure: such might stay outside of the function with the target features.
trait Map: Copy {
    fn of<S: Simd>(self, s: S, x: S::F) -> S::F;
}

/// `out = gate / (1 + e^-gate) * up`.
#[inline(always)]
pub(crate) fn silu_glu<S: Simd>(s: S, gate: &[f32], up: &[f32], out: &mut [f32]) {
    glu(s, gate, up, out, Silu);
}

/// `out = gate / (1 + e^-2y) * up` with `y = sqrt(2 / pi) * (gate + 0.044715 gate^3)`: half of `1 + tanh(y)`, without
/// the loss of digits that this sum has where tanh is near -1.
#[inline(always)]
pub(crate) fn gelu_glu<S: Simd>(s: S, gate: &[f32], up: &[f32], out: &mut [f32]) {
    glu(s, gate, up, out, Gelu);
}

#[derive(Clone, Copy)]
struct Silu;

impl Map for Silu {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, gate: S::F) -> S::F {
        sigmoid(s, gate, gate)
    }
}

#[derive(Clone, Copy)]
struct Gelu;

impl Map for Gelu {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, gate: S::F) -> S::F {
        /// `2 sqrt(2 / pi)`.
        const SLOPE: f32 = 1.595_769;
        let bend = s.fma(s.mul(gate, gate), s.splat(0.044_715), s.splat(1.0));
        sigmoid(s, gate, s.mul(s.mul(gate, s.splat(SLOPE)), bend))
    }
}

/// `gate / (1 + e^-y)`.
#[inline(always)]
fn sigmoid<S: Simd>(s: S, gate: S::F, y: S::F) -> S::F {
    let e = exp(s, s.sub(s.splat(0.0), y));
    s.div(gate, s.add(s.splat(1.0), e))
}

/// `out = activation(gate) * up`.
#[inline(always)]
fn glu<S: Simd>(s: S, gate: &[f32], up: &[f32], out: &mut [f32], activation: impl Map) {
    let (gates, gate_tail) = gate.as_chunks::<16>();
    let (ups, up_tail) = up.as_chunks::<16>();
    let (outs, out_tail) = out.as_chunks_mut::<16>();
    for ((g, u), o) in gates.iter().zip(ups).zip(outs) {
        s.store(s.mul(activation.of(s, s.load(g)), s.load(u)), o);
    }
    if !gate_tail.is_empty() {
        let mut lanes = [0.0; 16];
        let (g, u) = (s.load(&padded(gate_tail, 0.0)), s.load(&padded(up_tail, 0.0)));
        s.store(s.mul(activation.of(s, g), u), &mut lanes);
        out_tail.copy_from_slice(&lanes[..gate_tail.len()]);
    }
}

/// `x *= factor`.
#[inline(always)]
pub(crate) fn scale<S: Simd>(s: S, x: &mut [f32], factor: f32) {
    each(s, x, Scale(factor));
}

#[derive(Clone, Copy)]
struct Scale(f32);

impl Map for Scale {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(x, s.splat(self.0))
    }
}

/// `x = cap * tanh(x / cap)`.
#[inline(always)]
pub(crate) fn softcap<S: Simd>(s: S, x: &mut [f32], cap: f32) {
    each(s, x, Softcap(cap));
}

#[derive(Clone, Copy)]
struct Softcap(f32);

impl Map for Softcap {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(tanh(s, s.div(x, s.splat(self.0))), s.splat(self.0))
    }
}

/// Changes each element by itself, sixteen at a time.
#[inline(always)]
fn each<S: Simd>(s: S, x: &mut [f32], f: impl Map) {
    let (xs, tail) = x.as_chunks_mut::<16>();
    for c in xs {
        s.store(f.of(s, s.load(c)), c);
    }
    if !tail.is_empty() {
        let mut lanes = [0.0; 16];
        s.store(f.of(s, s.load(&padded(tail, 0.0))), &mut lanes);
        tail.copy_from_slice(&lanes[..tail.len()]);
    }
}

/// Turns the first `angles.len()` elements of every head of a row: `x0 cos - x1 sin` and `x1 cos + x0 sin`, the first
/// product rounded, the second fused into the sum. `angles` is half of them in cosines, then as many sines; `x` is whole
/// heads.
#[inline(always)]
pub(crate) fn rope<S: Simd>(s: S, x: &mut [f32], angles: &[f32], head_dim: usize) {
    let half = angles.len() / 2;
    if half == 0 {
        return;
    }
    let (cos, sin) = angles.split_at(half);
    let (coss, cos_tail) = cos.as_chunks::<16>();
    let (sins, sin_tail) = sin.as_chunks::<16>();
    for head in x.chunks_exact_mut(head_dim) {
        let (first, second) = head[..2 * half].split_at_mut(half);
        let (firsts, first_tail) = first.as_chunks_mut::<16>();
        let (seconds, second_tail) = second.as_chunks_mut::<16>();
        for (((a, b), c), d) in firsts.iter_mut().zip(seconds).zip(coss).zip(sins) {
            let (x0, x1, cos, sin) = (s.load(a), s.load(b), s.load(c), s.load(d));
            s.store(s.fnma(x1, sin, s.mul(x0, cos)), a);
            s.store(s.fma(x0, sin, s.mul(x1, cos)), b);
        }
        for (((a, b), cos), sin) in first_tail.iter_mut().zip(second_tail).zip(cos_tail).zip(sin_tail) {
            let (x0, x1) = (*a, *b);
            *a = (-x1).mul_add(*sin, x0 * cos);
            *b = x0.mul_add(*sin, x1 * cos);
        }
    }
}

/// What kernels use within, for their own tests.
#[cfg(test)]
pub(crate) mod within {
    use super::*;

    #[derive(Clone, Copy)]
    struct Exp;

    impl Map for Exp {
        #[inline(always)]
        fn of<S: Simd>(self, s: S, x: S::F) -> S::F {
            exp(s, x)
        }
    }

    #[derive(Clone, Copy)]
    struct Tanh;

    impl Map for Tanh {
        #[inline(always)]
        fn of<S: Simd>(self, s: S, x: S::F) -> S::F {
            tanh(s, x)
        }
    }

    /// `x = e^x`.
    #[inline(always)]
    pub(crate) fn exp_in_place<S: Simd>(s: S, x: &mut [f32]) {
        each(s, x, Exp);
    }

    /// `x = tanh(x)`.
    #[inline(always)]
    pub(crate) fn tanh_in_place<S: Simd>(s: S, x: &mut [f32]) {
        each(s, x, Tanh);
    }
}
