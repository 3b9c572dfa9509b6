//! Random numbers and matrices for trying and measuring single operations.

use super::random::mixed;
use crate::core::{CoreError, DType, HostTensor, Result, Shape};
use crate::quant;

/// Numbers between -1 and 1 of uniform distribution, multiples of 2^-23; the same ones for a seed each time.
pub fn noise(seed: u64, len: usize) -> impl Iterator<Item = f32> {
    let base = mixed(seed);
    (0..len as u64).map(move |i| (mixed(base.wrapping_add(i)) >> 40) as f32 / (1 << 23) as f32 - 1.0)
}

/// A matrix of `[rows, cols]` stored as `dtype`, whose rows are those in `values` over and over: quantizing as many
/// different ones as a large matrix has takes longer than using them.
///
/// # Errors
/// [`CoreError::OutOfMemory`], or a type that a matrix cannot be stored in.
pub fn repeated_rows(dtype: DType, rows: usize, cols: usize, values: &[f32]) -> Result<HostTensor> {
    let len = quant::row_bytes(dtype, cols);
    let distinct = values.len().checked_div(cols).unwrap_or_default().min(rows);
    let mut pattern = vec![0; distinct * len];
    for (row, out) in values.chunks_exact(cols.max(1)).zip(pattern.chunks_exact_mut(len.max(1))) {
        quant::quantize_row(dtype, row, out)?;
    }
    let size = rows.saturating_mul(len);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| CoreError::OutOfMemory { what: "a matrix", bytes: size })?;
    while bytes.len() < size && !pattern.is_empty() {
        let part = pattern.len().min(size - bytes.len());
        bytes.extend_from_slice(&pattern[..part]);
    }
    HostTensor::new("a matrix", dtype, Shape::from([rows, cols]), bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_fills_its_range_and_depends_on_the_seed() {
        let values: Vec<f32> = noise(1, 10_000).collect();
        assert!(values.iter().all(|x| (-1.0..1.0).contains(x)));
        let mean = values.iter().sum::<f32>() / 10_000.0;
        let square = values.iter().map(|x| x * x).sum::<f32>() / 10_000.0;
        // Five standard errors: deviations of a uniform number and of its square are 0.577 and 0.298.
        assert!(mean.abs() < 0.029 && (square - 1.0 / 3.0).abs() < 0.015, "{mean} {square}");
        assert_eq!(values[..9], noise(1, 9).collect::<Vec<_>>());
        assert!(values[..9].iter().all(|x| !noise(2, 100).any(|y| y == *x)), "seeds do not overlap");
    }

    #[test]
    fn rows_repeat_in_the_format_asked_for() {
        let values: Vec<f32> = noise(3, 3 * 32).collect();
        let matrix = repeated_rows(DType::Q8_0, 7, 32, &values).unwrap();
        assert_eq!((matrix.dtype(), matrix.matrix_dims()), (DType::Q8_0, (7, 32)));
        assert_eq!(matrix.row_bytes(0), matrix.row_bytes(6));
        assert_ne!(matrix.row_bytes(0), matrix.row_bytes(1));
        let mut row = [0.0; 32];
        quant::dequantize_row(DType::Q8_0, matrix.row_bytes(5), &mut row).unwrap();
        assert!(row.iter().zip(&values[64..]).all(|(a, b)| (a - b).abs() < 0.005));
        assert_eq!(repeated_rows(DType::F32, 0, 4, &[]).unwrap().bytes().len(), 0);
        assert!(repeated_rows(DType::F32, 2, 4, &[]).is_err(), "nothing to repeat");
        assert!(repeated_rows(DType::I32, 1, 1, &[0.0]).is_err());
    }
}
