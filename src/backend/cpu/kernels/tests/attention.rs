//! Attention over one head: its definition, windows and caps.

use super::*;
use crate::backend::cpu::kernels::attention::{Attend, KEYS, Paged, SPAN, scratch_len, state_len};
use crate::backend::cpu::pieces::{Pieces, Side};
use crate::core::{AttentionParams, KvLayout, KvTypes, PageId};
use crate::quant::heads;

/// Softmax attention in f64, one row and head.
fn attention_truth(q: &[f32], k: &[f32], v: &[f32], slot: usize, how: &AttentionParams) -> Vec<f64> {
    let (dim, slots) = (q.len(), how.visible(slot, slot + 1));
    let dot = |j: usize| (0..dim).map(|d| f64::from(q[d]) * f64::from(k[j * dim + d])).sum::<f64>();
    let capped = |s: f64| how.softcap.map_or(s, |cap| f64::from(cap) * (s / f64::from(cap)).tanh());
    let scores: Vec<f64> = slots.clone().map(|j| capped(dot(j) * f64::from(how.scale))).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|s| (s - max).exp()).sum();
    let weighted = |d: usize| {
        slots.clone().zip(&scores).map(|(j, s)| (s - max).exp() * f64::from(v[j * dim + d])).sum::<f64>()
    };
    (0..dim).map(|d| weighted(d) / total).collect()
}

/// Keys and values of one head.
struct Stored {
    layout: KvLayout,
    pages: Vec<PageId>,
    /// Pages of both; slots after the last hold NaN.
    tiles: [Vec<u8>; 2],
    /// What they stand for, slot after slot.
    wide: [Vec<f32>; 2],
}

impl Stored {
    fn new(types: KvTypes, dim: usize, numbers: [&[f32]; 2]) -> Self {
        let layout = KvLayout { types, kv_heads: 1, head_dim: dim };
        // Page after page, from the last one to the first.
        let count = (numbers[0].len() / dim).div_ceil(KvLayout::PAGE);
        let pages: Vec<PageId> = (0..count).rev().map(PageId::new).collect();
        let mut own = Self { layout, pages, tiles: Default::default(), wide: Default::default() };
        for (i, (side, dtype)) in [(Side::Keys, types.k), (Side::Values, types.v)].into_iter().enumerate() {
            let pieces = Pieces::new(&layout, side);
            own.tiles[i] = vec![0xff; count * KvLayout::PAGE * pieces.slot_bytes];
            own.wide[i] = vec![f32::NAN; numbers[i].len()];
            let mut bytes = vec![0; pieces.slot_bytes];
            let heads = numbers[i].chunks_exact(dim).zip(own.wide[i].chunks_exact_mut(dim));
            for (slot, (head, wide)) in heads.enumerate() {
                heads::encode(dtype, head, &mut bytes).unwrap();
                heads::decode(dtype, &bytes, wide).unwrap();
                for piece in pieces.each() {
                    let head = &mut own.tiles[i][pieces.head(own.pages[slot / KvLayout::PAGE], 0)];
                    pieces.put(head, slot % KvLayout::PAGE, piece, &bytes[piece.at..][..piece.bytes]);
                }
            }
        }
        own
    }

    /// All spans of one call, merged: `[rows * heads][dim]`.
    fn attend(
        &self,
        k: &Kernels,
        q: &[f32],
        [at, rows, heads]: [usize; 3],
        how: &AttentionParams,
    ) -> Vec<f32> {
        let (pairs, dim) = (rows * heads, self.layout.head_dim);
        let mut sum = vec![f32::NAN; state_len(pairs, dim)];
        let mut next = sum.clone();
        let mut scratch = vec![f32::NAN; scratch_len(pairs, dim)];
        let paged = |i: usize, side, from: usize| Paged {
            bytes: &self.tiles[i],
            pages: &self.pages[from / KEYS..],
            pieces: Pieces::new(&self.layout, side),
            head: 0,
        };
        for from in (0..at + rows).step_by(SPAN) {
            let to = (from + SPAN).min(at + rows);
            let job = Attend {
                q,
                q_stride: heads * dim,
                rows,
                heads,
                head_dim: dim,
                visible: at as isize + 1 - from as isize,
                window: how.window.map_or(isize::MAX, |window| window as isize),
                slots: to - from,
                after: at + rows - to,
                keys: paged(0, Side::Keys, from),
                values: paged(1, Side::Values, from),
                scale: how.scale,
                softcap: how.softcap.map(|cap| (cap, k.softcap)),
            };
            let state = if from == 0 { &mut sum } else { &mut next };
            k.attend(self.layout.types).unwrap().span(&job, state, &mut scratch);
            if from > 0 {
                (k.merge)(dim, &mut sum, &next);
            }
        }
        let (values, sums) = (&sum[..pairs * dim], &sum[pairs * (dim + 1)..]);
        values.iter().enumerate().map(|(i, v)| v * (1.0 / sums[i / dim])).collect()
    }
}

#[test]
fn attention_is_softmax_and_the_same_everywhere() {
    let scalar = Kernels::of(Isa::Scalar).unwrap();
    for (dim, heads) in [(1, 1), (15, 2), (16, 3), (17, 4), (32, 5), (48, 1), (64, 4), (64, 7), (80, 8)] {
        for (at, rows) in [
            (0, 1),
            (0, 3),
            (KEYS - 2, 4),
            (KEYS - 1, 1),
            (KEYS, 1),
            (2 * KEYS + 5, 2),
            (SPAN - 1, 1),
            (SPAN - 2, 4),
            (2 * SPAN, 1),
            (2 * SPAN + 3, 2),
        ] {
            let slots = at + rows;
            let q = numbers(1, rows * heads * dim, false);
            let numbers = [numbers(7, slots * dim, false), numbers(8, slots * dim, false)];
            for types in KvTypes::various() {
                let stored = Stored::new(types, dim, [&numbers[0], &numbers[1]]);
                let how = AttentionParams::of_head_dim(dim);
                let truth = stored.attend(scalar, &q, [at, rows, heads], &how);
                for (pair, got) in truth.chunks(dim).enumerate() {
                    let slot = at + pair / heads;
                    let q = &q[pair * dim..(pair + 1) * dim];
                    let exact = attention_truth(q, &stored.wide[0], &stored.wide[1], slot, &how);
                    for (a, b) in got.iter().zip(exact) {
                        assert!(
                            (f64::from(*a) - b).abs() < 2e-6,
                            "{types} dim {dim} at {at} pair {pair}: {a} {b}"
                        );
                    }
                }
                // The same as over a cache of f32 that holds what the stored type stands for.
                let wide = Stored::new(DType::F32.into(), dim, [&stored.wide[0], &stored.wide[1]]);
                for (isa, k) in tables() {
                    let message = format!("{isa} {types} dim {dim} at {at} rows {rows}");
                    assert_eq!(
                        bits(&stored.attend(k, &q, [at, rows, heads], &how)),
                        bits(&truth),
                        "{message}"
                    );
                    assert_eq!(
                        bits(&wide.attend(k, &q, [at, rows, heads], &how)),
                        bits(&truth),
                        "wide {message}"
                    );
                }
            }
        }
    }
}

#[test]
fn windows_and_caps_are_their_definition_and_hide_what_no_row_sees() {
    let scalar = Kernels::of(Isa::Scalar).unwrap();
    let plain = AttentionParams { scale: 0.7, window: None, ahead: 0, softcap: None };
    for (dim, heads) in [(17, 3), (32, 5), (64, 4)] {
        for (at, rows, window) in [
            (0, 3, 1),
            (5, 2, 2),
            (KEYS - 1, 3, 17),
            (KEYS, 2, KEYS),
            (3 * KEYS, 8, KEYS - 5),
            (SPAN - 3, 8, 2),
            (SPAN, 5, 100),
            (2 * SPAN + 3, 2, SPAN),
            (2 * SPAN + 40, 1, 3 * SPAN),
        ] {
            let slots = at + rows;
            let q = numbers(1, rows * heads * dim, false);
            let mut numbers = [numbers(7, slots * dim, false), numbers(8, slots * dim, false)];
            for softcap in [None, Some(0.5)] {
                let how = AttentionParams { window: Some(window), softcap, ..plain };
                for types in [KvTypes::from(DType::F32), KvTypes { k: DType::Q8_0, v: DType::Q4_0 }] {
                    let stored = Stored::new(types, dim, [&numbers[0], &numbers[1]]);
                    let truth = stored.attend(scalar, &q, [at, rows, heads], &how);
                    for (pair, got) in truth.chunks(dim).enumerate() {
                        let q = &q[pair * dim..(pair + 1) * dim];
                        let slot = at + pair / heads;
                        let exact = attention_truth(q, &stored.wide[0], &stored.wide[1], slot, &how);
                        let near = got.iter().zip(&exact).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-6);
                        assert!(near, "{types} dim {dim} at {at} pair {pair} {how:?}: {got:?} {exact:?}");
                    }
                    for (isa, k) in tables() {
                        let message = format!("{isa} {types} dim {dim} at {at} rows {rows} {how:?}");
                        assert_eq!(
                            bits(&stored.attend(k, &q, [at, rows, heads], &how)),
                            bits(&truth),
                            "{message}"
                        );
                        // A row by itself: the rows next to it, which see other tiles and spans, change nothing.
                        for row in 0..rows {
                            let q = &q[row * heads * dim..(row + 1) * heads * dim];
                            let alone = stored.attend(k, q, [at + row, 1, heads], &how);
                            let beside = &truth[row * heads * dim..(row + 1) * heads * dim];
                            assert_eq!(bits(&alone), bits(beside), "{message} row {row}");
                        }
                    }
                }
            }
            // What is before the first row's window is not even multiplied with 0.
            let how = AttentionParams { window: Some(window), ..plain };
            let stored =
                |numbers: &[Vec<f32>; 2]| Stored::new(DType::F32.into(), dim, [&numbers[0], &numbers[1]]);
            let truth = stored(&numbers).attend(scalar, &q, [at, rows, heads], &how);
            numbers.iter_mut().for_each(|n| n[..how.visible(at, at + 1).start * dim].fill(f32::NAN));
            for (isa, k) in tables() {
                let got = stored(&numbers).attend(k, &q, [at, rows, heads], &how);
                assert_eq!(bits(&got), bits(&truth), "{isa} dim {dim} at {at} rows {rows} {window}");
            }
        }
    }
    // Without a window and with the usual scale, a softcap that bends nothing to speak of changes little.
    let (dim, heads) = (64, 4);
    let (q, k, v) = (numbers(1, heads * dim, false), numbers(2, 9 * dim, false), numbers(3, 9 * dim, false));
    let stored = Stored::new(DType::F32.into(), dim, [&k, &v]);
    let how = AttentionParams::of_head_dim(dim);
    let (plain, capped) = (
        stored.attend(scalar, &q, [8, 1, heads], &how),
        stored.attend(scalar, &q, [8, 1, heads], &AttentionParams { softcap: Some(1e4), ..how }),
    );
    assert!(plain.iter().zip(&capped).all(|(a, b)| (a - b).abs() < 1e-5));
}
