//! The formats of [`super::codes`]: how their codes and scales come out of a tile.

use super::TILE;
use super::codes::{CodeBytes, RUNS};
use super::simd::Simd;
use crate::core::BlockFormat;
use crate::quant::anatomy::{Anatomy, Codes, GROUPS, MXFP4_VALUES, half_power};
use crate::quant::iq4;
use crate::quant::tiles::{TRITS, VECTOR};

/// Scales of the groups of a block of 256 columns, of sixteen rows.
pub(crate) struct GroupScales {
    /// Of each group: sixteen of 16 columns, or eight of 32.
    pub scale: [[i8; TILE]; GROUPS],
    /// Of each two groups: two numbers a row, one for each, that what is taken off is a multiple of: the minima, or the
    /// scales where codes are too large.
    pub pairs: [[i8; 2 * TILE]; RUNS],
}

impl GroupScales {
    pub fn new() -> Self {
        Self { scale: [[1; TILE]; GROUPS], pairs: [[1; 2 * TILE]; RUNS] }
    }

    /// Both numbers of each pair.
    #[inline(always)]
    fn pair(&mut self, p: usize, of: [&[i8; TILE]; 2]) {
        for lane in 0..TILE {
            self.pairs[p][2 * lane] = of[0][lane];
            self.pairs[p][2 * lane + 1] = of[1][lane];
        }
    }
}

/// A block format with codes.
pub(crate) trait CodeFormat {
    const FORMAT: BlockFormat;
    /// Whether blocks have 256 columns.
    const LONG: bool;
    /// Columns of a group, 16 or 32.
    const GROUP: usize;
    /// The largest code.
    const MOST: u8;
    /// Codes are too large by two to this.
    const ZERO: Option<u32>;
    /// Whether there are minima.
    const MINIMA: bool;
    /// What codes stand for, where that is looked up.
    const TABLE: Option<[i8; 16]>;
    /// Bytes of scales a row and block.
    const SCALES: usize = Anatomy::of(Self::FORMAT).scales.1;

    /// Makes the scales of a block's groups out of its factors and scales, `[bytes][16]`.
    fn groups(factors: &[u8], scales: &[u8], out: &mut GroupScales);

    /// The factors of a block of 32 columns, and of its minima.
    #[inline(always)]
    fn factors<S: Simd>(s: S, factors: &[u8]) -> (S::F, S::F) {
        let of = |at: usize| factors.as_chunks().0.get(at).map_or(s.splat(0.0), |f| s.load_f16(f));
        (of(0), if Self::MINIMA { of(1) } else { s.splat(0.0) })
    }

    /// Pair `p` of the runs of block `j` of 32 columns. `signed`: as what the codes stand for.
    #[inline(always)]
    fn runs<L: CodeBytes>(l: L, signed: bool, codes: &[u8], j: usize, p: usize) -> [L::Q; 2] {
        let vectors = codes.as_chunks::<VECTOR>().0;
        let (low, high) = match Anatomy::of(Self::FORMAT).codes {
            Codes::Bits(low, high) => (low, high),
            Codes::Trits => return trits(l, vectors, j, p),
            Codes::AsStored(_) => (8, 0),
        };
        let blocks = if Self::LONG { RUNS } else { 1 };
        let lower = at(vectors, j * low as usize + 2 * p * low as usize / 8);
        let upper = blocks * low as usize + j * high as usize + 2 * p * high as usize / 8;
        let mask = ((1u32 << low) - 1) as u8;
        let w = l.load_codes(lower);
        let mut out = [w; 2];
        for (k, out) in out.iter_mut().enumerate() {
            let g = 2 * p as u32 + k as u32;
            *out = l.and(l.shr(w, g * low % 8), mask);
            if high > 0 {
                let h = l.load_codes(at(vectors, upper));
                let from = g * high % 8;
                let h = if from > low { l.shr(h, from - low) } else { l.shl(h, low - from) };
                *out = l.with_bits(*out, h, (((1u32 << high) - 1) << low) as u8);
            }
            if let Some(table) = Self::TABLE {
                *out = l.lookup(*out, &if signed { table } else { biased(table, Self::ZERO) });
            }
        }
        out
    }
}

/// Vector `v`; zeros where there is none, which does not happen.
#[inline(always)]
fn at(vectors: &[[u8; VECTOR]], v: usize) -> &[u8; VECTOR] {
    const NONE: &[u8; VECTOR] = &[0; VECTOR];
    vectors.get(v).unwrap_or(NONE)
}

/// A table's entries as codes that are not negative, as bytes.
const fn biased(mut table: [i8; 16], zero: Option<u32>) -> [i8; 16] {
    let Some(n) = zero else { return table };
    let mut i = 0;
    while i < table.len() {
        table[i] = (table[i] as i32 + (1 << n)) as u8 as i8;
        i += 1;
    }
    table
}

/// Pair `p` of the runs of block `j`, out of bytes of five digits: digit `n` is the integer part of three times the
/// fraction that is left when the byte, in 256ths, has been multiplied by 3^n.
#[inline(always)]
fn trits<L: CodeBytes>(l: L, vectors: &[[u8; VECTOR]], j: usize, p: usize) -> [L::Q; 2] {
    let g = j * RUNS + 2 * p;
    [trit(l, vectors, g), trit(l, vectors, g + 1)]
}

/// Run `g`.
#[inline(always)]
fn trit<L: CodeBytes>(l: L, vectors: &[[u8; VECTOR]], g: usize) -> L::Q {
    let q = l.times_power_of_three(l.load_codes(at(vectors, g / TRITS)), g % TRITS);
    // Three times a byte is at least 256 from 86 on, and 512 from 171 on.
    l.add_bytes(l.at_least(q, 86), l.at_least(q, 171))
}

macro_rules! format {
    ($name:ident, long: $long:literal, group: $group:literal, most: $most:literal, zero: $zero:expr, minima: $minima:literal,
     table: $table:expr, groups: $groups:path) => {
        #[doc = concat!("[`BlockFormat::", stringify!($name), "`]")]
        pub(crate) struct $name;

        impl CodeFormat for $name {
            const FORMAT: BlockFormat = BlockFormat::$name;
            const LONG: bool = $long;
            const GROUP: usize = $group;
            const MOST: u8 = $most;
            const ZERO: Option<u32> = $zero;
            const MINIMA: bool = $minima;
            const TABLE: Option<[i8; 16]> = $table;

            #[inline(always)]
            fn groups(factors: &[u8], scales: &[u8], out: &mut GroupScales) {
                $groups(factors, scales.as_chunks().0, out);
            }
        }
    };
}

format!(Q2K, long: true, group: 16, most: 3, zero: None, minima: true, table: None, groups: four_bits);
format!(Q3K, long: true, group: 16, most: 7, zero: Some(2), minima: false, table: None, groups: six_bits_signed);
format!(Q4K, long: true, group: 32, most: 15, zero: None, minima: true, table: None, groups: six_bits);
format!(Q5K, long: true, group: 32, most: 31, zero: None, minima: true, table: None, groups: six_bits);
format!(Q6K, long: true, group: 16, most: 63, zero: Some(5), minima: false, table: None, groups: eight_bits);
format!(Iq4Xs, long: true, group: 32, most: 241, zero: Some(7), minima: false, table: Some(iq4::VALUES),
    groups: two_and_four_bits);
format!(Tq1_0, long: true, group: 32, most: 2, zero: Some(0), minima: false, table: None, groups: no_scales);
format!(Tq2_0, long: true, group: 32, most: 2, zero: Some(0), minima: false, table: None, groups: no_scales);
format!(Q5_0, long: false, group: 32, most: 31, zero: Some(4), minima: false, table: None, groups: no_scales);
format!(Q5_1, long: false, group: 32, most: 31, zero: None, minima: true, table: None, groups: no_scales);
format!(Iq4Nl, long: false, group: 32, most: 241, zero: Some(7), minima: false, table: Some(iq4::VALUES),
    groups: no_scales);

/// [`BlockFormat::Mxfp4`]
pub(crate) struct Mxfp4;

impl CodeFormat for Mxfp4 {
    const FORMAT: BlockFormat = BlockFormat::Mxfp4;
    const LONG: bool = false;
    const GROUP: usize = 32;
    const MOST: u8 = 28;
    const ZERO: Option<u32> = Some(4);
    const MINIMA: bool = false;
    const TABLE: Option<[i8; 16]> = Some(MXFP4_VALUES);

    #[inline(always)]
    fn groups(_: &[u8], _: &[u8], _: &mut GroupScales) {}

    #[inline(always)]
    fn factors<S: Simd>(s: S, factors: &[u8]) -> (S::F, S::F) {
        let mut d = [0.0; TILE];
        if let Some(factors) = factors.first_chunk::<TILE>() {
            for lane in 0..TILE {
                d[lane] = half_power(factors[lane]);
            }
        }
        (s.load(&d), s.splat(0.0))
    }
}

/// A byte of each row.
type Bytes = [u8; TILE];

/// What a function of bytes of each row makes of them.
#[inline(always)]
fn each(a: &Bytes, b: &Bytes, f: impl Fn(u8, u8) -> u8) -> [i8; TILE] {
    let mut out = [0; TILE];
    for lane in 0..TILE {
        out[lane] = f(a[lane], b[lane]) as i8;
    }
    out
}

/// Without scales: all stay 1.
#[inline(always)]
fn no_scales(_: &[u8], _: &[Bytes], _: &mut GroupScales) {}

/// Q2_K: four bits of a scale, four of a minimum.
#[inline(always)]
fn four_bits(_: &[u8], bytes: &[Bytes], out: &mut GroupScales) {
    let Some(bytes) = bytes.first_chunk::<GROUPS>() else { return };
    for (p, [a, b]) in bytes.as_chunks::<2>().0.iter().enumerate() {
        out.scale[2 * p] = each(a, a, |x, _| x & 15);
        out.scale[2 * p + 1] = each(b, b, |x, _| x & 15);
        out.pair(p, [&each(a, a, |x, _| x >> 4), &each(b, b, |x, _| x >> 4)]);
    }
}

/// Q6_K.
#[inline(always)]
fn eight_bits(_: &[u8], bytes: &[Bytes], out: &mut GroupScales) {
    let Some(bytes) = bytes.first_chunk::<GROUPS>() else { return };
    for (p, [a, b]) in bytes.as_chunks::<2>().0.iter().enumerate() {
        let (a, b) = (each(a, a, |x, _| x), each(b, b, |x, _| x));
        (out.scale[2 * p], out.scale[2 * p + 1]) = (a, b);
        out.pair(p, [&a, &b]);
    }
}

/// Q4_K and Q5_K: six bits of a scale and of a minimum; the last four groups have their lower four bits together, their
/// upper two above the first four groups'.
#[inline(always)]
fn six_bits(_: &[u8], bytes: &[Bytes], out: &mut GroupScales) {
    let Some(bytes) = bytes.first_chunk::<12>() else { return };
    let mut minima = [[0; TILE]; RUNS];
    for j in 0..4 {
        let (scale, min, low) = (&bytes[j], &bytes[j + 4], &bytes[j + 8]);
        out.scale[j] = each(scale, low, |s, _| s & 63);
        out.scale[j + 4] = each(scale, low, |s, l| l & 15 | s >> 2 & 48);
        minima[j] = each(min, low, |m, _| m & 63);
        minima[j + 4] = each(min, low, |m, l| l >> 4 | m >> 2 & 48);
    }
    for (p, [a, b]) in minima.as_chunks::<2>().0.iter().enumerate() {
        out.pair(p, [a, b]);
    }
}

/// Q3_K: six bits of a scale, 32 too large: the lower four of groups 8 apart together, the upper two of groups 4 apart.
#[inline(always)]
fn six_bits_signed(_: &[u8], bytes: &[Bytes], out: &mut GroupScales) {
    let Some(bytes) = bytes.first_chunk::<12>() else { return };
    for g in 0..GROUPS {
        let (low, top) = (&bytes[g % 8], &bytes[8 + g % 4]);
        let (down, up) = (g / 8 * 4, g / 4 * 2);
        out.scale[g] = each(low, top, |l, t| (l >> down & 15 | (t >> up & 3) << 4).wrapping_sub(32));
    }
    for p in 0..RUNS {
        let (a, b) = (out.scale[2 * p], out.scale[2 * p + 1]);
        out.pair(p, [&a, &b]);
    }
}

/// IQ4_XS: six bits of a scale, 32 too large: the lower four of two groups together, the upper two beside the factors.
#[inline(always)]
fn two_and_four_bits(factors: &[u8], bytes: &[Bytes], out: &mut GroupScales) {
    let (Some(bytes), Some(tops)) = (bytes.first_chunk::<4>(), factors.as_chunks::<{ 2 * TILE }>().0.get(1))
    else {
        return;
    };
    // Of the first four groups, and of the last.
    let mut halves = [[0; TILE]; 2];
    for lane in 0..TILE {
        halves[0][lane] = tops[2 * lane];
        halves[1][lane] = tops[2 * lane + 1];
    }
    for j in 0..RUNS {
        let (down, up) = (j % 2 * 4, j % 4 * 2);
        let scale = |l: u8, t: u8| (l >> down & 15 | (t >> up & 3) << 4).wrapping_sub(32);
        out.scale[j] = each(&bytes[j / 2], &halves[j / 4], scale);
    }
    for p in 0..RUNS / 2 {
        let (a, b) = (out.scale[2 * p], out.scale[2 * p + 1]);
        out.pair(p, [&a, &b]);
    }
}
