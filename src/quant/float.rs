//! f32, f16 and bf16 rows: little endian bytes to f32 and back.

use crate::core::{CoreError, DType, FloatFormat, Result};
use half::{bf16, f16};

/// The exact f32 value of an IEEE 754 binary16 bit pattern.
pub fn f16_to_f32(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

/// The nearest binary16 bit pattern, ties to even; too large values become infinite.
pub fn f32_to_f16(value: f32) -> u16 {
    f16::from_f32(value).to_bits()
}

/// The exact f32 value of a bfloat16 bit pattern.
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest bfloat16 bit pattern, ties to even; too large values become infinite.
pub fn f32_to_bf16(value: f32) -> u16 {
    bf16::from_f32(value).to_bits()
}

/// Reads one element; anything but F32, F16 and BF16 reads as NaN. `bytes` holds exactly one element.
pub(super) fn decode(dtype: DType, bytes: &[u8]) -> f32 {
    match (dtype.float_format(), bytes) {
        (Some(FloatFormat::F32), &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        (Some(FloatFormat::F16), &[a, b]) => f16_to_f32(u16::from_le_bytes([a, b])),
        (Some(FloatFormat::BF16), &[a, b]) => bf16_to_f32(u16::from_le_bytes([a, b])),
        (Some(FloatFormat::F32 | FloatFormat::F16 | FloatFormat::BF16) | None, _) => f32::NAN,
    }
}

/// Reads a row of `dst.len()` elements of F32, F16 or BF16.
///
/// # Errors
/// [`CoreError::Mismatch`] if `bytes` has another length, [`CoreError::Unsupported`] for another type.
pub fn decode_row(dtype: DType, bytes: &[u8], dst: &mut [f32]) -> Result<()> {
    match check("decode_row", dtype, bytes.len(), dst.len())? {
        FloatFormat::F32 => {
            for (b, v) in bytes.as_chunks::<4>().0.iter().zip(dst) {
                *v = f32::from_le_bytes(*b);
            }
        }
        FloatFormat::F16 => {
            for (b, v) in bytes.as_chunks::<2>().0.iter().zip(dst) {
                *v = f16_to_f32(u16::from_le_bytes(*b));
            }
        }
        FloatFormat::BF16 => {
            for (b, v) in bytes.as_chunks::<2>().0.iter().zip(dst) {
                *v = bf16_to_f32(u16::from_le_bytes(*b));
            }
        }
    }
    Ok(())
}

/// Stores a row as F32, F16 or BF16, rounding to nearest, ties to even.
///
/// # Errors
/// As [`decode_row`].
pub fn encode_row(dtype: DType, src: &[f32], bytes: &mut [u8]) -> Result<()> {
    match check("encode_row", dtype, bytes.len(), src.len())? {
        FloatFormat::F32 => {
            for (b, v) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(src) {
                *b = v.to_le_bytes();
            }
        }
        FloatFormat::F16 => {
            for (b, v) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(src) {
                *b = f32_to_f16(*v).to_le_bytes();
            }
        }
        FloatFormat::BF16 => {
            for (b, v) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(src) {
                *b = f32_to_bf16(*v).to_le_bytes();
            }
        }
    }
    Ok(())
}

fn check(op: &'static str, dtype: DType, bytes: usize, len: usize) -> Result<FloatFormat> {
    let format = dtype.float_format().ok_or(CoreError::Unsupported { op, dtype })?;
    CoreError::expect_eq(op, "byte count", bytes, super::row_bytes(dtype, len))?;
    Ok(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_bit_patterns() {
        // IEEE 754-2019, 3.6: binary16 has bias 15 and 10 fraction bits.
        for (bits, v) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(f16_to_f32(bits), v);
            assert_eq!(f32_to_f16(v), bits);
        }
        assert_eq!(bf16_to_f32(0x3f80), 1.0);
        assert_eq!(bf16_to_f32(0xc049), -3.140_625);
        assert!(f16_to_f32(0x7e00).is_nan());
        assert!(bf16_to_f32(0x7fc0).is_nan());
    }

    #[test]
    fn ties_go_to_even() {
        // bf16 has 7 fraction bits: 1 + 2^-8 is between 0x3f80 and 0x3f81, 1 + 3 * 2^-8 between 0x3f81 and 0x3f82.
        assert_eq!(f32_to_bf16(1.0 + 2f32.powi(-8)), 0x3f80);
        assert_eq!(f32_to_bf16(1.0 + 3.0 * 2f32.powi(-8)), 0x3f82);
        assert_eq!(f32_to_bf16(f32::from_bits((1.0 + 2f32.powi(-8)).to_bits() + 1)), 0x3f81);
        assert_eq!(f32_to_f16(1.0 + 2f32.powi(-11)), 0x3c00);
        assert_eq!(f32_to_f16(1.0 + 3.0 * 2f32.powi(-11)), 0x3c02);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert!(bf16_to_f32(f32_to_bf16(f32::NAN)).is_nan());
    }

    #[test]
    fn every_half_precision_value_survives_a_round_trip() {
        for bits in 0..=u16::MAX {
            let (h, b) = (f16_to_f32(bits), bf16_to_f32(bits));
            assert!(h.is_nan() || f32_to_f16(h) == bits);
            assert!(b.is_nan() || f32_to_bf16(b) == bits);
        }
    }

    #[test]
    fn rows_are_little_endian_and_lengths_are_checked() {
        let mut out = [0.0; 2];
        decode_row(DType::F16, &[0x00, 0x3c, 0x00, 0xc0], &mut out).unwrap();
        assert_eq!(out, [1.0, -2.0]);
        decode_row(DType::BF16, &[0x80, 0x3f, 0x49, 0xc0], &mut out).unwrap();
        assert_eq!(out, [1.0, -3.140_625]);
        decode_row(DType::F32, &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], &mut out).unwrap();
        assert_eq!(out, [1.0, -2.0]);
        let mut bytes = [0; 4];
        encode_row(DType::BF16, &[1.0, -3.140_625], &mut bytes).unwrap();
        assert_eq!(bytes, [0x80, 0x3f, 0x49, 0xc0]);
        assert!(decode_row(DType::F16, &[0; 3], &mut out).is_err());
        assert!(decode_row(DType::U8, &[0; 2], &mut out).is_err());
        assert!(encode_row(DType::F32, &out, &mut [0; 4]).is_err());
    }
}
