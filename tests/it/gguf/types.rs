//! A model in each type of ggml: it loads, says what becomes what, and computes as its values do.

use std::process::Command;

use llm_rs2::core::{DType, ReadOnlyFormat};
use llm_rs2::engine::ModelFiles;
use llm_rs2::models::WeightPlan;
use llm_rs2::quant::dequantize_row;
use proptest::prelude::*;

use super::model::{logits, try_logits};
use super::writer::{Gguf, Key, add_tokenizer};
use super::{repository, written};

/// What the format's description says of a type: its number, elements and bytes of a block, where its f16 are.
pub struct Type {
    pub dtype: DType,
    pub number: u32,
    pub len: usize,
    pub bytes: usize,
    pub halves: &'static [usize],
}

const fn read(
    format: ReadOnlyFormat,
    number: u32,
    (len, bytes): (usize, usize),
    halves: &'static [usize],
) -> Type {
    Type { dtype: DType::ReadOnly(format), number, len, bytes, halves }
}

const fn known(dtype: DType, number: u32, (len, bytes): (usize, usize), halves: &'static [usize]) -> Type {
    Type { dtype, number, len, bytes, halves }
}

/// All types with blocks.
pub const TYPES: [Type; 26] = [
    known(DType::Q4_0, 2, (32, 18), &[0]),
    known(DType::Q4_1, 3, (32, 20), &[0, 2]),
    known(DType::Q5_0, 6, (32, 22), &[0]),
    known(DType::Q5_1, 7, (32, 24), &[0, 2]),
    known(DType::Q8_0, 8, (32, 34), &[0]),
    known(DType::Q2K, 10, (256, 84), &[80, 82]),
    known(DType::Q3K, 11, (256, 110), &[108]),
    known(DType::Q4K, 12, (256, 144), &[0, 2]),
    known(DType::Q5K, 13, (256, 176), &[0, 2]),
    known(DType::Q6K, 14, (256, 210), &[208]),
    known(DType::Iq4Nl, 20, (32, 18), &[0]),
    known(DType::Iq4Xs, 23, (256, 136), &[0]),
    known(DType::Tq1_0, 34, (256, 54), &[52]),
    known(DType::Tq2_0, 35, (256, 66), &[64]),
    known(DType::Mxfp4, 39, (32, 17), &[]),
    read(ReadOnlyFormat::Q8K, 15, (256, 292), &[]),
    read(ReadOnlyFormat::Iq2Xxs, 16, (256, 66), &[0]),
    read(ReadOnlyFormat::Iq2Xs, 17, (256, 74), &[0]),
    read(ReadOnlyFormat::Iq3Xxs, 18, (256, 98), &[0]),
    read(ReadOnlyFormat::Iq1S, 19, (256, 50), &[0]),
    read(ReadOnlyFormat::Iq3S, 21, (256, 110), &[0]),
    read(ReadOnlyFormat::Iq2S, 22, (256, 82), &[0]),
    read(ReadOnlyFormat::Iq1M, 29, (256, 56), &[]),
    read(ReadOnlyFormat::Nvfp4, 40, (64, 36), &[]),
    read(ReadOnlyFormat::Q1_0, 41, (128, 18), &[0]),
    read(ReadOnlyFormat::Q2_0, 42, (64, 18), &[0]),
];

/// Width of the model, and rows of its embedding.
const WIDTH: usize = 256;
const TOKENS: usize = 203;

/// Random blocks of `values` elements, of a magnitude that a model can have.
fn blocks(kind: &Type, values: usize, seed: &mut u64) -> Vec<u8> {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 56) as u8
    };
    let mut out = Vec::new();
    for _ in 0..values / kind.len {
        let mut block: Vec<u8> = (0..kind.bytes).map(|_| next()).collect();
        // f16 of about 2^-12 for blocks with scales of their own, else of 2^-8; less for 8 bits.
        let upper = if kind.len == 256 { 0x0c } else { 0x1c };
        let upper = if matches!(kind.dtype, DType::Tq1_0 | DType::Tq2_0) { 0x24 } else { upper };
        for &at in kind.halves {
            block[at + 1] = upper;
        }
        match kind.dtype {
            DType::Mxfp4 => block[0] = 120,
            DType::ReadOnly(ReadOnlyFormat::Q8K) => block[..4].copy_from_slice(&0.0004f32.to_le_bytes()),
            DType::ReadOnly(ReadOnlyFormat::Nvfp4) => block[..4].iter_mut().for_each(|b| *b = 8 + *b % 16),
            DType::ReadOnly(ReadOnlyFormat::Iq1M) => {
                for word in 0..4 {
                    let bits = (0x1400u16 >> (4 * word) & 15) as u8;
                    block[49 + 2 * word] = block[49 + 2 * word] & 15 | bits << 4;
                }
            }
            _ => {}
        }
        out.extend(block);
    }
    out
}

/// A model of one layer with all matrices of this type.
pub fn model(kind: &Type) -> Gguf {
    let mut file = Gguf::default();
    file.set("general.architecture", Key::Text("llama".into()));
    for (key, value) in [
        ("block_count", 1),
        ("context_length", 64),
        ("embedding_length", WIDTH),
        ("feed_forward_length", WIDTH),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 4),
        ("rope.dimension_count", WIDTH / 4),
    ] {
        file.set(&format!("llama.{key}"), Key::U32(value as u32));
    }
    file.set("llama.attention.layer_norm_rms_epsilon", Key::F32(1e-5));
    file.set("llama.rope.freq_base", Key::F32(10_000.0));
    file.set("tokenizer.ggml.bos_token_id", Key::U32(1));
    add_tokenizer(&mut file, &repository("tests/fixtures/tiny-options"));
    let mut seed = u64::from(kind.number);
    let ones: Vec<u8> = (0..WIDTH).flat_map(|_| 1f32.to_le_bytes()).collect();
    for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
        file.tensors.push((format!("{name}.weight"), vec![WIDTH as u64], 0, ones.clone()));
    }
    let inner = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let inner = inner.map(|name| (format!("blk.0.{name}.weight"), WIDTH));
    for (name, rows) in inner.into_iter().chain([("token_embd.weight".to_owned(), TOKENS)]) {
        let bytes = blocks(kind, rows * WIDTH, &mut seed);
        file.tensors.push((name, vec![rows as u64, WIDTH as u64], kind.number, bytes));
    }
    file
}

/// The same with the matrices' values as f32.
fn as_f32(kind: &Type, file: &Gguf) -> Gguf {
    let mut wide = file.clone();
    for (_, dims, number, bytes) in wide.tensors.iter_mut().filter(|t| t.2 != 0) {
        let mut values = vec![0.0; dims.iter().product::<u64>() as usize];
        dequantize_row(kind.dtype, bytes, &mut values).unwrap();
        (*number, *bytes) = (0, values.into_iter().flat_map(f32::to_le_bytes).collect());
    }
    wide
}

#[test]
fn each_type_computes_as_its_values_do() {
    for kind in &TYPES {
        let file = model(kind);
        let (_kept, path) = written(&file);
        let (_also_kept, wide) = written(&as_f32(kind, &file));
        let floats = |bits: Vec<u32>| bits.into_iter().map(f32::from_bits).collect::<Vec<_>>();
        let ours = floats(logits(&path, WeightPlan::AsStored));
        let exact = floats(logits(&wide, DType::F32));
        let square = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
        };
        let error = square(&mut ours.iter().zip(&exact).map(|(a, b)| a - b));
        let share = error / square(&mut exact.iter().copied());
        // Inputs are rounded to 8 bits; what conversions lose is in `quant::read_only`.
        assert!(share < 0.15, "{}: {share}", kind.dtype);
        let warnings = ModelFiles::open(&path).unwrap().warnings;
        let said = warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match kind.dtype {
            DType::ReadOnly(format) => {
                let line = format!(
                    "holds 8 tensors in a type that is converted when the model is loaded: 8 of {} to {}",
                    kind.dtype,
                    format.becomes()
                );
                assert!(said.contains(&line), "{said}");
            }
            _ => assert_eq!(said, "", "{}", kind.dtype),
        }
    }
}

/// Matrices in NVFP4 have a number beside them that all of their elements are multiplied with. Two is one more in the exponent
/// of each scale.
#[test]
fn the_scale_of_a_tensor_in_nvfp4_counts_and_that_of_its_inputs_does_not() {
    let kind = TYPES.iter().find(|t| t.dtype == DType::ReadOnly(ReadOnlyFormat::Nvfp4)).unwrap();
    let (mut beside, mut within) = (model(kind), model(kind));
    for name in ["blk.0.attn_q", "blk.0.ffn_up", "blk.0.ffn_down"] {
        for (end, value) in [("scale", 2f32), ("input_scale", 0.01)] {
            beside.tensors.push((format!("{name}.{end}"), vec![1], 0, value.to_le_bytes().to_vec()));
        }
        let matrix = within.tensors.iter_mut().find(|t| t.0 == format!("{name}.weight")).unwrap();
        matrix.3.chunks_exact_mut(36).for_each(|block| block[..4].iter_mut().for_each(|b| *b += 8));
    }
    let (_kept, beside_path) = written(&beside);
    let (_also_kept, within_path) = written(&within);
    let expected = logits(&within_path, WeightPlan::AsStored);
    assert!(logits(&beside_path, WeightPlan::AsStored) == expected);
    assert!(logits(&beside_path, DType::F32) == logits(&within_path, DType::F32));
    let (_kept, plain) = written(&model(kind));
    assert!(logits(&plain, WeightPlan::AsStored) != expected);
    // One that is no number, and one beside a matrix of another type.
    beside.tensors.iter_mut().find(|t| t.0 == "blk.0.attn_q.scale").unwrap().3 =
        f32::NAN.to_le_bytes().to_vec();
    let (_kept, path) = written(&beside);
    let said = try_logits(&path, WeightPlan::AsStored).expect_err("it is refused").to_string();
    assert!(said.contains("is no finite number") && said.contains("m.gguf"), "{said}");
    let mut other = model(&TYPES[0]);
    other.tensors.push(("blk.0.attn_q.scale".into(), vec![1], 0, 2f32.to_le_bytes().to_vec()));
    let (_kept, path) = written(&other);
    let said = try_logits(&path, WeightPlan::AsStored).expect_err("it is refused").to_string();
    assert!(said.contains("holds the tensor 'blk.0.attn_q.scale'"), "{said}");
}

/// Runs a program and gives its exit code, standard output and standard error.
fn run(program: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn programs_say_what_is_converted_pack_it_and_quantize_from_it() {
    let kind = TYPES.iter().find(|t| t.dtype == DType::ReadOnly(ReadOnlyFormat::Iq2S)).unwrap();
    let (kept, path) = written(&model(kind));
    let path = path.to_str().unwrap();
    let generate = env!("CARGO_BIN_EXE_generate");
    let prompt = &["-p", "a b", "-n", "4", "--temperature", "0"][..];
    let line = "warning: ";
    let says =
        "m.gguf holds 8 tensors in a type that is converted when the model is loaded: 8 of iq2_s to q5_k";
    let cache = kept.path().join("cache");
    let cached = ["-m", path, "--pack-cache", cache.to_str().unwrap()];
    let first = run(generate, &[&cached[..], prompt].concat());
    assert_eq!(first.0, Some(0), "{}", first.2);
    assert!(first.2.contains(line) && first.2.contains(says), "{}", first.2);
    // From the packed form, which holds the other format.
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1);
    let second = run(generate, &[&cached[..], prompt].concat());
    assert_eq!((second.0, &second.1), (Some(0), &first.1));
    assert!(second.2.contains(says), "{}", second.2);
    let uncached = run(generate, &[&["-m", path, "--pack-cache", "off"], prompt].concat());
    assert_eq!(uncached.1, first.1);
    // Another format that was asked for is no surprise.
    let asked = run(generate, &[&["-m", path, "--weight-dtype", "q8_0"], prompt].concat());
    assert!(asked.0 == Some(0) && !asked.2.contains("iq2_s"), "{}", asked.2);
    let explained = run(generate, &["-m", path, "--explain"]);
    assert!(explained.1.contains("q5_k, stored as iq2_s") && explained.1.contains(says), "{}", explained.1);

    let quantize = env!("CARGO_BIN_EXE_quantize");
    let checked = run(quantize, &["--check", path]);
    assert!(checked.0 == Some(0) && checked.1.contains("in order"), "{checked:?}");
    let planned = run(quantize, &["--dry-run", path, "out.gguf", "Q4_K_M"]);
    assert!(planned.0 == Some(0) && planned.1.contains("IQ2_S -> "), "{planned:?}");
    let made = kept.path().join("made.gguf");
    let done = run(quantize, &[path, made.to_str().unwrap(), "F32"]);
    assert_eq!(done.0, Some(0), "{}", done.2);
    assert!(done.2.contains("had been quantized before"), "{}", done.2);
    let (_kept, wide) = written(&as_f32(kind, &model(kind)));
    assert!(logits(&made, DType::F32) == logits(&wide, DType::F32));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// A file of any type with some bits flipped, or its end cut off, gives a sentence or logits.
    #[test]
    fn damaged_files_of_each_type_give_a_sentence_or_load(
        kind in 0..TYPES.len(),
        flips in prop::collection::vec((any::<u32>(), 0u8..8), 0..8),
        in_header in any::<bool>(),
        cut in prop::option::weighted(0.2, any::<u32>()),
    ) {
        let mut bytes = model(&TYPES[kind]).bytes();
        let room = if in_header { 8000 } else { bytes.len() };
        for (place, bit) in flips {
            bytes[place as usize % room] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut as usize % bytes.len());
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        std::fs::write(&path, &bytes).unwrap();
        match try_logits(&path, WeightPlan::AsStored) {
            Ok(_) => {}
            Err(e) => {
                let said = e.to_string();
                prop_assert!(!said.contains('\n') && said.len() < 2000, "{}", said);
            }
        }
    }
}
