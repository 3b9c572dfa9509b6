//! Our blocks against ggml's: the same bytes from plain rounding, the same values from the same bytes.
//! `scripts/make_ggml_blocks.py` and `scripts/make_ggml_values.py` make the fixtures with the `gguf` package.

use std::path::Path;

use llm_rs2::core::{BLOCK_LEN, DType, K_BLOCK_LEN, ReadOnlyFormat};
use llm_rs2::quant::{dequantize_row, q4_0, q4_1, q8_0};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    values: Vec<Vec<f32>>,
    q4_0: Format,
    q4_1: Format,
    q8_0: Format,
    q5_0: Format,
    q5_1: Format,
    iq4_nl: Format,
    q2_k: Format,
    q3_k: Format,
    iq4_xs: Format,
    q4_k: Format,
    q5_k: Format,
    q6_k: Format,
}

#[derive(Deserialize)]
struct Format {
    bytes: Vec<String>,
    values: Vec<Vec<f32>>,
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ggml_blocks.json");
    serde_json::from_slice(&std::fs::read(path).expect("the fixture is readable")).expect("well formed")
}

fn check(name: &str, dtype: DType, format: &Format, rounded: impl Fn(&[f32; BLOCK_LEN]) -> Vec<u8>) {
    let fixture = fixture();
    assert_eq!((fixture.values.len(), format.bytes.len(), format.values.len()), (10, 10, 10));
    for (i, (values, expected)) in fixture.values.iter().zip(&format.bytes).enumerate() {
        let block: &[f32; BLOCK_LEN] = values.as_slice().try_into().expect("blocks of 32");
        let ours = rounded(block);
        let hex: String = ours.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(&hex, expected, "{name}: bytes of block {i}");
        let mut back = [0.0; BLOCK_LEN];
        dequantize_row(dtype, &ours, &mut back).expect("one block");
        assert_eq!(back.as_slice(), format.values[i], "{name}: values of block {i}");
    }
}

#[test]
fn q4_0_blocks_are_ggmls() {
    let round = |v: &_| q4_0::Block::quantize_round_to_nearest(v).to_bytes().to_vec();
    check("q4_0", DType::Q4_0, &fixture().q4_0, round);
}

#[test]
fn q4_1_blocks_are_ggmls() {
    let round = |v: &_| q4_1::Block::quantize_round_to_nearest(v).to_bytes().to_vec();
    check("q4_1", DType::Q4_1, &fixture().q4_1, round);
}

#[test]
fn q8_0_blocks_are_ggmls() {
    let round = |v: &_| q8_0::Block::quantize(v).to_bytes().to_vec();
    check("q8_0", DType::Q8_0, &fixture().q8_0, round);
}

#[test]
fn formats_that_are_only_read_have_ggmls_values() {
    let fixture = fixture();
    for (dtype, format) in [
        (DType::Q5_0, fixture.q5_0),
        (DType::Q5_1, fixture.q5_1),
        (DType::Iq4Nl, fixture.iq4_nl),
        (DType::Q2K, fixture.q2_k),
        (DType::Q3K, fixture.q3_k),
        (DType::Iq4Xs, fixture.iq4_xs),
        (DType::Q4K, fixture.q4_k),
        (DType::Q5K, fixture.q5_k),
        (DType::Q6K, fixture.q6_k),
    ] {
        assert_eq!(format.bytes.len(), 2);
        for (hex, expected) in format.bytes.iter().zip(&format.values) {
            let bytes: Vec<u8> = hex
                .as_bytes()
                .chunks(2)
                .map(|b| u8::from_str_radix(str::from_utf8(b).unwrap(), 16).unwrap())
                .collect();
            let mut values = vec![0.0; dtype.block_len()];
            dequantize_row(dtype, &bytes, &mut values).expect("one block");
            assert_eq!(values.as_slice(), expected, "{dtype}");
            assert!(dequantize_row(dtype, &bytes[1..], &mut values).is_err());
        }
        if dtype.block_len() == K_BLOCK_LEN {
            assert!(dequantize_row(dtype, &vec![0; dtype.block_bytes()], &mut [0.0; 200]).is_err());
        }
    }
}

/// The types of `scripts/make_ggml_values.py`, in its order.
fn types() -> Vec<DType> {
    use ReadOnlyFormat::{Iq1M, Iq1S, Iq2S, Iq2Xs, Iq2Xxs, Iq3S, Iq3Xxs, Nvfp4, Q1_0, Q2_0, Q8K};
    let computed = [
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q8_0,
        DType::Iq4Nl,
        DType::Mxfp4,
        DType::Q2K,
        DType::Q3K,
        DType::Q4K,
        DType::Q5K,
        DType::Q6K,
        DType::Iq4Xs,
        DType::Tq1_0,
        DType::Tq2_0,
    ];
    let read = [Iq1S, Iq1M, Iq2Xxs, Iq2Xs, Iq2S, Iq3Xxs, Iq3S, Nvfp4, Q1_0, Q2_0, Q8K];
    computed.into_iter().chain(read.map(DType::ReadOnly)).collect()
}

#[test]
fn every_value_of_usual_and_of_extreme_blocks_is_ggmls() {
    const BLOCKS: usize = 7;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ggml_values.bin");
    let all = std::fs::read(path).expect("the fixture is readable");
    let mut rest = all.as_slice();
    let types = types();
    let computed = DType::ALL.into_iter().filter(|d| d.is_quantized()).count();
    assert_eq!(types.len(), computed + ReadOnlyFormat::ALL.len(), "every type is there");
    for dtype in types {
        let (blocks, after) = rest.split_at(BLOCKS * dtype.block_bytes());
        let (values, after) = after.split_at(BLOCKS * dtype.block_len() * 4);
        rest = after;
        let mut ours = vec![f32::NAN; BLOCKS * dtype.block_len()];
        dequantize_row(dtype, blocks, &mut ours).expect("whole blocks");
        for (i, (ours, theirs)) in ours.iter().zip(values.chunks_exact(4)).enumerate() {
            let theirs = f32::from_le_bytes(theirs.try_into().unwrap());
            assert!(theirs.is_finite());
            // Zeros of either sign are the same.
            assert!(*ours == theirs, "{dtype}, element {i}: {ours}, where ggml has {theirs}");
        }
    }
    assert!(rest.is_empty());
}
