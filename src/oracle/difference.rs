//! How far two results are from each other.

/// The difference between a result and the reference's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Normalized mean squared error; see [`super::Bound::nmse`]. Infinite where the reference has only zeros and the
    /// result has not, or where only one of two values is finite.
    pub nmse: f64,
    /// Largest difference; see [`super::Bound::max`].
    pub max: f64,
    /// The element where it is: its index, the result and the reference's value.
    pub worst: Option<(usize, f32, f32)>,
    /// Whether no bit differs.
    pub same_bits: bool,
}

/// A difference below the smallest normal number counts as none: OpenCL lets devices take subnormal numbers for zero.
const FLOOR: f64 = f32::MIN_POSITIVE as f64;

impl Difference {
    /// Between `got` and `expected`, which are as long, in rows of `cols`.
    pub fn between(got: &[f32], expected: &[f32], cols: usize) -> Self {
        let (mut squares, mut total) = (0.0, 0.0);
        let mut all = Self { nmse: 0.0, max: 0.0, worst: None, same_bits: true };
        let cols = cols.max(1);
        for (row, (g, e)) in got.chunks(cols).zip(expected.chunks(cols)).enumerate() {
            let finite = e.iter().filter(|v| v.is_finite());
            let largest = finite.fold(0.0f64, |m, &v| m.max(f64::from(v).abs()));
            for (col, (&g, &e)) in g.iter().zip(e).enumerate() {
                all.same_bits &= g.to_bits() == e.to_bits();
                let distance = distance(g, e);
                if distance == 0.0 {
                    total += if e.is_finite() { f64::from(e) * f64::from(e) } else { 0.0 };
                    continue;
                }
                squares += distance * distance;
                total += f64::from(e) * f64::from(e);
                let share = distance / largest;
                if share > all.max || all.worst.is_none() {
                    all.max = share;
                    all.worst = Some((row * cols + col, g, e));
                }
            }
        }
        if squares > 0.0 {
            all.nmse = if squares.is_finite() && total.is_finite() { squares / total } else { f64::INFINITY };
        }
        all
    }
}

/// Infinite between what is finite and what is not; values that are not finite in the same way are no distance apart.
fn distance(got: f32, expected: f32) -> f64 {
    match (got.is_finite(), expected.is_finite()) {
        (true, true) => {
            let distance = (f64::from(got) - f64::from(expected)).abs();
            if distance < FLOOR { 0.0 } else { distance }
        }
        (false, false) if got == expected || got.is_nan() && expected.is_nan() => 0.0,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        // Squares: 0.25 + 1 over 1 + 4 + 16 + 64; the largest of the rows are 2 and 8.
        let d = Difference::between(&[1.0, 2.5, 4.0, 7.0], &[1.0, 2.0, 4.0, 8.0], 2);
        assert!((d.nmse - 1.25 / 85.0).abs() < 1e-15, "{d:?}");
        assert_eq!((d.max, d.worst, d.same_bits), (0.25, Some((1, 2.5, 2.0)), false));
        let same = Difference::between(&[1.0, -0.0], &[1.0, 0.0], 2);
        assert_eq!((same.nmse, same.max, same.worst, same.same_bits), (0.0, 0.0, None, false));
        assert!(Difference::between(&[], &[], 0).same_bits);
    }

    #[test]
    fn what_is_not_finite_or_should_be_zero_is_far_off() {
        let far = |got: f32, expected: f32| {
            let d = Difference::between(&[got, 1.0], &[expected, 1.0], 1);
            (d.nmse, d.max)
        };
        let infinite = (f64::INFINITY, f64::INFINITY);
        assert_eq!(far(f32::NAN, 0.5), infinite);
        assert_eq!(far(0.5, f32::NAN), infinite);
        assert_eq!(far(f32::INFINITY, f32::NEG_INFINITY), infinite);
        assert_eq!(far(f32::NAN, f32::NAN), (0.0, 0.0));
        assert_eq!(far(f32::INFINITY, f32::INFINITY), (0.0, 0.0));
        assert_eq!(far(0.25, 0.0).1, f64::INFINITY, "the row has only zeros");
        assert_eq!(Difference::between(&[0.25], &[0.0], 1).nmse, f64::INFINITY);
    }

    #[test]
    fn flushed_subnormals_are_no_difference_and_normals_are() {
        assert_eq!(Difference::between(&[0.0, 1.0], &[1e-39, 1.0], 1).max, 0.0);
        let d = Difference::between(&[0.0, 1.0], &[1e-37, 1.0], 1);
        assert!((d.max - 1.0).abs() < 1e-6, "{d:?}");
    }
}
