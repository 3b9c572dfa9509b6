//! Tiles of a cache as f32, for the attention kernels (`pieces.rs` describes their layout).
//!
//! A quantized value is its quant times the f16 scale of its block: eight bits times eleven, which f32 holds exactly. So attention
//! over what these give is attention over an f32 cache of the same values, bit for bit.

use super::float::{self, Stored};
use super::simd::Simd;
use crate::core::BLOCK_LEN;

/// Slots of a tile.
const TILE: usize = super::super::pieces::TILE;

/// Sixteen f16 scales.
const SCALES: usize = 2 * TILE;

/// Tiles of keys or values of a float type, element by element.
#[inline(always)]
pub(crate) fn floats<S: Simd, D: Stored<B>, const B: usize>(s: S, tiles: &[u8], _: usize, out: &mut [f32]) {
    float::widen::<S, D, B>(s, tiles, out);
}

/// How a block's quants are stored.
pub(crate) trait Quants {
    /// Bytes of `elements` quants of a block.
    fn bytes(elements: usize) -> usize;
    /// Of sixteen bytes the quants of each, for one element or two: the one as far in the block as the byte is, and the
    /// one half a block later.
    fn unpack<S: Simd>(s: S, bytes: &[u8; 16]) -> (S::F, Option<S::F>);
    /// A full block times its scale, if `bytes` begins with one.
    fn full<S: Simd>(s: S, bytes: &[u8], scale: S::F, out: &mut [[f32; 16]; 2]);
    /// As [`Self::unpack`], of one byte.
    fn unpack_one(byte: u8) -> (f32, Option<f32>);
}

/// One signed byte an element.
pub(crate) struct Bytes;
impl Quants for Bytes {
    #[inline(always)]
    fn bytes(elements: usize) -> usize {
        elements
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, bytes: &[u8; 16]) -> (S::F, Option<S::F>) {
        (s.load_i8(bytes), None)
    }
    #[inline(always)]
    fn full<S: Simd>(s: S, bytes: &[u8], scale: S::F, out: &mut [[f32; 16]; 2]) {
        let Some([low, high]) = bytes.as_chunks::<16>().0.first_chunk() else { return };
        s.store(s.mul(s.load_i8(low), scale), &mut out[0]);
        s.store(s.mul(s.load_i8(high), scale), &mut out[1]);
    }
    #[inline(always)]
    fn unpack_one(byte: u8) -> (f32, Option<f32>) {
        (f32::from(byte as i8), None)
    }
}

/// Two elements a byte, each 8 too large.
pub(crate) struct Nibbles;
impl Quants for Nibbles {
    #[inline(always)]
    fn bytes(elements: usize) -> usize {
        elements.div_ceil(2)
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, bytes: &[u8; 16]) -> (S::F, Option<S::F>) {
        let (low, high) = s.load_nibbles(bytes);
        (low, Some(high))
    }
    #[inline(always)]
    fn full<S: Simd>(s: S, bytes: &[u8], scale: S::F, out: &mut [[f32; 16]; 2]) {
        let Some(bytes) = bytes.first_chunk() else { return };
        let (low, high) = s.load_nibbles(bytes);
        s.store(s.mul(low, scale), &mut out[0]);
        s.store(s.mul(high, scale), &mut out[1]);
    }
    #[inline(always)]
    fn unpack_one(byte: u8) -> (f32, Option<f32>) {
        (f32::from(byte & 15) - 8.0, Some(f32::from(byte >> 4) - 8.0))
    }
}

/// The blocks of a head: the first element of each, and how many it has.
#[inline(always)]
fn blocks(head_dim: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..head_dim).step_by(BLOCK_LEN).map(move |first| (first, BLOCK_LEN.min(head_dim - first)))
}

/// Tiles of keys, each `[blocks][16]` scales and `[head_dim][16]` quants, to `[tiles][head_dim][16]`.
#[inline(always)]
pub(crate) fn keys<S: Simd, Q: Quants>(s: S, tiles: &[u8], head_dim: usize, out: &mut [f32]) {
    let scales = head_dim.div_ceil(BLOCK_LEN) * SCALES;
    let size =
        scales + head_dim / BLOCK_LEN * Q::bytes(BLOCK_LEN) * TILE + Q::bytes(head_dim % BLOCK_LEN) * TILE;
    for (tile, out) in tiles.chunks_exact(size).zip(out.chunks_exact_mut(head_dim * TILE)) {
        let (scales, quants) = tile.split_at(scales);
        let (scales, mut quants) = (scales.as_chunks::<SCALES>().0, quants.as_chunks::<TILE>().0);
        let out = out.as_chunks_mut::<TILE>().0;
        for ((first, elements), scale) in blocks(head_dim).zip(scales) {
            let scale = s.load_f16(scale);
            let (block, rest) = quants.split_at(Q::bytes(elements));
            quants = rest;
            let (low, high) = out[first..first + elements].split_at_mut(block.len());
            for (i, bytes) in block.iter().enumerate() {
                let (one, other) = Q::unpack(s, bytes);
                s.store(s.mul(one, scale), &mut low[i]);
                if let (Some(other), Some(high)) = (other, high.get_mut(i)) {
                    s.store(s.mul(other, scale), high);
                }
            }
        }
    }
}

/// Tiles of values, each `[blocks][16]` scales and `[16][head_dim]` quants, to `[slots][head_dim]`.
#[inline(always)]
pub(crate) fn values<S: Simd, Q: Quants>(s: S, tiles: &[u8], head_dim: usize, out: &mut [f32]) {
    let scales = head_dim.div_ceil(BLOCK_LEN) * SCALES;
    let row = head_dim / BLOCK_LEN * Q::bytes(BLOCK_LEN) + Q::bytes(head_dim % BLOCK_LEN);
    for (tile, out) in tiles.chunks_exact(scales + row * TILE).zip(out.chunks_exact_mut(head_dim * TILE)) {
        let (scales, quants) = tile.split_at(scales);
        for ((first, elements), scale) in blocks(head_dim).zip(scales.as_chunks::<SCALES>().0) {
            let mut lanes = [0.0; TILE];
            s.store(s.load_f16(scale), &mut lanes);
            let from = first / BLOCK_LEN * Q::bytes(BLOCK_LEN);
            if elements == BLOCK_LEN {
                for (lane, &scale) in lanes.iter().enumerate() {
                    let out = out[lane * head_dim + first..].as_chunks_mut().0.first_chunk_mut();
                    let Some(out) = out else { return };
                    Q::full(s, &quants[lane * row + from..], s.splat(scale), out);
                }
                continue;
            }
            for (lane, &scale) in lanes.iter().enumerate() {
                let block = &quants[lane * row + from..][..Q::bytes(elements)];
                let out = &mut out[lane * head_dim + first..][..elements];
                let (low, high) = out.split_at_mut(block.len());
                for (i, &byte) in block.iter().enumerate() {
                    let (one, other) = Q::unpack_one(byte);
                    low[i] = one * scale;
                    if let (Some(other), Some(high)) = (other, high.get_mut(i)) {
                        *high = other * scale;
                    }
                }
            }
        }
    }
}
