//! Into the key/value cache, within it, and out of it.

use std::ops::Range;

use super::disjoint::Disjoint;
use super::kernels::Kernels;
use super::pieces::{MOST_BYTES, Pieces, Side};
use super::pool::Pool;
use super::{CpuBuffer, PARALLEL_FROM, broken};
use crate::core::{BLOCK_LEN, DType, KvLayer, KvLayout, PageId, Result, Run, Tensor};
use crate::quant::heads;

/// Rows of keys or values on their way into the pages of a layer.
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
    layer: &mut KvLayer<CpuBuffer>,
    runs: &[Run<'_>],
) -> Result<()> {
    let op = "kv_append";
    layer.check_append(k, v, runs)?;
    let layout = layer.layout;
    let elements = k.rows() * k.cols();
    if elements == 0 {
        return Ok(());
    }
    let (keys, values) = (&k.buffer().f32(op)?[..elements], &v.buffer().f32(op)?[..elements]);
    let rows = [
        Rows::new(keys, &layout, Side::Keys, &mut layer.k),
        Rows::new(values, &layout, Side::Values, &mut layer.v),
    ];
    let one = |head: usize| {
        for (run, rows) in runs.iter().flat_map(|run| rows.iter().map(move |rows| (run, rows))) {
            rows.store(kernels, &layout, head, run);
        }
    };
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

    /// Stores one head of the rows of a run.
    fn store(&self, kernels: &Kernels, layout: &KvLayout, head: usize, run: &Run<'_>) {
        let (dim, width) = (layout.head_dim, layout.width());
        let mut bytes = [0; MOST_BYTES];
        let rows = &self.values[run.rows.start * width..run.rows.end * width];
        for (slot, row) in (run.len..).zip(rows.chunks_exact(width)) {
            let place = self.pieces.head(run.pages[slot / KvLayout::PAGE], head);
            // SAFETY: a head of any page is one chunk's, which has one such part at a time.
            let into = unsafe { self.into.part(place) };
            let row = &row[head * dim..][..dim];
            for piece in self.pieces.each() {
                let bytes = &mut bytes[..piece.bytes];
                encode(kernels, self.dtype, &row[piece.range()], bytes);
                self.pieces.put(into, slot % KvLayout::PAGE, piece, bytes);
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

/// See [`crate::core::Backend::kv_copy`].
pub(super) fn copy(
    layer: &mut KvLayer<CpuBuffer>,
    from: (&[PageId], usize),
    to: (&[PageId], usize),
    count: usize,
) -> Result<()> {
    layer.check_copy(from, to, count)?;
    for (side, buffer) in [(Side::Keys, &mut layer.k), (Side::Values, &mut layer.v)] {
        let pieces = Pieces::new(&layer.layout, side);
        for head in 0..layer.layout.kv_heads {
            pieces.copy(buffer.bytes_mut(), head, from, to, count);
        }
    }
    Ok(())
}

/// See [`crate::core::Backend::kv_export`].
pub(super) fn export(
    layer: &KvLayer<CpuBuffer>,
    pages: &[PageId],
    slots: Range<usize>,
    k: &mut [u8],
    v: &mut [u8],
) -> Result<()> {
    layer.check_transfer("kv_export", pages, &slots, (k, v))?;
    for (side, src, out) in [(Side::Keys, &layer.k, k), (Side::Values, &layer.v, v)] {
        let pieces = Pieces::new(&layer.layout, side);
        let rows = slots.clone().flat_map(|slot| (0..layer.layout.kv_heads).map(move |head| (slot, head)));
        for ((slot, head), row) in rows.zip(out.chunks_exact_mut(pieces.slot_bytes.max(1))) {
            let src = &src.bytes()[pieces.head(pages[slot / KvLayout::PAGE], head)];
            for piece in pieces.each() {
                pieces.take(src, slot % KvLayout::PAGE, piece, &mut row[piece.at..][..piece.bytes]);
            }
        }
    }
    Ok(())
}

/// See [`crate::core::Backend::kv_import`].
pub(super) fn import(
    k: &[u8],
    v: &[u8],
    layer: &mut KvLayer<CpuBuffer>,
    pages: &[PageId],
    at: usize,
) -> Result<()> {
    let slots = layer.layout.slots_of(k.len(), at);
    layer.check_transfer("kv_import", pages, &slots, (k, v))?;
    let layout = layer.layout;
    for (side, rows, dst) in [(Side::Keys, k, &mut layer.k), (Side::Values, v, &mut layer.v)] {
        let pieces = Pieces::new(&layout, side);
        let places = slots.clone().flat_map(|slot| (0..layout.kv_heads).map(move |head| (slot, head)));
        for ((slot, head), row) in places.zip(rows.chunks_exact(pieces.slot_bytes.max(1))) {
            let dst = &mut dst.bytes_mut()[pieces.head(pages[slot / KvLayout::PAGE], head)];
            for piece in pieces.each() {
                pieces.put(dst, slot % KvLayout::PAGE, piece, &row[piece.at..][..piece.bytes]);
            }
        }
    }
    Ok(())
}
