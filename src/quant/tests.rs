use super::*;
use crate::quant::activation::QuantizedRow;
use proptest::prelude::*;
use std::io::Write;

/// A seeded generator (SplitMix64), so that figures repeat.
pub(super) struct Gen(pub u64);

impl Gen {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn gaussian(&mut self) -> f32 {
        let r = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        (r * (std::f64::consts::TAU * self.uniform()).cos()) as f32
    }

    fn laplace(&mut self) -> f32 {
        let sign = if self.uniform() < 0.5 { -1.0 } else { 1.0 };
        (sign * -(1.0 - self.uniform()).ln()) as f32
    }

    /// Gaussian, with one element in fifty eight times as large.
    fn outliers(&mut self) -> f32 {
        let g = self.gaussian();
        if self.uniform() < 0.02 { g * 8.0 } else { g }
    }

    fn row(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.uniform() + self.uniform() + self.uniform()) as f32 - 1.5).collect()
    }
}

const BLOCKS: [DType; 3] = [DType::Q4_0, DType::Q4_1, DType::Q8_0];
const STORED: [DType; 6] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1];
const LENGTHS: [usize; 8] = [0, 1, 31, 32, 33, 64, 95, 256];

/// What a stored block stands for, read from its bytes as ggml's documentation gives them.
fn naive(dtype: DType, b: &[u8]) -> [f64; 32] {
    let half = |i: usize| f64::from(half::f16::from_le_bytes([b[i], b[i + 1]]));
    let nibble = |at: usize, i: usize| f64::from(if i < 16 { b[at + i] % 16 } else { b[at + i - 16] / 16 });
    std::array::from_fn(|i| match dtype {
        DType::Q4_0 => half(0) * (nibble(2, i) - 8.0),
        DType::Q4_1 => half(0) * nibble(4, i) + half(2),
        _ => half(0) * f64::from(b[2 + i] as i8),
    })
}

fn squared_error(dtype: DType, x: &[f32; 32], bytes: &[u8]) -> f64 {
    naive(dtype, bytes).iter().zip(x).map(|(y, x)| (f64::from(*x) - y).powi(2)).sum()
}

/// Squared errors of the searched and of the simple quantization.
fn errors(dtype: DType, x: &[f32; 32]) -> (f64, f64) {
    let e = |bytes: &[u8]| squared_error(dtype, x, bytes);
    match dtype {
        DType::Q4_0 => (
            e(&q4_0::Block::quantize(x).to_bytes()),
            e(&q4_0::Block::quantize_round_to_nearest(x).to_bytes()),
        ),
        DType::Q4_1 => (
            e(&q4_1::Block::quantize(x).to_bytes()),
            e(&q4_1::Block::quantize_round_to_nearest(x).to_bytes()),
        ),
        _ => {
            let e = e(&q8_0::Block::quantize(x).to_bytes());
            (e, e)
        }
    }
}

/// Error of the best of all f16 scales of Q4_0.
fn least_error(x: &[f32; 32]) -> f64 {
    let amax = x.iter().fold(0f32, |m, v| m.max(v.abs()));
    let scales = (0..0x7c00u16).map(|b| half::f16::from_bits(b).to_f32());
    let near = scales.filter(|d| (amax / 14.0..amax / 5.0).contains(d)).flat_map(|d| [d, -d]);
    let error = |d: f32| -> f64 {
        x.iter().map(|&v| f64::from(v - (v / d).round().clamp(-8.0, 7.0) * d).powi(2)).sum()
    };
    near.map(error).fold(f64::MAX, f64::min)
}

#[test]
fn search_lessens_the_error() {
    let mut g = Gen(2024);
    type Draw = fn(&mut Gen) -> f32;
    // Bounds: a little above what is measured.
    let cases: [(&str, Draw, f64, f64); 3] = [
        ("gaussian", Gen::gaussian, 0.90, 0.80),
        ("laplace", Gen::laplace, 0.93, 0.83),
        ("outliers", Gen::outliers, 0.96, 0.85),
    ];
    for (name, draw, bound_0, bound_1) in cases {
        let blocks: Vec<[f32; 32]> =
            (0..4000).map(|_| std::array::from_fn(|_| draw(&mut g) * 0.02)).collect();
        let mut best = 0.0;
        let mut found = 0.0;
        for x in &blocks[..200] {
            best += least_error(x);
            found += errors(DType::Q4_0, x).0;
        }
        for (dtype, bound) in [(DType::Q4_0, bound_0), (DType::Q4_1, bound_1)] {
            let (searched, simple) = blocks.iter().fold((0.0, 0.0), |(a, b), x| {
                let (s, r) = errors(dtype, x);
                (a + s, b + r)
            });
            let _ = writeln!(
                std::io::stderr(),
                "{dtype} {name}: mean squared error is {:.4} of round-to-nearest's",
                searched / simple
            );
            assert!(searched < bound * simple, "{dtype} {name}: {}", searched / simple);
        }
        let _ = writeln!(std::io::stderr(), "q4_0 {name}: {:.4} of the best scale's", found / best);
        assert!(found < 1.005 * best, "{name}: {}", found / best);
    }
}

#[test]
fn results_are_the_same_on_every_machine() {
    let x = Gen(5).row(32 * 500);
    // Taken once; a change here means that packed weights of earlier versions differ.
    let pinned: [u64; 3] = [0x0e4e_a999_0e6e_73a6, 0x81b4_caf7_b069_f981, 0x7852_8dcd_76c3_5a2a];
    let got = BLOCKS.map(|dtype| {
        let mut bytes = vec![0; row_bytes(dtype, x.len())];
        quantize_row(dtype, &x, &mut bytes).unwrap();
        // FNV-1a.
        bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
    });
    assert_eq!(got, pinned, "{got:#018x?}");
}

#[test]
fn rows_of_any_length_round_trip() {
    for dtype in STORED {
        for len in LENGTHS {
            let x = Gen(len as u64).row(len);
            let mut bytes = vec![0xaa; row_bytes(dtype, len)];
            quantize_row(dtype, &x, &mut bytes).unwrap();
            let mut y = vec![f32::NAN; len];
            dequantize_row(dtype, &bytes, &mut y).unwrap();
            // Half a step of values within 1.5: 3 / 15 for 4 bits, 1.5 / 127, 2^-8 and 2^-11 of the value.
            let bound = match dtype {
                DType::F32 => 0.0,
                DType::F16 => 0.001,
                DType::BF16 => 0.004,
                DType::Q8_0 => 0.007,
                _ => 0.2,
            };
            for (x, y) in x.iter().zip(&y) {
                assert!((x - y).abs() <= bound, "{dtype} {len}: {x} -> {y}");
            }
            if dtype.is_quantized() {
                let mut padded = x.clone();
                padded.resize(len.div_ceil(32) * 32, 0.0);
                let mut again = vec![0; bytes.len()];
                quantize_row(dtype, &padded, &mut again).unwrap();
                assert_eq!(bytes, again, "{dtype} {len}: padding");
            }
        }
    }
}

#[test]
fn wrong_lengths_and_types_are_refused() {
    let x = [1.0; 33];
    for dtype in STORED {
        let n = row_bytes(dtype, 33);
        for len in [0, n - 1, n + 1] {
            assert!(matches!(quantize_row(dtype, &x, &mut vec![0; len]), Err(CoreError::Mismatch { .. })));
            assert!(matches!(
                dequantize_row(dtype, &vec![0; len], &mut [0.0; 33]),
                Err(CoreError::Mismatch { .. })
            ));
        }
    }
    for dtype in [DType::U8, DType::I32] {
        assert!(matches!(quantize_row(dtype, &[], &mut []), Err(CoreError::Unsupported { .. })));
        assert!(matches!(dequantize_row(dtype, &[], &mut []), Err(CoreError::Unsupported { .. })));
    }
    assert_eq!(row_bytes(DType::F32, usize::MAX), usize::MAX);
}

#[test]
fn linear_row_keeps_the_contracts_order() {
    for len in LENGTHS {
        let (w, x) = (Gen(1).row(len), Gen(2).row(len));
        let mut row = QuantizedRow::default();
        row.quantize(&x);
        for dtype in BLOCKS {
            let mut bytes = vec![0; row_bytes(dtype, len)];
            quantize_row(dtype, &w, &mut bytes).unwrap();
            let mut want = 0.0f32;
            let mut exact = 0.0f64;
            for (i, b) in bytes.chunks(dtype.block_bytes()).enumerate() {
                let d = half::f16::from_le_bytes([b[0], b[1]]).to_f32();
                let q = |j: usize| match dtype {
                    DType::Q8_0 => i32::from(b[2 + j] as i8),
                    DType::Q4_0 => i32::from(b[2 + j % 16] >> (j / 16 * 4) & 15) - 8,
                    _ => i32::from(b[4 + j % 16] >> (j / 16 * 4) & 15),
                };
                let xs = &row.quants[i * 32..][..32];
                let dot: i32 = (0..32).map(|j| q(j) * i32::from(xs[j])).sum();
                want = f32::mul_add(d * row.scales[i], dot as f32, want);
                if dtype == DType::Q4_1 {
                    let m = half::f16::from_le_bytes([b[2], b[3]]).to_f32();
                    let sum: i32 = xs.iter().map(|&v| i32::from(v)).sum();
                    want = f32::mul_add(m * row.scales[i], sum as f32, want);
                }
                for (w, x) in naive(dtype, b).iter().zip(xs) {
                    exact += w * f64::from(*x) * f64::from(row.scales[i]);
                }
            }
            let got = linear_row(dtype, &bytes, &row);
            assert_eq!(got.to_bits(), want.to_bits(), "{dtype} {len}");
            assert!((f64::from(got) - exact).abs() < 1e-4, "{dtype} {len}: {got} is not {exact}");
        }
    }
}

#[test]
fn linear_row_by_hand() {
    // Two blocks: (1 - 8) * 0.5 * 1.0 * 127 in the first, (15 - 8) * 2 * 0.5 * -127 in the second.
    let mut x = [0.0; 64];
    (x[0], x[63]) = (127.0, -63.5);
    let mut row = QuantizedRow::default();
    row.quantize(&x);
    let mut w = vec![0x88u8; 36];
    (w[0], w[1], w[2], w[18], w[19], w[35]) = (0x00, 0x38, 0x81, 0x00, 0x40, 0xf8);
    assert_eq!(linear_row(DType::Q4_0, &w, &row), -444.5 - 889.0);
    // The same quants without offset, with minimum 1 in the first block: 0.5 * 127 + 127 - 15 * 2 * 63.5.
    let mut w = vec![0u8; 40];
    (w[1], w[3], w[4], w[21], w[39]) = (0x38, 0x3c, 0x01, 0x40, 0xf0);
    assert_eq!(linear_row(DType::Q4_1, &w, &row), 63.5 + 127.0 - 1905.0);
}

#[test]
fn what_is_not_finite_stays_visible() {
    let mut row = QuantizedRow::default();
    row.quantize(&[1.0, f32::NAN, 2.0]);
    for dtype in BLOCKS {
        assert!(linear_row(dtype, &vec![0; row_bytes(dtype, 3)], &row).is_nan());
    }
}

#[test]
fn dot_float_keeps_the_contracts_order() {
    for len in [0, 1, 15, 16, 17, 33, 64, 1000] {
        let (w, x) = (Gen(3).row(len), Gen(4).row(len));
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let mut bytes = vec![0; row_bytes(dtype, len)];
            quantize_row(dtype, &w, &mut bytes).unwrap();
            let w: Vec<f32> = bytes
                .chunks(dtype.block_bytes())
                .map(|b| match dtype {
                    DType::F16 => half::f16::from_le_bytes([b[0], b[1]]).to_f32(),
                    DType::BF16 => half::bf16::from_le_bytes([b[0], b[1]]).to_f32(),
                    _ => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
                })
                .collect();
            let s: Vec<f32> = (0..16)
                .map(|lane| (lane..len).step_by(16).fold(0.0, |acc, i| f32::mul_add(w[i], x[i], acc)))
                .collect();
            let even = ((s[0] + s[8]) + (s[4] + s[12])) + ((s[2] + s[10]) + (s[6] + s[14]));
            let odd = ((s[1] + s[9]) + (s[5] + s[13])) + ((s[3] + s[11]) + (s[7] + s[15]));
            assert_eq!(dot_float(dtype, &bytes, &x).to_bits(), (even + odd).to_bits(), "{dtype} {len}");
            let exact: f64 = w.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            assert!((f64::from(even + odd) - exact).abs() < 1e-4);
        }
    }
}

/// Blocks of every kind that a file may hold: any bits at all, or values of one size with some far larger.
fn any_block() -> impl Strategy<Value = [f32; 32]> {
    let bits = prop::array::uniform32(any::<u32>()).prop_map(|b| b.map(f32::from_bits));
    let sized = (prop::array::uniform32((-1f32..1.0, 0u8..20)), -40i32..30, -4f32..4.0).prop_map(
        |(x, exponent, offset)| {
            x.map(|(v, kind)| (if kind == 0 { v * 30.0 } else { v } + offset) * 2f32.powi(exponent))
        },
    );
    let few = prop::array::uniform32(prop::sample::select(vec![-1.5f32, 0.0, 0.1, 0.1, 3.0]));
    prop_oneof![bits, sized, few]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn search_is_never_worse_than_round_to_nearest(x in any_block()) {
        let x = x.map(|v| if v.is_nan() { 0.0 } else { v.clamp(f32::MIN, f32::MAX) });
        for dtype in [DType::Q4_0, DType::Q4_1] {
            let (searched, simple) = errors(dtype, &x);
            // The sums are taken in another order than in the search.
            prop_assert!(searched <= simple * (1.0 + 1e-6), "{dtype}: {searched:e} > {simple:e}");
        }
    }

    #[test]
    fn any_bits_quantize_to_finite_values(x in any_block()) {
        for dtype in BLOCKS {
            let mut bytes = vec![0; row_bytes(dtype, 32)];
            quantize_row(dtype, &x, &mut bytes).unwrap();
            prop_assert!(naive(dtype, &bytes).iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn any_stored_bits_decode_as_documented(bytes in prop::array::uniform32(any::<u8>()), d: u16, m: u16) {
        for dtype in BLOCKS {
            let mut b = d.to_le_bytes().to_vec();
            if dtype == DType::Q4_1 {
                b.extend(m.to_le_bytes());
            }
            b.extend(bytes);
            b.truncate(dtype.block_bytes());
            let mut y = [0.0; 32];
            dequantize_row(dtype, &b, &mut y).unwrap();
            for (y, want) in y.iter().zip(naive(dtype, &b)) {
                let want = want as f32;
                prop_assert!(*y == want || y.is_nan() && want.is_nan(), "{dtype}: {y} is not {want}");
            }
        }
    }
}
