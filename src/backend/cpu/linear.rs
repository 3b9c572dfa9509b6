//! Linear layers: the work of several weights over one input, cut into tiles of weight rows.

use std::ops::Range;

use super::disjoint::Disjoint;
use super::input::{Input, Rows};
use super::kernels::packed::PackedTiles;
use super::kernels::{GROUP, Kernels, Outputs, TILE};
use super::pool::Pool;
use super::weight::{CpuWeight, Matrix};
use super::{CpuBackend, broken};
use crate::core::{BLOCK_LEN, CoreError, K_BLOCK_LEN, LinearPart, PreparedWeight, Result};

/// How the tiles of a run are cut into chunks.
struct Cut {
    /// Weight bytes of a chunk, at most (but at least a tile).
    most: usize,
    /// Weight bytes of one of the small chunks at the end, times activation rows.
    last: usize,
    /// The part of all tiles that is kept for these: one in so many.
    kept: usize,
}

/// Many activation rows: a chunk stays in the second-level cache while all of them pass by, and one row still reads
/// it in a long run.
const PREFILL: Cut = Cut { most: 256 << 10, last: 16 << 10, kept: 4 };

/// One activation row, bound by reading: the longer the run, the less often a prefetcher has to find it again.
const DECODE: Cut = Cut { most: 4 << 20, last: 128 << 10, kept: 16 };

/// Layers that go into one run; more than these (no model has so many) take several runs.
const PARTS: usize = 8;

/// One weight with its output, as the threads see it.
struct Part<'a> {
    weight: &'a CpuWeight,
    bias: Option<&'a [f32]>,
    out: Disjoint<'a, f32>,
}

/// Some tiles of a float matrix, for all activation rows.
struct FloatRun<'a> {
    bytes: &'a [u8],
    /// Bytes of a weight row.
    row: usize,
    tiles: Range<usize>,
    /// Activation rows.
    rows: usize,
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
    let in_blocks_of = |len| {
        parts.iter().map(|p| p.weight.dtype()).any(|dtype| dtype.is_quantized() && dtype.block_len() == len)
    };
    if in_blocks_of(BLOCK_LEN) {
        workspace.quantize(kernels, pool, x, rows, cols)?;
    }
    if in_blocks_of(K_BLOCK_LEN) {
        workspace.quantize_long(kernels, pool, x, rows, cols)?;
    }
    let paired = |p: &LinearPart<'_, CpuBackend>| kernels.paired_tile(p.weight.dtype()).is_some();
    if parts.iter().any(paired) {
        workspace.pair(kernels, pool, x, rows, cols)?;
    }
    if rows > 1 && parts.iter().any(|p| p.weight.dtype().is_float() && !paired(p)) {
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
        let chunks = Chunks::new(tiles, tile_bytes, rows, pool.threads());
        pool.run(chunks.count(), &|chunk| {
            let range = chunks.range(chunk.index);
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

/// How tiles are handed out: large chunks first, and small ones at the end, so that the threads end at
/// about the same time.
struct Chunks {
    tiles: usize,
    /// Number and tiles of the large chunks.
    large: (usize, usize),
    /// Tiles of a small chunk.
    small: usize,
}

impl Chunks {
    fn new(tiles: usize, tile_bytes: usize, rows: usize, threads: usize) -> Self {
        let cut = if rows > 1 { PREFILL } else { DECODE };
        let most = (cut.most / tile_bytes).max(1);
        let large = (tiles / (8 * threads)).clamp(1, most);
        let small = (cut.last / tile_bytes.saturating_mul(rows.max(1))).clamp(1, large);
        Self { tiles, large: ((tiles - tiles / cut.kept) / large, large), small }
    }

    fn count(&self) -> usize {
        self.large.0 + (self.tiles - self.large.0 * self.large.1).div_ceil(self.small)
    }

    fn range(&self, index: usize) -> Range<usize> {
        let (count, large) = self.large;
        let (from, tiles) = match index.checked_sub(count) {
            None => (index * large, large),
            Some(rest) => (count * large + rest * self.small, self.small),
        };
        from..(from + tiles).min(self.tiles)
    }
}

impl Part<'_> {
    /// Computes the outputs of some tiles for all activation rows, a group of rows after the other.
    fn tiles(&self, kernels: &Kernels, input: &Rows<'_>, tiles: Range<usize>) {
        match self.weight.matrix() {
            Matrix::Packed(bytes, layout) => {
                let Some(kernel) = kernels.quantized_tiles(self.weight.dtype()) else { return };
                let bytes = &bytes[tiles.start * layout.bytes()..tiles.end * layout.bytes()];
                let run = PackedTiles { layout, bytes, count: tiles.len() };
                let group = kernels.group(input.cols);
                for from in (0..input.rows).step_by(group) {
                    let count = group.min(input.rows - from);
                    let x = input.quantized(from, count, self.weight.dtype().block_len());
                    kernel(&run, &x, &mut |t, results| {
                        self.put(from, count, tiles.start + t, results);
                    });
                }
            }
            Matrix::Float(bytes, row) => {
                let run = FloatRun { bytes, row, tiles, rows: input.rows };
                let dtype = self.weight.dtype();
                if let Some(kernel) = kernels.paired_tile(dtype) {
                    self.float_tiles(&run, kernel, |from, count| input.paired(from, count));
                } else if let Some(kernel) = kernels.float_tile(dtype) {
                    self.float_tiles(&run, kernel, |from, count| input.floats(from, count));
                }
            }
        }
    }

    /// Computes the outputs of a run by a kernel that reads groups of rows in the form that `group` gives.
    fn float_tiles<X>(
        &self,
        run: &FloatRun<'_>,
        kernel: fn(&[u8], &X, &mut Outputs),
        group: impl Fn(usize, usize) -> X,
    ) {
        let mut results = [[0.0; TILE]; GROUP];
        for from in (0..run.rows).step_by(GROUP) {
            let count = GROUP.min(run.rows - from);
            let x = group(from, count);
            for t in run.tiles.clone() {
                let outputs = self.outputs(t);
                kernel(&run.bytes[outputs.start * run.row..outputs.end * run.row], &x, &mut results);
                self.put(from, count, t, &results);
            }
        }
    }

    /// The outputs that tile `t` gives.
    fn outputs(&self, t: usize) -> Range<usize> {
        t * TILE..((t + 1) * TILE).min(self.weight.rows())
    }

    /// Stores a tile's results for `count` rows from row `from` on, with the bias.
    fn put(&self, from: usize, count: usize, t: usize, results: &Outputs) {
        let width = self.weight.rows();
        let outputs = self.outputs(t);
        let bias = self.bias.map(|b| &b[outputs.clone()]);
        for (i, values) in results.iter().enumerate().take(count) {
            let at = (from + i) * width;
            // SAFETY: a tile is one chunk's, so no other thread has these columns of the row.
            let out = unsafe { self.out.part(at + outputs.start..at + outputs.end) };
            match out.as_mut_array() {
                Some(out) => *out = *values,
                None => out.copy_from_slice(&values[..out.len()]),
            }
            if let Some(bias) = bias {
                for (o, b) in out.iter_mut().zip(bias) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_all_tiles_once_and_in_order() {
        for tiles in [0, 1, 2, 3, 31, 128, 513, 8016] {
            for (bytes, rows, threads) in [(18 << 10, 1, 2), (1 << 20, 1, 8), (64, 512, 1), (9, 1, 1024)] {
                let chunks = Chunks::new(tiles, bytes, rows, threads);
                let mut next = 0;
                for i in 0..chunks.count() {
                    let range = chunks.range(i);
                    assert_eq!(range.start, next, "{tiles} {bytes} {rows} {threads}");
                    assert!(range.end > range.start);
                    let most = if rows > 1 { PREFILL.most } else { DECODE.most };
                    assert!(range.len() * bytes <= most.max(bytes));
                    next = range.end;
                }
                assert_eq!(next, tiles);
            }
        }
    }
}
