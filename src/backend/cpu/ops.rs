//! Row-wise and element-wise operations.

use super::disjoint::Disjoint;
use super::kernels::Kernels;
use super::pool::Pool;
use super::weight::{CpuWeight, Matrix};
use super::{CpuBuffer, by_parts, by_rows};
use crate::core::{Activation, CoreError, PreparedWeight, Result, Tensor};

type Rows = Tensor<CpuBuffer>;

/// The rows of `x` that are in use.
fn used<'a>(x: &'a Rows, op: &'static str) -> Result<&'a [f32]> {
    Ok(&x.buffer().f32(op)?[..x.rows() * x.cols()])
}

fn used_mut<'a>(x: &'a mut Rows, op: &'static str) -> Result<&'a mut [f32]> {
    let len = x.rows() * x.cols();
    Ok(&mut x.buffer_mut().f32_mut(op)?[..len])
}

/// The part of an f32 tensor that `len` values from the start of row `row` on take, wholly within it.
fn run_of_rows(x: &Rows, row: usize, len: usize, op: &'static str) -> Result<std::ops::Range<usize>> {
    let from = row.checked_mul(x.cols());
    let to = from.and_then(|f| f.checked_add(len));
    let all = x.capacity() * x.cols();
    match (from, to) {
        (Some(from), Some(to)) if to <= all => Ok(from..to),
        _ => Err(CoreError::Mismatch {
            op,
            what: "last element",
            got: to.unwrap_or(usize::MAX),
            expected: all,
        }),
    }
}

pub(super) fn upload(values: &[f32], dst: &mut Rows, row: usize) -> Result<()> {
    let range = run_of_rows(dst, row, values.len(), "upload")?;
    dst.buffer_mut().f32_mut("upload")?[range].copy_from_slice(values);
    Ok(())
}

pub(super) fn download(src: &Rows, row: usize, dst: &mut [f32]) -> Result<()> {
    let range = run_of_rows(src, row, dst.len(), "download")?;
    dst.copy_from_slice(&src.buffer().f32("download")?[range]);
    Ok(())
}

pub(super) fn copy_rows(src: &Rows, from: usize, count: usize, dst: &mut Rows) -> Result<()> {
    let op = "copy_rows";
    CoreError::expect_eq(op, "columns", dst.cols(), src.cols())?;
    let end = from.checked_add(count).filter(|&end| end <= src.rows());
    let end = end.ok_or(CoreError::Mismatch {
        op,
        what: "last row",
        got: from.saturating_add(count),
        expected: src.rows(),
    })?;
    dst.set_rows(count)?;
    let rows = &src.buffer().f32(op)?[from * src.cols()..end * src.cols()];
    used_mut(dst, op)?.copy_from_slice(rows);
    Ok(())
}

pub(super) fn embed(kernels: &Kernels, table: &CpuWeight, ids: &[u32], out: &mut Rows) -> Result<()> {
    let op = "embed";
    let (rows, cols) = (table.rows(), table.cols());
    CoreError::expect_eq(op, "columns", out.cols(), cols)?;
    if let Some(&id) = ids.iter().find(|&&id| id as usize >= rows) {
        return Err(CoreError::BadToken { id, vocab: rows });
    }
    out.set_rows(ids.len())?;
    if cols == 0 {
        return Ok(());
    }
    let unsupported = CoreError::Unsupported { op, dtype: table.dtype() };
    for (&id, out) in ids.iter().zip(used_mut(out, op)?.chunks_exact_mut(cols)) {
        match table.matrix() {
            Matrix::Float(bytes, row) => {
                let Some(widen) = kernels.widen(table.dtype()) else { return Err(unsupported) };
                widen(&bytes[id as usize * row..(id as usize + 1) * row], out);
            }
            Matrix::Packed(bytes, layout) => layout.unpack(bytes, id as usize, out),
        }
    }
    Ok(())
}

pub(super) fn rms_norm(
    kernels: &Kernels,
    pool: &mut Pool,
    x: &Rows,
    gain: &CpuWeight,
    eps: f32,
    out: &mut Rows,
) -> Result<()> {
    let op = "rms_norm";
    let (rows, cols) = (x.rows(), x.cols());
    let gain = gain.vector(op)?;
    CoreError::expect_groups(op, cols, gain.len())?;
    CoreError::expect_eq(op, "output columns", out.cols(), cols)?;
    out.set_rows(rows)?;
    let x = used(x, op)?;
    let out = Disjoint::new(used_mut(out, op)?);
    by_rows(pool, rows, cols, &|row| {
        let range = row * cols..(row + 1) * cols;
        // SAFETY: each row is one call's.
        let out = unsafe { out.part(range.clone()) };
        let each = gain.len().max(1);
        for (x, out) in x[range].chunks_exact(each).zip(out.chunks_exact_mut(each)) {
            (kernels.rms_norm)(x, gain, eps, out);
        }
    })
}

pub(super) fn rms_norm_in_place(
    kernels: &Kernels,
    pool: &mut Pool,
    x: &mut Rows,
    gain: &CpuWeight,
    eps: f32,
) -> Result<()> {
    let op = "rms_norm";
    let (rows, cols) = (x.rows(), x.cols());
    let gain = gain.vector(op)?;
    CoreError::expect_groups(op, cols, gain.len())?;
    let x = Disjoint::new(used_mut(x, op)?);
    by_rows(pool, rows, cols, &|row| {
        // SAFETY: each row is one call's.
        let x = unsafe { x.part(row * cols..(row + 1) * cols) };
        for x in x.chunks_exact_mut(gain.len().max(1)) {
            (kernels.rms_norm_in_place)(x, gain, eps);
        }
    })
}

pub(super) fn rope(
    kernels: &Kernels,
    pool: &mut Pool,
    x: &mut Rows,
    angles: &Rows,
    head_dim: usize,
) -> Result<()> {
    let op = "rope";
    angles.check_rope(x, head_dim)?;
    let (rows, cols, each) = (x.rows(), x.cols(), angles.cols());
    let angles = used(angles, op)?;
    let x = Disjoint::new(used_mut(x, op)?);
    by_rows(pool, rows, cols, &|row| {
        // SAFETY: each row is one call's.
        let x = unsafe { x.part(row * cols..(row + 1) * cols) };
        (kernels.rope)(x, &angles[row * each..(row + 1) * each], head_dim);
    })
}

pub(super) fn glu(
    kernels: &Kernels,
    pool: &mut Pool,
    gate: &Rows,
    up: &Rows,
    activation: Activation,
    out: &mut Rows,
) -> Result<()> {
    let op = "glu";
    let kernel = match activation {
        Activation::Silu => kernels.silu_glu,
        Activation::GeluTanh => kernels.gelu_glu,
    };
    let (rows, cols) = (gate.rows(), gate.cols());
    CoreError::expect_eq(op, "rows of up", up.rows(), rows)?;
    CoreError::expect_eq(op, "columns of up", up.cols(), cols)?;
    CoreError::expect_eq(op, "output columns", out.cols(), cols)?;
    out.set_rows(rows)?;
    let (gate, up) = (used(gate, op)?, used(up, op)?);
    let out = Disjoint::new(used_mut(out, op)?);
    by_rows(pool, rows, cols, &|row| {
        let range = row * cols..(row + 1) * cols;
        // SAFETY: each row is one call's.
        kernel(&gate[range.clone()], &up[range.clone()], unsafe { out.part(range) });
    })
}

/// Operations that change each element by itself.
pub(super) fn in_place(
    op: &'static str,
    pool: &mut Pool,
    x: &mut Rows,
    task: &(dyn Fn(&mut [f32]) + Sync),
) -> Result<()> {
    by_parts(pool, used_mut(x, op)?, task)
}

pub(super) fn add(kernels: &Kernels, pool: &mut Pool, x: &Rows, acc: &mut Rows) -> Result<()> {
    let op = "add";
    let (rows, cols) = (x.rows(), x.cols());
    CoreError::expect_eq(op, "rows", acc.rows(), rows)?;
    CoreError::expect_eq(op, "columns", acc.cols(), cols)?;
    let x = used(x, op)?;
    let acc = Disjoint::new(used_mut(acc, op)?);
    by_rows(pool, rows, cols, &|row| {
        let range = row * cols..(row + 1) * cols;
        // SAFETY: each row is one call's.
        (kernels.add)(&x[range.clone()], unsafe { acc.part(range) });
    })
}
