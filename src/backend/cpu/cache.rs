//! Into the key/value cache, within it, and out of it.

use std::ops::Range;

use super::disjoint::Disjoint;
use super::kernels::Kernels;
use super::pieces::{MOST_BYTES, Pieces, Side};
use super::pool::Pool;
use super::{CpuBuffer, PARALLEL_FROM, broken};
use crate::core::{BLOCK_LEN, CoreError, DType, KvLayer, KvLayout, Result, Tensor};
use crate::quant::heads;

/// Rows of keys or values on their way into a layer's cache.
struct Rows<'a> {
    values: &'a [f32],
    dtype: DType,
    pieces: Pieces,
    into: Disjoint<'a, u8>,
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
    layout.check_layer(op, cache)?;
    for src in [k, v] {
        CoreError::expect_eq(op, "columns", src.cols(), layout.kv_heads * layout.head_dim)?;
    }
    let elements = k.rows() * k.cols();
    if elements == 0 {
        return Ok(());
    }
    let (keys, values) = (&k.buffer().f32(op)?[..elements], &v.buffer().f32(op)?[..elements]);
    let rows = [
        Rows::new(keys, layout, Side::Keys, &mut cache.k),
        Rows::new(values, layout, Side::Values, &mut cache.v),
    ];
    let one = |head: usize| rows.iter().for_each(|rows| rows.store(kernels, layout, head, at));
    if elements < PARALLEL_FROM {
        (0..layout.kv_heads).for_each(one);
        return Ok(());
    }
    pool.run(layout.kv_heads, &|chunk| one(chunk.index)).map_err(broken)
}

impl<'a> Rows<'a> {
    fn new(values: &'a [f32], layout: &KvLayout, side: Side, into: &'a mut CpuBuffer) -> Self {
        let dtype = if side == Side::Keys { layout.types.k } else { layout.types.v };
        Self { values, dtype, pieces: Pieces::new(layout, side), into: Disjoint::new(into.bytes_mut()) }
    }

    /// Stores the rows of one head in the slots from `at` on.
    fn store(&self, kernels: &Kernels, layout: &KvLayout, head: usize, at: usize) {
        let len = layout.slots() * self.pieces.slot_bytes;
        // SAFETY: a head is one chunk's, and heads do not overlap.
        let into = unsafe { self.into.part(head * len..(head + 1) * len) };
        let (dim, width) = (layout.head_dim, layout.kv_heads * layout.head_dim);
        let mut bytes = [0; MOST_BYTES];
        for (slot, row) in (at..).zip(self.values.chunks_exact(width)) {
            let row = &row[head * dim..][..dim];
            for piece in self.pieces.each() {
                let bytes = &mut bytes[..piece.bytes];
                encode(kernels, self.dtype, &row[piece.range()], bytes);
                self.pieces.put(into, slot, piece, bytes);
            }
        }
    }
}

/// The stored form of up to 32 elements.
fn encode(kernels: &Kernels, dtype: DType, values: &[f32], bytes: &mut [u8]) {
    if dtype == DType::F16 {
        let mut bits = [0; BLOCK_LEN];
        (kernels.narrow_f16)(values, &mut bits[..values.len()]);
        for (to, bits) in bytes.as_chunks_mut().0.iter_mut().zip(bits) {
            *to = bits.to_le_bytes();
        }
        return;
    }
    // As long as a piece of these elements is, in a type that is stored: so there is no error.
    let encoded = heads::encode(dtype, values, bytes);
    debug_assert!(encoded.is_ok());
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
    for (side, src, dst) in [(Side::Keys, &src.k, &mut dst.k), (Side::Values, &src.v, &mut dst.v)] {
        let pieces = Pieces::new(from, side);
        for head in 0..from.kv_heads {
            let old = &src.bytes()[head * from.slots() * pieces.slot_bytes..];
            let new = &mut dst.bytes_mut()[head * to.slots() * pieces.slot_bytes..];
            let mut into = 0;
            for range in keep {
                pieces.copy(old, range.start, range.len(), new, into);
                into += range.len();
            }
        }
    }
    Ok(())
}

/// See [`crate::core::Backend::kv_export`].
pub(super) fn export(
    cache: &KvLayer<CpuBuffer>,
    layout: &KvLayout,
    slots: Range<usize>,
    k: &mut [u8],
    v: &mut [u8],
) -> Result<()> {
    layout.check_transfer("kv_export", cache, &slots, (k, v))?;
    for (side, src, out) in [(Side::Keys, &cache.k, k), (Side::Values, &cache.v, v)] {
        let pieces = Pieces::new(layout, side);
        for head in 0..layout.kv_heads {
            let src = &src.bytes()[head * layout.slots() * pieces.slot_bytes..];
            let rows = out.chunks_exact_mut(pieces.slot_bytes.max(1)).skip(head).step_by(layout.kv_heads);
            for (slot, row) in slots.clone().zip(rows) {
                for piece in pieces.each() {
                    pieces.take(src, slot, piece, &mut row[piece.at..][..piece.bytes]);
                }
            }
        }
    }
    Ok(())
}

/// See [`crate::core::Backend::kv_import`].
pub(super) fn import(
    k: &[u8],
    v: &[u8],
    cache: &mut KvLayer<CpuBuffer>,
    layout: &KvLayout,
    at: usize,
) -> Result<()> {
    layout.check_transfer("kv_import", cache, &layout.slots_of(k.len(), at), (k, v))?;
    for (side, rows, dst) in [(Side::Keys, k, &mut cache.k), (Side::Values, v, &mut cache.v)] {
        let pieces = Pieces::new(layout, side);
        for head in 0..layout.kv_heads {
            let dst = &mut dst.bytes_mut()[head * layout.slots() * pieces.slot_bytes..];
            let rows = rows.chunks_exact(pieces.slot_bytes.max(1)).skip(head).step_by(layout.kv_heads);
            for (slot, row) in (at..).zip(rows) {
                for piece in pieces.each() {
                    pieces.put(dst, slot, piece, &row[piece.at..][..piece.bytes]);
                }
            }
        }
    }
    Ok(())
}
