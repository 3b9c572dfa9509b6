//! Linear layers: which of their kernels serves which shape.

use super::buffer::Memory;
use super::kernel::{Arg, Kernel};
use super::kernels::{DotKernels, by_format};
use super::ops::{LINE, T, f32s, lock, n, run};
use super::weights::{BOUND, OpenClWeight, Part, TILE};
use super::{OpenClBackend, Scratch};
use crate::core::{BLOCK_LEN, CoreError, DType, LinearPart, PreparedWeight, Result};

/// Up to so many tokens go through the kernel that reads the weight for each of them.
const FEW: usize = 4;

/// Work-items of a group side by side, as the kernels have it.
const LANES: usize = TILE / 4;

/// Tiles of a work-group of linear_sub.cl.
const SUB_TILES: usize = 4;

/// Groups of eight tokens that a work-group of linear_tile.cl takes.
const PARTS: usize = 4;

/// See [`crate::core::Backend::linear`].
pub(super) fn linear(gpu: &OpenClBackend, x: &T, parts: &mut [LinearPart<'_, OpenClBackend>]) -> Result<()> {
    let op = "linear";
    let input = f32s(op, x)?;
    let tokens = x.rows();
    for part in parts.iter() {
        CoreError::expect_eq(op, "input length", x.cols(), part.weight.cols())?;
        CoreError::expect_eq(op, "output length", part.out.cols(), part.weight.rows())?;
    }
    let mut scratch = lock(&gpu.scratch);
    let rounds = |weight: &OpenClWeight, dot: &DotKernels| {
        weight.dtype().is_quantized() && weight.rows() >= dot.least_outs
    };
    let rounded = match &gpu.kernels.dot {
        Some(dot) if parts.iter().any(|p| rounds(p.weight, dot)) => round(gpu, dot, x, &mut scratch)?,
        _ => None,
    };
    for part in parts.iter_mut() {
        let weight = part.weight;
        let bias = part.bias.map(|b| b.vector(op, weight.rows())).transpose()?;
        part.out.set_rows(tokens)?;
        let (has_bias, out) = (u32::from(bias.is_some()), f32s(op, part.out)?);
        let bias = bias.map_or(input, Arg::Memory);
        let args = |x| [x, bias, Arg::U32(has_bias), out, n(weight.rows()), n(tokens)];
        let dot = gpu.kernels.dot.as_ref().filter(|dot| rounds(weight, dot));
        let rounded = rounded.as_ref().zip(dot);
        for piece in &weight.parts {
            // SAFETY: `x` has `tokens` rows of the weight's columns, and so has what it was rounded to; `out` as many
            // of its rows, and `bias`, where there is one, one value for each.
            unsafe {
                match rounded {
                    Some((Rounded::Blocks(quants, scales), dot)) => {
                        let [a, b, c, d, e, f] = args(Arg::Memory(quants));
                        let args = [a, b, c, d, e, f, Arg::Memory(scales)];
                        launch_dot(dot, piece, weight.dtype(), tokens, &args)?;
                    }
                    Some((Rounded::Values(x), _)) => {
                        launch(gpu, piece, weight.dtype(), tokens, &args(Arg::Memory(x)))?;
                    }
                    None => launch(gpu, piece, weight.dtype(), tokens, &args(input))?,
                }
            }
        }
    }
    Ok(())
}

/// The input of a linear layer, rounded.
enum Rounded<'a> {
    /// Quants, or numbers of fp16, and scales of whole blocks.
    Blocks(&'a Memory, &'a Memory),
    /// The values that they stand for, where rows are no whole blocks: these are read one by one.
    Values(&'a Memory),
}

/// Rounds all rows in use of `x`, if there are kernels for as many of that length.
fn round<'a>(
    gpu: &OpenClBackend,
    dot: &DotKernels,
    x: &T,
    scratch: &'a mut Scratch,
) -> Result<Option<Rounded<'a>>> {
    let (rows, cols) = (x.rows(), x.cols());
    let blocks = cols.div_ceil(BLOCK_LEN);
    let what = "rounded activations";
    let input = f32s("linear", x)?;
    let whole = cols.is_multiple_of(BLOCK_LEN);
    if dot.others.is_none() && !(whole && rows <= FEW) {
        return Ok(None);
    }
    if let Some(others) = dot.others.as_ref().filter(|_| !whole) {
        let values = Scratch::at_least(&mut scratch.rounded, &gpu.runtime, 4 * rows * cols, what)?;
        let args = [input, n(cols), Arg::Memory(values)];
        // SAFETY: a work-item a block of a row; `values` is as long as the rows of `x` in use.
        unsafe { run(&mut lock(&others.round_values), 0, &args, [blocks, rows, 1], LINE)? };
        return Ok(Some(Rounded::Values(values)));
    }
    let quants = Scratch::at_least(&mut scratch.quants, &gpu.runtime, dot.bytes * rows * cols, what)?;
    let scales = Scratch::at_least(&mut scratch.scales, &gpu.runtime, 8 * rows * blocks, what)?;
    let args = [input, n(blocks), Arg::Memory(quants), Arg::Memory(scales)];
    // SAFETY: a work-item a block, of which there are `blocks` in each row; `quants` has 32 values for each, `scales` 8 bytes.
    unsafe { run(&mut lock(&dot.quantize), 0, &args, [blocks, rows, 1], LINE)? };
    Ok(Some(Rounded::Blocks(quants, scales)))
}

/// Puts the kernel for rounded inputs into the queue.
///
/// # Safety
/// `args` have to be QUANTIZED_OPERANDS of `kernels/dot.cl`, as long as the part's shape and `tokens` ask for; `dtype` a
/// block format, and the part in tiles of whole blocks, as every matrix of such a format is.
unsafe fn launch_dot(
    dot: &DotKernels,
    part: &Part,
    dtype: DType,
    tokens: usize,
    args: &[Arg<'_>],
) -> Result<()> {
    let kernels = &mut *lock(&part.kernels);
    let tiles = part.rows.div_ceil(TILE);
    if tokens > FEW
        && let Some(others) = &dot.others
    {
        let make = || Kernel::new(&others.tile, by_format!(dtype, "linear_dot_tile_"));
        let global = [tiles * LANES, tokens.div_ceil(8 * PARTS) * PARTS, 1];
        // SAFETY: as the caller vouches; the kernel keeps within `tokens` and the part's rows.
        return unsafe {
            run(bound(&mut kernels.dot_tile, part, make)?, BOUND, args, global, [LANES, PARTS, 1])
        };
    }
    let make = || Kernel::new(&dot.row.program, by_format!(dtype, "linear_dot_"));
    let slices = dot.row.slices;
    let global = [tiles * LANES, slices, tokens];
    // SAFETY: as above, with a group for each token.
    unsafe { run(bound(&mut kernels.dot, part, make)?, BOUND, args, global, [LANES, slices, 1]) }
}

/// Puts the kernel for this shape into the queue.
///
/// # Safety
/// `args` have to be OPERANDS of `kernels/layout.cl`, as long as the part's shape and `tokens` ask for.
unsafe fn launch(
    gpu: &OpenClBackend,
    part: &Part,
    dtype: DType,
    tokens: usize,
    args: &[Arg<'_>],
) -> Result<()> {
    let kernels = &mut *lock(&part.kernels);
    let tiles = part.rows.div_ceil(TILE);
    if part.is_tiled()
        && tokens > FEW
        && gpu.forms.tile
        && let Some(program) = &gpu.kernels.linear_tile
    {
        let make = || Kernel::new(program, by_format!(dtype, "linear_tile_"));
        let global = [tiles * LANES, tokens.div_ceil(8 * PARTS) * PARTS, 1];
        // SAFETY: as the caller vouches; the kernel keeps within `tokens` and the part's rows.
        return unsafe { run(bound(&mut kernels.tile, part, make)?, BOUND, args, global, [LANES, PARTS, 1]) };
    }
    if part.is_tiled()
        && gpu.forms.image
        && let Some(row) = &gpu.kernels.linear_image
        && let Some(image) = part.image()
    {
        let kernel = match &mut kernels.image {
            Some(kernel) => kernel,
            none => {
                let mut fresh = Kernel::new(&row.program, by_format!(dtype, "linear_row_"))?;
                // SAFETY: as in `bound`; the program was compiled to read an image.
                unsafe { part.bind_units(&mut fresh, Arg::Image(image))? };
                none.insert(fresh)
            }
        };
        let global = [tiles * LANES, row.slices, tokens];
        // SAFETY: as above, with a group for each token.
        return unsafe { run(kernel, BOUND, args, global, [LANES, row.slices, 1]) };
    }
    if part.is_tiled()
        && gpu.forms.linear_sub
        && let Some(row) = &gpu.kernels.linear_sub
    {
        let make = || Kernel::new(&row.program, by_format!(dtype, "linear_sub_"));
        let global = [tiles.next_multiple_of(SUB_TILES) * LANES, row.slices, tokens];
        let local = [SUB_TILES * LANES, row.slices, 1];
        // SAFETY: as above; tiles beyond the part's are not written.
        return unsafe { run(bound(&mut kernels.row, part, make)?, BOUND, args, global, local) };
    }
    if part.is_tiled()
        && gpu.forms.row
        && let Some(row) = &gpu.kernels.linear_row
    {
        let make = || Kernel::new(&row.program, by_format!(dtype, "linear_row_"));
        let global = [tiles * LANES, row.slices, tokens];
        // SAFETY: as above, with a group for each token.
        return unsafe {
            run(bound(&mut kernels.row, part, make)?, BOUND, args, global, [LANES, row.slices, 1])
        };
    }
    let make = || Kernel::new(&gpu.kernels.linear, by_format!(dtype, "linear_plain_"));
    // SAFETY: as above.
    unsafe { run(bound(&mut kernels.plain, part, make)?, BOUND, args, [part.rows, tokens, 1], LINE) }
}

/// The kernel in `held`, made and bound to its weight when it is first asked for.
fn bound<'a>(
    held: &'a mut Option<Kernel>,
    part: &Part,
    make: impl FnOnce() -> super::error::Result<Kernel>,
) -> Result<&'a mut Kernel> {
    match held {
        Some(kernel) => Ok(kernel),
        None => {
            let mut fresh = make()?;
            // SAFETY: linear kernels begin with WEIGHT, their names are the format's, and they live in the part.
            unsafe { part.bind(&mut fresh)? };
            Ok(held.insert(fresh))
        }
    }
}
