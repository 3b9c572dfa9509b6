//! The key/value cache as it lies in memory.
//!
//! A head's values lie slot after slot, `[slots][head_dim]`. Its keys lie in tiles of sixteen slots,
//! `[slots / 16][head_dim][16]`, so that a vector lane is a slot: scores then need no sum across lanes.

use std::ops::Range;

use super::disjoint::Disjoint;
use super::kernels::Kernels;
use super::pool::Pool;
use super::{CpuBuffer, PARALLEL_FROM, broken};
use crate::core::{CoreError, DType, KvLayer, KvLayout, Result, Tensor};

/// Slots of a tile of keys.
const TILE: usize = KvLayout::TILE;

/// Where the first element of a slot's key is within its head; the others follow in steps of [`TILE`].
fn key_place(slot: usize, head_dim: usize) -> usize {
    slot / TILE * TILE * head_dim + slot % TILE
}

/// Where rows go in one head of a layer.
#[derive(Clone, Copy)]
struct Target {
    head: usize,
    /// Slot of the first row.
    at: usize,
}

/// See [`crate::core::Backend::kv_append`].
pub(super) fn append(
    kernels: &Kernels,
    pool: &mut Pool,
    k: &Tensor<CpuBuffer>,
    v: &Tensor<CpuBuffer>,
    cache: &mut KvLayer<CpuBuffer>,
    layout: &KvLayout,
    at: usize,
) -> Result<()> {
    let op = "kv_append";
    CoreError::expect_eq(op, "value rows", v.rows(), k.rows())?;
    layout.check_slots(op, at, k.rows())?;
    for (src, dst) in [(k, &cache.k), (v, &cache.v)] {
        layout.check_buffer(op, dst)?;
        CoreError::expect_eq(op, "columns", src.cols(), layout.kv_heads * layout.head_dim)?;
    }
    if k.rows() * k.cols() == 0 {
        return Ok(());
    }
    let (keys, values) = (k.buffer().f32(op)?, v.buffer().f32(op)?);
    let (keys, values) = (&keys[..k.rows() * k.cols()], &values[..k.rows() * k.cols()]);
    match layout.dtype {
        DType::F16 => {
            let into = (Disjoint::new(cache.k.f16_mut(op)?), Disjoint::new(cache.v.f16_mut(op)?));
            store(pool, layout, at, keys, values, &into, &|values, out| (kernels.narrow_f16)(values, out))
        }
        _ => {
            let into = (Disjoint::new(cache.k.f32_mut(op)?), Disjoint::new(cache.v.f32_mut(op)?));
            store(pool, layout, at, keys, values, &into, &|values, out| out.copy_from_slice(values))
        }
    }
}

/// Stores rows of all heads, on several threads if there are many.
fn store<T: Copy + Default + Send>(
    pool: &mut Pool,
    layout: &KvLayout,
    at: usize,
    keys: &[f32],
    values: &[f32],
    into: &(Disjoint<'_, T>, Disjoint<'_, T>),
    convert: &(dyn Fn(&[f32], &mut [T]) + Sync),
) -> Result<()> {
    let head_elements = layout.slots() * layout.head_dim;
    let one = |head: usize| {
        let range = head * head_elements..(head + 1) * head_elements;
        // SAFETY: a head is one chunk's, and heads do not overlap.
        let (k, v) = unsafe { (into.0.part(range.clone()), into.1.part(range)) };
        let target = Target { head, at };
        store_keys(layout, target, keys, k, convert);
        let width = layout.kv_heads * layout.head_dim;
        for (row, values) in values.chunks_exact(width).enumerate() {
            let to = (at + row) * layout.head_dim;
            convert(&values[head * layout.head_dim..][..layout.head_dim], &mut v[to..to + layout.head_dim]);
        }
    };
    if keys.len() < PARALLEL_FROM {
        (0..layout.kv_heads).for_each(one);
        return Ok(());
    }
    pool.run(layout.kv_heads, &|chunk| one(chunk.index)).map_err(broken)
}

/// Stores the keys of one head, each spread over its tile.
fn store_keys<T: Copy + Default>(
    layout: &KvLayout,
    target: Target,
    keys: &[f32],
    into: &mut [T],
    convert: &(dyn Fn(&[f32], &mut [T]) + Sync),
) {
    let (dim, width) = (layout.head_dim, layout.kv_heads * layout.head_dim);
    for (row, keys) in keys.chunks_exact(width).enumerate() {
        let places = into[key_place(target.at + row, dim)..].iter_mut().step_by(TILE);
        let mut converted = [T::default(); 64];
        let mut places = places;
        for part in keys[target.head * dim..][..dim].chunks(converted.len()) {
            let converted = &mut converted[..part.len()];
            convert(part, converted);
            for (place, value) in places.by_ref().zip(converted) {
                *place = *value;
            }
        }
    }
}

/// See [`crate::core::Backend::kv_repack`].
pub(super) fn repack(
    src: &KvLayer<CpuBuffer>,
    from: &KvLayout,
    keep: &[Range<usize>],
    dst: &mut KvLayer<CpuBuffer>,
    to: &KvLayout,
) -> Result<()> {
    from.check_repack(src, keep, dst, to)?;
    let (dim, size) = (from.head_dim, from.dtype.block_bytes());
    for head in 0..from.kv_heads {
        let (old, new) = (head * from.slots() * dim * size, head * to.slots() * dim * size);
        let mut into = 0;
        for range in keep {
            let values = &src.v.bytes()[old + range.start * dim * size..old + range.end * dim * size];
            dst.v.bytes_mut()[new + into * dim * size..][..values.len()].copy_from_slice(values);
            move_keys(&src.k.bytes()[old..], range, &mut dst.k.bytes_mut()[new..], into, dim, size);
            into += range.len();
        }
    }
    Ok(())
}

/// Copies the keys of the slots `range` of a head to slot `into` and those behind it: whole tiles where both begin
/// one, else element by element.
fn move_keys(src: &[u8], range: &Range<usize>, dst: &mut [u8], into: usize, dim: usize, size: usize) {
    let mut done = 0;
    while done < range.len() {
        let (from, to) = (range.start + done, into + done);
        let (a, b) = (key_place(from, dim) * size, key_place(to, dim) * size);
        if from.is_multiple_of(TILE) && to.is_multiple_of(TILE) && range.len() - done >= TILE {
            dst[b..b + TILE * dim * size].copy_from_slice(&src[a..a + TILE * dim * size]);
            done += TILE;
            continue;
        }
        for d in 0..dim {
            let step = d * TILE * size;
            dst[b + step..b + step + size].copy_from_slice(&src[a + step..a + step + size]);
        }
        done += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_slots_whichever_way_they_are_moved() {
        let (dim, slots) = (3, 256);
        let mut src = vec![0u16; slots * dim];
        for slot in 0..slots {
            for d in 0..dim {
                src[key_place(slot, dim) + d * TILE] = (slot * dim + d) as u16;
            }
        }
        for (range, into) in
            [(0..256, 0), (64..192, 128), (64..200, 0), (5..90, 3), (63..130, 31), (7..7, 9), (0..1, 255)]
        {
            let mut dst = vec![255u8; 2 * slots * dim];
            let bytes: Vec<u8> = src.iter().flat_map(|v| v.to_le_bytes()).collect();
            move_keys(&bytes, &range, &mut dst, into, dim, 2);
            let dst: Vec<u16> = dst.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
            for slot in 0..slots {
                for d in 0..dim {
                    let moved = (into..into + range.len()).contains(&slot);
                    let expected = if moved { (range.start + slot - into) * dim + d } else { 0xffff };
                    assert_eq!(
                        usize::from(dst[key_place(slot, dim) + d * TILE]),
                        expected,
                        "{range:?} {slot} {d}"
                    );
                }
            }
        }
    }
}
