//! A head's keys or values of one slot, as caches store them and as they travel between backends.
//!
//! Blocks run along the elements of the head, and a last one that is not full is short: its scale, then a byte an
//! element of Q8_0; of Q4_0 as many bytes as half its elements, rounded up, of which byte `i` holds element `i` in its
//! low nibble and element `i + bytes` in its high one (8, which stands for 0, where there is none). A full block is the
//! one of [`super::q8_0`] or [`super::q4_0`]. Rounding is the plain one: it is fast, and the same everywhere.

use super::{float, pad, q4_0, q8_0};
use crate::core::{BLOCK_LEN, CoreError, DType, Result};

/// Stores the elements of a head as `dtype`: one of F32, F16, Q8_0, Q4_0.
///
/// # Errors
/// [`CoreError::Mismatch`] if `bytes` is not [`DType::short_bytes_for`] long, [`CoreError::Unsupported`] for another
/// type.
pub fn encode(dtype: DType, head: &[f32], bytes: &mut [u8]) -> Result<()> {
    check("encoding a head", dtype, head.len(), bytes.len())?;
    if dtype.is_float() {
        return float::encode_row(dtype, head, bytes);
    }
    for (x, out) in head.chunks(BLOCK_LEN).zip(bytes.chunks_mut(dtype.block_bytes())) {
        let block = pad(x);
        match dtype {
            DType::Q8_0 => {
                let block = q8_0::Block::quantize(&block).to_bytes();
                out.copy_from_slice(&block[..out.len()]);
            }
            DType::Q4_0 => {
                let block = q4_0::Block::quantize_round_to_nearest(&block);
                let (scale, out) = out.split_at_mut(2);
                scale.copy_from_slice(&block.d.to_le_bytes());
                let quants = block.quants();
                let high = out.len();
                for (i, out) in out.iter_mut().enumerate() {
                    *out = quants[i] | quants[i + high] << 4;
                }
            }
            _ => return Err(CoreError::Unsupported { op: "encoding a head", dtype }),
        }
    }
    Ok(())
}

/// Reads what [`encode`] stored: of a block the quant times the scale, a product that f32 holds exactly.
///
/// # Errors
/// As [`encode`].
pub fn decode(dtype: DType, bytes: &[u8], head: &mut [f32]) -> Result<()> {
    check("decoding a head", dtype, head.len(), bytes.len())?;
    if dtype.is_float() {
        return float::decode_row(dtype, bytes, head);
    }
    for (bytes, x) in bytes.chunks(dtype.block_bytes()).zip(head.chunks_mut(BLOCK_LEN)) {
        let (scale, quants) = bytes.split_at(2);
        let d = float::decode(DType::F16, scale);
        let high = quants.len();
        for (i, x) in x.iter_mut().enumerate() {
            let quant = match dtype {
                DType::Q8_0 => i32::from(quants[i] as i8),
                DType::Q4_0 if i < high => i32::from(quants[i] & 15) - 8,
                DType::Q4_0 => i32::from(quants[i - high] >> 4) - 8,
                _ => return Err(CoreError::Unsupported { op: "decoding a head", dtype }),
            };
            *x = quant as f32 * d;
        }
    }
    Ok(())
}

fn check(op: &'static str, dtype: DType, elements: usize, bytes: usize) -> Result<()> {
    if !matches!(dtype, DType::F32 | DType::F16 | DType::Q8_0 | DType::Q4_0) {
        return Err(CoreError::Unsupported { op, dtype });
    }
    CoreError::expect_eq(op, "byte count", bytes, dtype.short_bytes_for(elements).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{dequantize_row, quantize_row, row_bytes};
    use proptest::prelude::*;

    fn stored(dtype: DType, head: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0xaa; dtype.short_bytes_for(head.len()).unwrap()];
        encode(dtype, head, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn full_blocks_are_those_of_rows_and_short_ones_go_on_in_the_same_way() {
        let head: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin() - 0.2).collect();
        for dtype in [DType::F32, DType::F16, DType::Q8_0] {
            let mut row = vec![0; row_bytes(dtype, head.len())];
            quantize_row(dtype, &head, &mut row).unwrap();
            let bytes = stored(dtype, &head);
            assert_eq!(bytes, row[..bytes.len()], "{dtype}");
        }
        let bytes = stored(DType::Q4_0, &head);
        let block = q4_0::Block::quantize_round_to_nearest(head.first_chunk().unwrap());
        assert_eq!((bytes.len(), &bytes[..18]), (18 + 11, &block.to_bytes()[..]));
        // Scale -0.5 / -8; the elements are 0, 1, ... steps of it from -8 on.
        let head: Vec<f32> = (0..7).map(|i| (i as f32 - 8.0) / 16.0).collect();
        assert_eq!(stored(DType::Q4_0, &head), [0x00, 0x2c, 0x40, 0x51, 0x62, 0x83]);
    }

    #[test]
    fn a_head_that_is_read_is_what_its_blocks_stand_for() {
        for (dtype, step) in [(DType::Q8_0, 1.0 / 127.0), (DType::Q4_0, 1.0 / 8.0)] {
            for len in [0, 1, 8, 17, 31, 32, 33, 64, 77] {
                let head: Vec<f32> = (0..len).map(|i| (i as f32 * 1.3).cos()).collect();
                let bytes = stored(dtype, &head);
                let mut back = vec![f32::NAN; len];
                decode(dtype, &bytes, &mut back).unwrap();
                assert!(head.iter().zip(&back).all(|(a, b)| (a - b).abs() <= 1.01 * step), "{dtype} {len}");
                let full = len / 32 * 32;
                let mut right = vec![f32::NAN; full];
                dequantize_row(dtype, &bytes[..row_bytes(dtype, full)], &mut right).unwrap();
                assert_eq!(back[..full], right, "{dtype} {len}");
            }
        }
    }

    #[test]
    fn lengths_and_types_are_checked() {
        assert!(encode(DType::Q8_0, &[0.0; 8], &mut [0; 34]).is_err());
        assert!(decode(DType::Q4_0, &[0; 5], &mut [0.0; 8]).is_err());
        assert!(encode(DType::Q4_1, &[0.0; 8], &mut [0; 8]).is_err());
    }

    proptest! {
        #[test]
        fn the_product_is_exact(quant in -128i32..128, bits in any::<u16>()) {
            let d = float::f16_to_f32(bits);
            if d.is_finite() {
                prop_assert_eq!(f64::from(quant as f32 * d), f64::from(quant) * f64::from(d));
            }
        }
    }
}
