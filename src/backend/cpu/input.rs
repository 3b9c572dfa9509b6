//! The input of linear layers in the forms that the matrix kernels read: groups of rows ([`GROUP`]; for
//! quantized weights as many as the kernels say) and what is left, each with its rows interleaved, so that a kernel
//! reads it from front to back.

use super::buffer::{AlignedBytes, Plain};
use super::disjoint::Disjoint;
use super::kernels::float::FloatRows;
use super::kernels::packed::{Pairs, QuantizedRows};
use super::kernels::paired::{PAIRED, PairedRows};
use super::kernels::{GROUP, Kernels};
use super::pool::Pool;
use crate::core::{BLOCK_LEN, K_BLOCK_LEN, Result};

/// Memory for the forms of one input. Grown, then reused.
#[derive(Default)]
pub(super) struct Input {
    short: Quantized,
    long: Quantized,
    chunks: AlignedBytes,
    pairs: AlignedBytes,
}

/// Rows in the form for weights in blocks, see [`QuantizedRows`].
#[derive(Default)]
struct Quantized {
    quants: Vec<[i8; BLOCK_LEN]>,
    scales: Vec<f32>,
    offsets: Vec<i32>,
    pairs: Vec<Pairs>,
}

/// The rows of one input.
pub(super) struct Rows<'a> {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    x: &'a [f32],
    input: &'a Input,
    chunks: &'a [[f32; 16]],
    pairs: &'a [[u16; PAIRED]],
}

impl Input {
    /// Brings `x`, `[rows][cols]`, into the form for weights in blocks of 32.
    pub fn quantize(
        &mut self,
        kernels: &Kernels,
        pool: &mut Pool,
        x: &[f32],
        rows: usize,
        cols: usize,
    ) -> Result<()> {
        let blocks = cols.div_ceil(BLOCK_LEN);
        let to = &mut self.short;
        grow(&mut to.quants, rows * blocks, [0; BLOCK_LEN]);
        grow(&mut to.scales, rows * blocks, 0.0);
        grow(&mut to.offsets, rows * blocks, 0);
        let quants = Disjoint::new(&mut to.quants);
        let scales = Disjoint::new(&mut to.scales);
        let offsets = Disjoint::new(&mut to.offsets);
        by_groups(kernels, pool, (rows, cols), &|first, width| {
            let range = first * blocks..(first + width) * blocks;
            // SAFETY: each group is one call's, and groups do not overlap.
            let (q, d, o) =
                unsafe { (quants.part(range.clone()), scales.part(range.clone()), offsets.part(range)) };
            for row in 0..width.min(q.len()) {
                let x = &x[(first + row) * cols..(first + row + 1) * cols];
                (kernels.quantize)(x, width, &mut q[row..], &mut d[row..], &mut o[row..]);
            }
            (kernels.arrange)(q, width);
        })
    }

    /// The same for weights in blocks of 256.
    pub fn quantize_long(
        &mut self,
        kernels: &Kernels,
        pool: &mut Pool,
        x: &[f32],
        rows: usize,
        cols: usize,
    ) -> Result<()> {
        let (blocks, pieces) = (cols / K_BLOCK_LEN, cols / K_BLOCK_LEN * (K_BLOCK_LEN / BLOCK_LEN));
        let to = &mut self.long;
        grow(&mut to.quants, rows * pieces, [0; BLOCK_LEN]);
        grow(&mut to.scales, rows * blocks, 0.0);
        grow(&mut to.pairs, rows * blocks, Pairs::default());
        let quants = Disjoint::new(&mut to.quants);
        let scales = Disjoint::new(&mut to.scales);
        let pairs = Disjoint::new(&mut to.pairs);
        by_groups(kernels, pool, (rows, cols), &|first, width| {
            let range = first * blocks..(first + width) * blocks;
            // SAFETY: each group is one call's, and groups do not overlap.
            let (q, d, p) = unsafe {
                let q = quants.part(first * pieces..(first + width) * pieces);
                (q, scales.part(range.clone()), pairs.part(range))
            };
            for row in 0..width.min(q.len()) {
                let x = &x[(first + row) * cols..(first + row + 1) * cols];
                (kernels.quantize_long)(x, width, &mut q[row..], &mut d[row..], &mut p[row..]);
            }
            (kernels.arrange)(q, width);
        })
    }

    /// Brings `x`, `[rows][cols]`, into the form for float weights.
    pub fn interleave(&mut self, pool: &mut Pool, x: &[f32], rows: usize, cols: usize) -> Result<()> {
        arrange(
            &mut self.chunks,
            pool,
            (x, rows, cols),
            cols / 16,
            |x: &[f32], width, out: &mut [[f32; 16]]| {
                for (out, x) in out.iter_mut().step_by(width).zip(x.as_chunks().0) {
                    *out = *x;
                }
            },
        )
    }

    /// Brings `x`, `[rows][cols]`, into the form for weights that are multiplied as pairs, if these kernels do so.
    pub fn pair(
        &mut self,
        kernels: &Kernels,
        pool: &mut Pool,
        x: &[f32],
        rows: usize,
        cols: usize,
    ) -> Result<()> {
        let Some(paired) = &kernels.paired else { return Ok(()) };
        arrange(&mut self.pairs, pool, (x, rows, cols), cols.div_ceil(PAIRED), paired.narrow)
    }

    /// The rows of `x`, of which the forms that are read have been made.
    pub fn view<'a>(&'a self, x: &'a [f32], rows: usize, cols: usize) -> Rows<'a> {
        Rows { rows, cols, x, input: self, chunks: self.chunks.view(), pairs: self.pairs.view() }
    }
}

/// Makes room for `len` elements.
fn grow<T: Clone>(to: &mut Vec<T>, len: usize, empty: T) {
    if to.len() < len {
        to.resize(len, empty);
    }
}

/// Calls `each` with the first row and the number of rows of each group of `rows` rows.
fn by_groups(
    kernels: &Kernels,
    pool: &mut Pool,
    (rows, cols): (usize, usize),
    each: &(impl Fn(usize, usize) + Sync),
) -> Result<()> {
    let size = kernels.group(cols);
    super::by_rows(pool, rows.div_ceil(size), size * cols, &|group| {
        let first = group * size;
        each(first, size.min(rows - first));
    })
}

/// Fills `to` with `chunks` chunks a row: `row(x, width, out)` writes those of row `x` to every `width`-th place of `out`,
/// since the rows of a group are interleaved.
fn arrange<T: Plain + Send>(
    to: &mut AlignedBytes,
    pool: &mut Pool,
    (x, rows, cols): (&[f32], usize, usize),
    chunks: usize,
    row: impl Fn(&[f32], usize, &mut [T]) + Sync,
) -> Result<()> {
    to.grow(rows * chunks * size_of::<T>(), "linear")?;
    let out = Disjoint::new(to.view_mut::<T>());
    super::by_rows(pool, rows.div_ceil(GROUP), GROUP * cols, &|group| {
        let first = group * GROUP;
        let width = GROUP.min(rows - first);
        // SAFETY: each group is one call's, and groups do not overlap.
        let out = unsafe { out.part(first * chunks..(first + width) * chunks) };
        for i in 0..width.min(out.len()) {
            row(&x[(first + i) * cols..(first + i + 1) * cols], width, &mut out[i..]);
        }
    })
}

impl<'a> Rows<'a> {
    /// The group of `width` rows from row `from` on, for weights in blocks of so many columns.
    pub fn quantized(&self, from: usize, width: usize, block_len: usize) -> QuantizedRows<'a> {
        let blocks = self.cols.div_ceil(block_len);
        let pieces = blocks * (block_len / BLOCK_LEN);
        let range = from * blocks..(from + width) * blocks;
        let long = block_len == K_BLOCK_LEN;
        let of = if long { &self.input.long } else { &self.input.short };
        QuantizedRows {
            width,
            quants: &of.quants[from * pieces..(from + width) * pieces],
            scales: &of.scales[range.clone()],
            offsets: if long { &[] } else { &of.offsets[range.clone()] },
            pairs: if long { &of.pairs[range] } else { &[] },
        }
    }

    /// The group of `width` rows from row `from` on, for float weights.
    pub fn floats(&self, from: usize, width: usize) -> FloatRows<'a> {
        let chunks = self.cols / 16;
        let x = &self.x[from * self.cols..(from + width) * self.cols];
        let interleaved = if self.rows == 1 {
            x.as_chunks().0
        } else {
            &self.chunks[from * chunks..(from + width) * chunks]
        };
        FloatRows { width, cols: self.cols, x, chunks: interleaved }
    }

    /// The group of `width` rows from row `from` on, for weights that are multiplied as pairs.
    pub fn paired(&self, from: usize, width: usize) -> PairedRows<'a> {
        let chunks = self.cols.div_ceil(PAIRED);
        let chunks = &self.pairs[from * chunks..(from + width) * chunks];
        PairedRows { width, cols: self.cols, chunks }
    }
}
