//! What conversions lose, and that odd blocks lose no more. That the values are ggml's is in `tests/it/ggml_blocks.rs`.

use super::*;
use crate::core::{HostTensor, Shape};
use crate::quant::rows::RowReader;

/// A seeded generator of bytes.
struct Bytes(u32);

impl Bytes {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 24) as u8
    }
}

/// Blocks of random codes with a factor of about 1/1000. Scales of neighbours differ by up to 3 of 15, as they mostly do in
/// the weights of models.
fn usual(format: ReadOnlyFormat, count: usize) -> Vec<u8> {
    let mut bytes = Bytes(format.block_bytes() as u32);
    let mut out = Vec::new();
    for _ in 0..count {
        let mut block: Vec<u8> = (0..format.block_bytes()).map(|_| bytes.next()).collect();
        let factor = 0x1400 | u16::from(bytes.next());
        block[..2].copy_from_slice(&factor.to_le_bytes());
        let near = || (8 + bytes.next() % 4) | (8 + bytes.next() % 4) << 4;
        match format {
            ReadOnlyFormat::Iq2Xs => block[66..].fill_with(near),
            ReadOnlyFormat::Iq2S => block[74..].fill_with(near),
            ReadOnlyFormat::Iq1M => {
                block[0] = bytes.next();
                for word in 0..4 {
                    let scales = (0..4).fold(0, |all, i| all | u16::from(4 + bytes.next() % 2) << (3 * i));
                    let word_bits = scales | (factor >> (4 * word) & 15) << 12;
                    block[48 + 2 * word..50 + 2 * word].copy_from_slice(&word_bits.to_le_bytes());
                }
            }
            ReadOnlyFormat::Nvfp4 => block[..4].fill_with(|| 0x28 + bytes.next() % 0x18),
            ReadOnlyFormat::Q8K => block[..4].copy_from_slice(&0.001_234_5f32.to_le_bytes()),
            _ => {}
        }
        out.extend(block);
    }
    out
}

/// Root mean square of what converting loses, as a share of that of the values.
fn loss(format: ReadOnlyFormat, row: Vec<u8>) -> f64 {
    let (from, to) = (DType::ReadOnly(format), format.becomes());
    let len = row.len() / format.block_bytes() * format.block_len();
    let (mut exact, mut got) = (vec![0.0; len], vec![0.0; len]);
    super::super::dequantize_row(from, &row, &mut exact).unwrap();
    let tensor = HostTensor::new("w", from, Shape::from([1, len]), row.into()).unwrap();
    let made = RowReader::new(&tensor, to).row(0).unwrap().to_vec();
    super::super::dequantize_row(to, &made, &mut got).unwrap();
    let square = |x: f64| x * x;
    let lost: f64 = exact.iter().zip(&got).map(|(&x, &y)| square(f64::from(x) - f64::from(y))).sum();
    let all: f64 = exact.iter().map(|&x| square(f64::from(x))).sum();
    assert!(got.iter().all(|v| v.is_finite()), "{from}");
    (lost / all.max(f64::MIN_POSITIVE)).sqrt()
}

#[test]
fn conversions_lose_little_or_nothing() {
    for (format, most) in [
        (ReadOnlyFormat::Q1_0, 0.0),
        (ReadOnlyFormat::Q2_0, 0.0),
        (ReadOnlyFormat::Nvfp4, 0.0),
        (ReadOnlyFormat::Q8K, 0.0005),
        (ReadOnlyFormat::Iq1S, 0.001),
        (ReadOnlyFormat::Iq3S, 0.001),
        (ReadOnlyFormat::Iq3Xxs, 0.02),
        (ReadOnlyFormat::Iq2Xxs, 0.025),
        (ReadOnlyFormat::Iq2Xs, 0.04),
        (ReadOnlyFormat::Iq2S, 0.04),
        (ReadOnlyFormat::Iq1M, 0.07),
    ] {
        let lost = loss(format, usual(format, 64));
        assert!(lost <= most, "{}: {lost}", format.name());
    }
}

/// Factors of 0, subnormal, negative and large ones: the loss is that of usual ones, or where an f16 is too coarse still
/// small.
#[test]
fn odd_factors_convert_as_well() {
    for format in ReadOnlyFormat::ALL {
        for factor in [0u16, 0x0001, 0x0233, 0x8400, 0x6000, 0xe000, 0x3c00] {
            let mut row = usual(format, 4);
            for block in row.chunks_exact_mut(format.block_bytes()) {
                match format {
                    ReadOnlyFormat::Nvfp4 => block[..4].fill((factor >> 8) as u8 & 0x7e),
                    ReadOnlyFormat::Iq1M => {
                        for word in 0..4 {
                            let at = 49 + 2 * word;
                            block[at] = block[at] & 15 | (factor >> (4 * word) & 15) as u8 & 15 << 4;
                            block[at] |= ((factor >> (4 * word) & 15) << 4) as u8;
                        }
                    }
                    ReadOnlyFormat::Q8K => {
                        let wide = half::f16::from_bits(factor).to_f32();
                        block[..4].copy_from_slice(&wide.to_le_bytes());
                    }
                    _ => block[..2].copy_from_slice(&factor.to_le_bytes()),
                }
            }
            let lost = loss(format, row);
            assert!(lost < 0.12, "{} with {factor:#06x}: {lost}", format.name());
        }
    }
}

#[test]
fn a_spread_of_scales_that_nvfp4_can_have_and_q6_k_cannot_costs_the_small_ones_alone() {
    let mut row = usual(ReadOnlyFormat::Nvfp4, 4);
    // 448 down to 2^-9.
    for (block, scales) in row.chunks_exact_mut(36).zip([[0x7e; 4], [0x38; 4], [8; 4], [1; 4]]) {
        block[..4].copy_from_slice(&scales);
    }
    assert!(loss(ReadOnlyFormat::Nvfp4, row) < 0.005);
}

#[test]
fn rows_that_are_no_whole_blocks_are_refused() {
    for format in ReadOnlyFormat::ALL {
        let from = DType::ReadOnly(format);
        let mut out = vec![0.0; format.block_len()];
        let block = vec![0; format.block_bytes()];
        assert!(super::super::dequantize_row(from, &block[1..], &mut out).is_err());
        assert!(super::super::dequantize_row(from, &block, &mut out[1..]).is_err());
        assert!(super::super::quantize_row(from, &out, &mut block.clone()).is_err());
        assert!(convert_row(format, 1.0, &block, &mut [0; 3]).is_err());
    }
    // Rows of NVFP4 that are no whole blocks of Q6_K become Q8_0.
    let row = usual(ReadOnlyFormat::Nvfp4, 3);
    let from = DType::ReadOnly(ReadOnlyFormat::Nvfp4);
    let tensor = HostTensor::new("w", from, Shape::from([1, 192]), row.into()).unwrap();
    let to = crate::models::for_columns(from.computed_as(), 192);
    assert_eq!(to, DType::Q8_0);
    assert_eq!(RowReader::new(&tensor, to).row(0).unwrap().len(), 6 * 34);
}
