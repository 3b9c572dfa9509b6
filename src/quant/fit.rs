//! Weighted least squares for one group of elements: codes given a scale, a scale given the codes.
//!
//! All sums are of what is left at the scale that was tried, not of the elements, so that differences between scales are not
//! lost in rounding. They are kept in [`LANES`] partial sums that are added in a fixed order, as in
//! [`search`](super::search).

use super::codebook::Codebook;

/// Partial sums.
const LANES: usize = 8;

/// Smaller scales are none: their inverse would not be finite.
const LEAST: f32 = 1e-30;

/// Adds the partial sums, always in the same order.
#[inline(always)]
fn total(mut s: [f32; LANES]) -> f32 {
    for distance in [4, 2, 1] {
        for i in 0..distance {
            s[i] += s[i + distance];
        }
    }
    s[0]
}

/// A scale and the weighted squared error that it leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// The scale.
    pub scale: f32,
    /// What is left.
    pub error: f32,
}

/// Weighted sum of squares.
#[inline(always)]
pub(super) fn energy<const N: usize>(x: &[f32; N], w: &[f32; N]) -> f32 {
    let mut sum = [0.0; LANES];
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for l in 0..LANES {
            sum[l] += w[l] * x[l] * x[l];
        }
    }
    total(sum)
}

/// What the nearest codes leave at scale `s`, and the scale that is best for these codes.
#[inline(always)]
pub(super) fn step<C: Codebook, const N: usize>(
    codebook: C,
    x: &[f32; N],
    w: &[f32; N],
    s: f32,
) -> (f32, Scale) {
    if s.abs() < LEAST {
        let error = energy(x, w);
        return (error, Scale { scale: 0.0, error });
    }
    let inv = 1.0 / s;
    let (mut rr, mut rq, mut qq) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for l in 0..LANES {
            let q = codebook.nearest(x[l] * inv);
            let r = x[l] - s * q;
            let (wr, wq) = (w[l] * r, w[l] * q);
            rr[l] += wr * r;
            rq[l] += wr * q;
            qq[l] += wq * q;
        }
    }
    let (rr, rq, qq) = (total(rr), total(rq), total(qq));
    if qq <= 0.0 {
        return (rr, Scale { scale: s, error: rr });
    }
    let more = rq / qq;
    (rr, Scale { scale: s + more, error: rr - more * rq })
}

/// The best scale from several starts: positions, in steps, of the element of largest magnitude.
///
/// Codebooks are not symmetric, so that a start with a negative scale and one with a positive one lead to two different
/// answers: the first is the best of all, the second the best of the other sign (or the first again).
#[inline(always)]
pub(super) fn scales<C: Codebook, const N: usize>(
    codebook: C,
    x: &[f32; N],
    w: &[f32; N],
    starts: &[f32],
    refinements: usize,
) -> [Scale; 2] {
    let max = x.iter().fold(0.0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
    let nothing = Scale { scale: 0.0, error: energy(x, w) };
    if max.abs() < LEAST {
        return [nothing; 2];
    }
    // The best of each sign.
    let mut best = [nothing; 2];
    for start in starts {
        let (_, found) = step(codebook, x, w, max / start);
        let side = &mut best[usize::from(found.scale < 0.0)];
        if found.error < side.error {
            *side = found;
        }
    }
    for side in &mut best {
        for _ in 0..refinements {
            let (_, found) = step(codebook, x, w, side.scale);
            if found.error >= side.error || found.scale == side.scale {
                break;
            }
            *side = found;
        }
    }
    if best[1].error < best[0].error {
        best.swap(0, 1);
    }
    if best[1].scale == 0.0 {
        best[1] = best[0];
    }
    best
}

/// A scale and a minimum, `x = scale * q - min`, and the weighted squared error that they leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    /// The scale.
    pub scale: f32,
    /// What is taken off.
    pub min: f32,
    /// What is left.
    pub error: f32,
}

/// Sums at a scale and a minimum that were tried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    rr: f32,
    r: f32,
    rq: f32,
    q: f32,
    qq: f32,
    w: f32,
}

impl Sums {
    /// How much the minimum should grow if the codes stay and the scale does.
    #[inline(always)]
    pub(super) fn more_min(&self) -> f32 {
        -self.r / self.w
    }

    /// The scale and minimum that are best for these codes; a minimum below 0 only where `signed`.
    #[inline(always)]
    fn solve(&self, s: f32, m: f32, signed: bool) -> Affine {
        let det = self.w * self.qq - self.q * self.q;
        if det > 1e-6 * self.w * self.qq {
            let ds = (self.w * self.rq - self.q * self.r) / det;
            let dm = (self.q * ds - self.r) / self.w;
            if signed || m + dm >= 0.0 {
                return Affine { scale: s + ds, min: m + dm, error: self.rr - ds * self.rq + dm * self.r };
            }
        }
        if self.qq <= 0.0 {
            return Affine { scale: s, min: m, error: self.rr };
        }
        let dm = if signed { 0.0 } else { -m };
        let ds = (self.rq + dm * self.q) / self.qq;
        let error = self.rr - 2.0 * ds * self.rq + 2.0 * dm * self.r + ds * ds * self.qq
            - 2.0 * ds * dm * self.q
            + dm * dm * self.w;
        Affine { scale: s + ds, min: m + dm, error }
    }
}

/// The sums of the nearest codes at scale `s`, which is not 0, and minimum `m`.
#[inline(always)]
pub(super) fn affine_sums<C: Codebook, const N: usize>(
    codebook: C,
    x: &[f32; N],
    w: &[f32; N],
    s: f32,
    m: f32,
) -> Sums {
    let inv = 1.0 / s;
    let zero = [0.0; LANES];
    let (mut rr, mut sr, mut rq, mut sq, mut qq, mut sw) = (zero, zero, zero, zero, zero, zero);
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for l in 0..LANES {
            let q = codebook.nearest((x[l] + m) * inv);
            let r = (x[l] + m) - s * q;
            let (wr, wq) = (w[l] * r, w[l] * q);
            rr[l] += wr * r;
            sr[l] += wr;
            rq[l] += wr * q;
            sq[l] += wq;
            qq[l] += wq * q;
            sw[l] += w[l];
        }
    }
    Sums { rr: total(rr), r: total(sr), rq: total(rq), q: total(sq), qq: total(qq), w: total(sw) }
}

/// Weighted squared error of the nearest codes at scale `s` and minimum `m`.
#[inline(always)]
pub(super) fn affine_error<C: Codebook, const N: usize>(
    codebook: C,
    x: &[f32; N],
    w: &[f32; N],
    s: f32,
    m: f32,
) -> f32 {
    let inv = if s.abs() < LEAST { 0.0 } else { 1.0 / s };
    let mut rr = [0.0; LANES];
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for l in 0..LANES {
            let y = x[l] + m;
            let r = y - s * codebook.nearest(y * inv);
            rr[l] += w[l] * r * r;
        }
    }
    total(rr)
}

/// Weighted mean.
pub(super) fn mean<const N: usize>(x: &[f32; N], w: &[f32; N]) -> f32 {
    let (mut sum, mut of) = ([0.0; LANES], [0.0; LANES]);
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for l in 0..LANES {
            sum[l] += w[l] * x[l];
            of[l] += w[l];
        }
    }
    total(sum) / total(of)
}

/// The best scale and minimum from several starts: steps that the range of the elements is divided into, and how many of
/// them are below the least code. The minimum is below 0 only where `signed`.
#[inline(always)]
pub(super) fn affine<C: Codebook, const N: usize>(
    codebook: C,
    x: &[f32; N],
    w: &[f32; N],
    starts: &[(f32, f32)],
    signed: bool,
) -> Affine {
    let lo = x.iter().fold(x[0], |m, &v| if v < m { v } else { m });
    let hi = x.iter().fold(x[0], |m, &v| if v > m { v } else { m });
    let lo = if signed || lo < 0.0 { lo } else { 0.0 };
    // One value, or none but zeros.
    if hi - lo < LEAST || hi - lo <= 1e-7 * lo.abs() {
        let min = if signed { -lo } else { (-lo).max(0.0) };
        return Affine { scale: 0.0, min, error: affine_error(codebook, x, w, 0.0, min) };
    }
    let mut best = Affine { scale: 0.0, min: 0.0, error: f32::INFINITY };
    for &(steps, below) in starts {
        let s = (hi - lo) / steps;
        let m = s * below - lo;
        let m = if signed || m > 0.0 { m } else { 0.0 };
        let found = affine_sums(codebook, x, w, s, m).solve(s, m, signed);
        if found.error < best.error && found.scale > LEAST {
            best = found;
        }
    }
    for _ in 0..2 {
        if best.scale < LEAST {
            break;
        }
        let found = affine_sums(codebook, x, w, best.scale, best.min).solve(best.scale, best.min, signed);
        if found.error >= best.error || found.scale < LEAST {
            break;
        }
        best = found;
    }
    best
}
