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
    let mut cache = KvLayer::new(b, layout).unwrap();
    let mut all = Vec::new();
    let mut at = 0;
    for &rows in steps {
        let part = |x: &[f32], cols| tensor(b, rows, cols, &x[at * cols..(at + rows) * cols]);
        b.kv_append(&part(&k, kv), &part(&v, kv), &mut cache, layout, at).unwrap();
        let mut out = b.tensor(rows, width).unwrap();
        b.attention(&part(&q, width), &cache, layout, how, at, &mut out).unwrap();
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
        let layout = KvLayout { types: dtype.into(), kv_heads, head_dim, capacity: 150 };
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
    let layout = KvLayout { types: DType::F16.into(), kv_heads: 3, head_dim: 32, capacity: 1200 };
    for window in [None, Some(1), Some(500), Some(600)] {
        let how = AttentionParams { window, ..AttentionParams::of_head_dim(32) };
        let truth = attend_in_steps(&backend(Isa::Scalar, 1), &layout, 6, &how, &[1100]);
        for isa in Isa::available() {
            for threads in [1, 3] {
                let b = backend(isa, threads);
                for steps in [&[1100][..], &[1030, 1, 1, 68], &[500, 24, 570, 1, 5], &[1, 1098, 1]] {
                    let got = attend_in_steps(&b, &layout, 6, &how, steps);
                    assert_eq!(bits(&got), bits(&truth), "{} {window:?} steps of {}", b.describe(), steps[0]);
                }
            }
        }
    }
}

#[test]
fn repack_keeps_what_the_plan_says() {
    let b = backend(Isa::Scalar, 1);
    let from = KvLayout { types: DType::F32.into(), kv_heads: 2, head_dim: 2, capacity: 60 };
    let to = KvLayout { capacity: 40, ..from };
    let layer = |layout: &KvLayout| KvLayer::new(&b, layout).unwrap();
    let rows = |slots: &[usize], sign: f32| {
        let values: Vec<f32> =
            slots.iter().flat_map(|s| (0..4).map(move |i| sign * (s * 4 + i) as f32)).collect();
        tensor(&b, slots.len(), 4, &values)
    };
    let all: Vec<usize> = (0..60).collect();
    let (mut src, mut dst) = (layer(&from), layer(&to));
    b.kv_append(&rows(&all, 1.0), &rows(&all, -1.0), &mut src, &from, 0).unwrap();
    b.kv_repack(&src, &from, &[0..1, 4..6, 2..2, 20..55], &mut dst, &to).unwrap();
    // The same as appending just those.
    let kept: Vec<usize> = [0, 4, 5].into_iter().chain(20..55).collect();
    let mut truth = layer(&to);
    b.kv_append(&rows(&kept, 1.0), &rows(&kept, -1.0), &mut truth, &to, 0).unwrap();
    assert_eq!(dst.k.f32("t").unwrap(), truth.k.f32("t").unwrap());
    assert_eq!(dst.v.f32("t").unwrap(), truth.v.f32("t").unwrap());
    assert!(dst.v.f32("t").unwrap().iter().any(|&v| v != 0.0));
    let reversed = std::ops::Range { start: 3, end: 2 };
    for bad in [0..41, 55..61, usize::MAX - 1..usize::MAX, reversed] {
        assert!(b.kv_repack(&src, &from, &[bad], &mut dst, &to).is_err());
    }
    let empty = KvLayout { capacity: 0, ..from };
    b.kv_repack(&layer(&empty), &empty, &[], &mut dst, &to).unwrap();
}
