//! Encoders of all block formats: how much they lose, what they keep, and what they do with numbers that are none.

use super::anatomy::{Anatomy, Codes};
use super::tests::Gen;
use super::*;

fn formats() -> impl Iterator<Item = (DType, BlockFormat)> {
    DType::ALL.into_iter().filter_map(|d| Some((d, d.block_format()?)))
}

fn there_and_back(dtype: DType, x: &[f32], importance: Option<&[f32]>) -> Vec<f32> {
    let mut bytes = vec![0xa5; row_bytes(dtype, x.len())];
    quantize_row_weighted(dtype, x, importance, &mut bytes).unwrap();
    let mut y = vec![f32::NAN; x.len()];
    dequantize_row(dtype, &bytes, &mut y).unwrap();
    y
}

fn error(x: &[f32], y: &[f32], importance: &[f32]) -> f64 {
    let weighted = x.iter().zip(y).zip(importance);
    weighted.map(|((&x, &y), &w)| f64::from(w) * f64::from(x - y).powi(2)).sum()
}

/// Share of the sum of squares that may be lost on Gaussian rows: a little above what is measured.
fn bound(format: BlockFormat) -> f64 {
    match format {
        BlockFormat::Q8_0 => 3.3e-5,
        BlockFormat::Q6K => 3.7e-4,
        BlockFormat::Q5_0 => 1.8e-3,
        BlockFormat::Q5_1 => 1.4e-3,
        BlockFormat::Q5K => 1.5e-3,
        BlockFormat::Q4_0 => 7.2e-3,
        BlockFormat::Q4_1 => 5.9e-3,
        BlockFormat::Q4K => 6.2e-3,
        BlockFormat::Iq4Nl | BlockFormat::Iq4Xs => 5.9e-3,
        BlockFormat::Mxfp4 => 1.3e-2,
        BlockFormat::Q3K => 2.5e-2,
        BlockFormat::Q2K => 7.4e-2,
        // What the best three levels lose of a normal distribution.
        BlockFormat::Tq1_0 | BlockFormat::Tq2_0 => 0.195,
    }
}

#[test]
fn little_is_lost_and_less_where_it_counts() {
    for (dtype, format) in formats() {
        let mut g = Gen(7);
        let (mut lost, mut of, mut with, mut without) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..40 {
            let x: Vec<f32> = (0..512).map(|_| g.gaussian() * 0.02).collect();
            let importance: Vec<f32> = (0..512).map(|_| g.gaussian().exp()).collect();
            let y = there_and_back(dtype, &x, None);
            lost += error(&x, &y, &[1.0; 512]);
            of += error(&x, &[0.0; 512], &[1.0; 512]);
            without += error(&x, &y, &importance);
            with += error(&x, &there_and_back(dtype, &x, Some(&importance)), &importance);
        }
        assert!(lost < bound(format) * of, "{dtype}: {:e}", lost / of);
        assert!(with < 0.995 * without, "{dtype}: {}", with / without);
    }
}

#[test]
fn no_code_next_to_the_chosen_one_is_better() {
    for (dtype, format) in formats() {
        let len = dtype.block_len();
        let (low, high) = match Anatomy::of(format).codes {
            Codes::Bits(low, high) => (low, high),
            _ => continue,
        };
        if matches!(format, BlockFormat::Tq2_0 | BlockFormat::Mxfp4) {
            continue;
        }
        let mut g = Gen(11);
        for _ in 0..8 {
            let x: Vec<f32> = (0..len).map(|_| g.gaussian()).collect();
            let mut bytes = vec![0; dtype.block_bytes()];
            quantize_row(dtype, &x, &mut bytes).unwrap();
            let mut codes = vec![0; len];
            read_codes(format, &bytes, &mut codes);
            let mut y = vec![0.0; len];
            dequantize_row(dtype, &bytes, &mut y).unwrap();
            let mut empty = bytes.clone();
            for i in 0..len {
                for other in [codes[i].wrapping_sub(1), codes[i] + 1] {
                    if other >> (low + high) != 0 {
                        continue;
                    }
                    let mut changed = codes.clone();
                    changed[i] = other;
                    clear_codes(format, len, &mut empty);
                    anatomy::write_codes(format, &changed, &mut empty);
                    let mut z = vec![0.0; len];
                    dequantize_row(dtype, &empty, &mut z).unwrap();
                    let (found, tried) = ((x[i] - y[i]).abs(), (x[i] - z[i]).abs());
                    assert!(found <= tried * 1.0001, "{dtype} {i}: {} {} {}", x[i], y[i], z[i]);
                }
            }
        }
    }
}

/// Sets the bits of all codes to 0.
fn clear_codes(format: BlockFormat, len: usize, block: &mut [u8]) {
    let mut mask = vec![0; block.len()];
    anatomy::write_codes(format, &vec![0xff; len], &mut mask);
    for (byte, mask) in block.iter_mut().zip(mask) {
        *byte &= !mask;
    }
}

#[test]
fn what_a_format_has_comes_back() {
    for (dtype, format) in formats() {
        let len = dtype.block_len();
        let mut g = Gen(3);
        let (mut lost, mut of, mut exact) = (0.0, 0.0, 0);
        for _ in 0..60 {
            // Gaussian rows that were rounded once.
            let x: Vec<f32> = (0..len).map(|_| g.gaussian() * 0.5).collect();
            let x = there_and_back(dtype, &x, None);
            let y = there_and_back(dtype, &x, None);
            exact += usize::from(x == y);
            lost += error(&x, &y, &vec![1.0; len]);
            of += error(&x, &vec![0.0; len], &vec![1.0; len]);
        }
        let share = lost / (of * bound(format));
        assert!(share < 0.06, "{dtype}: {share} of the usual loss, {exact} of 60 are exact");
        if matches!(format, BlockFormat::Tq1_0 | BlockFormat::Tq2_0 | BlockFormat::Mxfp4) {
            assert_eq!(exact, 60, "{dtype}");
        }
    }
}

#[test]
fn rows_that_are_no_numbers_become_some() {
    for (dtype, _) in formats() {
        let len = 256;
        assert_eq!(there_and_back(dtype, &vec![0.0; len], None), vec![0.0; len], "{dtype}");
        assert_eq!(there_and_back(dtype, &vec![0.0; len], Some(&vec![0.0; len])), vec![0.0; len], "{dtype}");
        let mut g = Gen(5);
        for wild in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40, -f32::MIN_POSITIVE, 1e5] {
            for every in [1, 7, 200] {
                let row: Vec<f32> =
                    (0..len).map(|i| if i % every == 0 { wild } else { g.gaussian() * 0.1 }).collect();
                for importance in [None, Some(vec![f32::NAN; len]), Some(vec![1e38; len])] {
                    let y = there_and_back(dtype, &row, importance.as_deref());
                    assert!(y.iter().all(|v| v.is_finite()), "{dtype} {wild} {every}");
                }
            }
        }
        // A constant is one value and its scale, or a minimum alone.
        for constant in [0.5, -0.5, 1.0, -3.0] {
            let y = there_and_back(dtype, &vec![constant; len], None);
            let worst = y.iter().fold(0.0f32, |m, v| m.max((v / constant - 1.0).abs()));
            assert!(worst < 2e-3, "{dtype} {constant}: {worst}");
        }
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    for (dtype, _) in formats() {
        let len = dtype.block_len();
        let mut bytes = vec![0; dtype.block_bytes()];
        let x = vec![1.0; len];
        assert!(quantize_row_weighted(dtype, &x, Some(&x[1..]), &mut bytes).is_err());
        assert!(quantize_row_weighted(dtype, &x, None, &mut bytes[1..]).is_err());
        let short = quantize_row_weighted(dtype, &x[1..], None, &mut bytes);
        assert_eq!(short.is_ok(), len == 32, "{dtype}");
    }
    assert!(quantize_row(DType::I32, &[1.0], &mut [0; 4]).is_err());
}
