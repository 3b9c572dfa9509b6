//! The key/value cache and attention over it.

use std::ops::Range;

use super::buffer::AlignedBytes;
use super::disjoint::Disjoint;
use super::kernels::Kernels;
use super::kernels::attention::{Attend, scratch_len};
use super::pool::Pool;
use super::{CpuBuffer, broken};
use crate::core::{Buffer, CoreError, DType, KvLayer, KvLayout, Result, Tensor};

/// Query rows that share the reading of a cache tile.
const ROWS: usize = 8;

/// Checks that a cache buffer is what its layout says.
fn check(op: &'static str, buffer: &CpuBuffer, layout: &KvLayout) -> Result<()> {
    if !matches!(layout.dtype, DType::F32 | DType::F16) || buffer.dtype() != layout.dtype {
        return Err(CoreError::Unsupported { op, dtype: layout.dtype });
    }
    CoreError::expect_eq(op, "cache length", buffer.len(), layout.elements().unwrap_or(usize::MAX))
}

/// Checks that `rows` slots from `at` on exist.
fn check_slots(op: &'static str, at: usize, rows: usize, capacity: usize) -> Result<()> {
    match at.checked_add(rows) {
        Some(end) if end <= capacity => Ok(()),
        end => Err(CoreError::Mismatch {
            op,
            what: "last slot",
            got: end.unwrap_or(usize::MAX),
            expected: capacity,
        }),
    }
}

/// See [`crate::core::Backend::kv_append`].
pub(super) fn append(
    kernels: &Kernels,
    k: &Tensor<CpuBuffer>,
    v: &Tensor<CpuBuffer>,
    cache: &mut KvLayer<CpuBuffer>,
    layout: &KvLayout,
    at: usize,
) -> Result<()> {
    let op = "kv_append";
    CoreError::expect_eq(op, "value rows", v.rows(), k.rows())?;
    check_slots(op, at, k.rows(), layout.capacity)?;
    for (src, dst) in [(k, &mut cache.k), (v, &mut cache.v)] {
        check(op, dst, layout)?;
        CoreError::expect_eq(op, "columns", src.cols(), layout.kv_heads * layout.head_dim)?;
        if src.cols() == 0 {
            continue;
        }
        let values = src.buffer().f32(op)?;
        for (row, values) in values.chunks_exact(src.cols()).take(src.rows()).enumerate() {
            for (head, values) in values.chunks_exact(layout.head_dim).enumerate() {
                let to = layout.offset(head, at + row);
                let to = to..to + layout.head_dim;
                match layout.dtype {
                    DType::F16 => (kernels.narrow_f16)(values, &mut dst.f16_mut(op)?[to]),
                    _ => dst.f32_mut(op)?[to].copy_from_slice(values),
                }
            }
        }
    }
    Ok(())
}

/// See [`crate::core::Backend::kv_repack`].
pub(super) fn repack(
    src: &CpuBuffer,
    from: &KvLayout,
    keep: &[Range<usize>],
    dst: &mut CpuBuffer,
    to: &KvLayout,
) -> Result<()> {
    let op = "kv_repack";
    check(op, src, from)?;
    check(op, dst, to)?;
    CoreError::expect_eq(op, "heads", to.kv_heads, from.kv_heads)?;
    CoreError::expect_eq(op, "head size", to.head_dim, from.head_dim)?;
    if to.dtype != from.dtype {
        return Err(CoreError::Unsupported { op, dtype: to.dtype });
    }
    let mut kept = 0usize;
    for range in keep {
        let count = range.end.checked_sub(range.start).unwrap_or(usize::MAX);
        check_slots(op, range.start, count, from.capacity)?;
        kept = kept.saturating_add(count);
    }
    check_slots(op, 0, kept, to.capacity)?;
    let slot = from.head_dim * from.dtype.block_bytes();
    for head in 0..from.kv_heads {
        let mut into = head * to.capacity * slot;
        for range in keep {
            let base = head * from.capacity;
            let bytes = &src.bytes()[(base + range.start) * slot..(base + range.end) * slot];
            dst.bytes_mut()[into..into + bytes.len()].copy_from_slice(bytes);
            into += bytes.len();
        }
    }
    Ok(())
}

/// See [`crate::core::Backend::attention`]. `scratch` grows to what the shape needs and is then reused.
#[expect(clippy::too_many_arguments, reason = "the trait's operands and what the backend adds to them")]
pub(super) fn attention(
    kernels: &Kernels,
    pool: &mut Pool,
    scratch: &mut AlignedBytes,
    q: &Tensor<CpuBuffer>,
    cache: &KvLayer<CpuBuffer>,
    layout: &KvLayout,
    at: usize,
    out: &mut Tensor<CpuBuffer>,
) -> Result<()> {
    let op = "attention";
    check(op, &cache.k, layout)?;
    check(op, &cache.v, layout)?;
    check_slots(op, at, q.rows(), layout.capacity)?;
    let (dim, rows, width) = (layout.head_dim, q.rows(), q.cols());
    let kv_width = layout.kv_heads * dim;
    let group = width.checked_div(kv_width).unwrap_or(0);
    CoreError::expect_eq(op, "query columns", width, group * kv_width)?;
    CoreError::expect_eq(op, "output columns", out.cols(), width)?;
    out.set_rows(rows)?;
    if rows == 0 || group == 0 {
        return Ok(());
    }
    let kernel = kernels.attend(layout.dtype).ok_or(CoreError::Unsupported { op, dtype: layout.dtype })?;
    // Few rows are cut finer, so that there is a chunk for every thread.
    let blocks = rows.div_ceil(ROWS);
    // Whole cache lines, which vectors then do not cross.
    let each = scratch_len(ROWS, group, dim).next_multiple_of(16);
    scratch.grow(each * pool.threads() * size_of::<f32>(), op)?;
    let scratch = Disjoint::new(scratch.view_mut::<f32>());
    let queries = q.buffer().f32(op)?;
    let out = Disjoint::new(out.buffer_mut().f32_mut(op)?);
    let slot = dim * layout.dtype.block_bytes();
    let scale = 1.0 / (dim as f32).sqrt();
    let job = |chunk: super::pool::Chunk| {
        // The longest rows first: what is left at the end is short.
        let (block, head) = (blocks - 1 - chunk.index / layout.kv_heads, chunk.index % layout.kv_heads);
        let first = block * ROWS;
        let count = ROWS.min(rows - first);
        let at = at + first;
        let stored = head * layout.capacity * slot..(head * layout.capacity + at + count) * slot;
        let column = head * group * dim;
        let attend = Attend {
            q: &queries[first * width + column..],
            q_stride: width,
            rows: count,
            heads: group,
            head_dim: dim,
            at,
            keys: &cache.k.bytes()[stored.clone()],
            values: &cache.v.bytes()[stored],
            scale,
        };
        let mine = chunk.worker * each;
        // SAFETY: no two chunks are worked on by one thread at a time, so the thread's scratch is this call's.
        let scratch = unsafe { scratch.part(mine..mine + scratch_len(count, group, dim)) };
        kernel(&attend, scratch);
        for row in 0..count {
            let to = (first + row) * width + column;
            // SAFETY: these rows of this head are one chunk's.
            let out = unsafe { out.part(to..to + group * dim) };
            out.copy_from_slice(&scratch[row * group * dim..(row + 1) * group * dim]);
        }
    };
    pool.run(blocks * layout.kv_heads, &job).map_err(broken)
}
