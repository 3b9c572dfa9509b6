//! Several sequences in one pass: each gets what it would get alone.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;

/// Passes of several sequences over one layer.
#[derive(Clone, Debug)]
struct Mix {
    layout: KvLayout,
    /// Query heads that read a head of the cache.
    group: usize,
    how: AttentionParams,
    /// The rows of each sequence in each pass.
    passes: Vec<Vec<usize>>,
    /// Shuffles the pages.
    seed: usize,
}

impl Mix {
    fn sequences(&self) -> usize {
        self.passes[0].len()
    }

    /// The tokens of a sequence after all passes.
    fn tokens(&self, sequence: usize) -> usize {
        self.passes.iter().map(|rows| rows[sequence]).sum()
    }

    /// Queries, keys and values of all tokens of a sequence: their widths, and rows.
    fn operands(&self, sequence: usize) -> [(usize, Vec<f32>); 3] {
        let (kv, tokens) = (self.layout.width(), self.tokens(sequence));
        let rows = |part: u64, width: usize| {
            (width, noise(3 * sequence as u64 + part, tokens * width).collect::<Vec<f32>>())
        };
        [rows(1, kv * self.group), rows(2, kv), rows(3, kv)]
    }

    /// A table of pages for each sequence, from pages in no order, of which some are of none.
    fn tables(&self) -> (usize, Vec<Vec<PageId>>) {
        let need = |sequence| self.tokens(sequence).div_ceil(KvLayout::PAGE);
        let all = (0..self.sequences()).map(need).sum::<usize>() + 3;
        let mut free: Vec<usize> = (0..all).collect();
        let mut take = |count: usize| -> Vec<PageId> {
            (0..count).map(|i| PageId::new(free.swap_remove((self.seed + 7 * i) % free.len()))).collect()
        };
        (all, (0..self.sequences()).map(|sequence| take(need(sequence))).collect())
    }

    /// What attention gives each token of each sequence, if all go through the passes together.
    fn together<B: Backend>(&self, b: &B) -> Vec<Vec<f32>> {
        let (count, mut tables) = self.tables();
        let mut layer = KvLayer::new(b, self.layout, count).unwrap();
        let operands: Vec<_> = (0..self.sequences()).map(|sequence| self.operands(sequence)).collect();
        let mut held = vec![0; self.sequences()];
        let mut all = vec![Vec::new(); self.sequences()];
        for pass in &self.passes {
            let total: usize = pass.iter().sum();
            let [q, k, v] = [0, 1, 2].map(|part| {
                let rows: Vec<f32> = (0..self.sequences())
                    .flat_map(|s| {
                        let (width, values) = &operands[s][part];
                        &values[held[s] * width..(held[s] + pass[s]) * width]
                    })
                    .copied()
                    .collect();
                let mut t = b.tensor(total, operands[0][part].0).unwrap();
                b.upload(&rows, &mut t, 0).unwrap();
                t
            });
            // What no row sees any more is given back.
            for (table, len) in tables.iter_mut().zip(&held) {
                table
                    .iter_mut()
                    .take(self.how.visible(*len, *len + 1).start / KvLayout::PAGE)
                    .for_each(|p| *p = PageId::NONE);
            }
            let mut from = 0;
            let runs: Vec<Run<'_>> = (0..self.sequences())
                .map(|s| {
                    from += pass[s];
                    Run { rows: from - pass[s]..from, pages: &tables[s], len: held[s] }
                })
                .collect();
            let mut out = b.tensor(total, q.cols()).unwrap();
            b.kv_append(&k, &v, &mut layer, &runs).unwrap();
            b.attention(&q, &layer, &self.how, &runs, &mut out).unwrap();
            let mut values = vec![0.0; total * q.cols()];
            b.download(&out, 0, &mut values).unwrap();
            for (s, run) in runs.iter().enumerate() {
                all[s].extend(&values[run.rows.start * q.cols()..run.rows.end * q.cols()]);
            }
            held.iter_mut().zip(pass).for_each(|(held, rows)| *held += rows);
        }
        all
    }

    /// One sequence of them by itself, in pages in order; in the same passes, or all tokens at once.
    fn alone<B: Backend>(&self, b: &B, sequence: usize, at_once: bool) -> Vec<f32> {
        let [(width, q), (kv, k), (_, v)] = self.operands(sequence);
        let tokens = self.tokens(sequence);
        let pages: Vec<PageId> = (0..tokens.div_ceil(KvLayout::PAGE)).map(PageId::new).collect();
        let mut layer = KvLayer::new(b, self.layout, pages.len()).unwrap();
        let steps =
            if at_once { vec![tokens] } else { self.passes.iter().map(|pass| pass[sequence]).collect() };
        let (mut all, mut at) = (Vec::new(), 0);
        for rows in steps {
            let part = |x: &[f32], width: usize| {
                let mut t = b.tensor(rows, width).unwrap();
                b.upload(&x[at * width..(at + rows) * width], &mut t, 0).unwrap();
                t
            };
            b.kv_append(&part(&k, kv), &part(&v, kv), &mut layer, &run(&pages, rows, at)).unwrap();
            let mut out = b.tensor(rows, width).unwrap();
            b.attention(&part(&q, width), &layer, &self.how, &run(&pages, rows, at), &mut out).unwrap();
            let mut values = vec![0.0; rows * width];
            b.download(&out, 0, &mut values).unwrap();
            all.extend(values);
            at += rows;
        }
        all
    }
}

/// A few rows, or one, or none, or a chunk of a prompt.
fn rows() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(1usize), 1 => Just(0usize), 2 => 2usize..12, 2 => 20usize..150]
}

prop_compose! {
    fn mixes()(sequences in 1usize..5, count in 1usize..4)(
        passes in prop::collection::vec(prop::collection::vec(rows(), sequences), count),
        types in prop::sample::select(KvTypes::various().collect::<Vec<_>>()),
        (kv_heads, head_dim, group) in prop::sample::select(vec![(1, 16, 2), (2, 17, 3), (3, 32, 1), (2, 64, 4)]),
        window in prop::sample::select(vec![None, None, Some(1), Some(40), Some(64), Some(130)]),
        softcap in prop::sample::select(vec![None, None, Some(0.5)]),
        seed in 0usize..1000,
    ) -> Mix {
        let how = AttentionParams { window, softcap, ..AttentionParams::of_head_dim(head_dim) };
        Mix { layout: KvLayout { types, kv_heads, head_dim }, group, how, passes, seed }
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn on_the_cpu_a_batch_has_the_bits_of_each_sequence_alone_and_at_once(mix in mixes()) {
        let alone: Vec<_> = (0..mix.sequences()).map(|s| bits(&mix.alone(&cpu(Isa::Scalar, 1), s, true))).collect();
        for isa in Isa::available() {
            for threads in [1, 3] {
                let got = mix.together(&cpu(isa, threads));
                for (s, (got, alone)) in got.iter().zip(&alone).enumerate() {
                    prop_assert_eq!(&bits(got), alone, "{} {} threads, sequence {}", isa, threads, s);
                }
            }
        }
    }

    #[test]
    fn on_the_reference_a_batch_has_the_bits_of_each_sequence_alone_and_at_once(mix in mixes()) {
        for (s, got) in mix.together(&ReferenceBackend).iter().enumerate() {
            prop_assert_eq!(bits(got), bits(&mix.alone(&ReferenceBackend, s, true)), "sequence {}", s);
        }
    }
}

#[test]
fn many_sequences_over_several_spans_share_a_pass() {
    let layout = KvLayout { types: DType::F16.into(), kv_heads: 2, head_dim: 32 };
    let passes = vec![vec![1100, 3, 600, 1, 520, 64], vec![1; 6], vec![1, 70, 1, 1, 0, 1]];
    for window in [None, Some(500)] {
        let how = AttentionParams { window, ..AttentionParams::of_head_dim(32) };
        let mix = Mix { layout, group: 2, how, passes: passes.clone(), seed: 3 };
        let alone: Vec<_> = (0..6).map(|s| bits(&mix.alone(&cpu(Isa::Scalar, 1), s, true))).collect();
        for isa in Isa::available() {
            for threads in [1, 4] {
                let got: Vec<_> = mix.together(&cpu(isa, threads)).iter().map(|x| bits(x)).collect();
                assert!(got == alone, "{isa} {threads} threads {window:?}");
            }
        }
    }
}

/// Each row of each sequence sees later ones too, all of which are in the pass.
#[test]
fn tokens_that_see_later_ones_have_the_bits_that_they_have_alone_and_the_numbers_of_the_reference() {
    let layout = KvLayout { types: DType::F16.into(), kv_heads: 2, head_dim: 32 };
    for (window, ahead) in [(None, usize::MAX), (Some(3), 1), (Some(65), 32), (Some(301), 150), (Some(9), 2)]
    {
        let how = AttentionParams { window, ahead, ..AttentionParams::of_head_dim(32) };
        let mix = Mix { layout, group: 2, how, passes: vec![vec![560, 3, 64, 1, 130]], seed: 5 };
        let alone: Vec<_> = (0..5).map(|s| bits(&mix.alone(&cpu(Isa::Scalar, 1), s, true))).collect();
        for isa in Isa::available() {
            for threads in [1, 4] {
                let got: Vec<_> = mix.together(&cpu(isa, threads)).iter().map(|x| bits(x)).collect();
                assert!(got == alone, "{isa} {threads} threads {how:?}");
            }
        }
        for (s, expected) in mix.together(&ReferenceBackend).iter().enumerate() {
            let got = mix.alone(&cpu(Isa::Scalar, 1), s, true);
            let near = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near, "{how:?} sequence {s}");
        }
    }
    // The last token sees what it sees in any case, the first one more.
    let rows = |ahead| {
        let how = AttentionParams { ahead, ..AttentionParams::of_head_dim(32) };
        Mix { layout, group: 2, how, passes: vec![vec![70]], seed: 5 }.alone(&ReferenceBackend, 0, true)
    };
    let (both, before) = (rows(usize::MAX), rows(0));
    let width = both.len() / 70;
    assert!(both[69 * width..] == before[69 * width..] && both[..width] != before[..width]);
}

#[test]
fn on_a_device_a_batch_has_the_numbers_of_each_sequence_alone() {
    let test = "on_a_device_a_batch_has_the_numbers_of_each_sequence_alone";
    let Some(gpu) = opencl(test) else { return };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..12 {
        let mix = mixes().new_tree(&mut runner).unwrap().current();
        for (s, got) in mix.together(&gpu).iter().enumerate() {
            assert_eq!(bits(got), bits(&mix.alone(&gpu, s, false)), "{mix:?} sequence {s}");
            let expected = mix.alone(&ReferenceBackend, s, true);
            let near = got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-2);
            assert!(near, "{mix:?} sequence {s}");
        }
    }
}
