//! Logits and texts.

use std::path::Path;
use std::process::Command;

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::DType;
use llm_rs2::engine::{EngineError, ModelFiles, Session, SessionOptions};
use llm_rs2::format::gguf::GgufFile;
use llm_rs2::models::WeightPlan;

use super::writer::{Key, add_tokenizer, converted};
use super::{repository, written};

/// The bits of all logits of a text, with the matrices in `weights`.
pub fn logits(path: &Path, weights: impl Into<WeightPlan>) -> Vec<u32> {
    try_logits(path, weights).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The same, or why there are none.
pub fn try_logits(path: &Path, weights: impl Into<WeightPlan>) -> Result<Vec<u32>, EngineError> {
    let files = ModelFiles::open(path)?;
    let backend = CpuBackend::new(CpuOptions { threads: Some(2), ..CpuOptions::default() }).unwrap();
    let options = SessionOptions {
        weights: weights.into(),
        kv_types: DType::F32.into(),
        max_seq_len: 64,
        eviction: None,
        prefill_chunk: 16,
        lookup: 0,
        check_numerics: false,
    };
    let mut session = Session::load(backend, files, &options, &mut |_| ())?;
    let ids: Vec<u32> = (0..40).map(|i| 3 + i * 7 % 190).collect();
    let mut bits = Vec::new();
    session.score(&ids, 0, &mut |_, row| bits.extend(row.iter().map(|x| x.to_bits())))?;
    Ok(bits)
}

#[test]
fn configuration_and_logits_are_those_of_the_checkpoint() {
    for (dir, stored, formats) in [
        ("tests/fixtures/tiny-llama32", DType::BF16, &[DType::F32, DType::BF16][..]),
        // Biases, an output matrix of its own, linear scaling, odd sizes.
        ("tests/fixtures/tiny-options", DType::F16, &[DType::F32, DType::F16, DType::Q8_0]),
        ("assets/demo", DType::BF16, &[DType::BF16, DType::Q4_0]),
    ] {
        let dir = repository(dir);
        let mut file = converted(&dir, stored);
        add_tokenizer(&mut file, &dir);
        let (_kept, path) = written(&file);
        let (ours, theirs) = (ModelFiles::open(&path).unwrap(), ModelFiles::open(&dir).unwrap());
        let mut expected = theirs.config.clone();
        // A GGUF file names one token that ends a text, if any, and no type.
        (expected.dtype, expected.eos_token_ids) = (None, ours.config.eos_token_ids.clone());
        assert_eq!(ours.config, expected);
        assert_eq!(ours.stored, stored);
        for &format in formats {
            assert!(logits(&path, format) == logits(&dir, format), "{} as {format}", dir.display());
        }
    }
}

/// Another process may write into a file that is mapped: texts must stay what was checked.
#[test]
fn keys_stay_as_they_were_when_the_file_changes() {
    use std::io::Write as _;

    let dir = repository("tests/fixtures/tiny-options");
    let mut file = converted(&dir, DType::F16);
    add_tokenizer(&mut file, &dir);
    let (_kept, path) = written(&file);
    let open = GgufFile::open(&path).unwrap();
    let read = || {
        let keys = open.metadata();
        let architecture = keys.text("general.architecture").unwrap().map(str::to_owned);
        let tokens: Vec<String> = keys
            .list("tokenizer.ggml.tokens")
            .unwrap()
            .unwrap()
            .iter()
            .map(|token| format!("{token:?}"))
            .collect();
        (architecture, tokens)
    };
    let before = read();
    assert_eq!(before.0.as_deref(), Some("llama"));
    assert!(before.1.len() > 100);
    let mut other = std::fs::File::options().write(true).open(&path).unwrap();
    other.write_all(&vec![0xff; open.header_bytes()]).unwrap();
    assert_eq!(read(), before);
}

#[test]
fn quantized_files_compute_as_a_checkpoint_that_is_quantized_when_it_is_loaded() {
    let dir = repository("assets/demo");
    for format in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
        let mut file = converted(&dir, format);
        add_tokenizer(&mut file, &dir);
        let (_kept, path) = written(&file);
        assert_eq!(ModelFiles::open(&path).unwrap().stored, format);
        assert!(logits(&path, format) == logits(&dir, format), "{format}");
    }
}

/// What the program prints.
fn text(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_generate"))
        .args(["-p", "Once upon a time", "-n", "60", "--temperature", "0", "-q"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_program_tells_the_same_story_and_keeps_the_packed_form() {
    let dir = repository("assets/demo");
    let mut file = converted(&dir, DType::Q8_0);
    add_tokenizer(&mut file, &dir);
    file.set("tokenizer.ggml.eos_token_id", Key::U32(1));
    let (kept, path) = written(&file);
    let path = path.to_str().unwrap();
    let expected = text(&["-m", dir.to_str().unwrap(), "--weight-dtype", "q8_0"]);
    assert!(expected.split_whitespace().count() > 20);
    assert_eq!(text(&["-m", path]), expected);
    // The directory stands for the only file in it.
    assert_eq!(text(&["-m", kept.path().to_str().unwrap()]), expected);
    let cache = kept.path().join("cache");
    for packed in 0..2 {
        let found = std::fs::read_dir(&cache).map_or(0, |entries| entries.filter_map(Result::ok).count());
        assert_eq!(found, packed);
        assert_eq!(text(&["-m", path, "--pack-cache", cache.to_str().unwrap()]), expected);
    }
    let packed = kept.path().join("m.packed");
    let packed = packed.to_str().unwrap();
    let pack =
        Command::new(env!("CARGO_BIN_EXE_generate")).args(["-m", path, "--pack-to", packed, "-q"]).output();
    let pack = pack.unwrap();
    assert!(pack.status.success(), "{}", String::from_utf8_lossy(&pack.stderr));
    assert_eq!(text(&["-m", packed]), expected);
}
