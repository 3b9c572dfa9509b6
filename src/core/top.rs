//! The largest few of some values.

use std::cmp::Ordering;

use super::Largest;

/// The largest of some values with their indices, and whether there is any that is not a number. Memory is kept from
/// one use to the next.
#[derive(Clone, Debug, Default)]
pub struct Top {
    found: Vec<(u32, f32)>,
    nan: Option<u32>,
}

impl Top {
    /// Finds the `count` (at least 1) largest of `values`, which are fewer than 2^32; of equals those with the lower
    /// indices. Values of -inf are never among them.
    pub fn find(&mut self, values: &[f32], count: usize) {
        self.select((0..).zip(values.iter().copied()), count);
        self.nan = if self.nan.is_some() {
            (0..).zip(values).find(|(_, v)| v.is_nan()).map(|(at, _)| at)
        } else {
            None
        };
    }

    /// As [`Self::find`], of values that come with their indices, in any order. Of several that are not numbers it is
    /// unspecified which one is reported.
    ///
    /// O(n): the best so far are cut to `count` whenever there are twice as many; the last one of these then is the
    /// bar for the rest.
    pub fn select(&mut self, values: impl Iterator<Item = (u32, f32)>, count: usize) {
        let count = count.max(1);
        let found = &mut self.found;
        found.clear();
        self.nan = None;
        let mut bar = (u32::MAX, f32::NEG_INFINITY);
        for (index, value) in values {
            if value.is_nan() {
                self.nan = Some(index);
            }
            // Most values end here. No NaN passes.
            if value < bar.1 || value.is_nan() || rank(&(index, value), &bar).is_ge() {
                continue;
            }
            if value == f32::NEG_INFINITY {
                continue;
            }
            found.push((index, value));
            if found.len() == count.saturating_mul(2) {
                found.select_nth_unstable_by(count - 1, rank);
                found.truncate(count);
                bar = found[count - 1];
            }
        }
        if found.len() > count {
            found.select_nth_unstable_by(count - 1, rank);
            found.truncate(count);
        }
    }

    /// What was found, in no particular order: never NaN or -inf. Without meaning if there is a NaN.
    pub fn found(&self) -> &[(u32, f32)] {
        &self.found
    }

    /// Index of a value that is not a number.
    pub fn nan(&self) -> Option<u32> {
        self.nan
    }

    /// What was found, the largest first.
    pub fn sorted(&self) -> Vec<(u32, f32)> {
        let mut all = self.found.clone();
        all.sort_unstable_by(rank);
        all
    }

    /// The largest of what was found.
    pub fn largest(&self) -> Largest {
        let first = self.found.iter().min_by(|a, b| rank(a, b));
        Largest { index: first.map(|&(index, _)| index), nan: self.nan }
    }

    /// Nothing found but a value, of this index, that is not a number.
    pub fn broken(&mut self, nan: u32) {
        self.found.clear();
        self.nan = Some(nan);
    }
}

/// The larger first; of equals (0.0 and -0.0 are) the one with the lower index.
fn rank(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_and_of_equals_those_with_lower_indices() {
        let mut top = Top::default();
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        top.find(&[1.0, -inf, 3.0, 3.0, -0.0, 0.0, 3.0, inf], 3);
        assert_eq!(top.sorted(), [(7, inf), (2, 3.0), (3, 3.0)]);
        assert_eq!(top.nan(), None);
        assert_eq!(top.largest(), Largest { index: Some(7), nan: None });
        top.find(&[-0.0, 0.0, -1.0], 1);
        assert_eq!(top.sorted(), [(0, -0.0)]);
        top.find(&[-inf, 2.0, -inf], 9);
        assert_eq!(top.sorted(), [(1, 2.0)]);
        top.find(&[-inf; 3], 2);
        assert!(top.found().is_empty() && top.nan().is_none());
        top.find(&[1.0, nan, 2.0, nan], 2);
        assert_eq!(top.nan(), Some(1));
        top.find(&[], 2);
        assert!(top.found().is_empty() && top.nan().is_none());
    }

    #[test]
    fn any_order_gives_the_same() {
        // Values with many ties, forward and backward.
        let values: Vec<(u32, f32)> = (0..999u32).map(|i| (i, (i * 7919 % 101) as f32)).collect();
        for count in [1, 2, 7, 100, 998, 999, 2000] {
            let mut expected = values.clone();
            expected.sort_by(rank);
            expected.truncate(count);
            let mut top = Top::default();
            top.select(values.iter().copied(), count);
            assert_eq!(top.sorted(), expected, "{count}");
            top.select(values.iter().rev().copied(), count);
            assert_eq!(top.sorted(), expected, "{count}, backward");
        }
    }
}
