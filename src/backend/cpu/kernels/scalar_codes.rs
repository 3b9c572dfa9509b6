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
    type S = [i32; TILE];
    type P = [i8; 2 * TILE];

    const WIDE_SUMS: bool = true;
    const UNSIGNED: bool = false;
    const CODE_ROWS: usize = 4;

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
    fn add_runs(self, a: Self::A, w: [Self::Q; 2], x: [i32; 2]) -> Self::A {
        let mut out = a;
        for (w, x) in w.iter().zip(x) {
            let x = x.to_le_bytes();
            for (i, &w) in w.iter().enumerate() {
                out[i / RUN] += i32::from(w as i8) * i32::from(x[i % RUN] as i8);
            }
        }
        out
    }
    #[inline(always)]
    fn add_scaled(self, sum: Self::I, a: Self::A, scale: Self::S) -> Self::I {
        zip(sum, zip(a, scale, |a, s| a * s), |a, b| a + b)
    }
    #[inline(always)]
    fn add_signed(self, sum: Self::I, w: [Self::Q; 2], x: [i32; 2], scale: Self::S) -> Self::I {
        self.add_scaled(sum, self.add_runs(self.none(), w, x), scale)
    }
    #[inline(always)]
    fn scale(self, x: &[i8; TILE]) -> Self::S {
        x.map(i32::from)
    }
    #[inline(always)]
    fn pairs(self, x: &[i8; 2 * TILE]) -> Self::P {
        *x
    }
    #[inline(always)]
    fn add_pairs(self, sum: Self::I, pairs: Self::P, x: i32) -> Self::I {
        let mut out = sum;
        for (out, [a, b]) in out.iter_mut().zip(pairs.as_chunks::<2>().0) {
            *out += i32::from(*a) * i32::from(x as i16) + i32::from(*b) * (x >> 16);
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
