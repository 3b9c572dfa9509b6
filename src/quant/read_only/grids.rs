//! The vectors that codes of IQ1 to IQ3 stand for, kept as sets: a bit for each vector that could be, in ascending order of
//! the numbers that their elements are the digits of, the first one the least. `scripts/make_iq_grids.py` makes the file.

/// All sets, one after the other.
const SETS: &[u8; 4 * EIGHTS + 2 * FOURS] = include_bytes!("grids.bin");

/// Bytes of a set of vectors of eight elements with three values.
const EIGHTS: usize = 3usize.pow(8).div_ceil(8);

/// Bytes of a set of vectors of four elements with eight values.
const FOURS: usize = 8usize.pow(4) / 8;

/// Magnitudes of IQ2.
const TWO_BITS: [i8; 3] = [8, 25, 43];

pub(super) static IQ2_XXS: [[i8; 8]; 256] = vectors(0, &TWO_BITS);
pub(super) static IQ2_XS: [[i8; 8]; 512] = vectors(EIGHTS, &TWO_BITS);
pub(super) static IQ2_S: [[i8; 8]; 1024] = vectors(2 * EIGHTS, &TWO_BITS);
/// Of IQ1_S and IQ1_M, in eighths.
pub(super) static IQ1: [[i8; 8]; 2048] = vectors(3 * EIGHTS, &[-8, 0, 8]);
pub(super) static IQ3_XXS: [[i8; 4]; 256] = vectors(4 * EIGHTS, &[4, 12, 20, 28, 36, 44, 52, 62]);
pub(super) static IQ3_S: [[i8; 4]; 512] = vectors(4 * EIGHTS + FOURS, &[1, 3, 5, 7, 9, 11, 13, 15]);

/// The vectors of the set that begins at `start`. Compiling fails if they are not `N`.
const fn vectors<const N: usize, const LEN: usize>(start: usize, values: &[i8]) -> [[i8; LEN]; N] {
    let mut out = [[0; LEN]; N];
    let (mut number, mut found) = (0, 0);
    while number < values.len().pow(LEN as u32) {
        if SETS[start + number / 8] >> (number % 8) & 1 == 1 {
            let (mut rest, mut i) = (number, 0);
            while i < LEN {
                out[found][i] = values[rest % values.len()];
                rest /= values.len();
                i += 1;
            }
            found += 1;
        }
        number += 1;
    }
    assert!(found == N);
    out
}
