//! The oracle against numbers worked out by hand.

use super::{ReferenceBackend, T};
use crate::core::{
    Activation, AttentionParams, Backend, CoreError, DType, HostTensor, KvLayer, KvLayout, KvShape,
    LinearPart, OneSequence, PageId, Run, Shape,
};

const B: ReferenceBackend = ReferenceBackend;

fn tensor(rows: usize, values: &[f32]) -> T {
    let mut t = B.tensor(rows, values.len() / rows.max(1)).unwrap();
    B.upload(values, &mut t, 0).unwrap();
    t
}

fn values(t: &T) -> Vec<f32> {
    let mut out = vec![0.0; t.rows() * t.cols()];
    B.download(t, 0, &mut out).unwrap();
    out
}

fn weight(dims: [usize; 2], values: &[f32], format: DType) -> super::ReferenceWeight {
    B.prepare(&HostTensor::from_f32("w", Shape::from(dims), values).unwrap(), format).unwrap()
}

fn near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= 1e-6 * e.abs().max(1.0), "{got:?}, expected {expected:?}");
    }
}

#[test]
fn rms_norm_divides_by_the_root_of_the_mean_square() {
    // mean([9, 16]) = 12.5; with eps 3.5 the root is 4.
    let x = tensor(1, &[3.0, 4.0]);
    let mut out = B.tensor(1, 2).unwrap();
    B.rms_norm(&x, &weight([1, 2], &[1.0, 2.0], DType::F32), 3.5, &mut out).unwrap();
    near(&values(&out), &[0.75, 2.0]);
}

#[test]
fn a_gain_shorter_than_a_row_normalizes_each_group_by_itself() {
    let mut x = tensor(1, &[3.0, 4.0, 30.0, 40.0]);
    let gain = weight([1, 2], &[1.0, 2.0], DType::F32);
    let mut out = B.tensor(1, 4).unwrap();
    B.rms_norm(&x, &gain, 3.5, &mut out).unwrap();
    let second = 1.0 / 1253.5f32.sqrt();
    near(&values(&out), &[0.75, 2.0, 30.0 * second, 80.0 * second]);
    B.rms_norm_in_place(&mut x, &gain, 3.5).unwrap();
    assert_eq!(values(&x), values(&out));
    assert!(B.rms_norm_in_place(&mut tensor(1, &[1.0; 5]), &gain, 3.5).is_err());
}

#[test]
fn linear_is_x_times_the_transposed_weight_plus_bias() {
    let x = tensor(2, &[1.0, 2.0, 3.0, 4.0]);
    let w = weight([3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, -1.0], DType::F32);
    let bias = weight([1, 3], &[10.0, 20.0, 30.0], DType::F32);
    let mut out = B.tensor(2, 3).unwrap();
    B.linear(&x, &mut [LinearPart { weight: &w, bias: Some(&bias), out: &mut out }]).unwrap();
    near(&values(&out), &[11.0, 22.0, 29.0, 13.0, 24.0, 29.0]);
}

#[test]
fn quantized_linear_rounds_the_input_to_eight_bits() {
    // Scale 254 / 127 = 2: the input 3 is 1.5 steps, which round half to even makes 2 steps, that is 4.
    let mut x = [0.0; 32];
    (x[0], x[1]) = (254.0, 3.0);
    let mut w = [0.0; 32];
    w[1] = 127.0;
    let mut out = B.tensor(1, 1).unwrap();
    let w = weight([1, 32], &w, DType::Q8_0);
    B.linear(&tensor(1, &x), &mut [LinearPart { weight: &w, bias: None, out: &mut out }]).unwrap();
    near(&values(&out), &[4.0 * 127.0]);
}

#[test]
fn rope_turns_the_pairs_of_each_head() {
    // Two heads of 4; pair 0 turns by 90 degrees, pair 1 not at all.
    let mut x = tensor(1, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let angles = tensor(1, &[0.0, 1.0, 1.0, 0.0]);
    B.rope(&mut x, &angles, 4).unwrap();
    near(&values(&x), &[-3.0, 2.0, 1.0, 4.0, -7.0, 6.0, 5.0, 8.0]);
    // One head of 8, of which four elements turn.
    B.rope(&mut x, &angles, 8).unwrap();
    near(&values(&x), &[-1.0, 2.0, -3.0, 4.0, -7.0, 6.0, 5.0, 8.0]);
    assert!(B.rope(&mut x, &angles, 2).is_err() && B.rope(&mut x, &angles, 3).is_err());
}

#[test]
fn attention_averages_values_by_softmax_and_sees_no_future() {
    let layout = KvLayout { types: DType::F32.into(), kv_heads: 1, head_dim: 1 };
    let mut cache = KvLayer::new(&B, layout, 2).unwrap();
    let pages = [PageId::new(1)];
    let both = [Run { rows: 0..2, pages: &pages, len: 0 }];
    let ln3 = 3f32.ln();
    B.kv_append(&tensor(2, &[0.0, ln3]), &tensor(2, &[8.0, 4.0]), &mut cache, &both).unwrap();
    // Two query heads over one cached head; head 0 asks with 1 (weights 1:3), head 1 with 0 (1:1).
    let q = tensor(2, &[1.0, 0.0, 1.0, 0.0]);
    let mut out = B.tensor(2, 2).unwrap();
    let how = AttentionParams::of_head_dim(1);
    B.attention(&q, &cache, &how, &both, &mut out).unwrap();
    near(&values(&out), &[8.0, 8.0, 5.0, 6.0]);
    // A window of one slot, twice the scale (weights 1:9), and scores capped to one half.
    B.attention(&q, &cache, &AttentionParams { window: Some(1), ..how }, &both, &mut out).unwrap();
    near(&values(&out), &[8.0, 8.0, 4.0, 4.0]);
    B.attention(&q, &cache, &AttentionParams { scale: 2.0, ..how }, &both, &mut out).unwrap();
    near(&values(&out), &[8.0, 8.0, 4.4, 6.0]);
    B.attention(&q, &cache, &AttentionParams { softcap: Some(0.5), ..how }, &both, &mut out).unwrap();
    let weight = (0.5 * (2.0 * ln3).tanh()).exp();
    near(&values(&out), &[8.0, 8.0, (8.0 + 4.0 * weight) / (1.0 + weight), 6.0]);
}

#[test]
fn gated_units_and_add() {
    let mut out = B.tensor(1, 2).unwrap();
    B.glu(&tensor(1, &[0.0, 1.0]), &tensor(1, &[5.0, 2.0]), Activation::Silu, &mut out).unwrap();
    near(&values(&out), &[0.0, 2.0 * 0.731_058_6]);
    B.add(&tensor(1, &[1.0, 1.0]), &mut out).unwrap();
    near(&values(&out), &[1.0, 1.0 + 2.0 * 0.731_058_6]);
    B.glu(&tensor(1, &[1.0, -2.0]), &tensor(1, &[2.0, 1.0]), Activation::GeluTanh, &mut out).unwrap();
    // torch.nn.functional.gelu(x, approximate="tanh") of 1 and -2.
    near(&values(&out), &[2.0 * 0.841_192, -0.045_402_3]);
}

#[test]
fn scale_and_softcap_work_in_place() {
    let mut x = tensor(1, &[1.0, -2.0, 60.0]);
    B.scale(&mut x, 0.5).unwrap();
    near(&values(&x), &[0.5, -1.0, 30.0]);
    B.softcap(&mut x, 30.0).unwrap();
    near(&values(&x), &[30.0 * (0.5f32 / 30.0).tanh(), -30.0 * (1f32 / 30.0).tanh(), 30.0 * 0.761_594_2]);
}

#[test]
fn the_cache_grows_without_losing_what_it_holds_and_stops_at_its_limit() {
    let shape = KvShape { kv_heads: 2, head_dim: 2, window: None };
    let mut cache = OneSequence::new(&B, &[shape], DType::F16.into(), 300).unwrap();
    let mut rows = 0;
    for step in [1usize, 254, 10] {
        cache.reserve(&B, step).unwrap();
        let at = cache.len();
        let k: Vec<f32> = (0..step * 4).map(|i| (rows * 4 + i) as f32).collect();
        let v: Vec<f32> = k.iter().map(|x| -x).collect();
        cache.append(&B, 0, (&tensor(step, &k), &tensor(step, &v)), at).unwrap();
        cache.advance(step);
        rows += step;
    }
    assert_eq!((cache.len(), cache.position(), cache.pool.whole_capacity()), (265, 265, 300));
    let (layer, pages) = cache.layer(0);
    for (slot, head) in [(0, 0), (0, 1), (254, 1), (255, 0), (264, 1)] {
        let expected = (slot * 4 + head * 2) as f32;
        let mut held = [0.0; 2];
        layer.k.load(layer.layout.row(pages, head, slot), &mut held).unwrap();
        assert_eq!(held, [expected, expected + 1.0]);
        layer.v.load(layer.layout.row(pages, head, slot), &mut held).unwrap();
        assert_eq!(held, [-expected, -expected - 1.0]);
    }
    let full = cache.reserve(&B, 36).unwrap_err();
    assert!(matches!(full, CoreError::CacheFull { len: 265, max: 300, more: 36 }), "{full}");
    assert_eq!(cache.len(), 265);
}

#[test]
fn slots_are_copied_within_a_layer_and_move_down_in_place() {
    let layout = KvLayout { types: DType::F32.into(), kv_heads: 2, head_dim: 1 };
    let mut layer = KvLayer::new(&B, layout, 3).unwrap();
    let rows: Vec<f32> = (0..100).flat_map(|slot| [slot as f32, 1000.0 + slot as f32]).collect();
    let negative: Vec<f32> = rows.iter().map(|x| -x).collect();
    let pages = [2, 0].map(PageId::new);
    let all = [Run { rows: 0..100, pages: &pages, len: 0 }];
    B.kv_append(&tensor(100, &rows), &tensor(100, &negative), &mut layer, &all).unwrap();
    B.kv_copy(&mut layer, (&pages, 5), (&pages, 1), 90).unwrap();
    B.kv_copy(&mut layer, (&pages, 3), (&[PageId::new(1)], 60), 2).unwrap();
    for (table, slot, value) in
        [(&pages[..], 0, 0.0), (&pages, 1, 5.0), (&pages, 90, 94.0), (&pages, 91, 91.0)]
    {
        for head in 0..2 {
            let (at, base) = (layout.row(table, head, slot), 1000.0 * head as f32);
            assert_eq!((layer.k.values()[at], layer.v.values()[at]), (base + value, -base - value));
        }
    }
    assert_eq!(layer.k.values()[layout.row(&[PageId::new(1)], 1, 61)], 1008.0);
    assert!(B.kv_copy(&mut layer, (&pages, 65), (&pages, 0), 64).is_err());
    assert!(B.kv_copy(&mut layer, (&[PageId::new(3)], 0), (&pages, 0), 1).is_err());
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let w = weight([2, 3], &[0.0; 6], DType::F32);
    let mut out = B.tensor(1, 2).unwrap();
    let error = B.linear(&tensor(1, &[0.0; 4]), &mut [LinearPart { weight: &w, bias: None, out: &mut out }]);
    assert!(matches!(error, Err(CoreError::Mismatch { op: "linear", got: 4, expected: 3, .. })));
    let mut rows = B.tensor(1, 3).unwrap();
    assert!(matches!(B.embed(&w, &[2], &mut rows), Err(CoreError::BadToken { id: 2, vocab: 2 })));
    assert!(B.copy_rows(&tensor(1, &[0.0; 3]), 1, 1, &mut rows).is_err());
}

#[test]
fn tiles_are_read_as_the_rows_that_they_hold() {
    let values: Vec<f32> = (0..19 * 44).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
    let source = HostTensor::from_f32("w", Shape::from([19, 44]), &values).unwrap();
    for format in [DType::Q4_0, DType::Q4_1, DType::Q8_0] {
        let tiles = crate::quant::rows::tiled(&source, format);
        let read = ReferenceBackend.prepare(&tiles, format).unwrap();
        let direct = ReferenceBackend.prepare(&source, format).unwrap();
        assert_eq!(read.values(), direct.values(), "{format}");
        assert_ne!(read.values(), values, "{format} rounds");
    }
}
