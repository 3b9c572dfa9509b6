//! How blocks of 256 elements with stored scales of groups are made: Q3_K, Q6_K and IQ4_XS, whose elements are a scale times
//! a value, and Q2_K, Q4_K and Q5_K, which have a minimum as well.
//!
//! First each group's own best scale is searched for as if any could be stored. Then the block's factor is: for each that is
//! tried, a group takes the stored scale near its own that leaves the least error, codes and all; and the best factor for
//! these codes and scales, a quotient of sums, is the next one to be tried.

use half::f16;

use super::codebook::{Codebook, IQ4, Steps};
use super::fit::{self, Affine, Scale};
use super::round::{F16_MIN_POSITIVE, limit, ties_even, to_f16_grid};
use crate::core::{BlockFormat, K_BLOCK_LEN};
use crate::quant::anatomy::{GROUPS, write_codes};
use crate::quant::scales::{StoredScales, write_scales};

/// How a format with scales alone is searched.
struct Symmetric<C> {
    codebook: C,
    /// Positions of a group's largest element, in steps.
    starts: &'static [f32],
    /// Least and largest stored scale.
    limits: (f32, f32),
    /// Stored values of the largest scale: where factors are tried.
    tops: &'static [f32],
    /// How far from a group's own scale stored ones are tried.
    reach: i32,
}

const Q3_STARTS: [f32; 16] =
    [-4.9, -4.6, -4.3, -4.1, -3.9, -3.7, -3.5, -3.3, -3.0, 2.4, 2.7, 2.9, 3.1, 3.3, 3.5, 3.8];
const Q6_STARTS: [f32; 14] =
    [-33.0, -32.4, -32.0, -31.6, -31.2, -30.8, -30.3, -29.8, 29.4, 30.0, 30.5, 31.0, 31.4, 31.8];
const IQ4_STARTS: [f32; 14] =
    [-140.0, -133.0, -128.0, -123.0, -118.0, -112.0, -106.0, -100.0, 94.0, 100.0, 106.0, 112.0, 117.0, 122.0];

/// How a format with scales and minima is searched.
struct Minima {
    /// The largest code.
    top: f32,
    /// Starts of a group's search.
    starts: &'static [(f32, f32)],
    /// The largest stored scale and minimum.
    largest: f32,
    /// Stored values of the largest scale and of the largest minimum: where factors are tried.
    tops: &'static [(f32, f32)],
    /// How far from a group's own scale stored ones are tried.
    reach: i32,
}

const Q2_STARTS: [(f32, f32); 14] = [
    (3.0, 0.0),
    (3.2, 0.1),
    (3.4, 0.2),
    (3.6, 0.3),
    (3.9, 0.45),
    (2.7, -0.15),
    (2.4, -0.3),
    (3.3, 0.3),
    (3.3, 0.0),
    (3.6, 0.0),
    (3.6, 0.6),
    (2.7, 0.0),
    (2.1, 0.0),
    (2.7, -0.3),
];
const Q4_STARTS: [(f32, f32); 12] = [
    (15.0, 0.0),
    (15.4, 0.2),
    (15.8, 0.4),
    (14.6, -0.2),
    (14.2, -0.4),
    (13.6, -0.7),
    (15.5, 0.0),
    (15.5, 0.5),
    (14.5, 0.0),
    (14.5, -0.5),
    (14.0, 0.0),
    (14.0, -1.0),
];
const Q5_STARTS: [(f32, f32); 10] = [
    (31.0, 0.0),
    (31.4, 0.2),
    (31.8, 0.4),
    (30.6, -0.2),
    (30.2, -0.4),
    (29.6, -0.7),
    (31.5, 0.0),
    (31.5, 0.5),
    (30.5, 0.0),
    (30.5, -0.5),
];

/// Makes a block of one of these formats.
///
/// # Panics
/// If the format is another one, or `block` is not as long as it asks for.
pub(super) fn encode(format: BlockFormat, x: &[f32; K_BLOCK_LEN], w: &[f32; K_BLOCK_LEN], block: &mut [u8]) {
    let found = match format {
        BlockFormat::Q3K => symmetric::<_, 16>(
            &Symmetric {
                codebook: Steps { lo: -4.0, hi: 3.0 },
                starts: &Q3_STARTS,
                limits: (-32.0, 31.0),
                tops: &[-32.0, -31.0, -29.0, -27.0, -33.5],
                reach: 2,
            },
            x,
            w,
        ),
        BlockFormat::Q6K => symmetric::<_, 16>(
            &Symmetric {
                codebook: Steps { lo: -32.0, hi: 31.0 },
                starts: &Q6_STARTS,
                limits: (-128.0, 127.0),
                tops: &[-127.0, -120.0],
                reach: 5,
            },
            x,
            w,
        ),
        BlockFormat::Iq4Xs => symmetric::<_, 32>(
            &Symmetric {
                codebook: IQ4,
                starts: &IQ4_STARTS,
                limits: (-32.0, 31.0),
                tops: &[-32.0, -31.0, -29.0, -27.0],
                reach: 1,
            },
            x,
            w,
        ),
        BlockFormat::Q2K => minima::<16>(
            &Minima {
                top: 3.0,
                starts: &Q2_STARTS,
                largest: 15.0,
                tops: &[(15.0, 15.0), (15.0, 13.0), (13.0, 15.0), (12.0, 12.0), (14.0, 14.0), (16.0, 16.0)],
                reach: 1,
            },
            x,
            w,
        ),
        BlockFormat::Q4K => minima::<32>(
            &Minima { top: 15.0, starts: &Q4_STARTS, largest: 63.0, tops: &K_TOPS, reach: 1 },
            x,
            w,
        ),
        BlockFormat::Q5K => minima::<32>(
            &Minima { top: 31.0, starts: &Q5_STARTS, largest: 63.0, tops: &K_TOPS, reach: 2 },
            x,
            w,
        ),
        other => unreachable!("{other:?} has no scales of groups"),
    };
    block.fill(0);
    write_codes(format, &found.codes, block);
    write_scales(format, &found.scales, block);
}

const K_TOPS: [(f32, f32); 5] = [(63.0, 63.0), (61.0, 59.0), (58.0, 62.0), (55.0, 54.0), (62.0, 57.0)];

/// What a block is made of.
struct Found {
    scales: StoredScales,
    codes: [u8; K_BLOCK_LEN],
}

/// What can be tried for a block's factors.
#[derive(Clone, Copy)]
struct Tried {
    factors: (f32, f32),
    scale: [f32; GROUPS],
    min: [f32; GROUPS],
    error: f32,
}

impl Tried {
    const NOTHING: Self =
        Self { factors: (0.0, 0.0), scale: [0.0; GROUPS], min: [0.0; GROUPS], error: f32::INFINITY };

    fn stored(&self) -> StoredScales {
        let half = |v: f32| f16::from_f32(v).to_bits();
        StoredScales {
            factor: half(self.factors.0),
            min_factor: half(self.factors.1),
            scale: self.scale.map(|s| s as i8),
            min: self.min.map(|m| m as i8),
        }
    }
}

/// A factor that f16 has, not 0.
fn factor(v: f32) -> f32 {
    let d = to_f16_grid(v);
    if d == 0.0 { F16_MIN_POSITIVE.copysign(v) } else { d }
}

/// Factors are tried at most so often from the best one on.
const REFINEMENTS: usize = 3;

fn symmetric<C: Codebook, const N: usize>(
    how: &Symmetric<C>,
    x: &[f32; K_BLOCK_LEN],
    w: &[f32; K_BLOCK_LEN],
) -> Found {
    let (xs, ws) = (x.as_chunks::<N>().0, w.as_chunks::<N>().0);
    let mut own = [[Scale { scale: 0.0, error: 0.0 }; 2]; GROUPS];
    for ((own, x), w) in own.iter_mut().zip(xs).zip(ws) {
        *own = fit::scales(how.codebook, x, w, how.starts, 2);
    }
    let own = &own[..xs.len()];
    let most = own.iter().fold(0.0f32, |m, s| if s[0].scale.abs() > m.abs() { s[0].scale } else { m });
    let mut best = Tried::NOTHING;
    if most != 0.0 {
        for top in how.tops {
            try_factor(how, xs, ws, own, factor(most / top), &mut best);
        }
        for _ in 0..REFINEMENTS {
            let (d, error) = (better_factor(how, xs, ws, &best), best.error);
            if d == best.factors.0 {
                break;
            }
            try_factor(how, xs, ws, own, d, &mut best);
            if best.error >= error {
                break;
            }
        }
    }
    let mut codes = [0; K_BLOCK_LEN];
    for (g, codes) in codes.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        let s = best.factors.0 * best.scale[g];
        let inv = if s == 0.0 { 0.0 } else { 1.0 / s };
        *codes = xs[g].map(|v| how.codebook.code(how.codebook.nearest(v * inv)));
    }
    Found { scales: best.stored(), codes }
}

/// The stored scales that are best with factor `d`, if better than what there is.
fn try_factor<C: Codebook, const N: usize>(
    how: &Symmetric<C>,
    xs: &[[f32; N]],
    ws: &[[f32; N]],
    own: &[[Scale; 2]],
    d: f32,
    best: &mut Tried,
) {
    let mut tried = Tried { factors: (d, 0.0), error: 0.0, ..Tried::NOTHING };
    for (g, own) in own.iter().enumerate() {
        let (x, w) = (&xs[g], &ws[g]);
        let mut least = f32::INFINITY;
        let mut last = f32::NAN;
        for side in own {
            let middle = limit(ties_even(limit(side.scale / d, -1e6, 1e6)), how.limits.0, how.limits.1);
            if middle == last {
                break;
            }
            last = middle;
            for near in -how.reach..=how.reach {
                let stored = middle + near as f32;
                if stored < how.limits.0 || stored > how.limits.1 {
                    continue;
                }
                let error = fit::affine_error(how.codebook, x, w, d * stored, 0.0);
                if error < least {
                    least = error;
                    tried.scale[g] = stored;
                }
            }
        }
        tried.error += least;
        if tried.error >= best.error {
            return;
        }
    }
    *best = tried;
}

/// The best factor for the scales and codes that were found.
fn better_factor<C: Codebook, const N: usize>(
    how: &Symmetric<C>,
    xs: &[[f32; N]],
    ws: &[[f32; N]],
    at: &Tried,
) -> f32 {
    let (mut rv, mut vv) = (0.0, 0.0);
    for (g, (x, w)) in xs.iter().zip(ws).enumerate() {
        let s = at.factors.0 * at.scale[g];
        if s == 0.0 {
            continue;
        }
        let inv = 1.0 / s;
        for (&x, &w) in x.iter().zip(w) {
            let q = how.codebook.nearest(x * inv);
            let v = at.scale[g] * q;
            rv += w * (x - s * q) * v;
            vv += w * v * v;
        }
    }
    if vv > 0.0 { factor(at.factors.0 + rv / vv) } else { at.factors.0 }
}

fn minima<const N: usize>(how: &Minima, x: &[f32; K_BLOCK_LEN], w: &[f32; K_BLOCK_LEN]) -> Found {
    let codebook = Steps { lo: 0.0, hi: how.top };
    let (xs, ws) = (x.as_chunks::<N>().0, w.as_chunks::<N>().0);
    let mut own = [Affine { scale: 0.0, min: 0.0, error: 0.0 }; GROUPS];
    for ((own, x), w) in own.iter_mut().zip(xs).zip(ws) {
        *own = fit::affine(codebook, x, w, how.starts, false);
    }
    let own = &own[..xs.len()];
    let most = |of: fn(&Affine) -> f32| own.iter().map(of).fold(0.0f32, |m, v| if v > m { v } else { m });
    let (scale, min) = (most(|a| a.scale), most(|a| a.min));
    let mut best = Tried::NOTHING;
    let some = |v: f32, top: f32| if v > 0.0 { factor(v / top) } else { 0.0 };
    for top in how.tops {
        try_factors(how, xs, ws, own, (some(scale, top.0), some(min, top.1)), &mut best);
    }
    for _ in 0..REFINEMENTS {
        let (factors, error) = (better_factors(codebook, xs, ws, &best), best.error);
        if factors == best.factors {
            break;
        }
        try_factors(how, xs, ws, own, factors, &mut best);
        if best.error >= error {
            break;
        }
    }
    let mut codes = [0; K_BLOCK_LEN];
    for (g, codes) in codes.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        let (s, m) = (best.factors.0 * best.scale[g], best.factors.1 * best.min[g]);
        let inv = if s == 0.0 { 0.0 } else { 1.0 / s };
        *codes = xs[g].map(|v| codebook.code(codebook.nearest((v + m) * inv)));
    }
    Found { scales: best.stored(), codes }
}

/// The stored scales and minima that are best with these factors, if better than what there is.
fn try_factors<const N: usize>(
    how: &Minima,
    xs: &[[f32; N]],
    ws: &[[f32; N]],
    own: &[Affine],
    (d, dmin): (f32, f32),
    best: &mut Tried,
) {
    let codebook = Steps { lo: 0.0, hi: how.top };
    let mut tried = Tried { factors: (d, dmin), error: 0.0, ..Tried::NOTHING };
    let nearest = |v: f32, factor: f32| {
        if factor == 0.0 { 0.0 } else { ties_even(limit(v / factor, 0.0, how.largest)) }
    };
    for (g, own) in own.iter().enumerate() {
        let (x, w) = (&xs[g], &ws[g]);
        let mut least = f32::INFINITY;
        let mut try_one = |scale: f32, min: f32| {
            let error = fit::affine_error(codebook, x, w, d * scale, dmin * min);
            if error < least {
                least = error;
                (tried.scale[g], tried.min[g]) = (scale, min);
            }
        };
        let middle = nearest(own.scale, d);
        for near in -how.reach..=how.reach {
            let scale = middle + near as f32;
            if scale < 0.0 || scale > how.largest {
                continue;
            }
            let s = d * scale;
            // The minimum that goes with this scale.
            let min = if s > 1e-30 {
                own.min + fit::affine_sums(codebook, x, w, s, own.min).more_min()
            } else {
                -fit::mean(x, w)
            };
            let stored = nearest(min, dmin);
            try_one(scale, stored);
            let other = if stored * dmin < min { stored + 1.0 } else { stored - 1.0 };
            if (0.0..=how.largest).contains(&other) && dmin != 0.0 {
                try_one(scale, other);
            }
        }
        tried.error += least;
        if tried.error >= best.error {
            return;
        }
    }
    *best = tried;
}

/// The best factors for the scales, minima and codes that were found: two linear equations.
fn better_factors<const N: usize>(
    codebook: Steps,
    xs: &[[f32; N]],
    ws: &[[f32; N]],
    at: &Tried,
) -> (f32, f32) {
    let (d, dmin) = at.factors;
    // x = d * a - dmin * b, and what is left of it.
    let (mut aa, mut ab, mut bb, mut ra, mut rb) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (g, (x, w)) in xs.iter().zip(ws).enumerate() {
        let (s, m) = (d * at.scale[g], dmin * at.min[g]);
        let inv = if s == 0.0 { 0.0 } else { 1.0 / s };
        let b = at.min[g];
        for (&x, &w) in x.iter().zip(w) {
            let q = codebook.nearest((x + m) * inv);
            let a = at.scale[g] * q;
            let r = (x + m) - s * q;
            aa += w * a * a;
            ab += w * a * b;
            bb += w * b * b;
            ra += w * r * a;
            rb += w * r * b;
        }
    }
    let det = aa * bb - ab * ab;
    if det > 1e-6 * aa * bb {
        // ra = e * aa - f * ab, rb = e * ab - f * bb.
        let (e, f) = ((ra * bb - rb * ab) / det, (ra * ab - rb * aa) / det);
        (factor(limit(d + e, 0.0, f32::MAX)), factor(limit(dmin + f, 0.0, f32::MAX)))
    } else if aa > 0.0 {
        (factor(limit(d + ra / aa, 0.0, f32::MAX)), dmin)
    } else {
        at.factors
    }
}
