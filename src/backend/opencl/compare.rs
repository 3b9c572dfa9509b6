//! One operation on the device and on the reference backend, from the same numbers.

use std::ops::Range;

use super::OpenClBackend;
use crate::backend::reference::ReferenceBackend;
use crate::core::{
    Activation, AttentionParams, Backend, CoreError, DType, HostTensor, KvLayer, KvLayout, KvTypes,
    LinearPart, PageId, Result, Run, Shape, Tensor,
};
use crate::quant::quantize_row;
use crate::quant::row_bytes;
use crate::quant::rows::RowReader;

/// Every format of weights.
#[cfg(test)]
pub fn formats() -> impl Iterator<Item = DType> {
    DType::ALL.into_iter().filter(|dtype| dtype.is_weight())
}

/// What is compared. Sizes are tokens (`rows`) and lengths of rows (`cols`).
#[derive(Clone, Debug)]
pub enum Operation {
    /// `rms_norm`.
    RmsNorm { rows: usize, cols: usize },
    /// `rms_norm_in_place` of each head.
    HeadNorm { rows: usize, heads: usize, head_dim: usize },
    /// `linear` with and without a bias, two weights at once: `outs` features each. Rows are `cols` long, or the next length
    /// that rows of the format can have.
    Linear { format: DType, tokens: usize, cols: usize, outs: usize },
    /// `embed`, of rows of such lengths.
    Embed { format: DType, vocab: usize, cols: usize, tokens: usize },
    /// `rope` of the first `turned` elements of each head.
    Rope { rows: usize, heads: usize, head_dim: usize, turned: usize },
    /// `kv_append` of `at` slots and of `rows` more, `kv_copy` of what is in `keep`, and `attention` of the last
    /// rows over that.
    Attention {
        types: KvTypes,
        kv_heads: usize,
        group: usize,
        head_dim: usize,
        window: Option<usize>,
        softcap: Option<f32>,
        at: usize,
        rows: usize,
        keep: Vec<Range<usize>>,
    },
    /// `glu`.
    Glu { activation: Activation, rows: usize, cols: usize },
    /// `scale`.
    Scale { rows: usize, cols: usize },
    /// `softcap`.
    Softcap { rows: usize, cols: usize },
    /// `add`.
    Add { rows: usize, cols: usize },
    /// `add_rms_norm`: both results.
    AddRmsNorm { rows: usize, cols: usize },
    /// `copy_rows`.
    CopyRows { from: usize, count: usize, cols: usize },
}

impl Operation {
    /// The largest error of an element, as a share of the largest one that is right. Infinite where one side is not
    /// finite and the other is.
    ///
    /// # Errors
    /// What either backend reports.
    pub fn error(&self, gpu: &OpenClBackend) -> Result<f64> {
        let got = self.run(gpu, false)?;
        // The reference rounds inputs to int8 where it meets a block format: as the device does, or not at all.
        let right = self.run(&ReferenceBackend, !gpu.rounds_inputs())?;
        CoreError::expect_eq("compare", "length", got.len(), right.len())?;
        Ok(distance(&got, &right))
    }

    /// The name of the kernel family.
    pub fn kernel(&self) -> &'static str {
        match self {
            Self::RmsNorm { .. } | Self::HeadNorm { .. } => "rms_norm",
            Self::Linear { .. } => "linear",
            Self::Embed { .. } => "embed",
            Self::Rope { .. } => "rope",
            Self::Attention { .. } => "attention",
            Self::Glu { .. } => "glu",
            Self::Scale { .. } => "scale",
            Self::Softcap { .. } => "softcap",
            Self::Add { .. } => "add",
            Self::AddRmsNorm { .. } => "add_rms_norm",
            Self::CopyRows { .. } => "copy",
        }
    }

    /// All elements of the result. With `wide` block formats are used as the f32 values that they stand for.
    fn run<B: Backend>(&self, b: &B, wide: bool) -> Result<Vec<f32>> {
        match self {
            &Self::RmsNorm { rows, cols } => {
                let (x, gain) = (tensor(b, 1, rows, cols)?, gain(b, cols)?);
                let mut out = b.tensor(rows, cols)?;
                b.rms_norm(&x, &gain, 1e-5, &mut out)?;
                values(b, &out)
            }
            &Self::HeadNorm { rows, heads, head_dim } => {
                let (mut x, gain) = (tensor(b, 1, rows, heads * head_dim)?, gain(b, head_dim)?);
                b.rms_norm_in_place(&mut x, &gain, 1e-5)?;
                values(b, &x)
            }
            &Self::Linear { format, tokens, cols, outs } => {
                let cols = format.row_len(cols);
                let x = tensor(b, 1, tokens, cols)?;
                let [first, second] =
                    [weight(b, format, outs, cols, 2, wide)?, weight(b, format, outs, cols, 3, wide)?];
                let bias = HostTensor::from_f32("bias", Shape::from([outs]), &numbers(4, outs))?;
                let bias = b.prepare(&bias, DType::F32)?;
                let (mut plain, mut biased) = (b.tensor(tokens, outs)?, b.tensor(tokens, outs)?);
                b.linear(
                    &x,
                    &mut [
                        LinearPart { weight: &first, bias: None, out: &mut plain },
                        LinearPart { weight: &second, bias: Some(&bias), out: &mut biased },
                    ],
                )?;
                Ok([values(b, &plain)?, values(b, &biased)?].concat())
            }
            &Self::Embed { format, vocab, cols, tokens } => {
                let cols = format.row_len(cols);
                let table = weight(b, format, vocab, cols, 1, wide)?;
                let ids: Vec<u32> = (0..tokens).map(|t| ((t * 7919 + vocab - 1) % vocab) as u32).collect();
                let mut out = b.tensor(tokens, cols)?;
                b.embed(&table, &ids, &mut out)?;
                values(b, &out)
            }
            &Self::Rope { rows, heads, head_dim, turned } => {
                let mut x = tensor(b, 1, rows, heads * head_dim)?;
                let angles = tensor(b, 2, rows, turned)?;
                b.rope(&mut x, &angles, head_dim)?;
                values(b, &x)
            }
            Self::Attention { types, kv_heads, group, head_dim, window, softcap, at, rows, keep } => {
                let plain = AttentionParams::of_head_dim(*head_dim);
                let how = AttentionParams { window: *window, softcap: *softcap, ..plain };
                attention(b, (*types, *kv_heads, *group, *head_dim), &how, (*at, *rows, keep))
            }
            &Self::Glu { activation, rows, cols } => {
                let (gate, up) = (tensor(b, 1, rows, cols)?, tensor(b, 2, rows, cols)?);
                let mut out = b.tensor(rows, cols)?;
                b.glu(&gate, &up, activation, &mut out)?;
                values(b, &out)
            }
            &Self::Scale { rows, cols } => {
                let mut x = tensor(b, 1, rows, cols)?;
                b.scale(&mut x, 1.7)?;
                values(b, &x)
            }
            &Self::Softcap { rows, cols } => {
                let mut x = tensor(b, 1, rows, cols)?;
                b.softcap(&mut x, 0.5)?;
                values(b, &x)
            }
            &Self::Add { rows, cols } => {
                let (x, mut acc) = (tensor(b, 1, rows, cols)?, tensor(b, 2, rows, cols)?);
                b.add(&x, &mut acc)?;
                values(b, &acc)
            }
            &Self::AddRmsNorm { rows, cols } => {
                let (x, mut acc) = (tensor(b, 1, rows, cols)?, tensor(b, 3, rows, cols)?);
                let mut out = b.tensor(rows, cols)?;
                b.add_rms_norm(&x, &mut acc, &gain(b, cols)?, 1e-5, &mut out)?;
                Ok([values(b, &acc)?, values(b, &out)?].concat())
            }
            &Self::CopyRows { from, count, cols } => {
                let (src, mut dst) = (tensor(b, 1, from + count + 1, cols)?, b.tensor(count + 2, cols)?);
                b.copy_rows(&src, from, count, &mut dst)?;
                values(b, &dst)
            }
        }
    }
}

fn gain<B: Backend>(b: &B, cols: usize) -> Result<B::Weight> {
    b.prepare(&HostTensor::from_f32("gain", Shape::from([cols]), &numbers(2, cols))?, DType::F32)
}

fn attention<B: Backend>(
    b: &B,
    (types, kv_heads, group, head_dim): (KvTypes, usize, usize, usize),
    how: &AttentionParams,
    (at, rows, keep): (usize, usize, &[Range<usize>]),
) -> Result<Vec<f32>> {
    let layout = KvLayout { types, kv_heads, head_dim };
    let width = layout.width();
    // Pages from the last one to the first, with one between them that nothing is in.
    let count = (at + rows).div_ceil(KvLayout::PAGE);
    let pages: Vec<PageId> = (0..count).rev().map(|page| PageId::new(2 * page)).collect();
    let mut layer = KvLayer::new(b, layout, 2 * count)?;
    let runs = |len, rows| [Run { rows: 0..rows, pages: &pages, len }];
    b.kv_append(&tensor(b, 1, at, width)?, &tensor(b, 2, at, width)?, &mut layer, &runs(0, at))?;
    let mut kept = 0;
    for range in keep {
        b.kv_copy(&mut layer, (&pages, range.start), (&pages, kept), range.len())?;
        kept += range.len();
    }
    b.kv_append(&tensor(b, 3, rows, width)?, &tensor(b, 4, rows, width)?, &mut layer, &runs(kept, rows))?;
    let q = tensor(b, 5, rows, width * group)?;
    let mut out = b.tensor(rows, width * group)?;
    b.attention(&q, &layer, how, &runs(kept, rows), &mut out)?;
    values(b, &out)
}

/// The first `slots` slots, as something to keep.
pub(super) fn first(slots: usize) -> Vec<Range<usize>> {
    std::iter::once(0..slots).collect()
}

/// Numbers in -1..1 from a linear congruential generator (Knuth's MMIX constants).
pub(super) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub(super) fn tensor<B: Backend>(b: &B, seed: u64, rows: usize, cols: usize) -> Result<Tensor<B::Buffer>> {
    let mut t = b.tensor(rows, cols)?;
    b.upload(&numbers(seed, rows * cols), &mut t, 0)?;
    Ok(t)
}

pub(super) fn values<B: Backend>(b: &B, t: &Tensor<B::Buffer>) -> Result<Vec<f32>> {
    let mut out = vec![0.0; t.rows() * t.cols()];
    b.download(t, 0, &mut out)?;
    Ok(out)
}

/// A random matrix that is stored in `format`, which has rows of that length.
pub(super) fn stored(format: DType, rows: usize, cols: usize, seed: u64) -> Result<HostTensor> {
    let row = row_bytes(format, cols);
    let mut bytes = vec![0; rows * row];
    for (r, out) in bytes.chunks_exact_mut(row.max(1)).enumerate() {
        quantize_row(format, &numbers(seed + 1000 * r as u64, cols), out)?;
    }
    // Rows of block formats are whole blocks in a file; a matrix with other rows is stored as floats and converted.
    if cols.is_multiple_of(format.block_len()) {
        return HostTensor::new("w", format, Shape::from([rows, cols]), bytes.into());
    }
    let values: Vec<f32> = (0..rows).flat_map(|r| numbers(seed + 1000 * r as u64, cols)).collect();
    HostTensor::from_f32("w", Shape::from([rows, cols]), &values)
}

fn weight<B: Backend>(
    b: &B,
    format: DType,
    rows: usize,
    cols: usize,
    seed: u64,
    wide: bool,
) -> Result<B::Weight> {
    let tensor = stored(format, rows, cols, seed)?;
    if !(wide && format.is_quantized()) {
        return b.prepare(&tensor, format);
    }
    let mut all = Vec::with_capacity(rows * cols);
    let mut reader = RowReader::new(&tensor, format);
    let mut row = vec![0.0; cols];
    for r in 0..rows {
        crate::quant::dequantize_row(format, reader.row(r)?, &mut row)?;
        all.extend_from_slice(&row);
    }
    b.prepare(&HostTensor::from_f32("w", Shape::from([rows, cols]), &all)?, DType::F32)
}

fn distance(got: &[f32], right: &[f32]) -> f64 {
    let largest = right.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, &v| m.max(f64::from(v.abs())));
    let each = got.iter().zip(right).map(|(&g, &r)| match (g.is_finite(), r.is_finite()) {
        (true, true) => f64::from((g - r).abs()),
        (false, false) if g.is_nan() == r.is_nan() && (g.is_nan() || g == r) => 0.0,
        _ => f64::INFINITY,
    });
    let worst = each.fold(0.0, f64::max);
    if worst == 0.0 { 0.0 } else { worst / largest.max(1e-30) }
}
