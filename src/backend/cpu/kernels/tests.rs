//! Every instruction set of this machine against the scalar reference, to the bit.

mod attention;

use std::sync::Once;

use half::f16;

use super::float::FloatRows;
use super::packed::{PackedTiles, Pairs, QuantizedRows, TileLayout};
use super::{GROUP, Kernels, TILE};
use crate::backend::cpu::isa::Isa;
use crate::core::{BLOCK_LEN, BlockFormat, DType, K_BLOCK_LEN};
use crate::quant::activation::QuantizedRow;
use crate::quant::anatomy::Anatomy;
use crate::quant::{dequantize_row, dot_float, linear_row, quantize_row, row_bytes};

const COLS: [usize; 17] = [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 172, 256, 300, 512, 1045];

fn tables() -> Vec<(Isa, &'static Kernels)> {
    static SKIPPED: Once = Once::new();
    let all = Isa::available();
    SKIPPED.call_once(|| {
        for isa in Isa::ALL.iter().filter(|isa| isa.is_exact() && !all.contains(isa)) {
            crate::skip::inapplicable(&format!("the kernels of {isa}"), "the processor lacks them");
        }
    });
    all.into_iter().map(|isa| (isa, Kernels::of(isa).unwrap())).collect()
}

/// Numbers in -1..1 (splitmix64), with a few large, tiny and zero ones among them if `wild`.
fn numbers(seed: u64, len: usize, wild: bool) -> Vec<f32> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let edge = [-0.0, 0.0, 1e-40, -1e-45, 3e4, -6e4, 1e-20, -1e-7];
    (0..len)
        .map(|_| {
            let bits = next();
            let plain = (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            if wild && bits % 5 == 0 { edge[(bits >> 8) as usize % edge.len()] } else { plain }
        })
        .collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    // All NaN count as one: their payloads do not matter.
    x.iter().map(|v| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() }).collect()
}

#[test]
fn float_tiles_are_the_scalar_dot() {
    for (isa, k) in tables() {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for (cols, wild) in COLS.into_iter().flat_map(|c| [(c, false), (c, true)]) {
                let row = row_bytes(dtype, cols);
                let mut w = vec![0; row * TILE + 1];
                for (r, w) in w[1..].chunks_exact_mut(row.max(1)).enumerate().take(TILE) {
                    quantize_row(dtype, &numbers(r as u64, cols, wild), &mut w[..row]).unwrap();
                }
                let w = &w[1..]; // an odd address
                let x = numbers(77, cols * GROUP, wild);
                for (rows, xs) in
                    [(0, 1), (1, 1), (4, 2), (7, 3), (16, 4), (15, 5), (16, 12), (9, 11), (3, 0)]
                {
                    let mut out = [[9.0; TILE]; GROUP];
                    let mut chunks = Vec::new();
                    for (c, i) in (0..cols / 16).flat_map(|c| (0..xs).map(move |i| (c, i))) {
                        chunks.push(*x[i * cols + 16 * c..].first_chunk().unwrap());
                    }
                    let group = FloatRows { width: xs, cols, x: &x[..xs * cols], chunks: &chunks };
                    k.float_tile(dtype).unwrap()(&w[..rows * row], &group, &mut out);
                    for (i, j) in (0..xs).flat_map(|i| (0..rows).map(move |j| (i, j))) {
                        let truth =
                            dot_float(dtype, &w[j * row..(j + 1) * row], &x[i * cols..(i + 1) * cols]);
                        let at = format!("{isa} {dtype} cols {cols} of {rows}x{xs} at {i},{j}");
                        assert_eq!(out[i][j].to_bits(), truth.to_bits(), "{at}: {} != {truth}", out[i][j]);
                    }
                }
            }
        }
    }
}

#[test]
fn activations_are_quantized_as_the_scalar_truth() {
    for (isa, k) in tables() {
        for (cols, kind) in COLS.into_iter().flat_map(|c| (0..6).map(move |kind| (c, kind))) {
            let mut x = numbers(cols as u64, cols, kind == 1);
            let special = [0.0, 0.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE * 127.0][kind];
            if kind >= 2 {
                x.iter_mut().step_by(37).for_each(|v| *v = special);
            }
            if kind == 5 {
                x.iter_mut().for_each(|v| *v *= 1e-36);
            }
            let truth = QuantizedRow::of(&x, BLOCK_LEN);
            let blocks = cols.div_ceil(BLOCK_LEN);
            for stride in [1, 3] {
                let len = (blocks * stride).saturating_sub(stride - 1);
                let (mut q, mut scales, mut offsets) =
                    (vec![[9; BLOCK_LEN]; len], vec![9.0; len], vec![9; len]);
                (k.quantize)(&x, stride, &mut q, &mut scales, &mut offsets);
                for i in 0..len {
                    let at = format!("{isa} {cols} {kind} place {i} of stride {stride}");
                    let (quants, scale, offset) = match i % stride {
                        0 => {
                            let (quants, scale, sum) = truth.block(i / stride);
                            (*quants.first_chunk().unwrap(), scale, -8 * sum)
                        }
                        _ => ([9; BLOCK_LEN], 9.0, 9),
                    };
                    assert_eq!(q[i], quants, "{at}");
                    assert_eq!(bits(&[scales[i]]), bits(&[scale]), "{at}");
                    assert_eq!(offsets[i], offset, "{at}");
                }
            }
        }
        // Halves go to the even neighbour: 127 sets the scale to 1.
        let mut x = [0.5; BLOCK_LEN];
        (x[0], x[1], x[2], x[3]) = (127.0, 1.5, -2.5, -126.5);
        let (mut q, mut scale, mut offset) = ([[0; BLOCK_LEN]], [0.0], [0]);
        (k.quantize)(&x, 1, &mut q, &mut scale, &mut offset);
        assert_eq!((&q[0][..5], scale, offset), (&[127i8, 2, -2, -126, 0][..], [1.0], [-8]), "{isa}");
    }
}

#[test]
fn long_blocks_of_activations_are_quantized_as_the_scalar_truth() {
    for (isa, k) in tables() {
        for kind in 0..6 {
            let cols = 3 * K_BLOCK_LEN;
            let mut x = numbers(kind as u64, cols, kind == 1);
            let special = [0.0, 0.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE * 127.0][kind];
            if kind >= 2 {
                x.iter_mut().skip(K_BLOCK_LEN).step_by(300).for_each(|v| *v = special);
            }
            if kind == 5 {
                x.iter_mut().for_each(|v| *v *= 1e-36);
            }
            let truth = QuantizedRow::of(&x, K_BLOCK_LEN);
            for stride in [1, 3] {
                let (mut q, mut scales, mut pairs) = (
                    vec![[9; BLOCK_LEN]; 24 * stride],
                    vec![9.0; 3 * stride],
                    vec![Pairs { of_16: [9; 8], of_32: [9; 4] }; 3 * stride],
                );
                (k.quantize_long)(&x, stride, &mut q, &mut scales, &mut pairs);
                let (expected, ..) = interleaved(std::slice::from_ref(&truth), K_BLOCK_LEN);
                for (i, q) in q.iter().enumerate() {
                    let expected = if i % stride == 0 { expected[i / stride] } else { [9; BLOCK_LEN] };
                    assert_eq!(*q, expected, "{isa} {kind} piece {i} of stride {stride}");
                }
                for b in 0..3 {
                    let (quants, scale, _) = truth.block(b);
                    assert_eq!(bits(&[scales[b * stride]]), bits(&[scale]), "{isa} {kind} block {b}");
                    let found = pairs[b * stride];
                    for (len, pairs) in [(16, &found.of_16[..]), (32, &found.of_32)] {
                        let found: Vec<i32> =
                            pairs.iter().flat_map(|p| [i32::from(*p as i16), p >> 16]).collect();
                        let sum = |q: &[i8]| q.iter().map(|&q| i32::from(q)).sum::<i32>();
                        let expected: Vec<i32> = quants.chunks(len).map(sum).collect();
                        assert_eq!(found, expected, "{isa} {kind} block {b}, sums of {len}");
                    }
                }
            }
        }
    }
}

/// Quants, scales, offsets and pairs of activation rows in the form that the kernels read.
type Interleaved = (Vec<[i8; BLOCK_LEN]>, Vec<f32>, Vec<i32>, Vec<Pairs>);

fn interleaved(xs: &[QuantizedRow], block_len: usize) -> Interleaved {
    let (mut quants, mut scales, mut offsets, mut pairs) = (vec![], vec![], vec![], vec![]);
    let blocks = xs.first().map_or(0, QuantizedRow::blocks);
    let pieces = block_len / BLOCK_LEN;
    for (j, x) in (0..blocks * pieces).flat_map(|j| xs.iter().map(move |x| (j, x))) {
        let (q, ..) = x.block(j / pieces);
        quants.push(q.as_chunks().0[j % pieces]);
    }
    for (b, x) in (0..blocks).flat_map(|b| xs.iter().map(move |x| (b, x))) {
        let (q, scale, sum) = x.block(b);
        scales.push(scale);
        offsets.push(-8 * sum);
        let pair = |len: usize, p: usize| {
            let sum = |c: &[i8]| c.iter().map(|&q| i32::from(q)).sum::<i32>();
            q.get(2 * p * len..2 * (p + 1) * len)
                .map_or(0, |q| sum(&q[..len]) & 0xffff | sum(&q[len..]) << 16)
        };
        pairs.push(Pairs {
            of_16: std::array::from_fn(|p| pair(16, p)),
            of_32: std::array::from_fn(|p| pair(32, p)),
        });
    }
    (quants, scales, offsets, pairs)
}

#[test]
fn quantized_tiles_are_the_scalar_row_and_unpack_to_it() {
    // From and count; a set is given those that it takes at a time.
    let groups =
        [(0, 12), (0, 1), (1, 2), (1, 3), (0, 4), (2, 8), (1, 11), (2, 0), (0, 32), (1, 31), (9, 16)];
    let groups = groups.into_iter().chain([(0, 17), (3, 15), (0, 13), (4, 27), (0, 48), (1, 47), (2, 35)]);
    let tables = tables();
    let formats = DType::ALL.into_iter().filter(|d| d.is_quantized());
    let cols = |dtype: DType| if dtype.block_len() == BLOCK_LEN { &COLS[..] } else { &[0, 256, 512, 1280] };
    for (dtype, cols, kind) in
        formats.flat_map(|d| cols(d).iter().flat_map(move |&c| [(d, c, 0), (d, c, 1), (d, c, 2)]))
    {
        let layout = TileLayout::new(dtype, cols).unwrap();
        let mut bytes = vec![0; 2 * layout.bytes()];
        let rows: Vec<Vec<u8>> = (0..2 * TILE).map(|r| stored_row(dtype, r, cols, kind)).collect();
        for (r, stored) in rows.iter().enumerate() {
            assert_eq!(stored.len(), row_bytes(dtype, cols));
            let tile = r / TILE * layout.bytes();
            layout.pack_row(stored, r % TILE, &mut bytes[tile..tile + layout.bytes()]);
            let (mut a, mut b) = (vec![0.0; cols], vec![0.0; cols]);
            layout.unpack(&bytes, r, &mut a);
            dequantize_row(dtype, stored, &mut b).unwrap();
            assert_eq!(bits(&a), bits(&b), "{dtype} {cols} row {r}");
        }
        let tiles = PackedTiles { layout: &layout, bytes: &bytes, count: 2 };
        let xs: Vec<QuantizedRow> = (0..48).map(|i| activation(i, cols, kind, dtype.block_len())).collect();
        let truth: Vec<Vec<u32>> =
            xs.iter().map(|x| rows.iter().flat_map(|r| bits(&[linear_row(dtype, r, x)])).collect()).collect();
        for (isa, k) in &tables {
            for (from, count) in groups.clone().filter(|&(_, count)| count <= k.group(cols)) {
                let (mut quants, scales, offsets, pairs) =
                    interleaved(&xs[from..from + count], dtype.block_len());
                (k.arrange)(&mut quants, count);
                let x = QuantizedRows {
                    width: count,
                    quants: &quants,
                    scales: &scales,
                    offsets: &offsets,
                    pairs: &pairs,
                };
                let mut next = 0;
                k.quantized_tiles(dtype).unwrap()(&tiles, &x, &mut |t, out| {
                    assert_eq!(t, next, "{isa}");
                    next += 1;
                    for i in 0..count {
                        let truth = &truth[from + i][t * TILE..(t + 1) * TILE];
                        let at =
                            format!("{isa} {dtype} cols {cols} kind {kind}: row {i} of {count}, tile {t}");
                        assert_eq!(bits(&out[i]), truth, "{at}");
                    }
                });
                assert_eq!(next, 2, "{isa}");
            }
        }
    }
}

/// Kind 0: usual numbers; 1: any bytes, with tame factors; 2: all codes and scales at their extremes.
fn stored_row(dtype: DType, seed: usize, cols: usize, kind: usize) -> Vec<u8> {
    let mut row = vec![0; row_bytes(dtype, cols)];
    let format = dtype.block_format().unwrap();
    let (at, len) = Anatomy::of(format).factors;
    let noise = numbers(seed as u64 + 99, row.len(), false);
    let quantized = kind == 0 && quantize_row(dtype, &numbers(seed as u64, cols, false), &mut row).is_ok();
    for (block, noise) in row.chunks_mut(dtype.block_bytes()).zip(noise.chunks(dtype.block_bytes())) {
        if quantized {
            continue;
        }
        for (i, (byte, v)) in block.iter_mut().zip(noise).enumerate() {
            *byte = match kind {
                2 if dtype == DType::Q8_0 => 0x80,
                // Scales of Q6_K are signed.
                2 if dtype == DType::Q6K && (192..208).contains(&i) => [0x80, 0x7f][seed % 2],
                2 => [0xff, 0][seed / 2 % 2],
                _ => (v * 128.0) as i8 as u8,
            };
        }
        let factor = f16::from_f32(0.01 + noise[0].abs() / 16.0).to_le_bytes();
        match format {
            BlockFormat::Mxfp4 => block[at] = 120u8.wrapping_add_signed((noise[0] * 4.0) as i8),
            _ => block[at..at + 2].copy_from_slice(&factor),
        }
        if len == 4 && format != BlockFormat::Iq4Xs {
            block[at + 2..at + 4].copy_from_slice(&f16::from_f32(noise[1] / 8.0).to_le_bytes());
        }
    }
    row
}

fn activation(seed: usize, cols: usize, kind: usize, block_len: usize) -> QuantizedRow {
    let x = numbers(seed as u64 + 500, cols, kind == 1);
    let x: Vec<f32> = if kind == 2 { vec![if seed.is_multiple_of(2) { -1.0 } else { 1.0 }; cols] } else { x };
    QuantizedRow::of(&x, block_len)
}

#[test]
fn exp_is_accurate_and_the_same_everywhere() {
    let scalar = Kernels::of(Isa::Scalar).unwrap();
    let sweep = (0..400_000).map(|i| -110.0 + i as f32 * 0.000_5);
    let tiny = [0.0, -0.0, 1e-40, -1e-40, 1e-10, -1e-7, f32::MIN_POSITIVE];
    let ends = [f32::MAX, f32::MIN, 88.722_8, 88.722_9, 89.5, -87.336, -103.97, -103.98, -104.5];
    let mut x: Vec<f32> = sweep.chain(tiny).chain(ends).collect();
    x.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
    let mut truth = x.clone();
    (scalar.exp)(&mut truth);
    let mut worst = 0.0f64;
    for (&x, &y) in x.iter().zip(&truth) {
        let exact = f64::from(x).exp();
        match exact as f32 {
            e if e.is_nan() => assert!(y.is_nan()),
            e if e.is_infinite() => assert_eq!(y, e, "{x}"),
            e => {
                let ulp = f64::from(f32::from_bits(e.to_bits() + 1)) - f64::from(e);
                worst = worst.max((f64::from(y) - exact).abs() / ulp);
            }
        }
    }
    assert!(worst < 1.5, "off by {worst} units in the last place");
    for (isa, k) in tables() {
        let mut y = x.clone();
        (k.exp)(&mut y);
        assert_eq!(bits(&y), bits(&truth), "{isa}");
    }
    let mut one = [0.0, f32::NEG_INFINITY];
    (scalar.exp)(&mut one);
    assert_eq!(one.map(f32::to_bits), [1.0f32.to_bits(), 0]);
}

#[test]
fn tanh_is_accurate_and_the_same_everywhere() {
    let scalar = Kernels::of(Isa::Scalar).unwrap();
    let sweep = (0..400_000).map(|i| -11.0 + i as f32 * 0.000_055);
    let small = (0..20_000).map(|i| (i as f32 * 0.01 - 100.0).exp2());
    let ends = [0.0, -0.0, 1e-45, -1e-40, 9.0, -9.02, 10.0, 88.0, -104.0, f32::MAX, f32::MIN];
    let mut x: Vec<f32> = sweep.chain(small.clone()).chain(small.map(|x| -x)).chain(ends).collect();
    x.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
    let mut truth = x.clone();
    (scalar.tanh)(&mut truth);
    let mut worst = 0.0f64;
    for (&x, &y) in x.iter().zip(&truth) {
        let exact = f64::from(x).tanh();
        if exact.is_nan() {
            assert!(y.is_nan());
        } else if exact != 0.0 {
            worst = worst.max(((f64::from(y) - exact) / exact).abs());
            assert!(y.abs() <= 1.0 && y.is_sign_negative() == (x < 0.0), "{x}: {y}");
        }
    }
    assert!(worst < 3e-7, "off by {worst:e} of the value");
    for (isa, k) in tables() {
        let mut y = x.clone();
        (k.tanh)(&mut y);
        assert_eq!(bits(&y), bits(&truth), "{isa}");
    }
    let mut ends = [f32::INFINITY, f32::NEG_INFINITY, 1e30, -12.0, 0.0];
    (scalar.tanh)(&mut ends);
    assert_eq!(ends, [1.0, -1.0, 1.0, -1.0, 0.0]);
    // Far out a gate is open or closed.
    let gates = [1e20, -1e20, 3e4, -3e4, f32::INFINITY, f32::NAN];
    for kernel in [scalar.silu_glu, scalar.gelu_glu] {
        let mut out = [9.0; 6];
        kernel(&gates, &[1.0; 6], &mut out);
        assert_eq!(out[..5], [1e20, 0.0, 3e4, 0.0, f32::INFINITY]);
        assert!(out[5].is_nan());
    }
}

#[test]
fn elementwise_kernels_are_their_formulas() {
    let scalar = Kernels::of(Isa::Scalar).unwrap();
    for (isa, k) in tables() {
        for (n, wild) in COLS.into_iter().flat_map(|c| [(c, false), (c, true)]) {
            let (a, b) = (numbers(1, n, wild), numbers(2, n, wild));
            let mut out = b.clone();
            (k.add)(&a, &mut out);
            let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| b + a).collect();
            assert_eq!(bits(&out), bits(&sum), "{isa} add {n}");

            let (mut out, mut truth) = (vec![9.0; n], vec![9.0; n]);
            (k.silu_glu)(&a, &b, &mut out);
            (scalar.silu_glu)(&a, &b, &mut truth);
            assert_eq!(bits(&out), bits(&truth), "{isa} silu_glu {n}");
            for ((&g, &u), &o) in a.iter().zip(&b).zip(&out) {
                let exact = f64::from(g) / (1.0 + (-f64::from(g)).exp()) * f64::from(u);
                assert!((f64::from(o) - exact).abs() <= 1e-6 * exact.abs() + 1e-38, "{g} {u}: {o} {exact}");
            }
            let gates: Vec<f32> = a.iter().map(|a| 4.0 * a).collect();
            (k.gelu_glu)(&gates, &b, &mut out);
            (scalar.gelu_glu)(&gates, &b, &mut truth);
            assert_eq!(bits(&out), bits(&truth), "{isa} gelu_glu {n}");
            for ((&g, &u), &o) in gates.iter().zip(&b).zip(&out) {
                let (g, u) = (f64::from(g), f64::from(u));
                let exact = 0.5
                    * g
                    * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g.powi(3))).tanh())
                    * u;
                // The exponent's own rounding counts as many times as it is large.
                assert!((f64::from(o) - exact).abs() <= 4e-6 * exact.abs() + 1e-38, "{g} {u}: {o} {exact}");
            }

            for (kernel, of_scalar) in [(k.scale, scalar.scale), (k.softcap, scalar.softcap)] {
                let (mut out, mut truth) = (gates.clone(), gates.clone());
                kernel(&mut out, 1.7);
                of_scalar(&mut truth, 1.7);
                assert_eq!(bits(&out), bits(&truth), "{isa} in place {n}");
            }
            let (mut scaled, mut capped) = (gates.clone(), gates.clone());
            (k.scale)(&mut scaled, 1.7);
            (k.softcap)(&mut capped, 1.7);
            for ((&x, &scaled), &capped) in gates.iter().zip(&scaled).zip(&capped) {
                assert_eq!(scaled.to_bits(), (x * 1.7).to_bits());
                let exact = 1.7f32 as f64 * (f64::from(x) / 1.7f32 as f64).tanh();
                assert!(
                    (f64::from(capped) - exact).abs() <= 1e-6 * exact.abs() + 1e-38,
                    "{x}: {capped} {exact}"
                );
            }

            (k.rms_norm)(&a, &b, 1e-5, &mut out);
            let mut s = [0.0f32; 16];
            a.iter().enumerate().for_each(|(i, v)| s[i % 16] = v.mul_add(*v, s[i % 16]));
            let s: [f32; 8] = std::array::from_fn(|i| s[i] + s[i + 8]);
            let s: [f32; 4] = std::array::from_fn(|i| s[i] + s[i + 4]);
            let mean = ((s[0] + s[2]) + (s[1] + s[3])) / n as f32;
            let inv = 1.0 / (mean + 1e-5).sqrt();
            let norm: Vec<f32> = a.iter().zip(&b).map(|(x, g)| (x * inv) * g).collect();
            assert_eq!(bits(&out), bits(&norm), "{isa} rms_norm {n}");
            let mut in_place = a.clone();
            (k.rms_norm_in_place)(&mut in_place, &b, 1e-5);
            assert_eq!(bits(&in_place), bits(&norm), "{isa} rms_norm_in_place {n}");

            let angles = numbers(3, 2 * n, false);
            let mut x = numbers(4, 6 * n, wild);
            let before = x.clone();
            (k.rope)(&mut x, &angles, 2 * n);
            // Heads of five elements more, which stay.
            let wide: Vec<f32> = before
                .chunks(2 * n.max(1))
                .flat_map(|head| head.iter().copied().chain([1.0, 2.0, 3.0, 4.0, 5.0]))
                .collect();
            let mut partial = wide.clone();
            (k.rope)(&mut partial, &angles, 2 * n + 5);
            let whole =
                x.chunks(2 * n.max(1)).flat_map(|head| head.iter().copied().chain([1.0, 2.0, 3.0, 4.0, 5.0]));
            assert_eq!(bits(&partial), bits(&whole.collect::<Vec<f32>>()), "{isa} partial rope {n}");
            for (i, &y) in x.iter().enumerate() {
                let (pair, at) = (i % n, i / (2 * n) * 2 * n + i % n);
                let (x0, x1, cos, sin) = (before[at], before[at + n], angles[pair], angles[n + pair]);
                let first = i % (2 * n) < n;
                let truth = if first { (-x1).mul_add(sin, x0 * cos) } else { x0.mul_add(sin, x1 * cos) };
                assert_eq!(y.to_bits(), truth.to_bits(), "{isa} rope {n} at {i}");
            }
        }
    }
}

#[test]
fn f16_and_bf16_convert_exactly() {
    let patterns: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let mut values = numbers(5, 100_003, true);
    // Half-way between an f16 and the next, and a little off it; also what overflows.
    for h in (0..=u16::MAX).map(half::f16::from_bits).filter(|h| h.is_finite()) {
        values.extend([0xfff, 0x1000, 0x1001].map(|more| f32::from_bits(h.to_f32().to_bits() + more)));
    }
    values.extend([f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 65519.0, 65520.0]);
    for (isa, k) in tables() {
        for (dtype, len) in [(DType::F16, 65536), (DType::BF16, 65536), (DType::F16, 17), (DType::BF16, 5)] {
            let (mut out, mut truth) = (vec![0.0; len], vec![0.0; len]);
            k.widen(dtype).unwrap()(&patterns[..2 * len], &mut out);
            dequantize_row(dtype, &patterns[..2 * len], &mut truth).unwrap();
            assert_eq!(bits(&out), bits(&truth), "{isa} {dtype}");
        }
        let mut halves = vec![0u16; values.len()];
        (k.narrow_f16)(&values, &mut halves);
        for (v, h) in values.iter().zip(halves) {
            assert_eq!(h, half::f16::from_f32(*v).to_bits(), "{isa} {v:e}");
        }
    }
}

#[test]
fn groups_are_smaller_where_rows_are_longer() {
    for (isa, k) in &tables() {
        let sizes = [1, 256, 2048, 4096, 8192, 14336, 1 << 20].map(|cols| k.group(cols));
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{isa} {sizes:?}");
        assert!(sizes.iter().all(|size| size % 4 == 0 && (12..=48).contains(size)), "{isa} {sizes:?}");
    }
}
