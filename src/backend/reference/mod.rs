//! The oracle: every operation of [`Backend`] in plain loops, one number at a time.
//!
//! This is slow on purpose. Sums are kept in f64, so that its error is small against that of any backend it
//! is compared with. Quantized weights are dequantized once; the activations that meet them are quantized to
//! int8 blocks and back, as the numeric contract of the quantized formats says.

mod attention;
mod storage;

use std::ops::Range;

pub use storage::{ReferenceBuffer, ReferenceWeight};

use crate::core::{
    Activation, AttentionParams, Backend, Buffer, CoreError, DType, HostTensor, KvLayer, LinearPart, PageId,
    PreparedWeight, Result, Run, Tensor,
};
use crate::quant::activation::QuantizedRow;

/// Plain f32 on one thread.
#[derive(Debug, Default, Clone, Copy)]
pub struct ReferenceBackend;

type T = Tensor<ReferenceBuffer>;

fn row(t: &T, r: usize) -> &[f32] {
    &t.buffer().values()[r * t.cols()..(r + 1) * t.cols()]
}

fn row_mut(t: &mut T, r: usize) -> &mut [f32] {
    let cols = t.cols();
    &mut t.buffer_mut().values_mut()[r * cols..(r + 1) * cols]
}

fn same_cols(op: &'static str, a: &T, b: &T) -> Result<()> {
    CoreError::expect_eq(op, "row length", b.cols(), a.cols())
}

fn vector<'a>(op: &'static str, w: &'a ReferenceWeight, len: usize) -> Result<&'a [f32]> {
    CoreError::expect_eq(op, "vector length", w.rows() * w.cols(), len)?;
    Ok(w.values())
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + libm::exp(-x)),
        Activation::GeluTanh => {
            let y = std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x * x * x);
            // (1 + tanh(y)) / 2 without the loss of digits where tanh(y) is near -1.
            x / (1.0 + libm::exp(-2.0 * y))
        }
    }
}

/// `x` within `-cap..=cap`.
fn softcap(x: f64, cap: f32) -> f64 {
    let cap = f64::from(cap);
    cap * libm::tanh(x / cap)
}

impl Backend for ReferenceBackend {
    type Buffer = ReferenceBuffer;
    type Weight = ReferenceWeight;

    fn name(&self) -> &'static str {
        "reference"
    }

    fn describe(&self) -> String {
        "reference: plain f32 on one thread, slow on purpose".to_owned()
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<ReferenceBuffer> {
        ReferenceBuffer::zeroed(dtype, len)
    }

    fn resize(&self, buffer: &mut ReferenceBuffer, len: usize) -> Result<()> {
        buffer.resize(len)
    }

    fn upload(&self, values: &[f32], dst: &mut T, row: usize) -> Result<()> {
        let start = row * dst.cols();
        let room = dst.buffer_mut().values_mut();
        let have = room.len();
        let target = start.checked_add(values.len()).and_then(|end| room.get_mut(start..end));
        let target = target.ok_or(CoreError::Mismatch {
            op: "upload",
            what: "length",
            got: values.len(),
            expected: have.saturating_sub(start),
        })?;
        target.copy_from_slice(values);
        Ok(())
    }

    fn download(&self, src: &T, row: usize, dst: &mut [f32]) -> Result<()> {
        let start = row * src.cols();
        let all = src.buffer().values();
        let source = start.checked_add(dst.len()).and_then(|end| all.get(start..end));
        let source = source.ok_or(CoreError::Mismatch {
            op: "download",
            what: "length",
            got: dst.len(),
            expected: all.len().saturating_sub(start),
        })?;
        dst.copy_from_slice(source);
        Ok(())
    }

    fn prepare(&self, tensor: &HostTensor, format: DType) -> Result<ReferenceWeight> {
        ReferenceWeight::prepare(tensor, format)
    }

    fn embed(&self, table: &ReferenceWeight, ids: &[u32], out: &mut T) -> Result<()> {
        CoreError::expect_eq("embed", "row length", out.cols(), table.cols())?;
        out.set_rows(ids.len())?;
        for (r, &id) in ids.iter().enumerate() {
            let source = table.row(id as usize).ok_or(CoreError::BadToken { id, vocab: table.rows() })?;
            row_mut(out, r).copy_from_slice(source);
        }
        Ok(())
    }

    fn rms_norm(&self, x: &T, gain: &ReferenceWeight, eps: f32, out: &mut T) -> Result<()> {
        same_cols("rms_norm", x, out)?;
        out.set_rows(x.rows())?;
        for r in 0..x.rows() {
            row_mut(out, r).copy_from_slice(row(x, r));
        }
        self.rms_norm_in_place(out, gain, eps)
    }

    fn rms_norm_in_place(&self, x: &mut T, gain: &ReferenceWeight, eps: f32) -> Result<()> {
        let gain = gain.values();
        CoreError::expect_groups("rms_norm", x.cols(), gain.len())?;
        for r in 0..x.rows() {
            for group in row_mut(x, r).chunks_exact_mut(gain.len().max(1)) {
                let squares = group.iter().map(|&v| f64::from(v) * f64::from(v));
                let inverse = 1.0 / (squares.sum::<f64>() / gain.len() as f64 + f64::from(eps)).sqrt();
                for (v, &g) in group.iter_mut().zip(gain) {
                    *v = (f64::from(*v) * inverse * f64::from(g)) as f32;
                }
            }
        }
        Ok(())
    }

    fn linear(&self, x: &T, parts: &mut [LinearPart<'_, Self>]) -> Result<()> {
        let mut rounded = vec![0.0; x.cols()];
        for part in parts {
            CoreError::expect_eq("linear", "input length", x.cols(), part.weight.cols())?;
            CoreError::expect_eq("linear", "output length", part.out.cols(), part.weight.rows())?;
            let bias = part.bias.map(|b| vector("linear", b, part.weight.rows())).transpose()?;
            part.out.set_rows(x.rows())?;
            for r in 0..x.rows() {
                let mut input = row(x, r);
                if part.weight.dtype().is_quantized() {
                    QuantizedRow::of(input, part.weight.dtype().block_len()).dequantize(&mut rounded);
                    input = &rounded;
                }
                for (o, value) in row_mut(part.out, r).iter_mut().enumerate() {
                    let weights = part.weight.row(o).unwrap_or_default();
                    let sum: f64 =
                        input.iter().zip(weights).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                    *value = (sum + bias.map_or(0.0, |b| f64::from(b[o]))) as f32;
                }
            }
        }
        Ok(())
    }

    fn rope(&self, x: &mut T, angles: &T, head_dim: usize) -> Result<()> {
        angles.check_rope(x, head_dim)?;
        let pairs = angles.cols() / 2;
        for r in 0..x.rows() {
            let (cosines, sines) = row(angles, r).split_at(pairs);
            for head in row_mut(x, r).chunks_exact_mut(head_dim.max(1)) {
                let (first, second) = head[..2 * pairs].split_at_mut(pairs);
                for (i, (a, b)) in first.iter_mut().zip(second).enumerate() {
                    let (x0, x1) = (f64::from(*a), f64::from(*b));
                    let (cos, sin) = (f64::from(cosines[i]), f64::from(sines[i]));
                    *a = (x0 * cos - x1 * sin) as f32;
                    *b = (x1 * cos + x0 * sin) as f32;
                }
            }
        }
        Ok(())
    }

    fn kv_append(&self, k: &T, v: &T, layer: &mut KvLayer<ReferenceBuffer>, runs: &[Run<'_>]) -> Result<()> {
        layer.check_append(k, v, runs)?;
        let layout = layer.layout;
        for (source, target) in [(k, &mut layer.k), (v, &mut layer.v)] {
            for run in runs {
                for (slot, r) in (run.len..).zip(run.rows.clone()) {
                    for (head, values) in row(source, r).chunks_exact(layout.head_dim).enumerate() {
                        target.store(layout.row(run.pages, head, slot), values)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn kv_copy(
        &self,
        layer: &mut KvLayer<ReferenceBuffer>,
        from: (&[PageId], usize),
        to: (&[PageId], usize),
        count: usize,
    ) -> Result<()> {
        layer.check_copy(from, to, count)?;
        let layout = layer.layout;
        for buffer in [&mut layer.k, &mut layer.v] {
            let mut bytes = vec![0; layout.head_bytes(buffer.dtype())];
            for (slot, head) in (0..count).flat_map(|slot| (0..layout.kv_heads).map(move |head| (slot, head)))
            {
                buffer.export(layout.row(from.0, head, from.1 + slot), layout.head_dim, &mut bytes)?;
                buffer.import(layout.row(to.0, head, to.1 + slot), layout.head_dim, &bytes)?;
            }
        }
        Ok(())
    }

    fn kv_export(
        &self,
        layer: &KvLayer<ReferenceBuffer>,
        pages: &[PageId],
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        layer.check_transfer("kv_export", pages, &slots, (k, v))?;
        let layout = layer.layout;
        for (src, bytes) in [(&layer.k, k), (&layer.v, v)] {
            let rows = slots.clone().flat_map(|slot| (0..layout.kv_heads).map(move |head| (head, slot)));
            let size = layout.head_bytes(src.dtype()).max(1);
            for ((head, slot), bytes) in rows.zip(bytes.chunks_exact_mut(size)) {
                src.export(layout.row(pages, head, slot), layout.head_dim, bytes)?;
            }
        }
        Ok(())
    }

    fn kv_import(
        &self,
        k: &[u8],
        v: &[u8],
        layer: &mut KvLayer<ReferenceBuffer>,
        pages: &[PageId],
        at: usize,
    ) -> Result<()> {
        let layout = layer.layout;
        let slots = layout.slots_of(k.len(), at);
        layer.check_transfer("kv_import", pages, &slots, (k, v))?;
        for (dst, bytes) in [(&mut layer.k, k), (&mut layer.v, v)] {
            let rows = slots.clone().flat_map(|slot| (0..layout.kv_heads).map(move |head| (head, slot)));
            let size = layout.head_bytes(dst.dtype()).max(1);
            for ((head, slot), bytes) in rows.zip(bytes.chunks_exact(size)) {
                dst.import(layout.row(pages, head, slot), layout.head_dim, bytes)?;
            }
        }
        Ok(())
    }

    fn attention(
        &self,
        q: &T,
        layer: &KvLayer<ReferenceBuffer>,
        how: &AttentionParams,
        runs: &[Run<'_>],
        out: &mut T,
    ) -> Result<()> {
        same_cols("attention", q, out)?;
        layer.check_attention("attention", q, how, runs)?;
        out.set_rows(q.rows())?;
        for run in runs {
            for (slot, r) in (run.len..).zip(run.rows.clone()) {
                let seen = how.visible(slot, run.end());
                attention::row(row(q, r), layer, how, (run.pages, seen), row_mut(out, r))?;
            }
        }
        Ok(())
    }

    fn attention_weights(
        &self,
        q: &T,
        layer: &KvLayer<ReferenceBuffer>,
        how: &AttentionParams,
        run: &Run<'_>,
        weights: &mut [f32],
    ) -> Result<()> {
        let (op, slots) = ("attention_weights", run.end());
        layer.check_attention(op, q, how, std::slice::from_ref(run))?;
        CoreError::expect_eq(op, "weights", weights.len(), run.rows.len() * slots)?;
        let rows = (run.len..).zip(run.rows.clone());
        for ((slot, r), weights) in rows.zip(weights.chunks_exact_mut(slots.max(1))) {
            let seen = how.visible(slot, run.end());
            attention::weights(row(q, r), layer, how, (run.pages, seen), weights)?;
        }
        Ok(())
    }

    fn glu(&self, gate: &T, up: &T, activation: Activation, out: &mut T) -> Result<()> {
        same_cols("glu", gate, up)?;
        same_cols("glu", gate, out)?;
        CoreError::expect_eq("glu", "row count", up.rows(), gate.rows())?;
        out.set_rows(gate.rows())?;
        for r in 0..gate.rows() {
            for ((o, &g), &u) in row_mut(out, r).iter_mut().zip(row(gate, r)).zip(row(up, r)) {
                *o = (activate(activation, f64::from(g)) * f64::from(u)) as f32;
            }
        }
        Ok(())
    }

    fn scale(&self, x: &mut T, factor: f32) -> Result<()> {
        for r in 0..x.rows() {
            row_mut(x, r).iter_mut().for_each(|v| *v *= factor);
        }
        Ok(())
    }

    fn softcap(&self, x: &mut T, cap: f32) -> Result<()> {
        for r in 0..x.rows() {
            row_mut(x, r).iter_mut().for_each(|v| *v = softcap(f64::from(*v), cap) as f32);
        }
        Ok(())
    }

    fn add(&self, x: &T, acc: &mut T) -> Result<()> {
        same_cols("add", x, acc)?;
        CoreError::expect_eq("add", "row count", acc.rows(), x.rows())?;
        for r in 0..x.rows() {
            row_mut(acc, r).iter_mut().zip(row(x, r)).for_each(|(a, &v)| *a += v);
        }
        Ok(())
    }

    fn copy_rows(&self, src: &T, from: usize, count: usize, dst: &mut T) -> Result<()> {
        same_cols("copy_rows", src, dst)?;
        if from + count > src.rows() {
            return Err(CoreError::Mismatch {
                op: "copy_rows",
                what: "last row",
                got: from + count,
                expected: src.rows(),
            });
        }
        dst.set_rows(count)?;
        for r in 0..count {
            row_mut(dst, r).copy_from_slice(row(src, from + r));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
