//! Linear layers: which of their kernels serves which shape.

use super::OpenClBackend;
use super::kernel::{Arg, Kernel};
use super::kernels::by_format;
use super::ops::{LINE, T, f32s, lock, n, run};
use super::weights::{BOUND, Part, TILE};
use crate::core::{CoreError, DType, LinearPart, PreparedWeight, Result};

/// Up to so many tokens go through the kernel that reads the weight for each of them.
const FEW: usize = 4;

/// Work-items of a group side by side, as the kernels have it.
const LANES: usize = TILE / 4;

/// Groups of eight tokens that a work-group of linear_tile.cl takes.
const PARTS: usize = 4;

/// See [`crate::core::Backend::linear`].
pub(super) fn linear(gpu: &OpenClBackend, x: &T, parts: &mut [LinearPart<'_, OpenClBackend>]) -> Result<()> {
    let op = "linear";
    let input = f32s(op, x)?;
    let tokens = x.rows();
    for part in parts.iter_mut() {
        let weight = part.weight;
        CoreError::expect_eq(op, "input length", x.cols(), weight.cols())?;
        CoreError::expect_eq(op, "output length", part.out.cols(), weight.rows())?;
        let bias = part.bias.map(|b| b.vector(op, weight.rows())).transpose()?;
        part.out.set_rows(tokens)?;
        let (has_bias, out) = (u32::from(bias.is_some()), f32s(op, part.out)?);
        let bias = bias.map_or(input, Arg::Memory);
        let args = [input, bias, Arg::U32(has_bias), out, n(weight.rows()), n(tokens)];
        for piece in &weight.parts {
            // SAFETY: `x` has `tokens` rows of the weight's columns, `out` as many of its rows, and `bias`, where
            // there is one, one value for each.
            unsafe { launch(gpu, piece, weight.dtype(), tokens, &args)? };
        }
    }
    Ok(())
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
