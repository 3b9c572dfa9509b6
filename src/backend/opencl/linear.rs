//! Linear layers: which of their kernels serves which shape.

use super::buffer::Memory;
use super::kernel::{Arg, Kernel};
use super::kernels::{DotKernels, RowProgram};
use super::layout::TILE;
use super::ops::{LINE, T, f32s, lock, n, run};
use super::programs::{FormatPrograms, by_format};
use super::weights::{BOUND, Form, OpenClWeight, Part};
use super::{OpenClBackend, Scratch};
use crate::core::{BLOCK_LEN, CoreError, DType, K_BLOCK_LEN, LinearPart, PreparedWeight, Result};

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
    // Rounded once for all weights whose blocks are as long.
    let mut rounded = [None, None];
    for (sharing, (rounded, room)) in SHARING.into_iter().zip(rounded.iter_mut().zip(&mut scratch.rounded)) {
        let alike = |weight: &OpenClWeight, dot: &DotKernels| dot.sharing(weight) == Some(sharing);
        if let Some(dot) = &gpu.kernels.dot
            && parts.iter().any(|p| alike(p.weight, dot))
        {
            *rounded = round(gpu, dot, x, sharing, room)?;
        }
    }
    for part in parts.iter_mut() {
        let weight = part.weight;
        let bias = part.bias.map(|b| b.vector(op, weight.rows())).transpose()?;
        part.out.set_rows(tokens)?;
        let (has_bias, out) = (u32::from(bias.is_some()), f32s(op, part.out)?);
        let bias = bias.map_or(input, Arg::Memory);
        let args = |x| [x, bias, Arg::U32(has_bias), out, n(weight.rows()), n(tokens)];
        let dot = gpu.kernels.dot.as_ref().and_then(|dot| Some((dot, dot.sharing(weight)?)));
        let rounded = dot.and_then(|(dot, sharing)| {
            let which = SHARING.iter().position(|&s| s == sharing)?;
            Some((rounded[which].as_ref()?, dot))
        });
        for piece in &weight.parts {
            // SAFETY: `x` has `tokens` rows of the weight's columns, and so has what it was rounded to; `out` as many
            // of its rows, and `bias`, where there is one, one value for each. These are OPERANDS of layout.cl, or
            // ROUNDED_OPERANDS of dot.cl.
            unsafe {
                match rounded {
                    Some((Rounded::Blocks(quants, inputs), dot)) => {
                        let [a, b, c, d, e, f] = args(Arg::Memory(quants));
                        let args = [a, b, c, d, e, f, Arg::Memory(inputs)];
                        launch(piece, &choose_rounded(dot, piece, weight.dtype(), tokens), &args)?;
                    }
                    other => {
                        let x = match other {
                            Some((Rounded::Values(values), _)) => Arg::Memory(values),
                            _ => input,
                        };
                        launch(piece, &choose(gpu, piece, weight.dtype(), tokens), &args(x))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Blocks of 32 activations that have a scale in common, for weights in blocks of 32 and of 256.
const SHARING: [usize; 2] = [1, K_BLOCK_LEN / BLOCK_LEN];

impl DotKernels {
    /// How many blocks of 32 activations have a scale in common for this weight; `None` if it goes through the kernels
    /// that round nothing.
    fn sharing(&self, weight: &OpenClWeight) -> Option<usize> {
        let rounds = weight.dtype().is_quantized() && weight.rows() >= self.least_outs;
        let len = if self.rounds_to_int8() { weight.dtype().block_len() } else { BLOCK_LEN };
        rounds.then_some(len / BLOCK_LEN)
    }
}

/// Memory for the input of a linear layer, rounded.
#[derive(Default)]
pub(super) struct Room {
    quants: Option<Memory>,
    inputs: Option<Memory>,
    values: Option<Memory>,
}

/// The input of a linear layer, rounded.
enum Rounded<'a> {
    /// Quants, or numbers of fp16, and what is known of their blocks.
    Blocks(&'a Memory, &'a Memory),
    /// The values that they stand for, where rows are no whole blocks: these are read one by one.
    Values(&'a Memory),
}

/// What is known of a block of rounded activations: four floats (quantize.cl).
const INPUT_BYTES: usize = 16;

/// Rounds all rows in use of `x`, if there are kernels for as many of that length.
fn round<'a>(
    gpu: &OpenClBackend,
    dot: &DotKernels,
    x: &T,
    sharing: usize,
    room: &'a mut Room,
) -> Result<Option<Rounded<'a>>> {
    let (rows, cols) = (x.rows(), x.cols());
    let blocks = cols.div_ceil(BLOCK_LEN);
    let what = "rounded activations";
    let input = f32s("linear", x)?;
    let whole = cols.is_multiple_of(sharing * BLOCK_LEN);
    if dot.others.is_none() && !(whole && rows <= FEW) {
        return Ok(None);
    }
    if let Some(others) = dot.others.as_ref().filter(|_| !whole) {
        let values = Scratch::at_least(&mut room.values, &gpu.runtime, 4 * rows * cols, what)?;
        let args = [input, n(cols), Arg::Memory(values)];
        // SAFETY: a work-item a block of a row; `values` is as long as the rows of `x` in use.
        unsafe { run(&mut lock(&others.round_values), 0, &args, [blocks, rows, 1], LINE)? };
        return Ok(Some(Rounded::Values(values)));
    }
    let quants = Scratch::at_least(&mut room.quants, &gpu.runtime, dot.bytes * rows * cols, what)?;
    let inputs = Scratch::at_least(&mut room.inputs, &gpu.runtime, INPUT_BYTES * rows * blocks, what)?;
    let args = [input, n(blocks), n(sharing), Arg::Memory(quants), Arg::Memory(inputs)];
    // SAFETY: a work-item a block, of which there are `blocks` in each row, a multiple of `sharing`; `quants` has 32 values
    // for each, `inputs` four floats.
    unsafe { run(&mut lock(&dot.quantize), 0, &args, [blocks, rows, 1], LINE)? };
    Ok(Some(Rounded::Blocks(quants, inputs)))
}

/// A kernel for a part of a weight, and its work-items.
struct Choice<'a> {
    form: Form,
    programs: &'a FormatPrograms,
    name: &'static str,
    dtype: DType,
    /// The weight as the kernel reads it.
    units: Arg<'a>,
    global: [usize; 3],
    local: [usize; 3],
}

/// The kernel that multiplies so many rounded rows with `part`, which is in tiles of whole blocks, as every matrix of a
/// block format is.
fn choose_rounded<'a>(dot: &'a DotKernels, part: &'a Part, dtype: DType, tokens: usize) -> Choice<'a> {
    match &dot.others {
        Some(others) if tokens > FEW => {
            tiles(Form::DotTile, &others.tile, (dtype, by_format!(dtype, "linear_dot_tile_")), part, tokens)
        }
        _ => rows(Form::Dot, &dot.row, (dtype, by_format!(dtype, "linear_dot_")), part, tokens),
    }
}

/// The kernel that multiplies so many rows with `part`.
fn choose<'a>(gpu: &'a OpenClBackend, part: &'a Part, dtype: DType, tokens: usize) -> Choice<'a> {
    let (forms, kernels) = (&gpu.forms, &gpu.kernels);
    if part.is_tiled() {
        if tokens > FEW && forms.tile {
            let name = by_format!(dtype, "linear_tile_");
            return tiles(Form::Tile, &kernels.linear_tile, (dtype, name), part, tokens);
        }
        if forms.image
            && let Some(program) = &kernels.linear_image
            && let Some(image) = part.image()
        {
            let choice = rows(Form::Image, program, (dtype, by_format!(dtype, "linear_row_")), part, tokens);
            return Choice { units: Arg::Image(image), ..choice };
        }
        if forms.linear_sub
            && let Some(program) = &kernels.linear_sub
        {
            let choice = rows(Form::Row, program, (dtype, by_format!(dtype, "linear_sub_")), part, tokens);
            let [lanes, slices, tokens] = choice.global;
            let local = [SUB_TILES * LANES, slices, 1];
            return Choice { global: [lanes.next_multiple_of(local[0]), slices, tokens], local, ..choice };
        }
        if forms.row {
            let name = by_format!(dtype, "linear_row_");
            return rows(Form::Row, &kernels.linear_row, (dtype, name), part, tokens);
        }
    }
    Choice {
        form: Form::Plain,
        programs: &kernels.linear,
        name: by_format!(dtype, "linear_plain_"),
        dtype,
        units: part.units(),
        global: [part.rows, tokens, 1],
        local: LINE,
    }
}

/// A work-group a tile and token.
fn rows<'a>(
    form: Form,
    RowProgram { program: programs, slices }: &'a RowProgram,
    (dtype, name): (DType, &'static str),
    part: &'a Part,
    tokens: usize,
) -> Choice<'a> {
    let global = [part.rows.div_ceil(TILE) * LANES, *slices, tokens];
    Choice { form, programs, name, dtype, units: part.units(), global, local: [LANES, *slices, 1] }
}

/// A work-group a tile and so many tokens.
fn tiles<'a>(
    form: Form,
    programs: &'a FormatPrograms,
    (dtype, name): (DType, &'static str),
    part: &'a Part,
    tokens: usize,
) -> Choice<'a> {
    let global = [part.rows.div_ceil(TILE) * LANES, tokens.div_ceil(8 * PARTS) * PARTS, 1];
    Choice { form, programs, name, dtype, units: part.units(), global, local: [LANES, PARTS, 1] }
}

/// Puts the kernel into the queue. It is made, and bound to its part, when it is first asked for.
///
/// # Safety
/// `args` have to be what the kernel takes after WEIGHT of `kernels/layout.cl`, as long as the part's shape and `tokens`
/// ask for. It keeps within the part's rows and `tokens`.
unsafe fn launch(part: &Part, choice: &Choice<'_>, args: &[Arg<'_>]) -> Result<()> {
    let make = || Kernel::new(&choice.programs.of(choice.dtype, choice.name)?, choice.name);
    let mut kernels = lock(&part.kernels);
    // SAFETY: linear kernels begin with WEIGHT, their names are the format's, and `units` are as the program has them.
    let kernel = unsafe { kernels.bound(choice.form, part, choice.units, make)? };
    // SAFETY: as the caller vouches.
    unsafe { run(kernel, BOUND, args, choice.global, choice.local) }
}
