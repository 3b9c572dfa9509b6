//! How the attention kernels read keys and values of each type, as stored in tiles of sixteen slots (`pieces.rs`).
//!
//! What is read is what the stored elements stand for, exactly; the order of additions is the same for all types.

use std::marker::PhantomData;

use super::float::Stored;
use super::simd::Simd;
use super::widen::{Bytes, Nibbles, Quants};
use crate::core::BLOCK_LEN;

/// Slots of a tile.
const TILE: usize = super::super::pieces::TILE;

/// Sixteen f16 scales.
const SCALES: usize = 2 * TILE;

/// A type that keys and values are stored in.
pub(crate) trait Cached {
    /// Bytes of a tile.
    fn tile_bytes(head_dim: usize) -> usize;

    /// The products of a tile's sixteen keys with `X` heads, in ascending elements. One vector of keys at a time: so
    /// memory is read from front to back, and the heads' sums are enough to keep the multipliers busy.
    fn dots<S: Simd, const X: usize>(s: S, tile: &[u8], q: [&[f32]; X]) -> [S::F; X];

    /// Chunks of sixteen elements of a value that are read as vectors; the others are read one by one.
    fn chunks(head_dim: usize) -> usize;

    /// Adds the values of the first slots, but for those before slot `from`, by their weights to `C` chunks from `chunk` on, for `X` heads. With `C` even,
    /// `chunk` is even too.
    fn add<S: Simd, const X: usize, const C: usize>(
        s: S,
        tile: &[u8],
        head_dim: usize,
        chunk: usize,
        weights: [&[f32]; X],
        from: usize,
        sums: &mut [[S::F; C]; X],
    );

    /// Element `d` of the value of slot `lane`.
    fn one(tile: &[u8], head_dim: usize, lane: usize, d: usize) -> f32;
}

/// Elements of a float type, `B` bytes sixteen of them.
pub(crate) struct Floats<D, const B: usize>(PhantomData<D>);

impl<D: Stored<B>, const B: usize> Cached for Floats<D, B> {
    #[inline(always)]
    fn tile_bytes(head_dim: usize) -> usize {
        head_dim * B
    }

    #[inline(always)]
    fn dots<S: Simd, const X: usize>(s: S, tile: &[u8], q: [&[f32]; X]) -> [S::F; X] {
        let mut sums = [s.splat(0.0); X];
        for (d, key) in tile.as_chunks::<B>().0.iter().enumerate().take(q[0].len()) {
            let key = D::load(s, key);
            for x in 0..X {
                sums[x] = s.fma(key, s.splat(q[x][d]), sums[x]);
            }
        }
        sums
    }

    #[inline(always)]
    fn chunks(head_dim: usize) -> usize {
        head_dim / 16
    }

    #[inline(always)]
    fn add<S: Simd, const X: usize, const C: usize>(
        s: S,
        tile: &[u8],
        head_dim: usize,
        chunk: usize,
        weights: [&[f32]; X],
        from: usize,
        sums: &mut [[S::F; C]; X],
    ) {
        let row = head_dim * (B / 16);
        for j in from..weights[0].len() {
            let Some(v) = tile[j * row + chunk * B..].as_chunks::<B>().0.first_chunk::<C>() else { return };
            let mut wide = [s.splat(0.0); C];
            for i in 0..C {
                wide[i] = D::load(s, &v[i]);
            }
            accumulate(s, weights, j, wide, sums);
        }
    }

    #[inline(always)]
    fn one(tile: &[u8], head_dim: usize, lane: usize, d: usize) -> f32 {
        D::one(&tile[(lane * head_dim + d) * (B / 16)..])
    }
}

/// Adds `C` chunks of a slot's value by the weights of slot `j`.
#[inline(always)]
fn accumulate<S: Simd, const X: usize, const C: usize>(
    s: S,
    weights: [&[f32]; X],
    j: usize,
    value: [S::F; C],
    sums: &mut [[S::F; C]; X],
) {
    for x in 0..X {
        let weight = s.splat(weights[x][j]);
        for i in 0..C {
            sums[x][i] = s.fma(weight, value[i], sums[x][i]);
        }
    }
}

/// The scales of a tile, `[blocks][16]`, and what follows them.
#[inline(always)]
fn split(tile: &[u8], head_dim: usize) -> (&[[u8; SCALES]], &[u8]) {
    let (scales, quants) = tile.split_at(head_dim.div_ceil(BLOCK_LEN) * SCALES);
    (scales.as_chunks().0, quants)
}

/// Bytes of a slot's quants.
#[inline(always)]
fn row<Q: Quants>(head_dim: usize) -> usize {
    head_dim / BLOCK_LEN * Q::bytes(BLOCK_LEN) + Q::bytes(head_dim % BLOCK_LEN)
}

/// See [`Cached::tile_bytes`].
#[inline(always)]
fn tile_bytes<Q: Quants>(head_dim: usize) -> usize {
    head_dim.div_ceil(BLOCK_LEN) * SCALES + row::<Q>(head_dim) * TILE
}

/// See [`Cached::one`].
#[inline(always)]
fn one<Q: Quants>(tile: &[u8], head_dim: usize, lane: usize, d: usize) -> f32 {
    let (scales, quants) = split(tile, head_dim);
    let (block, i) = (d / BLOCK_LEN, d % BLOCK_LEN);
    let scale = half::f16::from_le_bytes(scales[block].as_chunks().0[lane]).to_f32();
    let bytes = Q::bytes(BLOCK_LEN.min(head_dim - block * BLOCK_LEN));
    let byte = quants[lane * row::<Q>(head_dim) + block * Q::bytes(BLOCK_LEN) + i % bytes];
    let (low, high) = Q::unpack_one(byte);
    high.filter(|_| i >= bytes).unwrap_or(low) * scale
}

/// The scales of the block that begins with chunk `chunk`, one a slot.
#[inline(always)]
fn lanes<S: Simd>(s: S, scales: &[[u8; SCALES]], chunk: usize) -> [f32; TILE] {
    let mut lanes = [0.0; TILE];
    s.store(s.load_f16(&scales[chunk / 2]), &mut lanes);
    lanes
}

/// Q8_0.
pub(crate) struct Q8_0;

impl Cached for Q8_0 {
    #[inline(always)]
    fn tile_bytes(head_dim: usize) -> usize {
        tile_bytes::<Bytes>(head_dim)
    }

    #[inline(always)]
    fn dots<S: Simd, const X: usize>(s: S, tile: &[u8], q: [&[f32]; X]) -> [S::F; X] {
        let (scales, quants) = split(tile, q[0].len());
        let blocks = quants.as_chunks::<TILE>().0.chunks(BLOCK_LEN);
        let mut sums = [s.splat(0.0); X];
        for (b, (block, scale)) in blocks.zip(scales).enumerate() {
            let scale = s.load_f16(scale);
            let mut heads = q;
            for x in 0..X {
                heads[x] = &q[x][b * BLOCK_LEN..];
            }
            for (i, quants) in block.iter().enumerate().take(heads[0].len()) {
                let key = s.mul(s.load_i8(quants), scale);
                for x in 0..X {
                    sums[x] = s.fma(key, s.splat(heads[x][i]), sums[x]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn chunks(head_dim: usize) -> usize {
        head_dim / BLOCK_LEN * 2
    }

    #[inline(always)]
    fn add<S: Simd, const X: usize, const C: usize>(
        s: S,
        tile: &[u8],
        head_dim: usize,
        chunk: usize,
        weights: [&[f32]; X],
        from: usize,
        sums: &mut [[S::F; C]; X],
    ) {
        let (scales, quants) = split(tile, head_dim);
        let mut by_chunk = [[0.0; TILE]; C];
        for i in 0..C {
            by_chunk[i] = lanes(s, scales, chunk + i);
        }
        for j in from..weights[0].len().min(TILE) {
            let Some(v) = quants[j * head_dim + chunk * 16..].as_chunks::<16>().0.first_chunk::<C>() else {
                return;
            };
            let mut wide = [s.splat(0.0); C];
            for i in 0..C {
                wide[i] = s.mul(s.load_i8(&v[i]), s.splat(by_chunk[i][j]));
            }
            accumulate(s, weights, j, wide, sums);
        }
    }

    #[inline(always)]
    fn one(tile: &[u8], head_dim: usize, lane: usize, d: usize) -> f32 {
        one::<Bytes>(tile, head_dim, lane, d)
    }
}

/// Q4_0.
pub(crate) struct Q4_0;

impl Cached for Q4_0 {
    #[inline(always)]
    fn tile_bytes(head_dim: usize) -> usize {
        tile_bytes::<Nibbles>(head_dim)
    }

    #[inline(always)]
    fn dots<S: Simd, const X: usize>(s: S, tile: &[u8], q: [&[f32]; X]) -> [S::F; X] {
        let (scales, quants) = split(tile, q[0].len());
        let blocks = quants.as_chunks::<TILE>().0.chunks(BLOCK_LEN / 2);
        let mut sums = [s.splat(0.0); X];
        for (b, (block, scale)) in blocks.zip(scales).enumerate() {
            let scale = s.load_f16(scale);
            // All low nibbles come before the high ones.
            let (mut low, mut high) = (q, q);
            for x in 0..X {
                let rest = &q[x][b * BLOCK_LEN..];
                (low[x], high[x]) = rest.split_at(block.len().min(rest.len()));
            }
            for (i, quants) in block.iter().enumerate() {
                let key = s.mul(s.load_nibbles(quants).0, scale);
                for x in 0..X {
                    sums[x] = s.fma(key, s.splat(low[x][i]), sums[x]);
                }
            }
            for (i, quants) in block.iter().enumerate().take(high[0].len()) {
                let key = s.mul(s.load_nibbles(quants).1, scale);
                for x in 0..X {
                    sums[x] = s.fma(key, s.splat(high[x][i]), sums[x]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn chunks(head_dim: usize) -> usize {
        head_dim / BLOCK_LEN * 2
    }

    #[inline(always)]
    fn add<S: Simd, const X: usize, const C: usize>(
        s: S,
        tile: &[u8],
        head_dim: usize,
        chunk: usize,
        weights: [&[f32]; X],
        from: usize,
        sums: &mut [[S::F; C]; X],
    ) {
        let (scales, quants) = split(tile, head_dim);
        let step = row::<Nibbles>(head_dim);
        let mut by_chunk = [[0.0; TILE]; C];
        for i in 0..C {
            by_chunk[i] = lanes(s, scales, chunk + i);
        }
        for j in from..weights[0].len().min(TILE) {
            let blocks = quants[j * step + chunk / 2 * 16..].as_chunks::<16>().0;
            let mut wide = [s.splat(0.0); C];
            if C == 1 {
                let (low, high) = s.load_nibbles(&blocks[0]);
                wide[0] = s.mul(if chunk.is_multiple_of(2) { low } else { high }, s.splat(by_chunk[0][j]));
            } else {
                for i in 0..C / 2 {
                    let (low, high) = s.load_nibbles(&blocks[i]);
                    let scale = s.splat(by_chunk[2 * i][j]);
                    (wide[2 * i], wide[2 * i + 1]) = (s.mul(low, scale), s.mul(high, scale));
                }
            }
            accumulate(s, weights, j, wide, sums);
        }
    }

    #[inline(always)]
    fn one(tile: &[u8], head_dim: usize, lane: usize, d: usize) -> f32 {
        one::<Nibbles>(tile, head_dim, lane, d)
    }
}
