//! What an element's squared error counts: the weights of the least squares.

use super::fit::energy;

/// A column counts at least this share of the mean, so that no element is without a say.
const LEAST_SHARE: f32 = 1e-4;

/// Weights of the elements `x`, of which `importance` says how large the inputs of their columns are (the mean square);
/// without it all columns are alike.
///
/// An element of a matrix that is large for its block is on an average worth more than a small one of the same
/// column. With `magnitudes` it counts by the root of its square and its block's mean square.
pub(super) fn weights<const N: usize>(
    x: &[f32; N],
    importance: Option<&[f32; N]>,
    magnitudes: bool,
) -> [f32; N] {
    let mut w = importance.map_or([1.0; N], normalized);
    if !magnitudes {
        return w;
    }
    let mean_square = energy(x, &[1.0; N]) / N as f32;
    for (w, &x) in w.iter_mut().zip(x) {
        *w *= (mean_square + x * x).sqrt();
    }
    normalized(&w)
}

/// With a mean of 1, and without negative numbers, NaN and infinity.
fn normalized<const N: usize>(w: &[f32; N]) -> [f32; N] {
    let w = w.map(|v| if v > 0.0 && v < f32::MAX { v } else { 0.0 });
    let most = w.iter().fold(0.0f32, |m, &v| if v > m { v } else { m });
    if most == 0.0 {
        return [1.0; N];
    }
    // Divided first: a sum of large ones would not be finite.
    let w = w.map(|v| v / most);
    let mean = w.iter().sum::<f32>() / N as f32;
    w.map(|v| v / mean + LEAST_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_positive_and_finite_whatever_comes() {
        let wild = [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e-38, 1e38, 3.0, 4.0];
        for magnitudes in [false, true] {
            for x in [[0.0; 8], [1e6; 8], [1.0, -2.0, 3.0, 0.0, 0.5, 0.25, 0.1, 7.0]] {
                for importance in [None, Some(&wild), Some(&[0.0; 8])] {
                    let w = weights(&x, importance, magnitudes);
                    assert!(w.iter().all(|&v| v > 0.0 && v < 9.0), "{w:?}");
                }
            }
        }
        assert_eq!(weights(&[1.0; 8], None, false), [1.0; 8]);
    }
}
