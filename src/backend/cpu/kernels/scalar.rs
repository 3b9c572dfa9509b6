//! Sixteen lanes in plain Rust.

use half::f16;

use super::TILE;
use super::exp::MAGIC;
use super::packed::{Q4_BYTES, Q8_BYTES, RUN};
use super::quantized::Lanes;
use super::simd::{Simd, tree_sum};
use crate::core::BLOCK_LEN;

/// Plain Rust, always there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

impl Scalar {
    /// As the other sets' `assume`, so that one macro builds every table.
    ///
    /// # Safety
    /// None is asked for.
    #[inline(always)]
    pub unsafe fn assume() -> Self {
        Self
    }
}

#[inline(always)]
fn map(a: [f32; 16], f: impl Fn(f32) -> f32) -> [f32; 16] {
    let mut out = a;
    for x in &mut out {
        *x = f(*x);
    }
    out
}

#[inline(always)]
fn zip(a: [f32; 16], b: [f32; 16], f: impl Fn(f32, f32) -> f32) -> [f32; 16] {
    let mut out = a;
    for (x, y) in out.iter_mut().zip(b) {
        *x = f(*x, y);
    }
    out
}

impl Simd for Scalar {
    type F = [f32; 16];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; 16]
    }
    #[inline(always)]
    fn load(self, x: &[f32; 16]) -> Self::F {
        *x
    }
    #[inline(always)]
    fn load_f32(self, x: &[u8; 64]) -> Self::F {
        let mut out = [0.0; 16];
        for (o, b) in out.iter_mut().zip(x.as_chunks::<4>().0) {
            *o = f32::from_le_bytes(*b);
        }
        out
    }
    #[inline(always)]
    fn load_f16(self, x: &[u8; 32]) -> Self::F {
        let mut out = [0.0; 16];
        for (o, b) in out.iter_mut().zip(x.as_chunks::<2>().0) {
            *o = f16::from_le_bytes(*b).to_f32();
        }
        out
    }
    #[inline(always)]
    fn load_bf16(self, x: &[u8; 32]) -> Self::F {
        let mut out = [0.0; 16];
        for (o, b) in out.iter_mut().zip(x.as_chunks::<2>().0) {
            *o = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
        }
        out
    }
    #[inline(always)]
    fn load_i8(self, x: &[u8; 16]) -> Self::F {
        let mut out = [0.0; 16];
        for (o, b) in out.iter_mut().zip(x) {
            *o = f32::from(*b as i8);
        }
        out
    }
    #[inline(always)]
    fn load_nibbles(self, x: &[u8; 16]) -> (Self::F, Self::F) {
        let (mut low, mut high) = ([0.0; 16], [0.0; 16]);
        for (i, b) in x.iter().enumerate() {
            low[i] = f32::from(b & 15) - 8.0;
            high[i] = f32::from(b >> 4) - 8.0;
        }
        (low, high)
    }
    #[inline(always)]
    fn store(self, v: Self::F, out: &mut [f32; 16]) {
        *out = v;
    }
    #[inline(always)]
    fn store_f16(self, v: Self::F, out: &mut [u16; 16]) {
        for (o, x) in out.iter_mut().zip(v) {
            *o = f16::from_f32(x).to_bits();
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        let mut out = c;
        for i in 0..16 {
            out[i] = a[i].mul_add(b[i], c[i]);
        }
        out
    }
    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.fma(map(a, |a| -a), b, c)
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if b > a { b } else { a })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if b < a { b } else { a })
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        map(a, f32::abs)
    }
    #[inline(always)]
    fn max_bits(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if b.to_bits() as i32 > a.to_bits() as i32 { b } else { a })
    }
    #[inline(always)]
    fn round_i8(self, a: Self::F) -> [i8; 16] {
        let mut out = [0; 16];
        for (o, x) in out.iter_mut().zip(a) {
            *o = ((x + MAGIC) - MAGIC) as i8;
        }
        out
    }
    #[inline(always)]
    fn scale_by_pow2(self, p: Self::F, t: Self::F) -> Self::F {
        zip(p, t, |p, t| {
            // A NaN in `t` comes with a NaN in `p`; its bits may scale by anything.
            let n = (t.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
            let half = n >> 1;
            let rest = n.wrapping_sub(half);
            let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
            p * power(half) * power(rest)
        })
    }
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        tree_sum(a)
    }
}

impl Lanes for Scalar {
    type I = [i32; TILE];

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [x; TILE]
    }
    #[inline(always)]
    fn to_f32(self, v: Self::I) -> Self::F {
        v.map(|x| x as f32)
    }
    #[inline(always)]
    fn dot_q8<const X: usize>(
        self,
        w: &[u8; Q8_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        _: &[i32; X],
    ) -> [Self::I; X] {
        let mut out = [[0; TILE]; X];
        for (sums, x) in out.iter_mut().zip(x) {
            for (i, &w) in w.iter().enumerate() {
                let (g, lane, k) = place(i);
                sums[lane] += i32::from(w as i8) * i32::from(x[g * RUN + k]);
            }
        }
        out
    }
    #[inline(always)]
    fn dot_q4<const X: usize>(
        self,
        w: &[u8; Q4_BYTES],
        x: &[[i8; BLOCK_LEN]; X],
        start: [Self::I; X],
    ) -> [Self::I; X] {
        let mut out = start;
        for (sums, x) in out.iter_mut().zip(x) {
            for (i, &w) in w.iter().enumerate() {
                let (g, lane, k) = place(i);
                sums[lane] += i32::from(w & 15) * i32::from(x[g * RUN + k]);
                sums[lane] += i32::from(w >> 4) * i32::from(x[g * RUN + k + BLOCK_LEN / 2]);
            }
        }
        out
    }
}

/// Run, lane and column within the run of byte `i` of a block of quants.
#[inline(always)]
fn place(i: usize) -> (usize, usize, usize) {
    (i / (TILE * RUN), i / RUN % TILE, i % RUN)
}
