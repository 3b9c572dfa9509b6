//! Formats with codes in plain Rust.

use super::TILE;
use super::codes::{CodeBytes, CodeLanes};
use super::packed::RUN;
use super::scalar::Scalar;
use crate::quant::tiles::VECTOR;

#[inline(always)]
fn map(q: [u8; VECTOR], f: impl Fn(u8) -> u8) -> [u8; VECTOR] {
    let mut out = q;
    for x in &mut out {
        *x = f(*x);
    }
    out
}

#[inline(always)]
fn zip<T: Copy, const N: usize>(a: [T; N], b: [T; N], f: impl Fn(T, T) -> T) -> [T; N] {
    let mut out = a;
    for (x, y) in out.iter_mut().zip(b) {
        *x = f(*x, y);
    }
    out
}

impl CodeBytes for Scalar {
    type Q = [u8; VECTOR];

    #[inline(always)]
    fn load_codes(self, x: &[u8; VECTOR]) -> Self::Q {
        *x
    }
    #[inline(always)]
    fn shr(self, q: Self::Q, n: u32) -> Self::Q {
        map(q, |x| x >> n)
    }
    #[inline(always)]
    fn shl(self, q: Self::Q, n: u32) -> Self::Q {
        map(q, |x| x << n)
    }
    #[inline(always)]
    fn and(self, q: Self::Q, mask: u8) -> Self::Q {
        map(q, |x| x & mask)
    }
    #[inline(always)]
    fn or(self, a: Self::Q, b: Self::Q) -> Self::Q {
        zip(a, b, |a, b| a | b)
    }
    #[inline(always)]
    fn add_bytes(self, a: Self::Q, b: Self::Q) -> Self::Q {
        zip(a, b, u8::wrapping_add)
    }
    #[inline(always)]
    fn at_least(self, q: Self::Q, least: u8) -> Self::Q {
        map(q, |x| u8::from(x >= least))
    }
    #[inline(always)]
    fn lookup(self, q: Self::Q, table: &[i8; 16]) -> Self::Q {
        map(q, |x| table[usize::from(x & 15)] as u8)
    }
}

impl CodeLanes for Scalar {
    type I = [i32; TILE];
    type A = [i32; TILE];

    const WIDE_SUMS: bool = true;
    const UNSIGNED: bool = false;
    const CODE_ROWS: usize = 1;

    #[inline(always)]
    fn store_codes(self, q: Self::Q, to: &mut [u8; VECTOR]) {
        *to = q;
    }
    #[inline(always)]
    fn zero_i(self) -> Self::I {
        [0; TILE]
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I {
        [x; TILE]
    }
    #[inline(always)]
    fn none(self) -> Self::A {
        [0; TILE]
    }
    #[inline(always)]
    fn products(self, w: Self::Q, x: i32) -> Self::A {
        self.add_products(self.none(), w, x)
    }
    #[inline(always)]
    fn add_products(self, a: Self::A, w: Self::Q, x: i32) -> Self::A {
        let mut out = a;
        let x = x.to_le_bytes();
        for (i, &w) in w.iter().enumerate() {
            out[i / RUN] += i32::from(w as i8) * i32::from(x[i % RUN] as i8);
        }
        out
    }
    #[inline(always)]
    fn add_scaled(self, sum: Self::I, a: Self::A, scale: Self::Q) -> Self::I {
        let mut out = sum;
        for (i, &scale) in scale.as_chunks().0.iter().enumerate() {
            out[i] += a[i] * i32::from_ne_bytes(scale);
        }
        out
    }
    #[inline(always)]
    fn scale(self, x: &[i8; TILE]) -> Self::Q {
        let mut out = [0; VECTOR];
        for (out, &x) in out.as_chunks_mut().0.iter_mut().zip(x) {
            *out = i32::from(x).to_ne_bytes();
        }
        out
    }
    #[inline(always)]
    fn pairs(self, x: &[i8; 2 * TILE]) -> Self::Q {
        let mut out = [0; VECTOR];
        for (out, &x) in out.as_chunks_mut().0.iter_mut().zip(x) {
            *out = i16::from(x).to_ne_bytes();
        }
        out
    }
    #[inline(always)]
    fn add_pairs(self, sum: Self::I, pairs: Self::Q, x: i32) -> Self::I {
        let mut out = sum;
        for (out, [a, b]) in out.iter_mut().zip(pairs.as_chunks::<2>().0.as_chunks::<2>().0) {
            *out += i32::from(i16::from_ne_bytes(*a)) * i32::from(x as i16)
                + i32::from(i16::from_ne_bytes(*b)) * (x >> 16);
        }
        out
    }
    #[inline(always)]
    fn sub_shifted(self, a: Self::I, b: Self::I, n: u32) -> Self::I {
        zip(a, b, |a, b| a - (b << n))
    }
    #[inline(always)]
    fn i_to_f32(self, v: Self::I) -> Self::F {
        v.map(|x| x as f32)
    }
}
