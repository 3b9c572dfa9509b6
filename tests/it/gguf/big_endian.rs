//! Files for big-endian machines: the same model, whatever the order of bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use llm_rs2::core::{DType, ReadOnlyFormat};
use llm_rs2::engine::ModelFiles;
use llm_rs2::models::WeightPlan;
use tempfile::TempDir;

use super::model::{logits, try_logits};
use super::types::{TYPES, model};
use super::writer::{Gguf, Key, add_tokenizer, converted};
use super::{repository, written};

/// Writes numbers with the most significant byte first.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u32(&mut self, n: u32) {
        self.0.extend(n.to_be_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.0.extend(n.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn list(&mut self, kind: u32, len: usize) {
        self.u32(9);
        self.u32(kind);
        self.u64(len as u64);
    }

    fn key(&mut self, key: &Key) {
        match key {
            Key::U32(n) => {
                self.u32(4);
                self.u32(*n);
            }
            Key::F32(x) => {
                self.u32(6);
                self.u32(x.to_bits());
            }
            Key::Bool(b) => {
                self.u32(7);
                self.0.push(u8::from(*b));
            }
            Key::Text(t) => {
                self.u32(8);
                self.text(t);
            }
            Key::Texts(all) => {
                self.list(8, all.len());
                all.iter().for_each(|t| self.text(t));
            }
            Key::I32s(all) => {
                self.list(5, all.len());
                all.iter().for_each(|n| self.u32(n.cast_unsigned()));
            }
            Key::F32s(all) => {
                self.list(6, all.len());
                all.iter().for_each(|x| self.u32(x.to_bits()));
            }
        }
    }
}

/// The tensor's bytes with those of each number swapped.
fn swapped(number: u32, bytes: &[u8]) -> Vec<u8> {
    let (step, places): (usize, &[usize]) = match number {
        0 => return bytes.chunks(4).flat_map(|b| b.iter().rev().copied()).collect(),
        1 | 30 => (2, &[0]),
        number => {
            let kind = TYPES.iter().find(|t| t.number == number).unwrap();
            (kind.bytes, kind.halves)
        }
    };
    let mut out = bytes.to_vec();
    for block in out.chunks_exact_mut(step) {
        places.iter().for_each(|&at| block.swap(at, at + 1));
    }
    out
}

/// The file as a big-endian machine writes it.
fn big_endian(file: &Gguf) -> Vec<u8> {
    let mut out = Out(b"GGUF".to_vec());
    out.u32(3);
    out.u64(file.tensors.len() as u64);
    out.u64(file.keys.len() as u64);
    for (name, key) in &file.keys {
        out.text(name);
        out.key(key);
    }
    let mut at = 0u64;
    for (name, dims, kind, bytes) in &file.tensors {
        out.text(name);
        out.u32(dims.len() as u32);
        dims.iter().rev().for_each(|&d| out.u64(d));
        out.u32(*kind);
        out.u64(at);
        at += (bytes.len() as u64).next_multiple_of(32);
    }
    for (_, _, kind, bytes) in &file.tensors {
        out.0.resize(out.0.len().next_multiple_of(32), 0);
        out.0.extend(swapped(*kind, bytes));
    }
    out.0
}

fn written_big(file: &Gguf) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.gguf");
    std::fs::write(&path, big_endian(file)).unwrap();
    (dir, path)
}

#[test]
fn floats_and_whole_models_are_those_of_the_usual_file() {
    for (dir, dtype) in [
        ("tests/fixtures/tiny-llama32", DType::BF16),
        ("tests/fixtures/tiny-options", DType::F16),
        ("tests/fixtures/tiny-options", DType::F32),
        ("assets/demo", DType::Q8_0),
    ] {
        let dir = repository(dir);
        let mut file = converted(&dir, dtype);
        add_tokenizer(&mut file, &dir);
        let (_kept, usual) = written(&file);
        let (_also_kept, big) = written_big(&file);
        let (ours, theirs) = (ModelFiles::open(&big).unwrap(), ModelFiles::open(&usual).unwrap());
        assert_eq!((ours.config, ours.stored, ours.bos), (theirs.config, theirs.stored, theirs.bos));
        for plan in [WeightPlan::AsStored, DType::Q4_0.into()] {
            assert!(logits(&big, plan) == logits(&usual, plan), "{} as {plan}", dir.display());
        }
    }
}

#[test]
fn each_type_is_that_of_the_usual_file_or_is_refused_by_name() {
    use ReadOnlyFormat::{Iq1M, Iq1S, Iq2Xs, Iq2Xxs, Iq3Xxs, Q8K};
    let unknown = [Iq1M, Iq1S, Iq2Xs, Iq2Xxs, Iq3Xxs, Q8K].map(DType::ReadOnly);
    for kind in &TYPES {
        let file = model(kind);
        let (_kept, usual) = written(&file);
        let (_also_kept, big) = written_big(&file);
        if unknown.contains(&kind.dtype) || kind.dtype == DType::Iq4Xs {
            let said = try_logits(&big, WeightPlan::AsStored).expect_err("it is refused").to_string();
            let name = kind.dtype.name().to_uppercase();
            let says = format!("has elements of type {name} in a file for big-endian machines");
            assert!(said.contains(&says) && said.contains("big.gguf"), "{said}");
            continue;
        }
        assert!(logits(&big, WeightPlan::AsStored) == logits(&usual, WeightPlan::AsStored), "{}", kind.dtype);
    }
}

/// What `generate` prints, and what is left in its cache.
fn text(path: &Path, cache: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_generate"))
        .args([
            "-m",
            path.to_str().unwrap(),
            "-p",
            "Once upon a time",
            "-n",
            "20",
            "--temperature",
            "0",
            "-q",
        ])
        .args(["--pack-cache", cache.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_is_packed_and_made_a_usual_file_of() {
    let dir = repository("assets/demo");
    let mut file = converted(&dir, DType::Q8_0);
    add_tokenizer(&mut file, &dir);
    file.set("tokenizer.ggml.eos_token_id", Key::U32(1));
    let (kept, usual) = written(&file);
    let (_also_kept, big) = written_big(&file);
    let expected = text(&usual, &kept.path().join("usual"));
    for _ in 0..2 {
        assert_eq!(text(&big, &kept.path().join("big")), expected);
    }
    let made = kept.path().join("made.gguf");
    let quantize = Command::new(env!("CARGO_BIN_EXE_quantize"))
        .args([big.as_path(), made.as_path(), Path::new("Q8_0"), Path::new("--pure")])
        .output()
        .unwrap();
    assert!(quantize.status.success(), "{}", String::from_utf8_lossy(&quantize.stderr));
    assert_eq!(std::fs::read(&made).unwrap()[4..8], [3, 0, 0, 0]);
    assert_eq!(text(&made, &kept.path().join("made")), expected);
}

#[test]
fn damaged_ones_are_named() {
    let dir = repository("tests/fixtures/tiny-options");
    let mut file = converted(&dir, DType::F16);
    add_tokenizer(&mut file, &dir);
    let whole = big_endian(&file);
    let (_kept, path) = written(&file);
    for cut in (0..whole.len().min(9000)).step_by(97).chain([whole.len() - 40]) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let said = ModelFiles::open(&path).err().expect("it is refused").to_string();
        assert!(said.contains("m.gguf") && !said.contains('\n'), "{cut}: {said}");
    }
    // A text of a length that there is no room for.
    let mut long = whole.clone();
    long[24..32].fill(0xff);
    std::fs::write(&path, &long).unwrap();
    let said = ModelFiles::open(&path).err().expect("it is refused").to_string();
    assert!(said.contains("claims 18446744073709551615 bytes of text"), "{said}");
}

#[test]
fn any_alignment_that_the_format_allows() {
    let dir = repository("tests/fixtures/tiny-options");
    let mut file = converted(&dir, DType::F16);
    add_tokenizer(&mut file, &dir);
    let (_kept, path) = written(&file);
    let expected = logits(&path, DType::F16);
    for alignment in [8, 16, 64, 4096, 1 << 18] {
        file.set("general.alignment", Key::U32(alignment));
        let whole = file.with_alignment(alignment as usize);
        std::fs::write(&path, whole).unwrap();
        assert!(logits(&path, DType::F16) == expected, "{alignment}");
    }
}
