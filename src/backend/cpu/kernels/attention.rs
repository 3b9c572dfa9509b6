//! Causal attention of a few query rows over one head of the cache.
//!
//! Keys are taken in tiles of [`KEYS`] slots counted from slot 0. Per row and head, in this order whatever else
//! is computed beside it: scores (16 partial sums by index mod 16, one tree) times the scale; the running
//! maximum; `p = e^(score - max)`; the sum of `p` in 16 partial sums by slot mod 16, one tree; sums and
//! accumulators so far rescaled by `e^(old max - max)`; values added in ascending slots (the online softmax of
//! Milakov and Gimelshein 2018, arXiv 1805.02867).

use super::exp::exp;
use super::float::{Stored, block};
use super::simd::{Simd, max_lane};

/// Slots of a tile.
pub(crate) const KEYS: usize = 64;

/// Heads that share the loads of a key or value.
const HEADS: usize = 4;

/// Query rows against the keys and values of one head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attend<'a> {
    /// The first query row's first head that reads this head of the cache, and all behind it.
    pub q: &'a [f32],
    /// Elements from a query row to the next.
    pub q_stride: usize,
    /// Query rows.
    pub rows: usize,
    /// Query heads that read this head, next to each other in a row.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Slot of the first row: it sees slots `0..=at`.
    pub at: usize,
    /// `[at + rows][head_dim]` stored keys.
    pub keys: &'a [u8],
    /// `[at + rows][head_dim]` stored values.
    pub values: &'a [u8],
    /// Factor of the scores.
    pub scale: f32,
}

/// Elements that [`attend`] needs to work in.
pub(crate) fn scratch_len(rows: usize, heads: usize, head_dim: usize) -> usize {
    rows * heads * (head_dim + 2)
}

/// Leaves `[rows][heads][head_dim]` results at the start of `scratch`, which has [`scratch_len`] elements.
#[inline(always)]
pub(crate) fn attend<S: Simd, D: Stored<B>, const B: usize>(s: S, job: &Attend<'_>, scratch: &mut [f32]) {
    let (pairs, dim) = (job.rows * job.heads, job.head_dim);
    let (acc, rest) = scratch.split_at_mut(pairs * dim);
    let (max, sum) = rest.split_at_mut(pairs);
    acc.fill(0.0);
    max.fill(f32::NEG_INFINITY);
    sum.fill(0.0);
    let size = B / 16;
    let slots = job.at + job.rows;
    let mut first = 0;
    while first < slots {
        let stop = (first + KEYS).min(slots);
        let keys = &job.keys[first * dim * size..stop * dim * size];
        let values = &job.values[first * dim * size..stop * dim * size];
        for row in 0..job.rows {
            let visible = (job.at + row + 1).saturating_sub(first).min(stop - first);
            if visible == 0 {
                continue;
            }
            let mut head = 0;
            while head < job.heads {
                let n = (job.heads - head).min(HEADS);
                let at = row * job.heads + head;
                let q = &job.q[row * job.q_stride + head * dim..][..n * dim];
                let (acc, max, sum) =
                    (&mut acc[at * dim..][..n * dim], &mut max[at..][..n], &mut sum[at..][..n]);
                let tile = Tile { keys, values, visible, dim, scale: job.scale };
                match n {
                    1 => tile.add::<S, D, B, 1>(s, q, acc, max, sum),
                    2 => tile.add::<S, D, B, 2>(s, q, acc, max, sum),
                    3 => tile.add::<S, D, B, 3>(s, q, acc, max, sum),
                    _ => tile.add::<S, D, B, HEADS>(s, q, acc, max, sum),
                }
                head += n;
            }
        }
        first = stop;
    }
    for (acc, sum) in acc.chunks_exact_mut(dim.max(1)).zip(sum) {
        let inv = 1.0 / *sum;
        for a in acc {
            *a *= inv;
        }
    }
}

struct Tile<'a> {
    keys: &'a [u8],
    values: &'a [u8],
    visible: usize,
    dim: usize,
    scale: f32,
}

impl Tile<'_> {
    /// Adds the tile's visible slots to the state of `X` heads.
    #[inline(always)]
    fn add<S: Simd, D: Stored<B>, const B: usize, const X: usize>(
        &self,
        s: S,
        q: &[f32],
        acc: &mut [f32],
        max: &mut [f32],
        sum: &mut [f32],
    ) {
        let mut p = [[f32::NEG_INFINITY; KEYS]; X];
        self.scores::<S, D, B, X>(s, q, &mut p);
        for x in 0..X {
            let (chunks, _) = p[x].as_chunks_mut::<16>();
            let mut top = s.splat(max[x]);
            for c in chunks.iter() {
                top = s.max(top, s.load(c));
            }
            let new = max_lane(s, top);
            let mut total = s.splat(0.0);
            for c in chunks {
                let e = exp(s, s.sub(s.load(c), s.splat(new)));
                total = s.add(total, e);
                s.store(e, c);
            }
            let mut kept = [0.0; 16];
            s.store(exp(s, s.splat(max[x] - new)), &mut kept);
            sum[x] = sum[x].mul_add(kept[0], s.sum(total));
            max[x] = new;
            for a in &mut acc[x * self.dim..(x + 1) * self.dim] {
                *a *= kept[0];
            }
        }
        self.values::<S, D, B, X>(s, &p, acc);
    }

    #[inline(always)]
    fn scores<S: Simd, D: Stored<B>, const B: usize, const X: usize>(
        &self,
        s: S,
        q: &[f32],
        p: &mut [[f32; KEYS]; X],
    ) {
        let row = self.dim * (B / 16);
        let mut qs = [q; X];
        for x in 0..X {
            qs[x] = &q[x * self.dim..(x + 1) * self.dim];
        }
        let mut j = 0;
        // One head alone shares nothing with others: four keys at a time hide the additions' latency.
        while X == 1 && j + 4 <= self.visible {
            let key = |i: usize| &self.keys[(j + i) * row..(j + i + 1) * row];
            let dots = block::<S, D, B, 4, X>(s, [key(0), key(1), key(2), key(3)], qs);
            for i in 0..4 {
                p[0][j + i] = dots[0][i] * self.scale;
            }
            j += 4;
        }
        while j < self.visible {
            let dots = block::<S, D, B, 1, X>(s, [&self.keys[j * row..(j + 1) * row]], qs);
            for x in 0..X {
                p[x][j] = dots[x][0] * self.scale;
            }
            j += 1;
        }
    }

    #[inline(always)]
    fn values<S: Simd, D: Stored<B>, const B: usize, const X: usize>(
        &self,
        s: S,
        p: &[[f32; KEYS]; X],
        acc: &mut [f32],
    ) {
        let size = B / 16;
        let (row, chunks) = (self.dim * size, self.dim / 16);
        for c in 0..chunks {
            let mut sums = [s.splat(0.0); X];
            for x in 0..X {
                if let Some(a) = acc[x * self.dim + c * 16..].first_chunk() {
                    sums[x] = s.load(a);
                }
            }
            for j in 0..self.visible {
                let Some(v) = self.values[j * row + c * B..].first_chunk::<B>() else { return };
                let v = D::load(s, v);
                for x in 0..X {
                    sums[x] = s.fma(s.splat(p[x][j]), v, sums[x]);
                }
            }
            for x in 0..X {
                if let Some(a) = acc[x * self.dim + c * 16..].first_chunk_mut() {
                    s.store(sums[x], a);
                }
            }
        }
        for d in chunks * 16..self.dim {
            for x in 0..X {
                let mut a = acc[x * self.dim + d];
                for j in 0..self.visible {
                    a = p[x][j].mul_add(D::one(&self.values[j * row + d * size..]), a);
                }
                acc[x * self.dim + d] = a;
            }
        }
    }
}
