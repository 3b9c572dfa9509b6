//! Causal attention of a few query rows over one head of the cache.
//!
//! Slots are cut into spans of [`SPAN`], counted from slot 0, and a span into tiles of [`KEYS`]. What a row sees nothing of
//! does not count for it. Per row, head and span, in this order whatever else is computed at the same time, tile by tile:
//! scores (fused multiply-adds in ascending elements of the head) times the scale, then capped if asked for; the running
//! maximum; `p = e^(score - max)`; the sum of `p` in 16 partial sums by slot mod 16, one tree; sums and accumulators so far
//! rescaled by `e^(old max - max)`; values added in ascending slots
//! (the online softmax of Milakov and Gimelshein 2018, arXiv 1805.02867). Spans are then merged in ascending order,
//! so that they may be computed by different threads (as in Dao et al. 2023, "Flash-Decoding").
//!
//! Keys and values are each in a type of their own, and are brought to f32 exactly: in registers, or tile by tile where
//! several query rows read them. So the types change nothing but the numbers that are stored.

use std::ops::Range;

use super::super::pieces::Pieces;
use super::cached::Cached;
use super::exp::exp;
use super::prefetch::prefetch;
use super::simd::{Simd, max_lane};
use crate::core::{KvLayout, PageId};

/// Slots of a tile: those of a page.
pub(crate) const KEYS: usize = KvLayout::PAGE;

/// Slots of a vector, whose keys are contiguous.
const LANES: usize = 16;

/// Slots of a span.
pub(crate) const SPAN: usize = 8 * KEYS;

/// Heads that share the loads of a key or value.
const HEADS: usize = 4;

/// Query rows against the keys and values of one head, of one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attend<'a> {
    /// The first query row's first head that reads this head of the cache, and all after it.
    pub q: &'a [f32],
    /// Elements from a query row to the next.
    pub q_stride: usize,
    /// Query rows.
    pub rows: usize,
    /// Query heads that read this head, next to each other in a row.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Slots of the span that the first row sees; each further row sees one more, as far as there are any. Below 1
    /// the first rows see none.
    pub visible: isize,
    /// Slots that a row sees at most: its last ones. `isize::MAX` for all.
    pub window: isize,
    /// Slots of the span.
    pub slots: usize,
    /// Slots after the span that the same thread goes on with.
    pub after: usize,
    /// Stored keys of the span; a slot beyond it may hold anything.
    pub keys: Paged<'a>,
    /// Stored values of the span, likewise.
    pub values: Paged<'a>,
    /// Factor of the scores.
    pub scale: f32,
    /// What then becomes of them.
    pub softcap: Option<Softcap>,
}

/// A head's keys, or values, of a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paged<'a> {
    /// Those of all pages.
    pub bytes: &'a [u8],
    /// The pages of the slots, from the span's first on.
    pub pages: &'a [PageId],
    /// The order within a page.
    pub pieces: Pieces,
    /// Which head.
    pub head: usize,
}

impl Paged<'_> {
    /// The first vectors of a page, that hold so many slots.
    #[inline(always)]
    fn page(&self, index: usize, slots: usize) -> &[u8] {
        let head = &self.bytes[self.pieces.head(self.pages[index], self.head)];
        &head[..slots.next_multiple_of(LANES) * self.pieces.slot_bytes]
    }
}

/// The cap of scores, and the kernel that applies it.
pub(crate) type Softcap = (f32, fn(&mut [f32], f32));

/// Elements of the state of so many pairs of a row and a head: `[pairs][head_dim]` sums of values, `[pairs]` greatest
/// scores, `[pairs]` sums of weights.
pub(crate) fn state_len(pairs: usize, head_dim: usize) -> usize {
    pairs * (head_dim + 2)
}

/// Elements that [`Attention::span`] needs to work in.
pub(crate) fn scratch_len(pairs: usize, head_dim: usize) -> usize {
    pairs * (KEYS + 1) + KEYS * head_dim
}

/// The kernels for keys of one type and values of one.
#[derive(Clone, Copy)]
pub(crate) struct Attention {
    pub keys: Reader,
    pub values: Reader,
}

/// How keys, or values, of one type are read.
#[derive(Clone, Copy)]
pub(crate) struct Reader {
    /// As they are stored.
    pub stored: Kernel,
    /// Several query rows read a tile that is brought to f32 once, where it is not f32 already.
    pub wide: Option<(Widen, Kernel)>,
}

/// Adds a tile to the state.
pub(crate) type Kernel = fn(&Attend<'_>, &Tile<'_>, &mut State<'_>);

/// Stored tiles, elements of a head, what becomes of them: `[slots][head_dim]`, or `[slots / 16][head_dim][16]` of keys.
pub(crate) type Widen = fn(&[u8], usize, &mut [f32]);

impl Attention {
    /// Leaves what the span's slots make in `state`, of [`state_len`] elements. `scratch` has [`scratch_len`].
    pub fn span(&self, job: &Attend<'_>, state: &mut [f32], scratch: &mut [f32]) {
        let (pairs, dim) = (job.rows * job.heads, job.head_dim);
        let (acc, rest) = state.split_at_mut(pairs * dim);
        let (max, sum) = rest.split_at_mut(pairs);
        let (p, rest) = scratch.split_at_mut(pairs * KEYS);
        let (wide, rest) = rest.split_at_mut(KEYS * dim);
        acc.fill(0.0);
        max.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        let mut state = State { acc, p: p.as_chunks_mut().0, max, sum, kept: &mut rest[..pairs] };
        // Tiles before the first row's window are before that of all.
        let hidden = usize::try_from(job.visible.saturating_sub(job.window)).unwrap_or(0).min(job.slots);
        for first in (hidden / KEYS * KEYS..job.slots).step_by(KEYS) {
            let slots = KEYS.min(job.slots - first);
            for (reader, stored) in [(&self.keys, &job.keys), (&self.values, &job.values)] {
                // Of the next page no more than will be read.
                let more = KEYS.min((job.slots + job.after).saturating_sub(first + KEYS));
                let next = if more > 0 { stored.page(first / KEYS + 1, more) } else { &[] };
                reader.read(job, stored.page(first / KEYS, slots), next, (first, slots), wide, &mut state);
            }
        }
    }
}

impl Reader {
    fn read(
        &self,
        job: &Attend<'_>,
        stored: &[u8],
        next: &[u8],
        (first, slots): (usize, usize),
        wide: &mut [f32],
        state: &mut State<'_>,
    ) {
        // Several rows would ask for it again and again.
        let next = if job.rows > 1 { asked_for(next) } else { next };
        let Some((widen, kernel)) = self.wide.filter(|_| job.rows > 1) else {
            return (self.stored)(job, &Tile { stored, next, first, slots }, state);
        };
        let wide = &mut wide[..slots.next_multiple_of(LANES) * job.head_dim];
        widen(stored, job.head_dim, wide);
        kernel(job, &Tile { stored: bytes(wide), next, first, slots }, state);
    }
}

/// Asks for `next` at once, which leaves nothing to be asked for.
fn asked_for(next: &[u8]) -> &[u8] {
    prefetch(next);
    &[]
}

/// Adds the state of a later span to `into`. A pair that sees nothing of the later span stays as it is; one that has seen
/// nothing before is that of the later span.
#[inline(always)]
pub(crate) fn merge<S: Simd>(s: S, head_dim: usize, into: &mut [f32], later: &[f32]) {
    let pairs = into.len() / (head_dim + 2);
    let (acc, rest) = into.split_at_mut(pairs * head_dim);
    let (max, sum) = rest.split_at_mut(pairs);
    let (later_acc, rest) = later.split_at(pairs * head_dim);
    let (later_max, later_sum) = rest.split_at(pairs);
    for i in 0..pairs {
        // Of one slot at least, a sum of weights is not 0 (but may be NaN).
        if later_sum[i] == 0.0 {
            continue;
        }
        if sum[i] == 0.0 {
            (max[i], sum[i]) = (later_max[i], later_sum[i]);
            let own = i * head_dim..(i + 1) * head_dim;
            acc[own.clone()].copy_from_slice(&later_acc[own]);
            continue;
        }
        let top = if later_max[i] > max[i] { later_max[i] } else { max[i] };
        let mut lanes = [0.0; 16];
        (lanes[0], lanes[1]) = (max[i] - top, later_max[i] - top);
        s.store(exp(s, s.load(&lanes)), &mut lanes);
        let (kept, added) = (lanes[0], lanes[1]);
        max[i] = top;
        sum[i] = (later_sum[i]).mul_add(added, sum[i] * kept);
        let (a, a_tail) = acc[i * head_dim..(i + 1) * head_dim].as_chunks_mut::<16>();
        let (b, b_tail) = later_acc[i * head_dim..(i + 1) * head_dim].as_chunks::<16>();
        let (k, l) = (s.splat(kept), s.splat(added));
        for (a, b) in a.iter_mut().zip(b) {
            s.store(s.fma(s.load(b), l, s.mul(s.load(a), k)), a);
        }
        for (a, b) in a_tail.iter_mut().zip(b_tail) {
            *a = b.mul_add(added, *a * kept);
        }
    }
}

/// Elements as they are stored in f32.
fn bytes(x: &[f32]) -> &[u8] {
    // SAFETY: the bytes of these very elements, all of them initialized.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) }
}

/// What is known of each pair of a row and a head after some tiles.
pub(crate) struct State<'a> {
    /// `[pairs][head_dim]` sums of values.
    acc: &'a mut [f32],
    /// `[pairs]` scores, then weights, of the tile.
    p: &'a mut [[f32; KEYS]],
    /// `[pairs]` greatest scores.
    max: &'a mut [f32],
    /// `[pairs]` sums of weights.
    sum: &'a mut [f32],
    /// `[pairs]` what this tile's maximum leaves of the sums before it.
    kept: &'a mut [f32],
}

/// Keys or values of up to [`KEYS`] slots.
pub(crate) struct Tile<'a> {
    stored: &'a [u8],
    /// What is read after it, elsewhere in memory: asked for on the way, where one row leaves no time for it later.
    next: &'a [u8],
    /// Number of the first slot within the span.
    first: usize,
    slots: usize,
}

/// All scores of a tile, and what they do to maxima, sums and weights.
#[inline(always)]
pub(crate) fn add_keys<S: Simd, D: Cached>(s: S, job: &Attend<'_>, tile: &Tile<'_>, state: &mut State<'_>) {
    for (row, head) in groups(job) {
        let (seen, at) = (tile.seen(job, row), row * job.heads + head);
        if seen.1 == seen.0 {
            continue;
        }
        let q = &job.q[row * job.q_stride + head * job.head_dim..];
        match job.heads - head {
            1 => tile.weights::<S, D, 1>(s, job, q, seen, at, state),
            2 => tile.weights::<S, D, 2>(s, job, q, seen, at, state),
            3 => tile.weights::<S, D, 3>(s, job, q, seen, at, state),
            _ => tile.weights::<S, D, HEADS>(s, job, q, seen, at, state),
        }
    }
}

/// All values of a tile, by the weights that its keys have left.
#[inline(always)]
pub(crate) fn add_values<S: Simd, D: Cached>(s: S, job: &Attend<'_>, tile: &Tile<'_>, state: &mut State<'_>) {
    for (row, head) in groups(job) {
        let (seen, at) = (tile.seen(job, row), row * job.heads + head);
        if seen.1 == seen.0 {
            continue;
        }
        match job.heads - head {
            1 => tile.values::<S, D, 1>(s, job.head_dim, seen, at, state),
            2 => tile.values::<S, D, 2>(s, job.head_dim, seen, at, state),
            3 => tile.values::<S, D, 3>(s, job.head_dim, seen, at, state),
            _ => tile.values::<S, D, HEADS>(s, job.head_dim, seen, at, state),
        }
    }
}

impl Tile<'_> {
    /// The first slot of the tile that a row sees, and the one after the last: the same if it sees none.
    #[inline(always)]
    fn seen(&self, job: &Attend<'_>, row: usize) -> (usize, usize) {
        let end = job.visible.saturating_add_unsigned(row).saturating_sub_unsigned(self.first);
        let within = |slot: isize| self.slots.min(usize::try_from(slot).unwrap_or(0));
        (within(end.saturating_sub(job.window)), within(end))
    }

    /// The weights of the tile's slots for `X` heads from pair `at` on, and what they do to maxima and sums.
    #[inline(always)]
    fn weights<S: Simd, D: Cached, const X: usize>(
        &self,
        s: S,
        job: &Attend<'_>,
        q: &[f32],
        seen: (usize, usize),
        at: usize,
        state: &mut State<'_>,
    ) {
        let Some(p) = state.p[at..].first_chunk_mut::<X>() else { return };
        self.scores::<S, D, X>(s, job, q, seen, p);
        let mut old = [0.0; 16];
        let mut totals = [s.splat(0.0); X];
        for x in 0..X {
            if let Some((cap, softcap)) = job.softcap {
                softcap(&mut p[x][seen.0..seen.1], cap);
            }
            if seen != (0, KEYS) {
                hide(&mut p[x], seen);
            }
            let chunks = p[x].as_chunks_mut::<16>().0;
            let mut top = s.splat(state.max[at + x]);
            for c in chunks.iter() {
                top = s.max(top, s.load(c));
            }
            let new = max_lane(s, top);
            for c in chunks {
                let e = exp(s, s.sub(s.load(c), s.splat(new)));
                totals[x] = s.add(totals[x], e);
                s.store(e, c);
            }
            old[x] = state.max[at + x] - new;
            state.max[at + x] = new;
        }
        let mut kept = [0.0; 16];
        s.store(exp(s, s.load(&old)), &mut kept);
        for x in 0..X {
            state.sum[at + x] = state.sum[at + x].mul_add(kept[x], s.sum(totals[x]));
            state.kept[at + x] = kept[x];
        }
    }

    /// The scores of the slots that are seen, and of what is next to them in the same vectors.
    #[inline(always)]
    fn scores<S: Simd, D: Cached, const X: usize>(
        &self,
        s: S,
        job: &Attend<'_>,
        q: &[f32],
        seen: (usize, usize),
        p: &mut [[f32; KEYS]; X],
    ) {
        let dim = job.head_dim;
        let mut qs = [q; X];
        for x in 0..X {
            qs[x] = &q[x * dim..(x + 1) * dim];
        }
        let size = D::tile_bytes(dim);
        for at in seen.0 / LANES..seen.1.div_ceil(LANES) {
            prefetch(self.next.get(at * size..(at + 1) * size).unwrap_or_default());
            let sums = D::dots(s, &self.stored[at * size..(at + 1) * size], qs);
            for x in 0..X {
                let Some(p) = p[x].as_chunks_mut::<LANES>().0.get_mut(at) else { return };
                s.store(s.mul(sums[x], s.splat(job.scale)), p);
            }
        }
    }

    /// Rescales the accumulators of `X` heads from pair `at` on and adds the values that are seen.
    #[inline(always)]
    fn values<S: Simd, D: Cached, const X: usize>(
        &self,
        s: S,
        dim: usize,
        seen: (usize, usize),
        at: usize,
        state: &mut State<'_>,
    ) {
        let (Some(p), Some(kept)) = (state.p[at..].first_chunk::<X>(), state.kept[at..].first_chunk::<X>())
        else {
            return;
        };
        let acc = &mut state.acc[at * dim..(at + X) * dim];
        let chunks = D::chunks(dim);
        let (mut vectors, mut left) = (seen.0 / LANES..seen.1.div_ceil(LANES), *kept);
        if !seen.0.is_multiple_of(LANES) {
            // A vector that begins with slots that are not seen, by itself: the others are faster for it.
            let first = vectors.start..vectors.start + 1;
            for c in 0..chunks {
                self.chunks::<S, D, X, 1>(s, dim, (first.clone(), seen.0 % LANES, seen.1), c, p, kept, acc);
            }
            (vectors.start, left) = (first.end, [1.0; X]);
        }
        let mut c = 0;
        while S::WIDE && c + 4 <= chunks {
            self.chunks::<S, D, X, 4>(s, dim, (vectors.clone(), 0, seen.1), c, p, &left, acc);
            c += 4;
        }
        while c < chunks {
            self.chunks::<S, D, X, 1>(s, dim, (vectors.clone(), 0, seen.1), c, p, &left, acc);
            c += 1;
        }
        let size = D::tile_bytes(dim);
        for d in chunks * 16..dim {
            for x in 0..X {
                let mut a = acc[x * dim + d] * kept[x];
                for j in seen.0..seen.1 {
                    let value = D::one(&self.stored[j / LANES * size..], dim, j % LANES, d);
                    a = p[x][j].mul_add(value, a);
                }
                acc[x * dim + d] = a;
            }
        }
    }

    /// As [`Self::values`], of `C` chunks of sixteen elements from chunk `c` on, and of the slots of some vectors but for the
    /// first `skip` of each, up to slot `end`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "what its one caller has at hand")]
    fn chunks<S: Simd, D: Cached, const X: usize, const C: usize>(
        &self,
        s: S,
        dim: usize,
        (vectors, skip, end): (Range<usize>, usize, usize),
        c: usize,
        p: &[[f32; KEYS]; X],
        kept: &[f32; X],
        acc: &mut [f32],
    ) {
        let mut sums = [[s.splat(0.0); C]; X];
        for x in 0..X {
            let Some(acc) = acc[x * dim + c * 16..].as_chunks().0.first_chunk::<C>() else { return };
            for i in 0..C {
                sums[x][i] = s.mul(s.load(&acc[i]), s.splat(kept[x]));
            }
        }
        let size = D::tile_bytes(dim);
        let tiles = self.stored[vectors.start * size..].chunks_exact(size).take(vectors.len());
        for (i, tile) in tiles.enumerate() {
            let at = vectors.start + i;
            if c == 0 {
                prefetch(self.next.get(at * size..(at + 1) * size).unwrap_or_default());
            }
            let mut weights = [&p[0][..]; X];
            for x in 0..X {
                weights[x] = &p[x][at * LANES..end.min((at + 1) * LANES)];
            }
            D::add(s, tile, dim, c, weights, skip, &mut sums);
        }
        for x in 0..X {
            let Some(acc) = acc[x * dim + c * 16..].as_chunks_mut().0.first_chunk_mut::<C>() else { return };
            for i in 0..C {
                s.store(sums[x][i], &mut acc[i]);
            }
        }
    }
}

/// Slots that are not seen get no weight.
#[inline(always)]
fn hide(scores: &mut [f32; KEYS], (first, end): (usize, usize)) {
    for (slot, score) in scores.iter_mut().enumerate() {
        if slot < first || slot >= end {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Every row with the first of each group of up to [`HEADS`] heads.
#[inline(always)]
fn groups(job: &Attend<'_>) -> impl Iterator<Item = (usize, usize)> + use<> {
    let heads = job.heads;
    (0..job.rows).flat_map(move |row| (0..heads).step_by(HEADS).map(move |head| (row, head)))
}
