//! Attention weights of slots: for policies that evict by them, separate from attention itself.

use super::disjoint::Disjoint;
use super::kernels::Kernels;
use super::kernels::attention::Widen;
use super::pieces::TILE;
use super::pool::Pool;
use super::{CpuBuffer, broken};
use crate::core::{AttentionParams, CoreError, KvLayer, KvLayout, PageId, Result, Run, Tensor};

/// Slots of a tile of keys, which is stored element by element.
const LANES: usize = TILE;

/// Query rows between two sums over heads: bounds the memory that these take.
const ROWS: usize = 16;

/// See [`crate::core::Backend::attention_weights`]. A chunk is a head of the cache, so each sum has one order: the query
/// heads that share such a head, then those heads, all ascending.
pub(super) fn weigh(
    kernels: &Kernels,
    pool: &mut Pool,
    q: &Tensor<CpuBuffer>,
    layer: &KvLayer<CpuBuffer>,
    how: &AttentionParams,
    run: &Run<'_>,
    weights: &mut [f32],
) -> Result<()> {
    let op = "attention_weights";
    layer.check_attention(op, q, how, std::slice::from_ref(run))?;
    let (rows, width, at, slots) = (run.rows.len(), q.cols(), run.len, run.end());
    CoreError::expect_eq(op, "weights", weights.len(), rows * slots)?;
    if rows == 0 || width == 0 {
        return Ok(());
    }
    let layout = &layer.layout;
    let queries = &q.buffer().f32(op)?[run.rows.start * width..];
    let reader =
        kernels.attend(layout.types).ok_or(CoreError::Unsupported { op, dtype: layout.types.k })?.keys;
    let keys = match reader.wide {
        Some((widen, _)) => Keys::Stored(layer.k.bytes(), widen),
        None => Keys::Wide(layer.k.f32(op)?),
    };
    let mut parts = vec![0.0; layout.kv_heads * ROWS.min(rows) * slots];
    for (block, weights) in weights.chunks_mut(ROWS * slots).enumerate() {
        let first = block * ROWS;
        let parts = &mut parts[..layout.kv_heads * weights.len()];
        let each = Disjoint::new(parts);
        let task = |head: usize| {
            // SAFETY: the weights of a head are one chunk's, and heads do not overlap.
            let out = unsafe { each.part(head * weights.len()..(head + 1) * weights.len()) };
            out.fill(0.0);
            let head = Head { kernels, layout, how, keys, head, pages: run.pages };
            head.weigh(&queries[first * width..], width, at + first, slots, out);
        };
        pool.run(layout.kv_heads, &|chunk| task(chunk.index)).map_err(broken)?;
        weights.fill(0.0);
        for part in parts.chunks_exact(weights.len()) {
            weights.iter_mut().zip(part).for_each(|(sum, weight)| *sum += weight);
        }
    }
    Ok(())
}

/// All keys of a layer, tile by tile as f32 or as they are stored.
#[derive(Clone, Copy)]
enum Keys<'a> {
    Wide(&'a [f32]),
    Stored(&'a [u8], Widen),
}

/// A head of the cache.
struct Head<'a> {
    kernels: &'a Kernels,
    layout: &'a KvLayout,
    how: &'a AttentionParams,
    keys: Keys<'a>,
    head: usize,
    pages: &'a [PageId],
}

impl Head<'_> {
    /// Adds the weights that the rows of `queries`, one for each row of `out`, `[rows, slots]`, give to each slot; the
    /// first of them is at slot `at`.
    fn weigh(&self, queries: &[f32], width: usize, at: usize, slots: usize, out: &mut [f32]) {
        let dim = self.layout.head_dim;
        let group = width / self.layout.kv_heads / dim;
        let rows = out.len() / slots;
        // Tiles that no row sees are not read.
        let first = self.how.visible(at, slots).start / LANES;
        let tiles = self.how.visible(at + rows - 1, slots).end.div_ceil(LANES) - first;
        let mut wide = vec![0.0; dim * LANES];
        // `[rows][group][tiles]`: a tile of keys serves all rows and heads.
        let mut products = vec![[0.0; LANES]; rows * group * tiles];
        for tile in 0..tiles {
            let keys = self.tile(first + tile, &mut wide);
            for row in 0..rows {
                let heads = &queries[row * width + self.head * group * dim..][..group * dim];
                (self.kernels.products)(keys, heads, &mut products[row * group * tiles + tile..], tiles);
            }
        }
        for (index, products) in products.chunks_exact_mut(tiles).enumerate() {
            let row = index / group;
            let seen = self.how.visible(at + row, slots);
            let own = seen.start / LANES;
            let products = &mut products[own - first..seen.end.div_ceil(LANES) - first];
            let mut scale = self.how.scale;
            if let Some(cap) = self.how.softcap {
                (self.kernels.scale)(products.as_flattened_mut(), scale);
                (self.kernels.softcap)(products.as_flattened_mut(), cap);
                scale = 1.0;
            }
            // Slots before the window that share a tile with it: their weight is 0.
            products.as_flattened_mut()[..seen.start - own * LANES].fill(f32::NEG_INFINITY);
            let out = &mut out[row * slots..][own * LANES..seen.end];
            (self.kernels.add_weights)(products, scale, out);
        }
    }

    /// The keys of sixteen slots, `[head_dim][16]`, in `wide` if they are stored otherwise.
    fn tile<'a>(&'a self, tile: usize, wide: &'a mut [f32]) -> &'a [f32] {
        let tile = self.layout.row(self.pages, self.head, tile * LANES) / LANES;
        match self.keys {
            Keys::Wide(keys) => &keys[tile * wide.len()..][..wide.len()],
            Keys::Stored(keys, widen) => {
                let bytes = LANES * self.layout.head_bytes(self.layout.types.k);
                widen(&keys[tile * bytes..][..bytes], self.layout.head_dim, wide);
                wide
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::backend::cpu::{CpuBackend, CpuOptions, Isa};
    use crate::backend::reference::ReferenceBackend;
    use crate::core::{AttentionParams, Backend, DType, KvLayer, KvLayout, KvTypes, PageId, Run};
    use crate::models::noise;

    const PLAIN: AttentionParams = AttentionParams { scale: 0.2, window: None, ahead: 0, softcap: None };

    /// The weights of `rows` rows after `at` others, for heads of 24 elements.
    fn weights<B: Backend>(
        b: &B,
        dtype: DType,
        (at, rows, group): (usize, usize, usize),
        how: &AttentionParams,
    ) -> Vec<f32> {
        let layout = KvLayout { types: dtype.into(), kv_heads: 2, head_dim: 24 };
        // Pages from the last one to the first.
        let pages: Vec<PageId> = (0..11).rev().map(PageId::new).collect();
        let mut layer = KvLayer::new(b, layout, pages.len()).unwrap();
        let tensor = |seed, rows: usize, cols: usize| {
            let mut t = b.tensor(rows, cols).unwrap();
            t.set_rows(rows).unwrap();
            b.upload(&noise(seed, rows * cols).map(|x| 2.0 * x).collect::<Vec<_>>(), &mut t, 0).unwrap();
            t
        };
        let keys = tensor(1, at + rows, 48);
        let all = Run { rows: 0..at + rows, pages: &pages, len: 0 };
        b.kv_append(&keys, &keys, &mut layer, &[all]).unwrap();
        let mut out = vec![f32::NAN; rows * (at + rows)];
        let run = Run { rows: 0..rows, pages: &pages, len: at };
        b.attention_weights(&tensor(2, rows, 48 * group), &layer, how, &run, &mut out).unwrap();
        out
    }

    #[test]
    fn weights_are_those_of_the_reference_on_any_set_and_threads() {
        let ways = [
            PLAIN,
            AttentionParams { window: Some(1), ..PLAIN },
            AttentionParams { window: Some(19), softcap: Some(0.8), ..PLAIN },
            AttentionParams { window: Some(64), ..PLAIN },
            AttentionParams { softcap: Some(2.0), ..PLAIN },
            AttentionParams { ahead: usize::MAX, ..PLAIN },
            AttentionParams { window: Some(9), ahead: 4, ..PLAIN },
        ];
        for (dtype, how) in KvTypes::STORED.into_iter().flat_map(|dtype| ways.map(|how| (dtype, how))) {
            for shape in [(0, 1, 1), (0, 5, 4), (13, 1, 3), (30, 40, 2), (600, 2, 4)] {
                let expected = weights(&ReferenceBackend, dtype, shape, &how);
                let cpu = |threads, isa| CpuBackend::new(CpuOptions { threads: Some(threads), isa }).unwrap();
                let got = weights(&cpu(1, None), dtype, shape, &how);
                let (at, rows, group) = shape;
                for (row, (got, expected)) in
                    got.chunks(at + rows).zip(expected.chunks(at + rows)).enumerate()
                {
                    let near = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
                    assert!(near, "{dtype} {shape:?} {how:?} row {row}: {got:?} {expected:?}");
                    let sum: f32 = got.iter().sum();
                    assert!((sum - 2.0 * group as f32).abs() < 1e-4, "each head gives 1: {sum}");
                    let seen = how.visible(at + row, at + rows);
                    assert!(got[..seen.start].iter().chain(&got[seen.end..]).all(|&weight| weight == 0.0));
                }
                for isa in Isa::available() {
                    let other = weights(&cpu(2, Some(isa)), dtype, shape, &how);
                    assert_eq!(other, got, "{isa} {dtype} {shape:?} {how:?}");
                }
            }
        }
    }

    #[test]
    fn operands_that_do_not_fit_are_refused() {
        let b = CpuBackend::new(CpuOptions { threads: Some(1), isa: None }).unwrap();
        let layout = KvLayout { types: DType::F16.into(), kv_heads: 2, head_dim: 8 };
        let layer = KvLayer::new(&b, layout, 1).unwrap();
        let pages = [PageId::new(0)];
        let mut q = b.tensor(2, 32).unwrap();
        q.set_rows(2).unwrap();
        let refuses = |rows, at, len: usize| {
            let run = Run { rows, pages: &pages, len: at };
            b.attention_weights(&q, &layer, &PLAIN, &run, &mut vec![0.0; len]).is_err()
        };
        assert!(
            refuses(0..2, 63, 130) && refuses(0..2, 4, 11) && refuses(0..2, 4, 13) && !refuses(0..2, 4, 12)
        );
        assert!(refuses(1..3, 4, 12) && !refuses(1..2, 4, 5));
        let nothing = AttentionParams { window: Some(0), ..PLAIN };
        let run = Run { rows: 0..2, pages: &pages, len: 4 };
        assert!(b.attention_weights(&q, &layer, &nothing, &run, &mut [0.0; 12]).is_err());
    }
}
