//! Making the file: tensors one after the other, the rows of each on all threads.

use std::ops::ControlFlow;
use std::path::Path;

use rayon::prelude::*;

use super::QuantizeError;
use super::importance::Importance;
use super::plan::Plan;
use crate::core::{DType, Result};
use crate::format::gguf::{GgufWriter, NewMetadata, NewTensor, StoredTensor};
use crate::quant::rows::check_factors;
use crate::quant::{dequantize_row, quantize_row_weighted, row_bytes};

/// Elements that are converted between two steps of progress.
const PIECE: usize = 1 << 22;

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Elements that are written.
    pub done: u64,
    /// All elements.
    pub total: u64,
    /// The tensor that is being converted.
    pub name: &'a str,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Matrices that were converted.
    pub converted: usize,
    /// Those of them that were quantized before: what was lost then does not come back.
    pub twice: usize,
    /// Those of them that the importance matrix says nothing about.
    pub unknown: Vec<String>,
}

/// Makes the file at `path` of the tensors `stored`, in the types of `plan`.
///
/// # Errors
/// What the system answers; an importance matrix of another model; `progress` that breaks off. No file is made then.
pub fn write(
    path: &Path,
    metadata: &NewMetadata,
    stored: &[StoredTensor],
    plan: &Plan,
    importance: Option<&Importance>,
    threads: usize,
    progress: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
) -> std::result::Result<Written, QuantizeError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|source| QuantizeError::Threads { threads, source })?;
    let mut written = Written::default();
    let mut columns = Vec::with_capacity(stored.len());
    // What does not fit is found before anything is written.
    for (from, to) in stored.iter().zip(&plan.tensors) {
        let (matrices, _, cols) = sizes(&to.tensor);
        let changes = from.dtype != Some(to.tensor.dtype);
        let known = match importance {
            Some(importance) if changes => importance.of(&from.name, matrices, cols)?,
            _ => None,
        };
        if changes {
            written.converted += 1;
            written.twice += usize::from(from.dtype.is_some_and(|d| !d.is_float()));
            if importance.is_some() && known.is_none() && to.tensor.dtype.is_quantized() {
                written.unknown.push(from.name.clone());
            }
        }
        columns.push(known);
    }
    let tensors: Vec<NewTensor> = plan.tensors.iter().map(|t| t.tensor.clone()).collect();
    let mut writer = GgufWriter::create(path, metadata, &tensors)?;
    let total = plan.elements();
    let mut done = 0;
    for ((from, to), importance) in stored.iter().zip(&tensors).zip(columns) {
        let Some(dtype) = from.dtype else { continue };
        let (_, rows, cols) = sizes(to);
        let size = row_bytes(dtype, cols);
        let piece = (PIECE / cols.max(1)).max(1);
        let count = from.bytes.as_ref().len().checked_div(size).unwrap_or(0);
        for first in (0..count).step_by(piece) {
            if progress(Step { done, total, name: &from.name }).is_break() {
                return Err(QuantizeError::Interrupted);
            }
            let range = first..(first + piece).min(count);
            let source = &from.rows(range.clone(), size);
            let job = Job { name: &from.name, from: dtype, to: to.dtype, cols, rows, first, importance };
            if dtype == to.dtype {
                pool.install(|| job.check(source))?;
                writer.write(source)?;
            } else {
                writer.write(&pool.install(|| job.convert(source))?)?;
            }
            done += (range.len() * cols) as u64;
        }
    }
    // Whether to go on is no question any more.
    let _ = progress(Step { done, total, name: "" });
    writer.finish()?;
    Ok(written)
}

/// Matrices of a tensor, rows of each, columns.
fn sizes(tensor: &NewTensor) -> (usize, usize, usize) {
    let cols = tensor.dims.last().copied().unwrap_or(0);
    let outer = &tensor.dims[..tensor.dims.len().saturating_sub(1)];
    let rows = outer.last().copied().unwrap_or(1);
    (outer.iter().rev().skip(1).product(), rows, cols)
}

/// Some rows of a tensor.
struct Job<'a> {
    name: &'a str,
    from: DType,
    to: DType,
    cols: usize,
    /// Rows of a matrix.
    rows: usize,
    /// The first row, counted through all matrices.
    first: usize,
    /// For each matrix that of all columns.
    importance: Option<&'a [f32]>,
}

impl Job<'_> {
    fn check(&self, source: &[u8]) -> Result<()> {
        let rows = source.par_chunks(row_bytes(self.from, self.cols)).enumerate();
        rows.try_for_each(|(row, source)| check_factors(self.name, self.from, self.first + row, source))
    }

    fn convert(&self, source: &[u8]) -> Result<Vec<u8>> {
        let (from, to) = (row_bytes(self.from, self.cols), row_bytes(self.to, self.cols));
        let count = source.len() / from;
        let mut out = vec![0; count * to];
        let rows = out.par_chunks_mut(to).zip(source.par_chunks(from)).enumerate();
        rows.try_for_each_init(
            || vec![0.0; self.cols],
            |values, (row, (out, source))| {
                check_factors(self.name, self.from, self.first + row, source)?;
                dequantize_row(self.from, source, values)?;
                let matrix = (self.first + row) / self.rows.max(1);
                let importance =
                    self.importance.map(|all| &all[matrix * self.cols..(matrix + 1) * self.cols]);
                quantize_row_weighted(self.to, values, importance, out)
            },
        )?;
        Ok(out)
    }
}
