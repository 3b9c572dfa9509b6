//! Where blocks have their factors, the only numbers in them that may be NaN or infinite, and in which the order of bytes
//! counts.

use half::f16;

use super::anatomy::{Anatomy, half_power};
use super::read_only::iq1_m_factor;
use crate::core::{BlockFormat, DType, ReadOnlyFormat};

/// The factors of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Factors {
    /// None that could be wrong.
    None,
    /// So many f16 from this byte on.
    Halves(usize, usize),
    /// A power of two (MXFP4), in the first byte.
    Power,
    /// An f32, in the first bytes (Q8_K).
    Float,
    /// An f16 in four parts (IQ1_M), in the last eight bytes.
    Parts,
}

fn factors(dtype: DType) -> Factors {
    match (dtype.block_format(), dtype) {
        (Some(BlockFormat::Mxfp4), _) => Factors::Power,
        // What follows belongs to its scales.
        (Some(BlockFormat::Iq4Xs), _) => Factors::Halves(0, 1),
        (Some(format), _) => {
            let (at, len) = Anatomy::of(format).factors;
            Factors::Halves(at, len / 2)
        }
        (None, DType::ReadOnly(format)) => match format {
            ReadOnlyFormat::Iq1M => Factors::Parts,
            ReadOnlyFormat::Nvfp4 => Factors::None,
            ReadOnlyFormat::Q8K => Factors::Float,
            ReadOnlyFormat::Q1_0 | ReadOnlyFormat::Q2_0 | ReadOnlyFormat::Iq1S => Factors::Halves(0, 1),
            ReadOnlyFormat::Iq2Xxs | ReadOnlyFormat::Iq2Xs | ReadOnlyFormat::Iq2S => Factors::Halves(0, 1),
            ReadOnlyFormat::Iq3Xxs | ReadOnlyFormat::Iq3S => Factors::Halves(0, 1),
        },
        (None, _) => Factors::None,
    }
}

/// The first block of a row with a factor that is no finite number, or whose product with a code is none, and that factor.
/// Rows of floats have no blocks.
pub fn bad_factor(dtype: DType, row: &[u8]) -> Option<(usize, f32)> {
    // The largest code of MXFP4 is 12, that of Q8_K 128.
    let finite = |factor: f32, code: f32| if (factor * code).is_finite() { None } else { Some(factor) };
    let half = |bits: u16| if bits & 0x7c00 == 0x7c00 { Some(f16::from_bits(bits).to_f32()) } else { None };
    let size = dtype.block_bytes();
    let find = |bad: &dyn Fn(&[u8]) -> Option<f32>| {
        row.chunks_exact(size).enumerate().find_map(|(b, block)| bad(block).map(|factor| (b, factor)))
    };
    match factors(dtype) {
        Factors::None => None,
        Factors::Halves(at, count) => find(&|block| {
            block[at..at + 2 * count].as_chunks().0.iter().find_map(|&bytes| half(u16::from_le_bytes(bytes)))
        }),
        Factors::Power => {
            find(&|block| if block[0] == 255 { Some(f32::NAN) } else { finite(half_power(block[0]), 12.0) })
        }
        Factors::Float => {
            find(&|block| block.first_chunk().and_then(|bytes| finite(f32::from_le_bytes(*bytes), 128.0)))
        }
        Factors::Parts => find(&|block| half(iq1_m_factor(&block[size - 8..]))),
    }
}

/// How the bytes of a tensor in a file for big-endian machines have to be swapped: those of each f16 in a block, or of each
/// float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapRule {
    /// Bytes after which the same follows.
    step: usize,
    /// Where numbers begin.
    at: usize,
    /// How many there are.
    count: usize,
    /// Bytes of each.
    width: usize,
}

impl SwapRule {
    /// That of a type; `None` for blocks with words of 16 or 32 bits that hold codes or scales, which no program is known
    /// to have written on such a machine.
    pub fn of(dtype: DType) -> Option<Self> {
        let step = dtype.block_bytes();
        match dtype {
            DType::ReadOnly(ReadOnlyFormat::Iq2Xxs | ReadOnlyFormat::Iq2Xs | ReadOnlyFormat::Iq1S) => None,
            DType::ReadOnly(ReadOnlyFormat::Iq3Xxs) | DType::Iq4Xs => None,
            _ if dtype.block_len() == 1 => Some(Self { step, at: 0, count: 1, width: step }),
            _ => match factors(dtype) {
                Factors::None | Factors::Power => Some(Self { step, at: 0, count: 0, width: 1 }),
                Factors::Halves(at, count) => Some(Self { step, at, count, width: 2 }),
                Factors::Float | Factors::Parts => None,
            },
        }
    }

    /// Swaps the bytes of whole blocks.
    pub fn swap(self, bytes: &mut [u8]) {
        for block in bytes.chunks_exact_mut(self.step) {
            let numbers = block[self.at..self.at + self.count * self.width].chunks_exact_mut(self.width);
            numbers.for_each(<[u8]>::reverse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::dequantize_row;

    /// All block formats.
    fn formats() -> impl Iterator<Item = DType> {
        let computed = DType::ALL.into_iter().filter(|d| d.is_quantized());
        computed.chain(ReadOnlyFormat::ALL.map(DType::ReadOnly))
    }

    /// A row is refused exactly where some element of it, with the largest codes, would be no number.
    #[test]
    fn what_is_refused_would_be_no_number() {
        for dtype in formats() {
            let size = dtype.block_bytes();
            let mut found = 0;
            // Every pair of bytes becomes an infinite f16 in turn, and the upper end of an f32.
            for at in 0..size - 1 {
                for fill in [0u8, 0xff] {
                    let mut row = vec![fill; 2 * size];
                    row[..size].fill(0);
                    if fill == 0xff {
                        row[size..].fill(0x55);
                    }
                    let place = size + at;
                    if dtype == DType::ReadOnly(ReadOnlyFormat::Iq1M) {
                        // The upper half of its factor.
                        (row[size + 53], row[size + 55]) = (0xf5, 0xf5);
                    } else {
                        (row[place], row[place + 1]) = (0xff, 0xff);
                    }
                    let mut values = vec![0.0; 2 * dtype.block_len()];
                    dequantize_row(dtype, &row, &mut values).unwrap();
                    let finite = values.iter().all(|v| v.is_finite());
                    match bad_factor(dtype, &row) {
                        Some((block, factor)) => {
                            found += 1;
                            assert_eq!(block, 1, "{dtype} {at}");
                            assert!(!factor.is_finite() || factor.abs() > 1e36, "{dtype} {at}: {factor}");
                        }
                        None => assert!(finite, "{dtype} {at} {fill}: {values:?}"),
                    }
                }
            }
            assert_eq!(found > 0, dtype != DType::ReadOnly(ReadOnlyFormat::Nvfp4), "{dtype}");
        }
    }

    #[test]
    fn swapping_twice_changes_nothing_and_floats_are_swapped_whole() {
        for dtype in formats() {
            let Some(rule) = SwapRule::of(dtype) else { continue };
            let row: Vec<u8> = (0..3 * dtype.block_bytes()).map(|i| (i * 7 % 251) as u8).collect();
            let mut swapped = row.clone();
            rule.swap(&mut swapped);
            let changed = row.iter().zip(&swapped).filter(|(a, b)| a != b).count();
            let (at, len) = dtype.block_format().map_or((0, 2), |format| Anatomy::of(format).factors);
            let none = matches!(dtype, DType::Mxfp4 | DType::ReadOnly(ReadOnlyFormat::Nvfp4));
            assert_eq!(changed, if none { 0 } else { 3 * len }, "{dtype}");
            assert!(none || swapped[at] == row[at + 1], "{dtype}");
            rule.swap(&mut swapped);
            assert_eq!(swapped, row);
        }
        let mut floats = [1, 2, 3, 4, 5, 6, 7, 8];
        SwapRule::of(DType::F32).unwrap().swap(&mut floats);
        assert_eq!(floats, [4, 3, 2, 1, 8, 7, 6, 5]);
        SwapRule::of(DType::BF16).unwrap().swap(&mut floats);
        assert_eq!(floats, [3, 4, 1, 2, 7, 8, 5, 6]);
        assert_eq!(SwapRule::of(DType::Iq4Xs), None);
    }
}
