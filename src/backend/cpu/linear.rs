//! Linear layers: the work of several weights over one input, cut into tiles of weight rows.

use super::disjoint::Disjoint;
use super::kernels::packed::QuantizedRows;
use super::kernels::{GROUP, Kernels, TILE};
use super::pool::Pool;
use super::weight::{CpuWeight, Matrix};
use super::{CpuBackend, broken};
use crate::core::{BLOCK_LEN, CoreError, LinearPart, PreparedWeight, Result};

/// Weight bytes that are worth handing out as one chunk, times activation rows.
const CHUNK_BYTES: usize = 32 << 10;

/// Layers that go into one run; more than these (no model has so many) take several runs.
const PARTS: usize = 8;

/// The input of a linear layer as the quantized kernels read it, in groups of [`GROUP`] rows and what is left.
/// Grown once, then reused.
#[derive(Default)]
pub(super) struct QuantizedInput {
    quants: Vec<[i8; BLOCK_LEN]>,
    scales: Vec<f32>,
    offsets: Vec<i32>,
}

impl QuantizedInput {
    fn quantize(
        &mut self,
        kernels: &Kernels,
        pool: &mut Pool,
        x: &[f32],
        rows: usize,
        cols: usize,
    ) -> Result<()> {
        let blocks = cols.div_ceil(BLOCK_LEN);
        if self.scales.len() < rows * blocks {
            self.quants.resize(rows * blocks, [0; BLOCK_LEN]);
            self.scales.resize(rows * blocks, 0.0);
            self.offsets.resize(rows * blocks, 0);
        }
        let quants = Disjoint::new(&mut self.quants);
        let scales = Disjoint::new(&mut self.scales);
        let offsets = Disjoint::new(&mut self.offsets);
        super::by_rows(pool, rows.div_ceil(GROUP), GROUP * cols, &|group| {
            let first = group * GROUP;
            let width = GROUP.min(rows - first);
            let range = first * blocks..(first + width) * blocks;
            // SAFETY: each group is one call's, and groups do not overlap.
            let (q, d, o) =
                unsafe { (quants.part(range.clone()), scales.part(range.clone()), offsets.part(range)) };
            for row in 0..width.min(q.len()) {
                let x = &x[(first + row) * cols..(first + row + 1) * cols];
                (kernels.quantize)(x, width, &mut q[row..], &mut d[row..], &mut o[row..]);
            }
        })
    }

    /// The group of `width` rows from row `from` on.
    fn group(&self, from: usize, width: usize, blocks: usize) -> QuantizedRows<'_> {
        let range = from * blocks..(from + width) * blocks;
        QuantizedRows {
            width,
            quants: &self.quants[range.clone()],
            scales: &self.scales[range.clone()],
            offsets: &self.offsets[range],
        }
    }
}

/// One weight with its output, as the threads see it.
struct Part<'a> {
    weight: &'a CpuWeight,
    bias: Option<&'a [f32]>,
    out: Disjoint<'a, f32>,
}

struct Input<'a> {
    x: &'a [f32],
    quantized: &'a QuantizedInput,
    rows: usize,
    cols: usize,
}

/// All parts over `rows` rows of `cols` values each. Shapes have been checked.
pub(super) fn linear(
    kernels: &Kernels,
    pool: &mut Pool,
    workspace: &mut QuantizedInput,
    x: (&[f32], usize, usize),
    parts: &mut [LinearPart<'_, CpuBackend>],
) -> Result<()> {
    let (x, rows, cols) = x;
    if parts.iter().any(|p| p.weight.dtype().is_quantized()) {
        workspace.quantize(kernels, pool, x, rows, cols)?;
    }
    let input = Input { x, quantized: workspace, rows, cols };
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
    fn tiles(&self, kernels: &Kernels, input: &Input<'_>, tiles: std::ops::Range<usize>) {
        let (rows, cols, dtype) = (self.weight.rows(), input.cols, self.weight.dtype());
        match self.weight.matrix() {
            Matrix::Packed(bytes, layout) => {
                let Some(kernel) = kernels.quantized_tile(dtype) else { return };
                for t in tiles {
                    let tile = &bytes[t * layout.bytes()..(t + 1) * layout.bytes()];
                    self.groups(input.rows, t * TILE..((t + 1) * TILE).min(rows), |from, count, out| {
                        kernel(layout, tile, &input.quantized.group(from, count, layout.blocks()), out);
                    });
                }
            }
            Matrix::Float(bytes, row) => {
                let Some(kernel) = kernels.float_tile(dtype) else { return };
                for t in tiles {
                    let outputs = t * TILE..((t + 1) * TILE).min(rows);
                    let tile = &bytes[outputs.start * row..outputs.end * row];
                    self.groups(input.rows, outputs, |from, count, out| {
                        kernel(tile, cols, &input.x[from * cols..(from + count) * cols], out);
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
