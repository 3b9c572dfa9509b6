//! Plans, importance matrices, whole files and what is found wrong with them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::check::{Values, tokenizer};
use super::*;
use crate::core::DType;
use crate::format::gguf::{GgufFile, GgufWriter, NewMetadata, NewTensor, NewValue, StoredTensor};

const LAYERS: usize = 16;

/// Names and dimensions of a small model's tensors.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut all =
        vec![("token_embd.weight".to_owned(), vec![8, 256]), ("output_norm.weight".to_owned(), vec![256])];
    for layer in 0..LAYERS {
        for (part, dims) in [
            ("attn_norm.weight", &[256][..]),
            ("attn_q.weight", &[4, 256]),
            ("attn_k.weight", &[2, 256]),
            ("attn_v.weight", &[2, 256]),
            ("attn_output.weight", &[4, 256]),
            ("ffn_up.weight", &[4, 256]),
            ("ffn_down.weight", &[4, 288]),
            ("odd.weight", &[4, 20]),
        ] {
            all.push((format!("blk.{layer}.{part}"), dims.to_vec()));
        }
    }
    all
}

fn keys() -> NewMetadata {
    let mut keys = NewMetadata::default();
    keys.set("general.architecture", &NewValue::Text("llama".into()));
    keys.set("llama.block_count", &NewValue::U32(LAYERS as u32));
    keys.set("llama.attention.head_count", &NewValue::U32(8));
    keys.set("llama.attention.head_count_kv", &NewValue::U32(2));
    keys
}

/// A file of F32 tensors, with values that `value` gives.
fn file(
    shapes: &[(String, Vec<usize>)],
    keys: &NewMetadata,
    value: impl Fn(&str, usize) -> f32,
) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let tensors: Vec<_> = shapes
        .iter()
        .map(|(name, dims)| NewTensor { name: name.clone(), dtype: DType::F32, dims: dims.clone() })
        .collect();
    let mut writer = GgufWriter::create(&path, keys, &tensors).unwrap();
    for (name, dims) in shapes {
        let count = dims.iter().product::<usize>();
        let bytes: Vec<u8> = (0..count).flat_map(|i| value(name, i).to_le_bytes()).collect();
        writer.write(&bytes).unwrap();
    }
    writer.finish().unwrap();
    (dir, path)
}

fn wave(name: &str, i: usize) -> f32 {
    ((i * 37 + name.len() * 11) % 101) as f32 * 0.001 - 0.05
}

fn choices(mix: &str) -> Choices {
    Choices {
        mix: mix.parse().unwrap(),
        pure: false,
        patterns: Vec::new(),
        output: None,
        embedding: None,
        weighted: false,
    }
}

/// The types that a plan has for the tensors with these names.
fn types(choices: &Choices, names: &[&str]) -> Vec<DType> {
    let (_dir, path) = file(&shapes(), &keys(), wave);
    let file = GgufFile::open(&path).unwrap();
    let stored: Vec<StoredTensor> = file.tensors().collect();
    let plan = Plan::new(&path, &stored, &ModelFacts::of(file.metadata()).unwrap(), choices).unwrap();
    let of = |name: &&str| plan.tensors.iter().find(|t| t.tensor.name == *name).unwrap().tensor.dtype;
    names.iter().map(of).collect()
}

#[test]
fn mixes_are_those_of_llama_cpp() {
    use DType::{F32, Iq4Nl, Iq4Xs, Q3K, Q4_0, Q4K, Q5_0, Q5K, Q6K, Q8_0};
    // 16 layers: the first and the last two get more bits, and every third between.
    let names = [
        "token_embd.weight",
        "blk.0.attn_norm.weight",
        "blk.3.attn_q.weight",
        "blk.0.attn_v.weight",
        "blk.3.attn_v.weight",
        "blk.4.attn_v.weight",
        "blk.15.attn_v.weight",
        "blk.3.attn_output.weight",
        // Rows of 288.
        "blk.3.ffn_down.weight",
        "blk.0.ffn_down.weight",
    ];
    assert_eq!(types(&choices("Q4_K_M"), &names), [Q6K, F32, Q4K, Q6K, Q4K, Q6K, Q6K, Q4K, Q5_0, Q8_0]);
    assert_eq!(
        types(&choices("Q3_K_M"), &names),
        [Q6K, F32, Q3K, Q5K, Q4K, Q4K, Q4K, Q4K, Q5_0, DType::Q5_1]
    );
    assert_eq!(types(&choices("Q2_K"), &names)[2..], [DType::Q2K, Q4K, Q4K, Q4K, Q4K, Q3K, Q4_0, Q4_0]);
    let iq = [Q6K, F32, Iq4Xs, Q5K, Q5K, Q5K, Q5K, Iq4Xs, Iq4Nl, DType::Q5_1];
    assert_eq!(types(&choices("IQ4_XS"), &names), iq);
    let weighted = Choices { weighted: true, ..choices("IQ4_XS") };
    assert_eq!(types(&weighted, &names)[8..], [Iq4Nl, Iq4Nl]);
    assert_eq!(types(&choices("Q8_0"), &["token_embd.weight", "blk.0.odd.weight"]), [Q8_0, DType::F16]);
    assert_eq!(types(&choices("F16"), &["token_embd.weight", "blk.0.attn_norm.weight"]), [DType::F16, F32]);
}

#[test]
fn what_is_asked_for_comes_before_the_rules() {
    use DType::{Q4K, Q5_1, Q5K, Q6K, Q8_0};
    let names = ["token_embd.weight", "blk.0.attn_v.weight", "blk.10.attn_q.weight", "blk.0.ffn_down.weight"];
    let pure = Choices { pure: true, ..choices("Q4_K_M") };
    assert_eq!(types(&pure, &names), [Q4K, Q4K, Q4K, DType::Q5_0]);
    let some = Choices {
        patterns: vec![
            Pattern::new(r"blk\.\d\.attn_v", Q8_0).unwrap(),
            Pattern::new("ffn_down|attn_v", Q5K).unwrap(),
        ],
        embedding: Some(Q5_1),
        ..choices("Q4_K_M")
    };
    assert_eq!(types(&some, &names), [Q5_1, Q8_0, Q4K, Q5_1]);
    // One matrix for both.
    let output = Choices { output: Some(Q8_0), ..choices("Q6_K") };
    assert_eq!(types(&output, &names)[..2], [Q8_0, Q6K]);
    let (_dir, path) = file(&shapes(), &keys(), wave);
    let open = GgufFile::open(&path).unwrap();
    let stored: Vec<StoredTensor> = open.tensors().collect();
    let none = Choices { patterns: vec![Pattern::new("attn_w", Q8_0).unwrap()], ..choices("Q6_K") };
    let e =
        Plan::new(&path, &stored, &ModelFacts::of(open.metadata()).unwrap(), &none).unwrap_err().to_string();
    assert!(e.contains("model.gguf") && e.contains("'attn_w'"), "{e}");
}

/// Quantizes a file, and gives the path of the new one.
fn quantized(path: &Path, choices: &Choices, importance: Option<&Importance>) -> (PathBuf, Written) {
    let open = GgufFile::open(path).unwrap();
    let stored: Vec<StoredTensor> = open.tensors().collect();
    let plan = Plan::new(path, &stored, &ModelFacts::of(open.metadata()).unwrap(), choices).unwrap();
    let out = path.with_file_name("out.gguf");
    let keys = NewMetadata::copied(open.metadata());
    let go_on = &mut |_: Step<'_>| ControlFlow::Continue(());
    let written = write(&out, &keys, &stored, &plan, importance, 2, go_on).unwrap();
    (out, written)
}

#[test]
fn every_mix_makes_a_file_in_order() {
    let (_dir, path) = file(&shapes(), &keys(), wave);
    for mix in Mix::all() {
        let (out, written) = quantized(&path, &choices(mix.name()), None);
        let new = GgufFile::open(&out).unwrap();
        assert_eq!(new.tensors().count(), shapes().len());
        assert_eq!(new.metadata().integer("llama.block_count").unwrap(), Some(LAYERS as u64));
        for tensor in new.tensors() {
            let values = Values::of(&tensor).unwrap().unwrap();
            assert_eq!(values.faults(&tensor.name), Vec::<String>::new(), "{mix} {}", tensor.name);
            assert!((values.rms - 0.029).abs() < 0.008, "{mix} {}: {}", tensor.name, values.rms);
        }
        assert_eq!((written.converted > 0, written.twice), (mix.main() != DType::F32, 0), "{mix}");
    }
    // A file of blocks is a start as well.
    let (out, _) = quantized(&path, &choices("Q4_0"), None);
    assert!(quantized(&out, &choices("Q6_K"), None).1.twice > 0);
}

#[test]
fn work_that_is_given_up_leaves_nothing() {
    let (dir, path) = file(&shapes(), &keys(), wave);
    let open = GgufFile::open(&path).unwrap();
    let stored: Vec<StoredTensor> = open.tensors().collect();
    let plan =
        Plan::new(&path, &stored, &ModelFacts::of(open.metadata()).unwrap(), &choices("Q4_K")).unwrap();
    let mut left = 5;
    let given_up = write(&dir.path().join("out.gguf"), &keys(), &stored, &plan, None, 1, &mut |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(given_up, Err(QuantizeError::Interrupted)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// An importance matrix with these sums for one tensor, of `counts` inputs each.
fn importance(sums: &[f32], counts: &[f32]) -> (TempDir, PathBuf) {
    let shapes = [
        ("blk.0.attn_q.weight.in_sum2".to_owned(), vec![counts.len(), sums.len() / counts.len()]),
        ("blk.0.attn_q.weight.counts".to_owned(), vec![counts.len(), 1]),
    ];
    let mut keys = NewMetadata::default();
    keys.set("general.type", &NewValue::Text("imatrix".into()));
    keys.set("imatrix.datasets", &NewValue::Texts(vec!["wiki".into()]));
    keys.set("imatrix.chunk_count", &NewValue::U32(3));
    file(&shapes, &keys, |name, i| if name.ends_with("counts") { counts[i] } else { sums[i] })
}

#[test]
fn importance_is_read_by_expert() {
    let (_dir, path) = importance(&[2.0, 4.0, 5.0, 6.0], &[2.0, 0.0]);
    let read = Importance::read(&path).unwrap();
    assert_eq!((read.len(), read.origin()), (1, (Some("wiki"), 3)));
    assert_eq!(read.of("blk.0.attn_q.weight", 2, 2).unwrap(), Some(&[1.0, 2.0, 1.0, 1.0][..]));
    assert_eq!(read.of("other", 2, 2).unwrap(), None);
    let e = read.of("blk.0.attn_q.weight", 1, 5).unwrap_err().to_string();
    assert!(e.contains("4 columns") && e.contains("has 5"), "{e}");
    for (sums, counts) in
        [(&[f32::NAN, 1.0][..], &[1.0][..]), (&[-1.0, 1.0], &[1.0]), (&[f32::MAX, 1.0], &[1e-9])]
    {
        let (_dir, path) = importance(sums, counts);
        assert!(Importance::read(&path).unwrap_err().to_string().contains("'blk.0.attn_q.weight'"));
    }
    let (_dir, path) = file(&shapes()[..1], &keys(), wave);
    assert!(Importance::read(&path).unwrap_err().to_string().contains("no importance matrix"));
}

#[test]
fn importance_moves_the_error_to_other_columns() {
    let weights: Vec<f32> = (0..256).map(|i| if i % 16 == 3 { 100.0 } else { 1.0 }).collect();
    let (_other, matrix) = importance(&weights, &[1.0]);
    let matrix = Importance::read(&matrix).unwrap();
    let noise = |name: &str, i: usize| ((i * 7919 + i * i * 31 + name.len()) % 1009) as f32 * 1e-4 - 0.05;
    let (_dir, path) = file(&shapes(), &keys(), noise);
    let error = |importance: Option<&Importance>| {
        let (out, written) = quantized(&path, &choices("Q3_K_S"), importance);
        assert_eq!(written.unknown.is_empty(), importance.is_none());
        let new = GgufFile::open(&out).unwrap();
        let tensor = new.tensors().find(|t| t.name == "blk.0.attn_q.weight").unwrap();
        let mut row = vec![0.0; 256];
        let bytes = &tensor.bytes.as_ref()[..110];
        crate::quant::dequantize_row(DType::Q3K, bytes, &mut row).unwrap();
        let square = |i: usize| (row[i] - noise("blk.0.attn_q.weight", i)).powi(2);
        (3..256).step_by(16).map(square).sum::<f32>()
    };
    let (with, without) = (error(Some(&matrix)), error(None));
    assert!(with < 0.5 * without, "{with} {without}");
}

#[test]
fn values_that_no_model_has_are_found() {
    let shapes = [("a.weight".to_owned(), vec![4, 32]), ("token_embd.weight".to_owned(), vec![4, 32])];
    let faults = |value: &dyn Fn(usize) -> f32, tensor: usize| {
        let (_dir, path) = file(&shapes, &keys(), |_, i| value(i));
        let open = GgufFile::open(&path).unwrap();
        let tensor = open.tensors().nth(tensor).unwrap();
        let values = Values::of(&tensor).unwrap().unwrap();
        (values.faults(&tensor.name).join("; "), values.remarks(&tensor.name).join("; "))
    };
    assert_eq!(faults(&|i| wave("", i), 0), (String::new(), String::new()));
    assert!(
        faults(&|i| if i == 40 { f32::NAN } else { wave("", i) }, 0).0.contains("1 of 128 values are NaN")
    );
    assert!(faults(&|_| 0.0, 0).0.contains("all of its values are 0"));
    assert!(faults(&|i| if i < 96 { 0.0 } else { 0.1 }, 0).0.contains("3 of its 4 rows are zeros"));
    // Tokens that no text had.
    let (fault, remark) = faults(&|i| if i < 96 { 0.0 } else { 0.1 }, 1);
    assert!(fault.is_empty() && remark.contains("3 of 4 rows are zeros"), "{fault} {remark}");
}

#[test]
fn tokenizers_that_do_not_fit_are_found() {
    let texts = |all: &[&str]| NewValue::Texts(all.iter().map(|&s| s.to_owned()).collect());
    let faults = |changes: &[(&str, NewValue)]| {
        let mut keys = keys();
        keys.set("tokenizer.ggml.model", &NewValue::Text("gpt2".into()));
        keys.set("tokenizer.ggml.tokens", &texts(&["a", "b", "ab", "<x>"]));
        keys.set("tokenizer.ggml.merges", &texts(&["a b"]));
        keys.set("tokenizer.ggml.eos_token_id", &NewValue::U32(3));
        changes.iter().for_each(|(key, value)| keys.set(key, value));
        let (_dir, path) = file(&shapes()[..1], &keys, wave);
        tokenizer(GgufFile::open(&path).unwrap().metadata(), Some(4)).unwrap().join("; ")
    };
    assert_eq!(faults(&[]), "");
    for (key, value, found) in [
        ("tokenizer.ggml.tokens", texts(&["a", "b", "ab"]), "3 tokens for an embedding of 4 rows"),
        ("tokenizer.ggml.tokens", texts(&["a", "b", "ab", "a"]), "the token 'a' twice, as 0 and 3"),
        ("tokenizer.ggml.eos_token_id", NewValue::U32(4), "'tokenizer.ggml.eos_token_id' = 4, of 4 tokens"),
        ("tokenizer.ggml.merges", texts(&["a b", "b a"]), "1 of 2 merges that make no token, such as 'b a'"),
        (
            "tokenizer.ggml.token_type",
            NewValue::I32s(vec![1]),
            "1 values in 'tokenizer.ggml.token_type' for 4 tokens",
        ),
        ("tokenizer.ggml.model", NewValue::Text("llama".into()), "no 'tokenizer.ggml.scores'"),
    ] {
        let all = faults(&[(key, value)]);
        assert!(all.contains(found), "{key}: {all}");
    }
}
