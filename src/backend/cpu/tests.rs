//! The whole backend: the same bits for any number of threads and any cutting of the rows.

mod cache;

use super::weight::Matrix;
use super::*;
use crate::core::{KvLayout, PreparedWeight, Shape};
use crate::quant::activation::QuantizedRow;
use crate::quant::rows::{RowReader, tiled};
use crate::quant::{dequantize_row, dot_float, linear_row, quantize_row, row_bytes};

const FORMATS: [DType; 6] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1];

fn backend(isa: Isa, threads: usize) -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(threads), isa: Some(isa) }).unwrap()
}

/// One of each instruction set, with several numbers of threads.
fn backends() -> Vec<CpuBackend> {
    let all = Isa::available().into_iter().flat_map(|isa| [1, 2, 3, 5].map(|threads| backend(isa, threads)));
    all.collect()
}

/// Numbers in -1..1 from a linear congruential generator (Knuth's MMIX constants).
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn tensor(b: &CpuBackend, rows: usize, cols: usize, values: &[f32]) -> Tensor<CpuBuffer> {
    let mut t = b.tensor(rows, cols).unwrap();
    b.upload(values, &mut t, 0).unwrap();
    t
}

fn values(b: &CpuBackend, t: &Tensor<CpuBuffer>) -> Vec<f32> {
    let mut out = vec![0.0; t.rows() * t.cols()];
    b.download(t, 0, &mut out).unwrap();
    out
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() }).collect()
}

fn stored(dtype: DType, rows: usize, cols: usize, seed: u64) -> HostTensor {
    let row = row_bytes(dtype, cols);
    let mut bytes = vec![0; rows * row];
    for (r, out) in bytes.chunks_exact_mut(row.max(1)).enumerate() {
        quantize_row(dtype, &numbers(seed + r as u64, cols), out).unwrap();
    }
    HostTensor::new("w", dtype, Shape::from([rows, cols]), bytes.into()).unwrap()
}

#[test]
fn linear_is_the_scalar_truth_for_every_format_shape_and_thread_count() {
    for b in backends() {
        for (rows, cols, xs) in [
            (0, 32, 1),
            (1, 1, 1),
            (15, 33, 2),
            (16, 64, 4),
            (17, 172, 5),
            (33, 256, 27),
            (35, 100, 50),
            (40, 0, 1),
        ] {
            let x = numbers(9, xs * cols);
            let input = tensor(&b, xs, cols, &x);
            for format in FORMATS {
                let source =
                    HostTensor::from_f32("w", Shape::from([rows, cols]), &numbers(3, rows * cols)).unwrap();
                let weight = b.prepare(&source, format).unwrap();
                assert_eq!((weight.dtype(), weight.rows(), weight.cols()), (format, rows, cols));
                let bias_values = numbers(4, rows);
                let bias = HostTensor::from_f32("b", Shape::from([rows]), &bias_values).unwrap();
                let bias = b.prepare(&bias, DType::F32).unwrap();
                let (mut plain, mut biased) = (b.tensor(xs + 1, rows).unwrap(), b.tensor(xs, rows).unwrap());
                let mut parts = [
                    LinearPart { weight: &weight, bias: None, out: &mut plain },
                    LinearPart { weight: &weight, bias: Some(&bias), out: &mut biased },
                ];
                b.linear(&input, &mut parts).unwrap();
                assert_eq!(plain.rows(), xs);
                let (plain, biased) = (values(&b, &plain), values(&b, &biased));
                for (i, j) in (0..xs).flat_map(|i| (0..rows).map(move |j| (i, j))) {
                    let mut row = vec![0; row_bytes(format, cols)];
                    quantize_row(format, &numbers(3, rows * cols)[j * cols..(j + 1) * cols], &mut row)
                        .unwrap();
                    let x = &x[i * cols..(i + 1) * cols];
                    let truth = if format.is_float() {
                        dot_float(format, &row, x)
                    } else {
                        linear_row(format, &row, &QuantizedRow::of(x, format.block_len()))
                    };
                    let at = format!("{} {format} {rows}x{cols} at {i},{j}", b.describe());
                    assert_eq!(plain[i * rows + j].to_bits(), truth.to_bits(), "{at}");
                    assert_eq!(
                        biased[i * rows + j].to_bits(),
                        (truth + bias_values[j]).to_bits(),
                        "{at}, bias"
                    );
                }
            }
        }
    }
}

#[test]
fn one_run_serves_many_parts_of_all_formats() {
    let b = backend(Isa::available().pop().unwrap(), 3);
    let weights: Vec<CpuWeight> = (0..11)
        .map(|i| b.prepare(&stored(FORMATS[i % 6], 5 + 9 * i, 96, i as u64), FORMATS[i % 6]).unwrap())
        .collect();
    let x = tensor(&b, 3, 96, &numbers(1, 288));
    let mut together: Vec<_> = weights.iter().map(|w| b.tensor(3, w.rows()).unwrap()).collect();
    let mut parts: Vec<_> = weights
        .iter()
        .zip(&mut together)
        .map(|(weight, out)| LinearPart { weight, bias: None, out })
        .collect();
    b.linear(&x, &mut parts).unwrap();
    for (weight, together) in weights.iter().zip(&together) {
        let mut alone = b.tensor(3, weight.rows()).unwrap();
        b.linear(&x, &mut [LinearPart { weight, bias: None, out: &mut alone }]).unwrap();
        assert_eq!(bits(&values(&b, &alone)), bits(&values(&b, together)));
    }
}

#[test]
fn bf16_products_change_f16_and_bf16_weights_alone_and_by_little() {
    if !Isa::available_by_name().contains(&Isa::Avx512Bf16) {
        crate::skip::inapplicable("the products of avx512bf16", "the processor lacks them");
        return;
    }
    let (rows, cols, xs) = (37, 300, 29);
    let x = numbers(2, xs * cols);
    let run = |isa, threads, steps: &[usize]| {
        let b = backend(isa, threads);
        let source = HostTensor::from_f32("w", Shape::from([rows, cols]), &numbers(8, rows * cols)).unwrap();
        let weights = FORMATS.map(|f| b.prepare(&source, f).unwrap());
        let mut all = FORMATS.map(|_| Vec::new());
        let mut at = 0;
        for &step in steps {
            let input = tensor(&b, step, cols, &x[at * cols..(at + step) * cols]);
            let mut outs = FORMATS.map(|_| b.tensor(step, rows).unwrap());
            let mut parts: Vec<_> = weights
                .iter()
                .zip(&mut outs)
                .map(|(weight, out)| LinearPart { weight, bias: None, out })
                .collect();
            b.linear(&input, &mut parts).unwrap();
            all.iter_mut().zip(&outs).for_each(|(all, out)| all.extend(values(&b, out)));
            at += step;
        }
        all
    };
    let (exact, fast) = (run(Isa::Avx512, 2, &[xs]), run(Isa::Avx512Bf16, 2, &[xs]));
    for (format, (exact, fast)) in FORMATS.into_iter().zip(exact.iter().zip(&fast)) {
        if !matches!(format, DType::F16 | DType::BF16) {
            assert_eq!(bits(exact), bits(fast), "{format}");
            continue;
        }
        assert_ne!(bits(exact), bits(fast), "{format}");
        let error: f64 = exact.iter().zip(fast).map(|(e, f)| f64::from(e - f).powi(2)).sum();
        let size: f64 = exact.iter().map(|e| f64::from(*e).powi(2)).sum();
        // Rounding to bf16 has a relative error of 2^-9 at most, independent from value to value.
        assert!(error < 1e-5 * size, "{format}: {}", error / size);
    }
    for (threads, steps) in [(1, &[29][..]), (3, &[12, 1, 1, 15]), (5, &[1; 29])] {
        let other = run(Isa::Avx512Bf16, threads, steps);
        for (one, other) in fast.iter().zip(&other) {
            assert_eq!(bits(one), bits(other), "{threads} threads");
        }
    }
}

#[test]
fn weights_convert_between_all_formats_and_embed_reads_them() {
    let b = backend(Isa::available().pop().unwrap(), 2);
    let (rows, cols) = (19, 96);
    for (from, to) in FORMATS.into_iter().flat_map(|f| FORMATS.map(|t| (f, t))) {
        let source = stored(from, rows, cols, 5);
        let table = b.prepare(&source, to).unwrap();
        let ids = [18, 0, 7, 8, 7];
        let mut out = b.tensor(6, cols).unwrap();
        b.embed(&table, &ids, &mut out).unwrap();
        assert_eq!(out.rows(), ids.len());
        let got = values(&b, &out);
        for (i, &id) in ids.iter().enumerate() {
            let mut row = vec![0.0; cols];
            dequantize_row(from, source.row_bytes(id as usize), &mut row).unwrap();
            let mut bytes = vec![0; row_bytes(to, cols)];
            quantize_row(to, &row, &mut bytes).unwrap();
            if from == to {
                bytes.copy_from_slice(source.row_bytes(id as usize));
            }
            dequantize_row(to, &bytes, &mut row).unwrap();
            assert_eq!(bits(&got[i * cols..(i + 1) * cols]), bits(&row), "{from} -> {to}");
        }
        let e = b.embed(&table, &[19], &mut out).unwrap_err();
        assert!(matches!(e, CoreError::BadToken { id: 19, vocab: 19 }), "{e}");
    }
}

#[test]
fn tiles_are_used_where_they_lie_and_compute_as_rows_do() {
    let b = backend(Isa::available().pop().unwrap(), 2);
    for ((rows, cols), format) in
        [(19, 96), (33, 44)].into_iter().flat_map(|s| [DType::Q4_0, DType::Q4_1, DType::Q8_0].map(|f| (s, f)))
    {
        let source = HostTensor::from_f32("w", Shape::from([rows, cols]), &numbers(5, rows * cols)).unwrap();
        let tiles = tiled(&source, format);
        let (plain, shared) = (b.prepare(&source, format).unwrap(), b.prepare(&tiles, format).unwrap());
        let (Matrix::Packed(one, _), Matrix::Packed(other, _)) = (plain.matrix(), shared.matrix()) else {
            panic!("{format} is packed")
        };
        assert_eq!(one, other, "{format}");
        assert_eq!(other.as_ptr(), tiles.bytes().as_ptr(), "{format} was copied");
        // In another format: by way of the rows that the tiles hold.
        let (narrow, expected) = (b.prepare(&tiles, DType::BF16).unwrap(), rows_as_bf16(&tiles));
        assert!(matches!(narrow.matrix(), Matrix::Float(bytes, _) if bytes == expected), "{format}");
    }
}

fn rows_as_bf16(tensor: &HostTensor) -> Vec<u8> {
    let (rows, _) = tensor.matrix_dims();
    let mut reader = RowReader::new(tensor, DType::BF16);
    (0..rows).flat_map(|r| reader.row(r).unwrap().to_vec()).collect()
}

#[test]
fn weights_in_their_own_float_format_are_not_copied_and_odd_addresses_work() {
    let b = backend(Isa::available().pop().unwrap(), 1);
    let values = numbers(1, 64);
    let mut bytes = vec![0u8; 1];
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    let data = crate::core::HostBytes::from(bytes);
    let odd = HostTensor::new("g", DType::F32, Shape::from([64]), data.slice(1..257).unwrap()).unwrap();
    let gain = b.prepare(&odd, DType::F32).unwrap();
    assert_eq!(bits(gain.vector("test").unwrap()), bits(&values));
    let half = stored(DType::BF16, 4, 32, 1);
    let weight = b.prepare(&half, DType::BF16).unwrap();
    assert!(
        matches!(weight.matrix(), weight::Matrix::Float(bytes, 64) if bytes.as_ptr() == half.bytes().as_ptr())
    );
    assert_eq!(weight.size_bytes(), 256);
    assert!(b.prepare(&half, DType::I32).is_err());
}

#[test]
fn large_matrices_are_shared_among_threads_without_a_change() {
    let (rows, cols) = (40, 1030);
    let run = |b: &CpuBackend| {
        let mut all = Vec::new();
        let (x, y) = (
            tensor(b, rows, cols, &numbers(1, rows * cols)),
            tensor(b, rows, cols, &numbers(2, rows * cols)),
        );
        let gain = HostTensor::from_f32("g", Shape::from([cols]), &numbers(3, cols)).unwrap();
        let gain = b.prepare(&gain, DType::F32).unwrap();
        let angles = tensor(b, rows, 206, &numbers(4, rows * 206));
        let mut out = b.tensor(rows, cols).unwrap();
        b.rms_norm(&x, &gain, 1e-6, &mut out).unwrap();
        all.extend(values(b, &out));
        // Groups of 103 elements, each by itself.
        let part = HostTensor::from_f32("g", Shape::from([103]), &numbers(5, 103)).unwrap();
        let part = b.prepare(&part, DType::F32).unwrap();
        let mut in_place = tensor(b, rows, cols, &numbers(1, rows * cols));
        b.rms_norm(&x, &part, 1e-6, &mut out).unwrap();
        b.rms_norm_in_place(&mut in_place, &part, 1e-6).unwrap();
        assert_eq!(bits(&values(b, &in_place)), bits(&values(b, &out)));
        all.extend(values(b, &in_place));
        b.add(&y, &mut out).unwrap();
        all.extend(values(b, &out));
        b.rope(&mut out, &angles, 206).unwrap();
        all.extend(values(b, &out));
        b.rope(&mut out, &angles, 515).unwrap();
        all.extend(values(b, &out));
        for activation in Activation::ALL {
            b.glu(&x, &y, activation, &mut out).unwrap();
            all.extend(values(b, &out));
        }
        b.scale(&mut out, 1.3).unwrap();
        all.extend(values(b, &out));
        b.softcap(&mut out, 0.2).unwrap();
        all.extend(values(b, &out));
        // One row, as logits are.
        let mut row = tensor(b, 1, rows * cols, &numbers(7, rows * cols));
        b.softcap(&mut row, 0.5).unwrap();
        all.extend(values(b, &row));
        let weight = b.prepare(&stored(DType::Q8_0, 9, 1024, 1), DType::Q8_0).unwrap();
        let wide = tensor(b, rows, 1024, &numbers(6, rows * 1024));
        let mut out = b.tensor(rows, 9).unwrap();
        b.linear(&wide, &mut [LinearPart { weight: &weight, bias: None, out: &mut out }]).unwrap();
        all.extend(values(b, &out));
        bits(&all)
    };
    let truth = run(&backend(Isa::Scalar, 1));
    for b in backends() {
        assert_eq!(run(&b), truth, "{}", b.describe());
    }
}

#[test]
fn several_callers_take_turns() {
    let b = backend(Isa::available().pop().unwrap(), 3);
    let weight = b.prepare(&stored(DType::Q4_0, 50, 64, 1), DType::Q4_0).unwrap();
    let run = |seed| {
        let x = tensor(&b, 2, 64, &numbers(seed, 128));
        let mut out = b.tensor(2, 50).unwrap();
        b.linear(&x, &mut [LinearPart { weight: &weight, bias: None, out: &mut out }]).unwrap();
        bits(&values(&b, &out))
    };
    let truth: Vec<_> = (0..4).map(run).collect();
    std::thread::scope(|scope| {
        for (seed, truth) in truth.iter().enumerate() {
            scope.spawn(move || (0..50).for_each(|_| assert_eq!(run(seed as u64), *truth)));
        }
    });
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let b = backend(Isa::Scalar, 2);
    let (x, mut y) = (b.tensor(2, 8).unwrap(), b.tensor(2, 9).unwrap());
    let mut small = b.tensor(1, 8).unwrap();
    let gain = b.prepare(&stored(DType::F32, 1, 9, 1), DType::F32).unwrap();
    let half = b.prepare(&stored(DType::F16, 1, 8, 1), DType::F16).unwrap();
    assert!(b.rms_norm(&x, &gain, 1e-5, &mut y).is_err());
    assert!(b.rms_norm(&x, &half, 1e-5, &mut small).is_err());
    assert!(b.linear(&x, &mut [LinearPart { weight: &gain, bias: None, out: &mut y }]).is_err());
    assert!(b.add(&x, &mut y).is_err());
    assert!(b.add(&x, &mut small).is_err());
    assert!(b.glu(&x, &x, Activation::Silu, &mut small).is_err(), "no room for the rows");
    assert!(b.rope(&mut y, &x, 8).is_err() && b.rope(&mut y, &x, 3).is_err());
    assert!(b.rms_norm_in_place(&mut small, &gain, 1e-5).is_err());
    assert!(b.upload(&[0.0; 9], &mut small, 0).is_err());
    assert!(b.upload(&[], &mut small, usize::MAX).is_err());
    assert!(b.download(&x, 1, &mut [0.0; 9]).is_err());
    assert!(b.copy_rows(&x, 1, 2, &mut small).is_err());
    assert!(b.copy_rows(&x, usize::MAX, 2, &mut small).is_err());
    let layout = KvLayout { types: DType::F16.into(), kv_heads: 2, head_dim: 4 };
    let mut layer = KvLayer::new(&b, layout, 2).unwrap();
    let pages = [1, 2].map(PageId::new);
    let at = |len| [Run { rows: 0..2, pages: &pages, len }];
    assert!(b.kv_append(&x, &x, &mut layer, &at(127)).is_err(), "beyond the table");
    assert!(b.kv_append(&x, &x, &mut layer, &at(63)).is_err(), "a page that there is not");
    assert!(b.kv_append(&x, &x, &mut layer, &[Run { rows: 1..3, ..at(0)[0].clone() }]).is_err(), "rows");
    let how = AttentionParams::of_head_dim(4);
    assert!(b.attention(&x, &layer, &how, &at(usize::MAX), &mut small).is_err());
    let nothing = AttentionParams { window: Some(0), ..how };
    assert!(b.attention(&x, &layer, &nothing, &at(0), &mut b.tensor(2, 8).unwrap()).is_err());
    assert!(b.kv_append(&y, &y, &mut layer, &at(0)).is_err());
    b.kv_append(&x, &x, &mut layer, &at(1)).unwrap();
    layer.layout.types = DType::F32.into();
    assert!(b.kv_append(&x, &x, &mut layer, &at(0)).is_err());
    assert!(CpuBackend::new(CpuOptions { threads: Some(1 << 20), isa: Some(Isa::Scalar) }).is_err());
    let missing = if cfg!(target_arch = "aarch64") { Isa::Avx2 } else { Isa::Neon };
    assert!(CpuBackend::new(CpuOptions { threads: None, isa: Some(missing) }).is_err());
}

#[test]
fn strange_numbers_neither_hang_nor_panic_and_show_in_the_result() {
    for b in backends() {
        for strange in [f32::NAN, f32::INFINITY, 1e30, 1e-45, -0.0] {
            let mut x = numbers(1, 64);
            x[5] = strange;
            let x = tensor(&b, 1, 64, &x);
            for format in FORMATS {
                let weight = b.prepare(&stored(format, 9, 64, 2), format).unwrap();
                let mut out = b.tensor(1, 9).unwrap();
                b.linear(&x, &mut [LinearPart { weight: &weight, bias: None, out: &mut out }]).unwrap();
                let seen = values(&b, &out).iter().all(|v| v.is_finite());
                assert_eq!(seen, strange.is_finite(), "{} {format} {strange}", b.describe());
            }
            let layout = KvLayout { types: DType::F16.into(), kv_heads: 1, head_dim: 32 };
            let mut layer = KvLayer::new(&b, layout, 1).unwrap();
            let runs = [Run { rows: 0..2, pages: &[PageId::new(0)], len: 0 }];
            let kv = tensor(&b, 2, 32, &values(&b, &x));
            b.kv_append(&kv, &kv, &mut layer, &runs).unwrap();
            let mut out = b.tensor(2, 32).unwrap();
            b.attention(&kv, &layer, &AttentionParams::of_head_dim(32), &runs, &mut out).unwrap();
            let seen = values(&b, &out).iter().all(|v| v.is_finite());
            assert_eq!(seen, strange.is_finite() && strange < 1e6, "{} attention {strange}", b.describe());
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn fast_cores_are_kept_until_the_backend_goes() {
    let all = affinity::get();
    let last = all[all.len() - 1];
    let phone = |fast: usize| Machine { allowed: all.clone(), fast: vec![fast], default_threads: 1 };
    let bound = bind(&phone(last), 1);
    if all.len() == 1 {
        assert!(bound.is_none(), "there is no choice");
        return;
    }
    assert_eq!(affinity::get(), [last]);
    assert_eq!(with_bound(bound).describe(), format!("cpu: scalar, 1 thread on cores {last}"));
    assert_eq!(affinity::get(), all);
    // More threads than fast cores take all.
    assert!(bind(&phone(last), 2).is_none());
    // A core that is not there: refused, said, and no error.
    let refused = bind(&phone(1023), 1);
    assert_eq!(affinity::get(), all);
    let described = with_bound(refused).describe();
    assert!(described.contains("did not let them stay on the fast cores 1023"), "{described}");
}

#[cfg(target_os = "linux")]
fn with_bound(bound: Option<Bound>) -> CpuBackend {
    CpuBackend { bound, ..backend(Isa::Scalar, 1) }
}
