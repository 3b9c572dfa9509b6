//! Attention over the key/value cache: the work of a call, of whatever sequences, cut into chunks.

use std::ops::Range;

use super::buffer::AlignedBytes;
use super::disjoint::Disjoint;
use super::kernels::Kernels;
use super::kernels::attention::{Attend, Attention, KEYS, Paged, SPAN, Softcap, scratch_len, state_len};
use super::pieces::{Pieces, Side};
use super::pool::{Chunk, Pool};
use super::{CpuBuffer, broken};
use crate::core::{AttentionParams, CoreError, KvLayer, KvLayout, Result, Run, Tensor};

/// Query rows that share the reading of a cache tile.
const ROWS: usize = 8;

/// Chunks a thread below which blocks are cut into spans of the cache.
const MIN_CHUNKS: usize = 4;

/// See [`crate::core::Backend::attention`]. `scratch` grows to what the shape needs and is then reused.
#[expect(clippy::too_many_arguments, reason = "the trait's operands and what the backend adds to them")]
pub(super) fn attention(
    kernels: &Kernels,
    pool: &mut Pool,
    scratch: &mut AlignedBytes,
    q: &Tensor<CpuBuffer>,
    layer: &KvLayer<CpuBuffer>,
    how: &AttentionParams,
    runs: &[Run<'_>],
    out: &mut Tensor<CpuBuffer>,
) -> Result<()> {
    let op = "attention";
    let group = layer.check_attention(op, q, how, runs)?;
    let (layout, width) = (&layer.layout, q.cols());
    CoreError::expect_eq(op, "output columns", out.cols(), width)?;
    out.set_rows(q.rows())?;
    if q.rows() == 0 || group == 0 {
        return Ok(());
    }
    let kernel = kernels.attend(layout.types).ok_or(CoreError::Unsupported { op, dtype: layout.types.v })?;
    let blocks = Blocks {
        runs,
        group,
        layout,
        how,
        softcap: how.softcap.map(|cap| (cap, kernels.softcap)),
        width,
        q: q.buffer().f32(op)?,
        keys: Stored { bytes: layer.k.bytes(), pieces: Pieces::new(layout, Side::Keys) },
        values: Stored { bytes: layer.v.bytes(), pieces: Pieces::new(layout, Side::Values) },
        kernel,
        merge: kernels.merge,
    };
    let out = Disjoint::new(out.buffer_mut().f32_mut(op)?);
    let spans = blocks.all_spans();
    if spans.len() > 1 && blocks.count() < MIN_CHUNKS * pool.threads() {
        blocks.by_spans(pool, scratch, &spans, &out)
    } else {
        blocks.by_blocks(pool, scratch, &out)
    }
}

/// The work of one call: blocks of up to [`ROWS`] rows of a run, of each head of the cache.
struct Blocks<'a> {
    runs: &'a [Run<'a>],
    /// Query heads that read a head of the cache.
    group: usize,
    layout: &'a KvLayout,
    how: &'a AttentionParams,
    softcap: Option<Softcap>,
    /// Elements of a query row.
    width: usize,
    q: &'a [f32],
    keys: Stored<'a>,
    values: Stored<'a>,
    kernel: Attention,
    merge: fn(usize, &mut [f32], &[f32]),
}

/// All keys, or values, of a layer.
#[derive(Clone, Copy)]
struct Stored<'a> {
    bytes: &'a [u8],
    pieces: Pieces,
}

/// A block: whose run it is, which head of the cache, its first row within the run, and its rows.
#[derive(Clone, Copy)]
struct Block<'a> {
    run: &'a Run<'a>,
    head: usize,
    first: usize,
    rows: usize,
}

impl Block<'_> {
    /// The slot of its first row.
    fn slot(&self) -> usize {
        self.run.len + self.first
    }
}

impl<'a> Blocks<'a> {
    fn count(&self) -> usize {
        self.runs.iter().map(|run| run.rows.len().div_ceil(ROWS)).sum::<usize>() * self.layout.kv_heads
    }

    /// Run by run; in each the rows that see most come first, so that what is left at the end is short.
    fn block(&self, index: usize) -> Block<'a> {
        let (mut index, head) = (index / self.layout.kv_heads, index % self.layout.kv_heads);
        for run in self.runs {
            let blocks = run.rows.len().div_ceil(ROWS);
            if index < blocks {
                let first = (blocks - 1 - index) * ROWS;
                return Block { run, head, first, rows: ROWS.min(run.rows.len() - first) };
            }
            index -= blocks;
        }
        unreachable!("there are `count` blocks")
    }

    /// Elements of a block's state.
    fn state_len(&self, block: Block<'_>) -> usize {
        state_len(block.rows * self.group, self.layout.head_dim)
    }

    /// Elements kept for the state of a block and for a thread to work in: whole cache lines, which vectors then do
    /// not cross.
    fn room(&self) -> (usize, usize) {
        let most = self.runs.iter().map(|run| run.rows.len()).max().unwrap_or(0);
        let (pairs, dim) = (ROWS.min(most) * self.group, self.layout.head_dim);
        (state_len(pairs, dim).next_multiple_of(16), scratch_len(pairs, dim).next_multiple_of(16))
    }

    /// Slots that some of `rows` rows of a run see, the first of which is in slot `slot`.
    fn seen(&self, run: &Run<'_>, slot: usize, rows: usize) -> Range<usize> {
        self.how.visible(slot, run.end()).start..self.how.visible(slot + rows - 1, run.end()).end
    }

    /// Spans that some of them see.
    fn spans_of(&self, run: &Run<'_>, slot: usize, rows: usize) -> Range<usize> {
        let seen = self.seen(run, slot, rows);
        seen.start / SPAN..seen.end.div_ceil(SPAN)
    }

    /// Spans that some row of a block sees.
    fn spans(&self, block: Block<'_>) -> Range<usize> {
        self.spans_of(block.run, block.slot(), block.rows)
    }

    /// The numbers of spans that some row of any run sees, and what is between them.
    fn all_spans(&self) -> Range<usize> {
        let each = || {
            let runs = self.runs.iter().filter(|run| !run.rows.is_empty());
            runs.map(|run| self.spans_of(run, run.len, run.rows.len()))
        };
        each().map(|spans| spans.start).min().unwrap_or(0)..each().map(|spans| spans.end).max().unwrap_or(0)
    }

    /// The state of one span. `on`: the same thread goes on with those after it.
    fn attend(&self, block: Block<'_>, span: usize, on: bool, state: &mut [f32], scratch: &mut [f32]) {
        let dim = self.layout.head_dim;
        let at = block.slot();
        let end = self.seen(block.run, at, block.rows).end;
        let (from, to) = (span * SPAN, ((span + 1) * SPAN).min(end));
        let row = block.run.rows.start + block.first;
        let pages = &block.run.pages[from / KEYS..];
        let paged = |stored: Stored<'a>| Paged {
            bytes: stored.bytes,
            pages,
            pieces: stored.pieces,
            head: block.head,
        };
        let job = Attend {
            q: &self.q[row * self.width + block.head * self.group * dim..],
            q_stride: self.width,
            rows: block.rows,
            heads: self.group,
            head_dim: dim,
            // What is beyond the slots that there are, the kernel leaves out.
            visible: (at as isize + 1 - from as isize).saturating_add_unsigned(self.how.ahead),
            window: self.how.window.map_or(isize::MAX, |window| window.min(isize::MAX as usize) as isize),
            slots: to - from,
            after: if on { end - to } else { 0 },
            keys: paged(self.keys),
            values: paged(self.values),
            scale: self.how.scale,
            softcap: self.softcap,
        };
        self.kernel.span(&job, &mut state[..self.state_len(block)], scratch);
    }

    /// Sums of values over sums of weights go to a block's rows.
    fn settle(&self, block: Block<'_>, state: &[f32], out: &Disjoint<'_, f32>) {
        let dim = self.layout.head_dim;
        let pairs = block.rows * self.group;
        let sums = &state[pairs * (dim + 1)..];
        for index in 0..block.rows {
            let row = block.run.rows.start + block.first + index;
            let to = row * self.width + block.head * self.group * dim;
            // SAFETY: these rows of this head are one chunk's.
            let out = unsafe { out.part(to..to + self.group * dim) };
            let first = index * self.group;
            let values = state[first * dim..].chunks_exact(dim);
            for ((out, values), sum) in out.chunks_exact_mut(dim).zip(values).zip(&sums[first..]) {
                let inv = 1.0 / *sum;
                for (o, v) in out.iter_mut().zip(values) {
                    *o = v * inv;
                }
            }
        }
    }

    /// A chunk is a block; its thread goes through the spans.
    fn by_blocks(&self, pool: &mut Pool, scratch: &mut AlignedBytes, out: &Disjoint<'_, f32>) -> Result<()> {
        let (state, work) = self.room();
        let each = 2 * state + work;
        scratch.grow(each * pool.threads() * size_of::<f32>(), "attention")?;
        let scratch = Disjoint::new(scratch.view_mut::<f32>());
        let job = |chunk: Chunk| {
            let block = self.block(chunk.index);
            let mine = chunk.worker * each;
            // SAFETY: no two chunks are worked on by one thread at a time, so the thread's scratch is this call's.
            let mine = unsafe { scratch.part(mine..mine + each) };
            let (states, work) = mine.split_at_mut(2 * state);
            let (sum, next) = states.split_at_mut(state);
            let (len, mut spans) = (self.state_len(block), self.spans(block));
            self.attend(block, spans.next().unwrap_or_default(), true, sum, work);
            for span in spans {
                self.attend(block, span, true, next, work);
                (self.merge)(self.layout.head_dim, &mut sum[..len], &next[..len]);
            }
            self.settle(block, sum, out);
        };
        pool.run(self.count(), &job).map_err(broken)
    }

    /// A chunk is a span of a block, which serves few blocks on many threads; then the spans are merged.
    fn by_spans(
        &self,
        pool: &mut Pool,
        scratch: &mut AlignedBytes,
        spans: &Range<usize>,
        out: &Disjoint<'_, f32>,
    ) -> Result<()> {
        let (state, work) = self.room();
        let each = spans.len();
        let states = state * each * self.count();
        scratch.grow((states + work * pool.threads()) * size_of::<f32>(), "attention")?;
        let scratch = Disjoint::new(scratch.view_mut::<f32>());
        let job = |chunk: Chunk| {
            let (index, span) = (chunk.index / each, spans.start + chunk.index % each);
            let block = self.block(index);
            if !self.spans(block).contains(&span) {
                return;
            }
            let (at, mine) = (state * chunk.index, states + work * chunk.worker);
            // SAFETY: the state is this chunk's, the rest is the thread's, which works on one chunk at a time.
            let (state, work) = unsafe { (scratch.part(at..at + state), scratch.part(mine..mine + work)) };
            self.attend(block, span, false, state, work);
        };
        pool.run(self.count() * each, &job).map_err(broken)?;
        let job = |chunk: Chunk| {
            let block = self.block(chunk.index);
            let own = self.spans(block);
            let at = state * (chunk.index * each + own.start - spans.start);
            // SAFETY: the states of a block are this chunk's.
            let states = unsafe { scratch.part(at..at + state * own.len()) };
            let (sum, later) = states.split_at_mut(state);
            let len = self.state_len(block);
            for next in later.chunks_exact(state) {
                (self.merge)(self.layout.head_dim, &mut sum[..len], &next[..len]);
            }
            self.settle(block, sum, out);
        };
        pool.run(self.count(), &job).map_err(broken)
    }
}
