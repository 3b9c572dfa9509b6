//! Running a case on a backend.

use std::time::{Duration, Instant};

use super::case::Cache;
use super::operands::{Operands, looks};
use super::{Outcome, Work};
use crate::core::{
    AttentionParams, Backend, CoreError, DType, KvLayer, KvLayout, LinearPart, PageId, Result, Run, Tensor,
};

/// Rows of memory beyond those in use, full of NaN: what is not in use must have no influence.
const SPARE: usize = 2;

/// What a cache's slots hold that no query may see; finite, since a mask may be a product with zero.
const UNSEEN: f32 = 1e3;

/// Norms: as in Llama.
const EPS: f32 = 1e-5;

/// What `scale` multiplies with.
const FACTOR: f32 = 1.7;

/// What `softcap` bends to: within the size of ordinary numbers.
const CAP: f32 = 0.5;

/// The rows of one operand.
fn tensor<B: Backend>(b: &B, rows: usize, cols: usize, values: &[f32]) -> Result<Tensor<B::Buffer>> {
    let mut t = b.tensor(rows + SPARE, cols)?;
    b.upload(&vec![f32::NAN; SPARE * cols], &mut t, rows)?;
    b.upload(values, &mut t, 0)?;
    t.set_rows(rows)?;
    Ok(t)
}

/// Memory for a result of up to `rows` rows: what is not written stays NaN.
fn room<B: Backend>(b: &B, rows: usize, cols: usize) -> Result<Tensor<B::Buffer>> {
    let mut t = b.tensor(rows + SPARE, cols)?;
    b.upload(&vec![f32::NAN; (rows + SPARE) * cols], &mut t, 0)?;
    Ok(t)
}

fn read<B: Backend>(b: &B, t: &Tensor<B::Buffer>, rows: usize) -> Result<Vec<f32>> {
    CoreError::expect_eq("oracle", "rows of the result", t.rows(), rows)?;
    let mut values = vec![0.0; rows * t.cols()];
    b.download(t, 0, &mut values)?;
    Ok(values)
}

/// Times `act`, which leaves `rows` rows in `out`, until they can be read.
fn timed<B: Backend>(
    b: &B,
    mut out: Tensor<B::Buffer>,
    rows: usize,
    act: impl FnOnce(&mut Tensor<B::Buffer>) -> Result<()>,
) -> Result<Outcome> {
    let start = Instant::now();
    act(&mut out)?;
    let values = read(b, &out, rows)?;
    Ok(Outcome { values, cols: out.cols(), time: start.elapsed() })
}

/// Computes `work` from its operands.
///
/// # Errors
/// Whatever the backend answers, and a result of the wrong size.
pub(super) fn run<B: Backend>(b: &B, work: &Work, operands: &Operands) -> Result<Outcome> {
    let input = |i: usize| operands.inputs.get(i).map(Vec::as_slice).unwrap_or_default();
    let format = operands.format.unwrap_or(DType::F32);
    match work {
        Work::Alloc { len } => {
            let start = Instant::now();
            let values = read(b, &b.tensor(1, *len)?, 1)?;
            Ok(Outcome { values, cols: *len, time: start.elapsed() })
        }
        Work::Transfer { rows, cols } => {
            let mut t = room(b, *rows, *cols)?;
            t.set_rows(*rows)?;
            timed(b, t, *rows, |t| b.upload(input(0), t, 0))
        }
        Work::CopyRows { rows, cols, take } => {
            let x = tensor(b, *rows, *cols, input(0))?;
            timed(b, room(b, take.len(), *cols)?, take.len(), |out| {
                b.copy_rows(&x, take.start, take.len(), out)
            })
        }
        Work::Prepare { cols, .. } | Work::Embed { cols, .. } => {
            let [matrix] = &operands.weights[..] else { return missing("matrices") };
            let table = b.prepare(matrix, format)?;
            let rows = operands.ids.len();
            timed(b, room(b, rows, *cols)?, rows, |out| b.embed(&table, &operands.ids, out))
        }
        Work::RmsNorm { rows, cols } => {
            let [gains] = &operands.weights[..] else { return missing("gains") };
            let (x, gain) = (tensor(b, *rows, *cols, input(0))?, b.prepare(gains, DType::F32)?);
            timed(b, room(b, *rows, *cols)?, *rows, |out| b.rms_norm(&x, &gain, EPS, out))
        }
        Work::Linear { rows, cols, .. } => linear(b, &tensor(b, *rows, *cols, input(0))?, operands),
        Work::RmsNormInPlace { rows, heads, head_dim } => {
            let [gains] = &operands.weights[..] else { return missing("gains") };
            let gain = b.prepare(gains, DType::F32)?;
            let x = tensor(b, *rows, heads * head_dim, input(0))?;
            timed(b, x, *rows, |x| b.rms_norm_in_place(x, &gain, EPS))
        }
        Work::Rope { rows, heads, head_dim, turned, .. } => {
            let angles = tensor(b, *rows, *turned, input(1))?;
            timed(b, tensor(b, *rows, heads * head_dim, input(0))?, *rows, |x| b.rope(x, &angles, *head_dim))
        }
        Work::KvAppend { cache, at, rows } => append(b, cache, *at, *rows, operands),
        Work::KvCopy { cache, slots, keep } => {
            let mut stored = filled(b, cache, *slots, operands)?;
            let kept = keep.iter().map(ExactSizeIterator::len).sum();
            let start = Instant::now();
            let mut to = 0;
            for range in keep {
                b.kv_copy(&mut stored.layer, (&stored.pages, range.start), (&stored.pages, to), range.len())?;
                to += range.len();
            }
            look(b, cache, &stored, kept, input(2), start.elapsed())
        }
        Work::KvMove { cache, slots, take } => {
            let from = filled(b, cache, *slots, operands)?;
            let (k, v) = from.layer.layout.slot_bytes();
            let (mut k, mut v) = (vec![0; k * take.len()], vec![0; v * take.len()]);
            let mut moved = empty(b, cache, take.len())?;
            let start = Instant::now();
            b.kv_export(&from.layer, &from.pages, take.clone(), &mut k, &mut v)?;
            b.kv_import(&k, &v, &mut moved.layer, &moved.pages, 0)?;
            look(b, cache, &moved, take.len(), input(2), start.elapsed())
        }
        Work::Attention { cache, window, capped, at, rows } => {
            let stored = filled(b, cache, at + rows, operands)?;
            let width = cache.heads * cache.head_dim;
            let q = tensor(b, *rows, width, input(2))?;
            let plain = AttentionParams { window: *window, ..AttentionParams::of_head_dim(cache.head_dim) };
            let bent = AttentionParams { scale: FACTOR * plain.scale, softcap: Some(CAP), ..plain };
            let how = if *capped { bent } else { plain };
            let runs = [stored.run(*rows, *at)];
            timed(b, room(b, *rows, width)?, *rows, |out| b.attention(&q, &stored.layer, &how, &runs, out))
        }
        Work::Glu { activation, rows, cols } => {
            let (gate, up) = (tensor(b, *rows, *cols, input(0))?, tensor(b, *rows, *cols, input(1))?);
            timed(b, room(b, *rows, *cols)?, *rows, |out| b.glu(&gate, &up, *activation, out))
        }
        Work::Scale { rows, cols } => {
            timed(b, tensor(b, *rows, *cols, input(0))?, *rows, |x| b.scale(x, FACTOR))
        }
        Work::Softcap { rows, cols } => {
            timed(b, tensor(b, *rows, *cols, input(0))?, *rows, |x| b.softcap(x, CAP))
        }
        Work::Add { rows, cols } => {
            let x = tensor(b, *rows, *cols, input(0))?;
            timed(b, tensor(b, *rows, *cols, input(1))?, *rows, |acc| b.add(&x, acc))
        }
        Work::AddRmsNorm { rows, cols } => {
            let [gains] = &operands.weights[..] else { return missing("gains") };
            let (x, gain) = (tensor(b, *rows, *cols, input(0))?, b.prepare(gains, DType::F32)?);
            let mut acc = tensor(b, *rows, *cols, input(1))?;
            let act = |out: &mut Tensor<B::Buffer>| b.add_rms_norm(&x, &mut acc, &gain, EPS, out);
            let mut normed = timed(b, room(b, *rows, *cols)?, *rows, act)?;
            // Both results: the norms, then the sums.
            normed.values.extend(read(b, &acc, *rows)?);
            Ok(normed)
        }
    }
}

fn missing<T>(what: &'static str) -> Result<T> {
    Err(CoreError::Mismatch { op: "oracle", what, got: 0, expected: 1 })
}

/// The results of all matrices, side by side in each row.
fn linear<B: Backend>(b: &B, x: &Tensor<B::Buffer>, operands: &Operands) -> Result<Outcome> {
    let format = operands.format.unwrap_or(DType::F32);
    let prepare = |format: DType| move |tensor| b.prepare(tensor, format);
    let weights: Vec<B::Weight> = operands.weights.iter().map(prepare(format)).collect::<Result<_>>()?;
    let biases: Vec<B::Weight> = operands.biases.iter().map(prepare(DType::F32)).collect::<Result<_>>()?;
    let rows = x.rows();
    let widths = operands.weights.iter().map(|w| w.matrix_dims().0);
    let mut outs: Vec<_> = widths.map(|n| room(b, rows, n)).collect::<Result<_>>()?;
    let parts = weights.iter().zip(&mut outs).enumerate();
    let mut parts: Vec<LinearPart<'_, B>> =
        parts.map(|(i, (weight, out))| LinearPart { weight, bias: biases.get(i), out }).collect();
    let start = Instant::now();
    b.linear(x, &mut parts)?;
    let results: Vec<(usize, Vec<f32>)> =
        outs.iter().map(|out| Ok((out.cols(), read(b, out, rows)?))).collect::<Result<_>>()?;
    let time = start.elapsed();
    let row = |r: usize| results.iter().flat_map(move |(n, values)| &values[r * n..(r + 1) * n]);
    let values = (0..rows).flat_map(row).copied().collect();
    Ok(Outcome { values, cols: results.iter().map(|(n, _)| n).sum(), time })
}

/// A layer's pages, and the table of those that a sequence has: from the last one to the first, since no result may
/// depend on their order.
struct Stored<B> {
    layer: KvLayer<B>,
    pages: Vec<PageId>,
}

impl<B> Stored<B> {
    /// `rows` rows, the first of them in slot `at`.
    fn run(&self, rows: usize, at: usize) -> Run<'_> {
        Run { rows: 0..rows, pages: &self.pages, len: at }
    }
}

/// A cache with room for `slots` slots and some more, which hold values that must not be read.
fn empty<B: Backend>(b: &B, cache: &Cache, slots: usize) -> Result<Stored<B::Buffer>> {
    let &Cache { dtype, kv_heads, head_dim, .. } = cache;
    let layout = KvLayout { types: dtype.into(), kv_heads, head_dim };
    let pages: Vec<PageId> = (0..(slots + SPARE).div_ceil(KvLayout::PAGE)).rev().map(PageId::new).collect();
    let mut stored = Stored { layer: KvLayer::new(b, layout, pages.len())?, pages };
    let unseen = vec![UNSEEN; stored.pages.len() * KvLayout::PAGE * layout.width()];
    put(b, &mut stored, 0, &unseen, &unseen)?;
    Ok(stored)
}

/// A cache whose first `slots` slots hold the operands' keys and values.
fn filled<B: Backend>(b: &B, cache: &Cache, slots: usize, operands: &Operands) -> Result<Stored<B::Buffer>> {
    let mut stored = empty(b, cache, slots)?;
    let [k, v, ..] = &operands.inputs[..] else { return missing("keys and values") };
    put(b, &mut stored, 0, k, v)?;
    Ok(stored)
}

/// Appends rows at slot `at`.
fn put<B: Backend>(b: &B, stored: &mut Stored<B::Buffer>, at: usize, k: &[f32], v: &[f32]) -> Result<()> {
    let width = stored.layer.layout.width();
    let rows = k.len().checked_div(width).unwrap_or_default();
    let (k, v) = (tensor(b, rows, width, k)?, tensor(b, rows, width, v)?);
    let Stored { layer, pages } = stored;
    b.kv_append(&k, &v, layer, &[Run { rows: 0..rows, pages, len: at }])
}

/// Appends the last `rows` rows of the operands after the others, over values that must not be read.
fn append<B: Backend>(b: &B, cache: &Cache, at: usize, rows: usize, operands: &Operands) -> Result<Outcome> {
    let mut stored = empty(b, cache, at + rows)?;
    let width = cache.kv_heads * cache.head_dim;
    let [k, v, q] = &operands.inputs[..] else { return missing("keys, values and queries") };
    put(b, &mut stored, 0, &k[..at * width], &v[..at * width])?;
    let (k, v) = (tensor(b, rows, width, &k[at * width..])?, tensor(b, rows, width, &v[at * width..])?);
    let start = Instant::now();
    let Stored { layer, pages } = &mut stored;
    b.kv_append(&k, &v, layer, &[Run { rows: 0..rows, pages, len: at }])?;
    look(b, cache, &stored, at + rows, q, start.elapsed())
}

/// What queries see in the first `slots` slots.
fn look<B: Backend>(
    b: &B,
    cache: &Cache,
    stored: &Stored<B::Buffer>,
    slots: usize,
    q: &[f32],
    time: Duration,
) -> Result<Outcome> {
    let width = cache.heads * cache.head_dim;
    let (rows, at) = looks(slots);
    let q = tensor(b, rows, width, q)?;
    let how = AttentionParams::of_head_dim(cache.head_dim);
    let runs = [stored.run(rows, at)];
    let act = |out: &mut Tensor<B::Buffer>| b.attention(&q, &stored.layer, &how, &runs, out);
    let seen = timed(b, room(b, rows, width)?, rows, act)?;
    Ok(Outcome { time, ..seen })
}
