//! The largest of some values.

/// Where the largest value is, and whether there is any that is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Largest {
    /// Index of the largest value, the lowest one of equals; `None` if none is above -inf.
    pub index: Option<u32>,
    /// Index of the first NaN.
    pub nan: Option<u32>,
}

impl Largest {
    /// Of `values`, which are fewer than 2^32.
    pub fn of(values: &[f32]) -> Self {
        let mut max = f32::NEG_INFINITY;
        let mut nan = false;
        for &value in values {
            nan |= value.is_nan();
            max = if value > max { value } else { max };
        }
        let position =
            |found: &dyn Fn(f32) -> bool| (0..).zip(values).find(|&(_, &v)| found(v)).map(|(at, _)| at);
        Self {
            index: if max == f32::NEG_INFINITY { None } else { position(&|value| value == max) },
            nan: if nan { position(&f32::is_nan) } else { None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_of_equals_and_the_first_that_is_no_number() {
        let of = |values: &[f32]| {
            let l = Largest::of(values);
            (l.index, l.nan)
        };
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        assert_eq!(of(&[]), (None, None));
        assert_eq!(of(&[-inf, -inf]), (None, None));
        assert_eq!(of(&[-inf, -3.0, -1.0, -1.0]), (Some(2), None));
        assert_eq!(of(&[-0.0, 0.0]), (Some(0), None));
        assert_eq!(of(&[1.0, inf, inf]), (Some(1), None));
        assert_eq!(of(&[nan, 2.0, nan]), (Some(1), Some(0)));
        assert_eq!(of(&[nan]), (None, Some(0)));
    }
}
