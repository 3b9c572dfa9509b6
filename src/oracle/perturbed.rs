//! A backend with a fault: the proof that faults are found.

use std::ops::Range;

use super::Operator;
use crate::core::{
    Activation, AttentionParams, Backend, DType, HostTensor, KvLayer, KvLayout, LinearPart, PageId, Result,
    Run, Shape, Tensor,
};

/// A backend of which one operation gives one element wrong.
///
/// The last element of the result is off by a hundredth of its row's largest magnitude; a stored value by all of it;
/// of a prepared matrix the last bit group changes; slots that are copied within a cache, or moved to another one, are taken one slot
/// late.
pub struct Perturbed<B> {
    inner: B,
    operator: Operator,
}

/// How far off a result is, as a share of the largest magnitude of its row.
const RESULT: f32 = 0.01;

impl<B: Backend> Perturbed<B> {
    /// `inner`, with `operator` made wrong.
    pub fn new(inner: B, operator: Operator) -> Self {
        Self { inner, operator }
    }

    /// Changes the last element of `t` if `operator` is the one.
    fn spoil(&self, operator: Operator, t: &mut Tensor<B::Buffer>, share: f32) -> Result<()> {
        if operator != self.operator || t.rows() == 0 {
            return Ok(());
        }
        let mut row = vec![0.0; t.cols()];
        self.inner.download(t, t.rows() - 1, &mut row)?;
        spoil(&mut row, share);
        let last = t.rows() - 1;
        self.inner.upload(&row, t, last)
    }
}

fn spoil(row: &mut [f32], share: f32) {
    let largest = row.iter().filter(|v| v.is_finite()).fold(0.0f32, |m, v| m.max(v.abs()));
    if let Some(last) = row.last_mut() {
        *last += if largest > 0.0 { share * largest } else { 1.0 };
    }
}

type T<B> = Tensor<<B as Backend>::Buffer>;

impl<B: Backend> Backend for Perturbed<B> {
    type Buffer = B::Buffer;
    type Weight = B::Weight;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn describe(&self) -> String {
        format!("{}, with {} made wrong on purpose", self.inner.describe(), self.operator)
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<B::Buffer> {
        self.inner.alloc(dtype, len)
    }

    fn resize(&self, buffer: &mut B::Buffer, len: usize) -> Result<()> {
        self.inner.resize(buffer, len)
    }

    fn tensor(&self, capacity: usize, cols: usize) -> Result<T<B>> {
        let mut tensor = self.inner.tensor(capacity, cols)?;
        self.spoil(Operator::Alloc, &mut tensor, RESULT)?;
        Ok(tensor)
    }

    fn upload(&self, values: &[f32], dst: &mut T<B>, row: usize) -> Result<()> {
        self.inner.upload(values, dst, row)
    }

    fn download(&self, src: &T<B>, row: usize, dst: &mut [f32]) -> Result<()> {
        self.inner.download(src, row, dst)?;
        if self.operator == Operator::Transfer {
            spoil(dst, RESULT);
        }
        Ok(())
    }

    fn prepare(&self, tensor: &HostTensor, format: DType) -> Result<B::Weight> {
        if self.operator != Operator::Prepare {
            return self.inner.prepare(tensor, format);
        }
        let mut bytes = tensor.bytes().to_vec();
        // The sign of a number, or the largest step of a quant.
        bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 0x80);
        let shape: Shape = tensor.shape();
        let changed =
            HostTensor::in_order(tensor.name(), tensor.dtype(), shape, tensor.order(), bytes.into())?;
        self.inner.prepare(&changed, format)
    }

    fn embed(&self, table: &B::Weight, ids: &[u32], out: &mut T<B>) -> Result<()> {
        self.inner.embed(table, ids, out)?;
        self.spoil(Operator::Embed, out, RESULT)
    }

    fn rms_norm(&self, x: &T<B>, gain: &B::Weight, eps: f32, out: &mut T<B>) -> Result<()> {
        self.inner.rms_norm(x, gain, eps, out)?;
        self.spoil(Operator::RmsNorm, out, RESULT)
    }

    fn rms_norm_in_place(&self, x: &mut T<B>, gain: &B::Weight, eps: f32) -> Result<()> {
        self.inner.rms_norm_in_place(x, gain, eps)?;
        self.spoil(Operator::RmsNormInPlace, x, RESULT)
    }

    fn linear(&self, x: &T<B>, parts: &mut [LinearPart<'_, Self>]) -> Result<()> {
        let mut inner: Vec<LinearPart<'_, B>> = parts
            .iter_mut()
            .map(|p| LinearPart { weight: p.weight, bias: p.bias, out: &mut *p.out })
            .collect();
        self.inner.linear(x, &mut inner)?;
        parts.last_mut().map_or(Ok(()), |part| self.spoil(Operator::Linear, part.out, RESULT))
    }

    fn rope(&self, x: &mut T<B>, angles: &T<B>, head_dim: usize) -> Result<()> {
        self.inner.rope(x, angles, head_dim)?;
        self.spoil(Operator::Rope, x, RESULT)
    }

    fn kv_append(&self, k: &T<B>, v: &T<B>, layer: &mut KvLayer<B::Buffer>, runs: &[Run<'_>]) -> Result<()> {
        if self.operator != Operator::KvAppend {
            return self.inner.kv_append(k, v, layer, runs);
        }
        let mut wrong = self.inner.tensor(v.rows().max(1), v.cols())?;
        self.inner.copy_rows(v, 0, v.rows(), &mut wrong)?;
        self.spoil(Operator::KvAppend, &mut wrong, 1.0)?;
        self.inner.kv_append(k, &wrong, layer, runs)
    }

    fn kv_copy(
        &self,
        layer: &mut KvLayer<B::Buffer>,
        (pages, first): (&[PageId], usize),
        to: (&[PageId], usize),
        count: usize,
    ) -> Result<()> {
        let last = pages.len() * KvLayout::PAGE;
        let shift = usize::from(self.operator == Operator::KvCopy && first + count < last);
        self.inner.kv_copy(layer, (pages, first + shift), to, count)
    }

    fn kv_export(
        &self,
        layer: &KvLayer<B::Buffer>,
        pages: &[PageId],
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        let last = pages.len() * KvLayout::PAGE;
        let shift = usize::from(self.operator == Operator::KvMove && slots.end < last);
        self.inner.kv_export(layer, pages, slots.start + shift..slots.end + shift, k, v)
    }

    fn kv_import(
        &self,
        k: &[u8],
        v: &[u8],
        layer: &mut KvLayer<B::Buffer>,
        pages: &[PageId],
        at: usize,
    ) -> Result<()> {
        self.inner.kv_import(k, v, layer, pages, at)
    }

    fn attention(
        &self,
        q: &T<B>,
        layer: &KvLayer<B::Buffer>,
        how: &AttentionParams,
        runs: &[Run<'_>],
        out: &mut T<B>,
    ) -> Result<()> {
        self.inner.attention(q, layer, how, runs, out)?;
        self.spoil(Operator::Attention, out, RESULT)
    }

    fn glu(&self, gate: &T<B>, up: &T<B>, activation: Activation, out: &mut T<B>) -> Result<()> {
        self.inner.glu(gate, up, activation, out)?;
        self.spoil(Operator::Glu, out, RESULT)
    }

    fn scale(&self, x: &mut T<B>, factor: f32) -> Result<()> {
        self.inner.scale(x, factor)?;
        self.spoil(Operator::Scale, x, RESULT)
    }

    fn softcap(&self, x: &mut T<B>, cap: f32) -> Result<()> {
        self.inner.softcap(x, cap)?;
        self.spoil(Operator::Softcap, x, RESULT)
    }

    fn add(&self, x: &T<B>, acc: &mut T<B>) -> Result<()> {
        self.inner.add(x, acc)?;
        self.spoil(Operator::Add, acc, RESULT)
    }

    fn add_rms_norm(
        &self,
        x: &T<B>,
        acc: &mut T<B>,
        gain: &B::Weight,
        eps: f32,
        out: &mut T<B>,
    ) -> Result<()> {
        self.inner.add_rms_norm(x, acc, gain, eps, out)?;
        self.spoil(Operator::AddRmsNorm, out, RESULT)
    }

    fn copy_rows(&self, src: &T<B>, from: usize, count: usize, dst: &mut T<B>) -> Result<()> {
        self.inner.copy_rows(src, from, count, dst)?;
        self.spoil(Operator::CopyRows, dst, RESULT)
    }
}
