//! Attention: which of its kernels serves which shape.

use super::buffer::OpenClBuffer;
use super::kernel::Arg;
use super::kernels::KvKernels;
use super::kv::pages_of;
use super::ops::{LINE, T, f32s, lock, n, run, same_cols};
use super::{OpenClBackend, Scratch};
use crate::core::{AttentionParams, CoreError, KvLayer, KvLayout, Result, Run};

/// As in `kernels/attention.cl`.
const MOST_DIM: usize = 256;
const LANES: usize = 64;
const SPAN: usize = 128;
/// Rows of a work-group of attention_tile.
const ROWS: usize = 8;

/// Up to so many rows share no keys.
const FEW: usize = 4;

/// See [`crate::core::Backend::attention`]. Each run by itself.
pub(super) fn attention(
    gpu: &OpenClBackend,
    q: &T,
    layer: &KvLayer<OpenClBuffer>,
    how: &AttentionParams,
    runs: &[Run<'_>],
    out: &mut T,
) -> Result<()> {
    let op = "attention";
    same_cols(op, q, out)?;
    if how.ahead > 0 {
        return Err(CoreError::Lacking { backend: "opencl", what: "let a token see later ones" });
    }
    let group = layer.check_attention(op, q, how, runs)?;
    let kernels = gpu.kernels.kv(layer.layout.types)?;
    out.set_rows(q.rows())?;
    if group == 0 {
        return Ok(());
    }
    runs.iter()
        .filter(|one| !one.rows.is_empty())
        .try_for_each(|one| attend(gpu, &kernels, q, layer, how, one, out))
}

/// One run of at least one row; operands as checked before.
fn attend(
    gpu: &OpenClBackend,
    kernels: &KvKernels,
    q: &T,
    layer: &KvLayer<OpenClBuffer>,
    how: &AttentionParams,
    one: &Run<'_>,
    out: &T,
) -> Result<()> {
    let op = "attention";
    let (d, rows, at) = (layer.layout.head_dim, one.rows.len(), one.len);
    let heads = q.cols() / d;
    let result = f32s(op, out)?;
    let mut tables = lock(&gpu.tables);
    let args = [
        f32s(op, q)?,
        Arg::Memory(layer.k.memory()),
        Arg::Memory(layer.v.memory()),
        result,
        Arg::Memory(tables.of(&gpu.runtime, pages_of(one.pages, one.end()))?),
        n(q.cols()),
        n(d),
        n(heads / layer.layout.kv_heads),
        n(one.rows.start),
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
        // SAFETY: rows beyond the last are not written; rows see slots up to `at + rows - 1`, which are in pages that there
        // are. Heads of `q` are a multiple of the cache's, and not longer than local memory in the kernel is.
        return unsafe { run(&mut lock(&kernels.attention_tile), 0, &args, global, line) };
    }
    if rows <= FEW && d <= MOST_DIM && gpu.forms.attention_split {
        let first = how.visible(at, at + rows).start / SPAN;
        let spans = (at + rows).div_ceil(SPAN) - first;
        let mut scratch = lock(&gpu.scratch);
        // As many as the cache can come to need, so that it does not grow from token to token.
        let most = (layer.pages * KvLayout::PAGE).max(at + rows).div_ceil(SPAN);
        let bytes = if most > 1 { 4 * FEW * heads * most * (d + 2) } else { 0 };
        let partial = Scratch::at_least(&mut scratch.spans, &gpu.runtime, bytes, "attention over spans")?;
        let args = [&args[..], &[Arg::Memory(partial), n(spans), n(first)]].concat();
        // SAFETY: as above; `partial` has an entry for each row, head and span, of which there are at most `most`.
        unsafe {
            let split = &mut lock(&kernels.attention_split);
            run(split, 0, &args, [spans * LANES, heads, rows], line)?;
            if spans > 1 {
                let args = [Arg::Memory(partial), result, n(q.cols()), n(d), n(spans), n(one.rows.start)];
                run(&mut lock(&kernels.attention_merge), 0, &args, [LANES, heads, rows], line)?;
            }
        }
        return Ok(());
    }
    // SAFETY: a work-item an element of `q` and `out`; slots and heads as above.
    unsafe { run(&mut lock(&kernels.attention_plain), 0, &args, [q.cols(), rows, 1], LINE) }
}
