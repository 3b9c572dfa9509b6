//! Attention: which of its kernels serves which shape.

use super::buffer::OpenClBuffer;
use super::kernel::Arg;
use super::ops::{LINE, T, f32s, lock, n, run, same_cols};
use super::{OpenClBackend, Scratch};
use crate::core::{AttentionParams, CoreError, KvLayer, KvLayout, Result};

/// As in `kernels/attention.cl`.
const MOST_DIM: usize = 256;
const LANES: usize = 64;
const SPAN: usize = 128;
/// Rows of a work-group of attention_tile.
const ROWS: usize = 8;

/// Up to so many rows share no keys.
const FEW: usize = 4;

/// See [`crate::core::Backend::attention`].
pub(super) fn attention(
    gpu: &OpenClBackend,
    q: &T,
    cache: &KvLayer<OpenClBuffer>,
    layout: &KvLayout,
    how: &AttentionParams,
    at: usize,
    out: &mut T,
) -> Result<()> {
    let op = "attention";
    same_cols(op, q, out)?;
    let (d, width) = (layout.head_dim, layout.kv_heads * layout.head_dim);
    CoreError::expect_eq(op, "part of a head group", q.cols() % width.max(1), 0)?;
    layout.check_slots(op, at, q.rows())?;
    layout.check_layer(op, cache)?;
    how.check(op)?;
    let kernels = gpu.kernels.kv(&gpu.runtime, layout.types)?;
    out.set_rows(q.rows())?;
    if q.cols() * q.rows() * width == 0 {
        return Ok(());
    }
    let (rows, heads) = (q.rows(), q.cols() / d);
    let result = f32s(op, out)?;
    let args = [
        f32s(op, q)?,
        Arg::Memory(cache.k.memory()),
        Arg::Memory(cache.v.memory()),
        result,
        n(q.cols()),
        n(d),
        n(q.cols() / width),
        n(layout.slots()),
        n(at),
        Arg::F32(how.scale),
        // A row that is further from slot 0 than that has a window.
        n(how.window.map_or(u32::MAX as usize, |window| window.min(u32::MAX as usize))),
        // 0: no cap.
        Arg::F32(how.softcap.unwrap_or(0.0)),
    ];
    let line = [LANES, 1, 1];
    if rows > FEW && d <= MOST_DIM && gpu.forms.attention_tile {
        let args = [&args[..], &[n(rows)]].concat();
        let global = [rows.div_ceil(ROWS) * LANES, heads, 1];
        // SAFETY: rows beyond the last are not written; they see slots up to `at + rows - 1`, which exist. Heads of
        // `q` are a multiple of the cache's, and not longer than local memory in the kernel is.
        return unsafe { run(&mut lock(&kernels.attention_tile), 0, &args, global, line) };
    }
    if rows <= FEW && d <= MOST_DIM && gpu.forms.attention_split {
        let first = how.visible(at).start / SPAN;
        let spans = (at + rows).div_ceil(SPAN) - first;
        let mut scratch = lock(&gpu.scratch);
        // As many as the cache can come to need, so that it does not grow from token to token.
        let most = layout.capacity.div_ceil(SPAN);
        let bytes = if most > 1 { 4 * FEW * heads * most * (d + 2) } else { 0 };
        let partial = Scratch::at_least(&mut scratch.spans, &gpu.runtime, bytes, "attention over spans")?;
        let args = [&args[..], &[Arg::Memory(partial), n(spans), n(first)]].concat();
        // SAFETY: as above; `partial` has an entry for each row, head and span, of which there are at most `most`.
        unsafe {
            let split = &mut lock(&kernels.attention_split);
            run(split, 0, &args, [spans * LANES, heads, rows], line)?;
            if spans > 1 {
                let args = [Arg::Memory(partial), result, n(q.cols()), n(d), n(spans)];
                run(&mut lock(&kernels.attention_merge), 0, &args, [LANES, heads, rows], line)?;
            }
        }
        return Ok(());
    }
    // SAFETY: a work-item an element of `q` and `out`; slots and heads as above.
    unsafe { run(&mut lock(&kernels.attention_plain), 0, &args, [q.cols(), rows, 1], LINE) }
}
