//! IQ1 to IQ3 as Q4_K and Q5_K. The minimum of each group is half the span of its codes, so that the levels are odd multiples
//! of half a step, on both sides of 0: the values of IQ1 and IQ3_S are such multiples, and those of the others nearly.

use std::sync::LazyLock;

use super::iq::Parts;
use crate::core::{BlockFormat, K_BLOCK_LEN, ReadOnlyFormat};
use crate::quant::anatomy::{GROUPS, write_codes};
use crate::quant::round::F16_MAX;
use crate::quant::scales::{StoredScales, write_scales};
use half::f16;

/// Scales of IQ1 to IQ3: odd numbers up to 31, so that half of one, rounded down, is its place in a table.
const SCALES: usize = 16;

/// The largest scale of Q4_K and Q5_K.
const MOST: u8 = 63;

/// How blocks of a format are made.
pub(super) struct Form {
    target: BlockFormat,
    /// Half the number of levels.
    half: f32,
    /// The step of a group of scale 1, as a multiple of a block's [`Parts::factor`].
    unit: f32,
    /// The scale of a group whose halves have these scales.
    scale: [[u8; SCALES]; SCALES],
}

/// Magnitudes with their shares of all elements, as ggml's quantizer gives them for the weights of a model.
type Shares = [(u8, f32)];

const IQ1: &Shares = &[(1, 0.3), (7, 0.35), (9, 0.35)];
const IQ2: &Shares = &[(8, 0.6), (25, 0.27), (43, 0.13)];
const IQ3_XXS: &Shares =
    &[(4, 0.3), (12, 0.24), (20, 0.17), (28, 0.12), (36, 0.08), (44, 0.05), (52, 0.03), (62, 0.01)];
const IQ3_S: &Shares = &[(1, 1.0), (3, 1.0), (5, 1.0), (7, 1.0), (9, 1.0), (11, 1.0), (13, 1.0), (15, 1.0)];

impl Form {
    /// That of one of IQ1 to IQ3.
    pub fn of(format: ReadOnlyFormat) -> &'static Self {
        // Steps of 2 are exact: a scale is that of the block, or four times it.
        static OF_IQ1_S: LazyLock<Form> = LazyLock::new(|| Form::new(BlockFormat::Q4K, 2.0, IQ1));
        static OF_IQ1_M: LazyLock<Form> = LazyLock::new(|| Form::new(BlockFormat::Q4K, 0.5, IQ1));
        static OF_IQ2_XXS: LazyLock<Form> = LazyLock::new(|| Form::new(BlockFormat::Q4K, 2.8, IQ2));
        static OF_IQ2: LazyLock<Form> = LazyLock::new(|| Form::new(BlockFormat::Q5K, 1.7, IQ2));
        static OF_IQ3_XXS: LazyLock<Form> = LazyLock::new(|| Form::new(BlockFormat::Q4K, 8.0, IQ3_XXS));
        static OF_IQ3_S: LazyLock<Form> = LazyLock::new(|| Form::new(BlockFormat::Q4K, 2.0, IQ3_S));
        match format {
            ReadOnlyFormat::Iq1S => &OF_IQ1_S,
            ReadOnlyFormat::Iq1M => &OF_IQ1_M,
            ReadOnlyFormat::Iq2Xxs => &OF_IQ2_XXS,
            ReadOnlyFormat::Iq2Xs | ReadOnlyFormat::Iq2S => &OF_IQ2,
            ReadOnlyFormat::Iq3Xxs => &OF_IQ3_XXS,
            ReadOnlyFormat::Iq3S => &OF_IQ3_S,
            ReadOnlyFormat::Nvfp4 | ReadOnlyFormat::Q1_0 | ReadOnlyFormat::Q2_0 | ReadOnlyFormat::Q8K => {
                unreachable!("{} has no scales of groups", format.name())
            }
        }
    }

    fn new(target: BlockFormat, unit: f32, values: &Shares) -> Self {
        let half = if target == BlockFormat::Q5K { 16.0 } else { 8.0 };
        let mut this = Self { target, half, unit, scale: [[0; SCALES]; SCALES] };
        for a in 0..SCALES {
            for b in 0..SCALES {
                let error = |scale: u8| {
                    let mut sum = 0.0;
                    for place in [a, b] {
                        for &(value, share) in values {
                            let x = f32::from(value) * (2 * place + 1) as f32;
                            let step = unit * f32::from(scale);
                            let level = (x / step).floor().min(half - 1.0) + 0.5;
                            sum += share * (x - level * step).powi(2);
                        }
                    }
                    sum
                };
                let best = (1..=MOST).min_by(|&x, &y| error(x).total_cmp(&error(y)));
                this.scale[a][b] = best.unwrap_or(MOST);
            }
        }
        this
    }
}

/// Makes a block, whose bytes were zero; false if an f16 is too coarse or too small for its factor.
pub(super) fn encode(form: &Form, parts: &Parts, out: &mut [u8]) -> bool {
    /// A factor above this has eight bits or more.
    const LEAST: f32 = 1.0 / (1 << 17) as f32;
    let step = parts.factor * form.unit;
    // Of half the span of the codes.
    let least = step * (form.half - 0.5);
    if step == 0.0 {
        return true;
    }
    if step.abs() < LEAST || least.abs() > F16_MAX {
        return false;
    }
    let mut scale = [0; GROUPS];
    let mut codes = [0; K_BLOCK_LEN];
    for (group, scale) in scale[..GROUPS / 2].iter_mut().enumerate() {
        let pair = [parts.scale[2 * group], parts.scale[2 * group + 1]];
        let made = form.scale[usize::from(pair[0] / 2) % SCALES][usize::from(pair[1] / 2) % SCALES];
        *scale = made as i8;
        for (k, stored) in pair.into_iter().enumerate() {
            let steps = f32::from(stored) / (form.unit * f32::from(made));
            let at = group * 32 + k * 16;
            for (code, &value) in codes[at..at + 16].iter_mut().zip(&parts.value[at..at + 16]) {
                // Rounded down, after half the number of levels; the range is that of the codes.
                let level = f32::from(value) * steps + form.half;
                *code = level.clamp(0.0, 2.0 * form.half - 1.0) as u8;
            }
        }
    }
    write_codes(form.target, &codes, out);
    let half = |v: f32| f16::from_f32(v).to_bits();
    let scales = StoredScales { factor: half(step), min_factor: half(least), scale, min: scale };
    write_scales(form.target, &scales, out);
    true
}
