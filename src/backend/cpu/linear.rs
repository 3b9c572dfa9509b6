//! Linear layers: the work of several weights over one input, cut into tiles of weight rows.

use super::disjoint::Disjoint;
use super::input::{Input, Rows};
use super::kernels::{GROUP, Kernels, TILE};
use super::pool::Pool;
use super::weight::{CpuWeight, Matrix};
use super::{CpuBackend, broken};
use crate::core::{CoreError, LinearPart, PreparedWeight, Result};

/// Weight bytes that are worth handing out as one chunk, times activation rows.
const CHUNK_BYTES: usize = 32 << 10;

/// Layers that go into one run; more than these (no model has so many) take several runs.
const PARTS: usize = 8;

/// One weight with its output, as the threads see it.
struct Part<'a> {
    weight: &'a CpuWeight,
    bias: Option<&'a [f32]>,
    out: Disjoint<'a, f32>,
}

/// All parts over `rows` rows of `cols` values each. Shapes have been checked.
pub(super) fn linear(
    kernels: &Kernels,
    pool: &mut Pool,
    workspace: &mut Input,
    x: (&[f32], usize, usize),
    parts: &mut [LinearPart<'_, CpuBackend>],
) -> Result<()> {
    let (x, rows, cols) = x;
    if parts.iter().any(|p| p.weight.dtype().is_quantized()) {
        workspace.quantize(kernels, pool, x, rows, cols)?;
    }
    if rows > 1 && parts.iter().any(|p| p.weight.dtype().is_float()) {
        workspace.interleave(pool, x, rows, cols)?;
    }
    let input = workspace.view(x, rows, cols);
    for parts in parts.chunks_mut(PARTS) {
        let mut views = [const { None }; PARTS];
        let mut tiles = 0;
        let mut tile_bytes = 1;
        for (view, part) in views.iter_mut().zip(parts) {
            let bias = part.bias.map(|b| b.vector("linear")).transpose()?;
            let out = Disjoint::new(part.out.buffer_mut().f32_mut("linear")?);
            tiles += part.weight.rows().div_ceil(TILE);
            tile_bytes =
                tile_bytes.max(part.weight.dtype().bytes_for(cols).unwrap_or(0).saturating_mul(TILE));
            *view = Some(Part { weight: part.weight, bias, out });
        }
        let per_chunk = (CHUNK_BYTES / tile_bytes.saturating_mul(rows.max(1))).max(1);
        pool.run(tiles.div_ceil(per_chunk), &|chunk| {
            let range = chunk.index * per_chunk..((chunk.index + 1) * per_chunk).min(tiles);
            let mut first = 0;
            for part in views.iter().flatten() {
                let count = part.weight.rows().div_ceil(TILE);
                let (from, to) = (range.start.max(first), range.end.min(first + count));
                if from < to {
                    part.tiles(kernels, &input, from - first..to - first);
                }
                first += count;
            }
        })
        .map_err(broken)?;
    }
    Ok(())
}

impl Part<'_> {
    /// Computes the outputs of some tiles for all activation rows.
    fn tiles(&self, kernels: &Kernels, input: &Rows<'_>, tiles: std::ops::Range<usize>) {
        let (rows, dtype) = (self.weight.rows(), self.weight.dtype());
        match self.weight.matrix() {
            Matrix::Packed(bytes, layout) => {
                let Some(kernel) = kernels.quantized_tile(dtype) else { return };
                for t in tiles {
                    let tile = &bytes[t * layout.bytes()..(t + 1) * layout.bytes()];
                    self.groups(input.rows, t * TILE..((t + 1) * TILE).min(rows), |from, count, out| {
                        kernel(layout, tile, &input.quantized(from, count), out);
                    });
                }
            }
            Matrix::Float(bytes, row) => {
                let Some(kernel) = kernels.float_tile(dtype) else { return };
                for t in tiles {
                    let outputs = t * TILE..((t + 1) * TILE).min(rows);
                    let tile = &bytes[outputs.start * row..outputs.end * row];
                    self.groups(input.rows, outputs, |from, count, out| {
                        kernel(tile, &input.floats(from, count), out);
                    });
                }
            }
        }
    }

    /// Calls `kernel` for each group of activation rows and stores what it answers, with the bias.
    fn groups(
        &self,
        rows: usize,
        outputs: std::ops::Range<usize>,
        kernel: impl Fn(usize, usize, &mut [[f32; TILE]; GROUP]),
    ) {
        let width = self.weight.rows();
        let bias = self.bias.map(|b| &b[outputs.clone()]);
        let mut result = [[0.0; TILE]; GROUP];
        for from in (0..rows).step_by(GROUP) {
            let count = GROUP.min(rows - from);
            kernel(from, count, &mut result);
            for (i, values) in result.iter().enumerate().take(count) {
                let at = (from + i) * width;
                // SAFETY: a tile is one chunk's, so nobody else has these columns of the row.
                let out = unsafe { self.out.part(at + outputs.start..at + outputs.end) };
                out.copy_from_slice(&values[..out.len()]);
                for (o, b) in out.iter_mut().zip(bias.unwrap_or_default()) {
                    *o += b;
                }
            }
        }
    }
}

/// Checks one part against its input and sets its output's rows.
pub(super) fn check_part(part: &mut LinearPart<'_, CpuBackend>, rows: usize, cols: usize) -> Result<()> {
    let op = "linear";
    CoreError::expect_eq(op, "input features", cols, part.weight.cols())?;
    CoreError::expect_eq(op, "output features", part.out.cols(), part.weight.rows())?;
    if let Some(bias) = part.bias {
        CoreError::expect_eq(op, "bias length", bias.vector(op)?.len(), part.weight.rows())?;
    }
    part.out.set_rows(rows)
}
