//! Attention and the cache: the same bits however the rows are cut and shared out.

use super::*;

/// Appends `rows` tokens and attends, in the given steps; answers all outputs.
fn attend_in_steps(
    b: &CpuBackend,
    layout: &KvLayout,
    heads: usize,
    how: &AttentionParams,
    steps: &[usize],
) -> Vec<f32> {
    let (kv, width) = (layout.kv_heads * layout.head_dim, heads * layout.head_dim);
    let total: usize = steps.iter().sum();
    let (q, k, v) = (numbers(1, total * width), numbers(2, total * kv), numbers(3, total * kv));
    // In pages from the last one to the first.
    let pages: Vec<PageId> = (0..total.div_ceil(KvLayout::PAGE)).rev().map(PageId::new).collect();
    let mut layer = KvLayer::new(b, *layout, pages.len()).unwrap();
    let mut all = Vec::new();
    let mut at = 0;
    for &rows in steps {
        let part = |x: &[f32], cols| tensor(b, rows, cols, &x[at * cols..(at + rows) * cols]);
        let runs = [Run { rows: 0..rows, pages: &pages, len: at }];
        b.kv_append(&part(&k, kv), &part(&v, kv), &mut layer, &runs).unwrap();
        let mut out = b.tensor(rows, width).unwrap();
        b.attention(&part(&q, width), &layer, how, &runs, &mut out).unwrap();
        all.extend(values(b, &out));
        at += rows;
    }
    all
}

#[test]
fn attention_in_chunks_is_attention_at_once() {
    for (dtype, head_dim, heads, kv_heads) in [
        (DType::F16, 32, 8, 2),
        (DType::F32, 17, 6, 2),
        (DType::F16, 64, 3, 3),
        (DType::F32, 16, 10, 2),
        (DType::Q8_0, 64, 8, 2),
        (DType::Q4_0, 40, 3, 1),
    ] {
        let layout = KvLayout { types: dtype.into(), kv_heads, head_dim };
        let plain = AttentionParams::of_head_dim(head_dim);
        let window = AttentionParams { window: Some(37), softcap: Some(0.3), ..plain };
        for how in [plain, window] {
            let truth = attend_in_steps(&backend(Isa::Scalar, 1), &layout, heads, &how, &[141]);
            assert!(truth.iter().all(|v| v.is_finite() && v.abs() <= 1.0));
            for b in backends() {
                for steps in [&[141][..], &[1; 141], &[64, 1, 63, 13], &[7, 9, 125]] {
                    let got = attend_in_steps(&b, &layout, heads, &how, steps);
                    let first = steps[0];
                    assert_eq!(bits(&got), bits(&truth), "{} {dtype} {how:?} steps of {first}", b.describe());
                }
            }
        }
    }
}

#[test]
fn attention_over_several_spans_is_the_same_however_it_is_shared_out() {
    // Three heads on one thread and one row are few chunks a thread, many rows are many; three threads make all
    // of it few.
    let layout = KvLayout { types: DType::F16.into(), kv_heads: 3, head_dim: 16 };
    let ways = [&[1030, 1, 1, 68][..], &[1100], &[500, 24, 570, 1, 5], &[1, 1098, 1]];
    for (window, ways) in
        [(None, &ways[..]), (Some(1), &ways[..1]), (Some(500), &ways), (Some(600), &ways[..1])]
    {
        let how = AttentionParams { window, ..AttentionParams::of_head_dim(16) };
        let truth = attend_in_steps(&backend(Isa::Scalar, 1), &layout, 6, &how, &[1100]);
        for isa in Isa::available() {
            for threads in [1, 3] {
                let b = backend(isa, threads);
                for &steps in ways {
                    let got = attend_in_steps(&b, &layout, 6, &how, steps);
                    assert_eq!(bits(&got), bits(&truth), "{} {window:?} steps of {}", b.describe(), steps[0]);
                }
            }
        }
    }
}
