//! The values that codes stand for, in steps of a scale, and how the nearest of them is found.

use super::anatomy::MXFP4_VALUES;
use super::iq4;
use super::round::{MAGIC, limit, ties_even};

/// A set of values that codes stand for.
pub(super) trait Codebook: Copy {
    /// The value nearest to `v`; of two that are equally near, either.
    fn nearest(self, v: f32) -> f32;

    /// The code of a value that [`Self::nearest`] gave.
    fn code(self, value: f32) -> u8;
}

/// All whole numbers from `lo` to `hi`; the code of `lo` is 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    /// The least value.
    pub lo: f32,
    /// The largest one.
    pub hi: f32,
}

impl Codebook for Steps {
    #[inline(always)]
    fn nearest(self, v: f32) -> f32 {
        ties_even(limit(v, self.lo, self.hi))
    }

    #[inline(always)]
    fn code(self, value: f32) -> u8 {
        (value - self.lo) as u8
    }
}

/// Half steps that a table has a place for, from -128 on.
const PLACES: usize = 512;

/// Sixteen values of -127 to 127. Those next to each other meet at a multiple of one half, so that a table with a place
/// for each half finds the nearest one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    values: &'static [i8; 16],
    nearest: &'static [i8; PLACES],
}

/// The values of IQ4_NL and IQ4_XS.
pub(super) const IQ4: Table = Table { values: &iq4::VALUES, nearest: &IQ4_NEAREST };

/// Those of MXFP4.
pub(super) const MXFP4: Table = Table { values: &MXFP4_VALUES, nearest: &MXFP4_NEAREST };

static IQ4_NEAREST: [i8; PLACES] = places(&iq4::VALUES);
static MXFP4_NEAREST: [i8; PLACES] = places(&MXFP4_VALUES);

/// The value nearest to the middle of each half step.
const fn places(values: &[i8; 16]) -> [i8; PLACES] {
    let mut table = [0; PLACES];
    let mut place = 0;
    while place < PLACES {
        // In quarters.
        let middle = 2 * (place as i32 - PLACES as i32 / 2) + 1;
        let (mut best, mut i) = (0, 1);
        while i < 16 {
            if (4 * values[i] as i32 - middle).abs() < (4 * values[best] as i32 - middle).abs() {
                best = i;
            }
            i += 1;
        }
        table[place] = values[best];
        place += 1;
    }
    table
}

impl Codebook for Table {
    #[inline(always)]
    fn nearest(self, v: f32) -> f32 {
        let place = limit(2.0 * v + 255.5, 0.0, 511.0);
        f32::from(self.nearest[(place + MAGIC).to_bits() as usize % PLACES])
    }

    #[inline(always)]
    fn code(self, value: f32) -> u8 {
        let found = self.values.iter().position(|&v| f32::from(v) == value);
        found.unwrap_or(0) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_find_the_nearest_value() {
        for table in [IQ4, MXFP4] {
            for i in -140_000..140_000 {
                let v = i as f32 * 0.001;
                let found = table.nearest(v);
                let least = table.values.iter().map(|&q| (f32::from(q) - v).abs()).fold(f32::MAX, f32::min);
                assert!((found - v).abs() < least + 3e-5, "{v}: {found}");
                assert_eq!(f32::from(table.values[usize::from(table.code(found))]), found);
            }
        }
    }
}
