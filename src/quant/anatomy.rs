//! What the blocks of each format are made of: factors, scales of groups, and codes, one an element.
//!
//! A code is a small number that is not negative. What it stands for is a whole number ([`value`]); an element is that, times
//! the block's factor and its group's scale, less a minimum where the format has one.

use super::iq4;
use crate::core::{BLOCK_LEN, BlockFormat, K_BLOCK_LEN};

/// Groups of a long block in [`Scales`]: 16 elements each.
pub const GROUPS: usize = 16;

/// Codes of -12 to 12 that MXFP4 has, twice what its floats of 4 bits stand for.
pub(crate) const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Which bytes of a block are what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anatomy {
    /// Where factors begin, and their bytes (IQ4_XS: with the upper bits of its scales).
    pub factors: (usize, usize),
    /// Where the scales of groups begin, and their bytes.
    pub scales: (usize, usize),
    /// How codes are stored.
    pub codes: Codes,
}

/// How codes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// A byte or a nibble each, in the order that kernels read: as many bytes.
    AsStored(usize),
    /// So many lower bits, so many upper ones.
    Bits(u32, u32),
    /// Five to a byte, digits to the base 3.
    Trits,
}

impl Anatomy {
    /// That of a format.
    pub const fn of(format: BlockFormat) -> Self {
        let (factors, scales, codes) = match format {
            BlockFormat::Q8_0 => ((0, 2), (0, 0), Codes::AsStored(32)),
            BlockFormat::Q4_0 => ((0, 2), (0, 0), Codes::AsStored(16)),
            BlockFormat::Q4_1 => ((0, 4), (0, 0), Codes::AsStored(16)),
            BlockFormat::Q5_0 => ((0, 2), (0, 0), Codes::Bits(4, 1)),
            BlockFormat::Q5_1 => ((0, 4), (0, 0), Codes::Bits(4, 1)),
            BlockFormat::Iq4Nl => ((0, 2), (0, 0), Codes::Bits(4, 0)),
            BlockFormat::Mxfp4 => ((0, 1), (0, 0), Codes::Bits(4, 0)),
            BlockFormat::Q2K => ((80, 4), (0, 16), Codes::Bits(2, 0)),
            BlockFormat::Q3K => ((108, 2), (96, 12), Codes::Bits(2, 1)),
            BlockFormat::Q4K => ((0, 4), (4, 12), Codes::Bits(4, 0)),
            BlockFormat::Q5K => ((0, 4), (4, 12), Codes::Bits(4, 1)),
            BlockFormat::Q6K => ((208, 2), (192, 16), Codes::Bits(4, 2)),
            BlockFormat::Iq4Xs => ((0, 4), (4, 4), Codes::Bits(4, 0)),
            BlockFormat::Tq1_0 => ((52, 2), (0, 0), Codes::Trits),
            BlockFormat::Tq2_0 => ((64, 2), (0, 0), Codes::Bits(2, 0)),
        };
        Self { factors, scales, codes }
    }
}

/// What code `code` of a format stands for. Q8_0 has no codes: its bytes are numbers.
pub fn value(format: BlockFormat, code: u8) -> i8 {
    let code = code as i8;
    match format {
        BlockFormat::Q8_0 => code,
        BlockFormat::Q4_0 => code - 8,
        BlockFormat::Q5_0 => code - 16,
        BlockFormat::Q3K => code - 4,
        BlockFormat::Q6K => code - 32,
        BlockFormat::Tq1_0 | BlockFormat::Tq2_0 => code - 1,
        BlockFormat::Q4_1 | BlockFormat::Q5_1 => code,
        BlockFormat::Q2K | BlockFormat::Q4K | BlockFormat::Q5K => code,
        BlockFormat::Iq4Nl | BlockFormat::Iq4Xs => iq4::VALUES[usize::from(code as u8 & 15)],
        BlockFormat::Mxfp4 => MXFP4_VALUES[usize::from(code as u8 & 15)],
    }
}

/// Whether elements have a minimum taken off, or added in the formats of 32 elements.
pub const fn has_minima(format: BlockFormat) -> bool {
    match format {
        BlockFormat::Q4_1 | BlockFormat::Q5_1 => true,
        BlockFormat::Q2K | BlockFormat::Q4K | BlockFormat::Q5K => true,
        BlockFormat::Q8_0 | BlockFormat::Q4_0 | BlockFormat::Q5_0 | BlockFormat::Iq4Nl => false,
        BlockFormat::Mxfp4 | BlockFormat::Q3K | BlockFormat::Q6K | BlockFormat::Iq4Xs => false,
        BlockFormat::Tq1_0 | BlockFormat::Tq2_0 => false,
    }
}

/// Where a code's bits are: its byte and its shift, and those of its upper bits.
type Place = ((usize, u32), Option<(usize, u32)>);

/// The place of code `i`, but for TQ1_0, whose codes are not bits.
#[inline(always)]
fn place(format: BlockFormat, i: usize) -> Place {
    // Elements 32 apart share a byte of nibbles, or of pairs of bits.
    let nibble = |at: usize| (at + i / 64 * 32 + i % 32, (i / 32 % 2 * 4) as u32);
    let two = |at: usize| (at + i / 128 * 32 + i % 32, (i / 32 % 4 * 2) as u32);
    let halves = |at: usize| (at + i / 32 * 16 + i % 16, (i / 16 % 2 * 4) as u32);
    match format {
        BlockFormat::Q5_0 => (halves(6), Some((2 + i / 8, (i % 8) as u32))),
        BlockFormat::Q5_1 => (halves(8), Some((4 + i / 8, (i % 8) as u32))),
        BlockFormat::Q4_0 | BlockFormat::Iq4Nl => (halves(2), None),
        BlockFormat::Q4_1 => (halves(4), None),
        BlockFormat::Mxfp4 => (halves(1), None),
        BlockFormat::Q2K => (two(16), None),
        BlockFormat::Q3K => (two(32), Some((i % 32, (i / 32) as u32))),
        BlockFormat::Q4K => (nibble(16), None),
        BlockFormat::Q5K => (nibble(48), Some((16 + i % 32, (i / 32) as u32))),
        BlockFormat::Q6K => {
            let low = (i / 128 * 64 + i / 32 % 2 * 32 + i % 32, (i / 64 % 2 * 4) as u32);
            (low, Some((128 + i / 128 * 32 + i % 32, (i / 32 % 4 * 2) as u32)))
        }
        BlockFormat::Iq4Xs => (halves(8), None),
        BlockFormat::Tq2_0 => (two(0), None),
        BlockFormat::Q8_0 => ((2 + i, 0), None),
        BlockFormat::Tq1_0 => ((trit(i).0, 0), None),
    }
}

/// Where TQ1_0 has element `i`: its byte, and which digit of it.
fn trit(i: usize) -> (usize, usize) {
    match i {
        0..160 => (i % 32, i / 32),
        160..240 => (32 + (i - 160) % 16, (i - 160) / 16),
        _ => (48 + (i - 240) % 4, (i - 240) / 4),
    }
}

/// Powers of three, modulo 256.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

/// Digit `n` of a byte of five, the most significant one first.
pub(crate) fn digit(byte: u8, n: usize) -> u8 {
    ((u16::from(byte.wrapping_mul(POWERS[n])) * 3) >> 8) as u8
}

/// The byte of five digits of 0 to 2, the most significant one first: the next larger multiple of 1/243.
pub(crate) fn trits(digits: [u8; 5]) -> u8 {
    let number = digits.iter().fold(0u16, |n, &d| 3 * n + u16::from(d));
    (number * 256).div_ceil(243) as u8
}

/// Calls a function whose first argument is the format, as a constant of its own copy of the code.
macro_rules! by_format {
    ($format:expr, $function:ident, $from:expr, $to:expr) => {
        by_format!($format, $function, $from, $to, Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Iq4Nl Mxfp4 Q2K Q3K Q4K Q5K Q6K Iq4Xs Tq2_0)
    };
    ($format:expr, $function:ident, $from:expr, $to:expr, $($name:ident)*) => {
        match $format {
            $(BlockFormat::$name => $function(BlockFormat::$name, $from, $to),)*
            BlockFormat::Tq1_0 => {}
        }
    };
}

/// Codes whose bits are at the same place of bytes side by side, in every format; only the upper bits of Q5_0 and Q5_1 are
/// eight in a byte.
const SIDE_BY_SIDE: usize = 16;

/// Reads the codes of a block, as many as `codes` is long.
///
/// # Panics
/// If the block is shorter than its format asks for.
pub fn read_codes(format: BlockFormat, block: &[u8], codes: &mut [u8]) {
    if format == BlockFormat::Tq1_0 {
        for (i, code) in codes.iter_mut().enumerate() {
            let (at, n) = trit(i);
            *code = digit(block[at], n);
        }
    }
    by_format!(format, read_bits, block, codes);
}

#[inline(always)]
fn read_bits(format: BlockFormat, block: &[u8], codes: &mut [u8]) {
    let (low, high) = widths(format);
    for (c, codes) in codes.chunks_mut(SIDE_BY_SIDE).enumerate() {
        let ((at, shift), upper) = place(format, c * SIDE_BY_SIDE);
        for (code, byte) in codes.iter_mut().zip(&block[at..]) {
            *code = byte >> shift & low;
        }
        let Some((at, shift)) = upper else { continue };
        if matches!(format, BlockFormat::Q5_0 | BlockFormat::Q5_1) {
            for (codes, byte) in codes.chunks_mut(8).zip(&block[at..]) {
                for (code, bit) in codes.iter_mut().zip(bits(*byte)) {
                    *code |= bit << low.count_ones();
                }
            }
        } else {
            for (code, byte) in codes.iter_mut().zip(&block[at..]) {
                *code |= (byte >> shift & high) << low.count_ones();
            }
        }
    }
}

/// The bits of a byte, the lowest one first.
fn bits(byte: u8) -> [u8; 8] {
    // Byte `k` keeps bit `k`, which an addition without carry then brings to its top.
    let each = (u64::from(byte) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
    (((each + 0x7f7f_7f7f_7f7f_7f7f) >> 7) & 0x0101_0101_0101_0101).to_le_bytes()
}

/// Writes the codes of a block, whose bytes for them were zero.
///
/// # Panics
/// If the block is shorter than its format asks for.
pub fn write_codes(format: BlockFormat, codes: &[u8], block: &mut [u8]) {
    if format == BlockFormat::Tq1_0 {
        let mut digits = [[0; 5]; 52];
        for (i, &code) in codes.iter().enumerate() {
            let (at, n) = trit(i);
            digits[at][n] = code;
        }
        for (byte, digits) in block.iter_mut().zip(digits) {
            *byte = trits(digits);
        }
    }
    by_format!(format, write_bits, codes, block);
}

#[inline(always)]
fn write_bits(format: BlockFormat, codes: &[u8], block: &mut [u8]) {
    let (low, high) = widths(format);
    for (i, &code) in codes.iter().enumerate() {
        let ((at, shift), upper) = place(format, i);
        block[at] |= (code & low) << shift;
        if let Some((at, shift)) = upper {
            block[at] |= (code >> low.count_ones() & high) << shift;
        }
    }
}

/// Masks of a code's lower and upper bits.
#[inline(always)]
fn widths(format: BlockFormat) -> (u8, u8) {
    match Anatomy::of(format).codes {
        Codes::AsStored(32) => (0xff, 0),
        Codes::AsStored(_) => (15, 0),
        Codes::Bits(low, high) => ((1 << low) - 1, (1 << high) - 1),
        Codes::Trits => (3, 0),
    }
}

/// Scales and minima of a long block, for each 16 elements: a format with groups of 32 has each twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scales {
    /// A factor of the elements' values.
    pub scale: [i8; GROUPS],
    /// What is taken off, or 0.
    pub min: [i8; GROUPS],
}

/// Those of a block of a long format, whose scales' bytes are `bytes` ([`Anatomy::scales`]) and whose factors' bytes
/// are `factors`.
///
/// # Panics
/// If there are fewer bytes than the format asks for.
pub fn scales(format: BlockFormat, factors: &[u8], bytes: &[u8]) -> Scales {
    let mut out = Scales { scale: [1; GROUPS], min: [0; GROUPS] };
    match format {
        BlockFormat::Q4K | BlockFormat::Q5K => {
            for j in 0..8 {
                let (scale, min) = six_bits(j, bytes);
                out.scale[2 * j..2 * j + 2].fill(scale as i8);
                out.min[2 * j..2 * j + 2].fill(min as i8);
            }
        }
        BlockFormat::Q2K => {
            for (g, &both) in bytes[..GROUPS].iter().enumerate() {
                (out.scale[g], out.min[g]) = ((both & 15) as i8, (both >> 4) as i8);
            }
        }
        BlockFormat::Q3K => {
            for (g, scale) in out.scale.iter_mut().enumerate() {
                let low = bytes[g % 8] >> (g / 8 * 4) & 15;
                let top = bytes[8 + g % 4] >> (g / 4 * 2) & 3;
                *scale = (low | top << 4) as i8 - 32;
            }
        }
        BlockFormat::Q6K => {
            for (scale, &byte) in out.scale.iter_mut().zip(bytes) {
                *scale = byte as i8;
            }
        }
        BlockFormat::Iq4Xs => {
            for j in 0..8 {
                let low = bytes[j / 2] >> (j % 2 * 4) & 15;
                let top = factors[2 + j / 4] >> (j % 4 * 2) & 3;
                out.scale[2 * j..2 * j + 2].fill((low | top << 4) as i8 - 32);
            }
        }
        BlockFormat::Tq1_0 | BlockFormat::Tq2_0 => {}
        BlockFormat::Q8_0 | BlockFormat::Q4_0 | BlockFormat::Q4_1 | BlockFormat::Q5_0 => {}
        BlockFormat::Q5_1 | BlockFormat::Iq4Nl | BlockFormat::Mxfp4 => {}
    }
    out
}

/// Scale and minimum of group `j` of Q4_K and Q5_K, 6 bits each.
pub(crate) fn six_bits(j: usize, packed: &[u8]) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let low = packed[j + 4];
        (low & 15 | packed[j - 4] >> 6 << 4, low >> 4 | packed[j] >> 6 << 4)
    }
}

/// 2^(e - 128): half the power of two that a byte of exponent stands for (OCP Microscaling Formats, E8M0), since
/// the codes stand for twice the floats. As in ggml there is no NaN.
#[inline(always)]
pub fn half_power(e: u8) -> f32 {
    // Both at once, so that compilers vectorize it.
    let (subnormal, normal) = (0x0020_0000 << (e & 1), u32::from(e.wrapping_sub(1)) << 23);
    f32::from_bits(if e < 2 { subnormal } else { normal })
}

const _: () = assert!(BLOCK_LEN * 8 == K_BLOCK_LEN && GROUPS * 16 == K_BLOCK_LEN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::DType;
    use crate::quant::dequantize_row;

    /// All formats with their types.
    fn formats() -> impl Iterator<Item = (DType, BlockFormat)> {
        DType::ALL.into_iter().filter_map(|d| Some((d, d.block_format()?)))
    }

    #[test]
    fn codes_come_back_and_leave_the_rest_alone() {
        for (dtype, format) in formats() {
            let most = match Anatomy::of(format).codes {
                Codes::AsStored(32) => 256,
                Codes::AsStored(_) => 16,
                Codes::Bits(low, high) => 1 << (low + high),
                Codes::Trits => 3,
            };
            let codes: Vec<u8> = (0..dtype.block_len()).map(|i| ((i * 37 + i / 7) % most) as u8).collect();
            let mut block = vec![0; dtype.block_bytes()];
            write_codes(format, &codes, &mut block);
            let mut back = vec![99; codes.len()];
            read_codes(format, &block, &mut back);
            assert_eq!(back, codes, "{dtype}");
            // Every bit that is not a factor or a scale is some code's.
            let full = vec![if most == 3 { 2 } else { (most - 1) as u8 }; codes.len()];
            let mut block = vec![0; dtype.block_bytes()];
            write_codes(format, &full, &mut block);
            let Anatomy { factors, scales, .. } = Anatomy::of(format);
            for (i, &byte) in block.iter().enumerate() {
                let apart = [factors, scales].iter().any(|&(at, len)| (at..at + len).contains(&i));
                assert_eq!(byte != 0, !apart, "{dtype}: byte {i}");
                assert!(apart || byte == 0xff || most == 3, "{dtype}: byte {i}");
            }
        }
    }

    #[test]
    fn any_byte_has_five_digits_and_those_of_five_digits_come_back() {
        for number in 0..243u16 {
            let digits = std::array::from_fn(|n| (number / 3u16.pow(4 - n as u32) % 3) as u8);
            assert_eq!([0, 1, 2, 3, 4].map(|n| digit(trits(digits), n)), digits);
        }
        assert!((0..=255).all(|byte| (0..5).all(|n| digit(byte, n) < 3)));
    }

    #[test]
    fn parts_make_up_the_elements() {
        for (dtype, format) in formats() {
            let mut block: Vec<u8> = (0..dtype.block_bytes() as u32)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            let anatomy = Anatomy::of(format);
            let (at, len) = anatomy.factors;
            match format {
                BlockFormat::Mxfp4 => block[at] = 121,
                _ => block[at..at + 2].copy_from_slice(&half::f16::from_f32(0.013).to_le_bytes()),
            }
            if has_minima(format) {
                block[at + 2..at + 4].copy_from_slice(&half::f16::from_f32(0.02).to_le_bytes());
            }
            let factors = block[at..at + len].to_vec();
            let half = |at: usize| half::f16::from_le_bytes([factors[at], factors[at + 1]]).to_f32();
            let d = if format == BlockFormat::Mxfp4 { half_power(121) } else { half(0) };
            let s = scales(format, &factors, &block[anatomy.scales.0..]);
            let (mut codes, mut exact) = (vec![0; dtype.block_len()], vec![0.0; dtype.block_len()]);
            read_codes(format, &block, &mut codes);
            dequantize_row(dtype, &block, &mut exact).unwrap();
            for (i, (&code, &exact)) in codes.iter().zip(&exact).enumerate() {
                let mut x = d * f32::from(s.scale[i / 16]) * f32::from(value(format, code));
                if has_minima(format) {
                    x += if dtype.block_len() == 32 { half(2) } else { -half(2) * f32::from(s.min[i / 16]) };
                }
                assert!((x - exact).abs() <= 1e-6 * exact.abs().max(0.1), "{dtype} {i}: {x} {exact}");
            }
        }
    }

    #[test]
    fn the_bits_of_a_byte_are_its_bits() {
        for byte in 0..=255u8 {
            assert_eq!(bits(byte), std::array::from_fn(|k| byte >> k & 1));
        }
    }

    #[test]
    fn codes_are_where_their_places_say() {
        for dtype in DType::ALL {
            let Some(format) = dtype.block_format().filter(|f| *f != BlockFormat::Tq1_0) else { continue };
            let block: Vec<u8> = (0..dtype.block_bytes()).map(|i| (i * 89 + 41) as u8).collect();
            let mut codes = vec![0; dtype.block_len()];
            read_codes(format, &block, &mut codes);
            let (low, high) = widths(format);
            for (i, &code) in codes.iter().enumerate() {
                let ((at, shift), upper) = place(format, i);
                let upper = upper.map_or(0, |(at, shift)| (block[at] >> shift & high) << low.count_ones());
                assert_eq!(code, block[at] >> shift & low | upper, "{dtype} {i}");
            }
        }
    }

    #[test]
    fn powers_of_two_are_halved() {
        assert_eq!([127, 128, 126].map(half_power), [0.5, 1.0, 0.25]);
        assert_eq!([0, 1, 2].map(half_power), [2f32.powi(-128), 2f32.powi(-127), 2f32.powi(-126)]);
        assert_eq!(half_power(255), 2f32.powi(127));
    }
}
