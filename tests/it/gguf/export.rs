//! Directories of checkpoints as GGUF files: the same logits to the bit, and what other converters have written.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use llm_rs2::core::DType;
use llm_rs2::engine::{Export, ModelFiles};
use llm_rs2::format::gguf::{GgufFile, NewMetadata, Value};
use llm_rs2::quant::dequantize_row;
use llm_rs2::quantize::{Choices, ModelFacts, Plan, write};
use tempfile::TempDir;

use super::repository;
use crate::parity::goldens::{self, F32, Golden};

/// A copy of a checkpoint with a tokenizer that GGUF files have a form for: those of the fixtures are plain lists of words.
fn with_byte_pairs(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.contains("safetensors") || name.contains("config") {
            fs::copy(&path, copy.path().join(name)).unwrap();
        }
    }
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap();
    let rows = config["vocab_size"].as_u64().unwrap() as usize;
    let special = ["<unk>", "<s>", "</s>"];
    let letters = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("Ġ.,!?'-:;()".chars());
    let mut tokens: Vec<String> = special.iter().map(ToString::to_string).collect();
    tokens.extend(letters.map(String::from));
    tokens.truncate(rows * 3 / 4);
    let mut merges = Vec::new();
    let (first, last) = (special.len(), tokens.len());
    'all: for left in first..last {
        for right in first..last {
            if tokens.len() == rows {
                break 'all;
            }
            merges.push(format!("{} {}", tokens[left], tokens[right]));
            tokens.push(format!("{}{}", tokens[left], tokens[right]));
        }
    }
    let added: Vec<_> = special
        .iter()
        .enumerate()
        .map(|(id, text)| {
            serde_json::json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let vocab: BTreeMap<&String, usize> = tokens.iter().enumerate().map(|(id, token)| (token, id)).collect();
    let byte_level = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": added, "normalizer": null, "pre_tokenizer": byte_level,
        "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    });
    fs::write(copy.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    copy
}

/// The checkpoint as a GGUF file with weights of `mix`.
fn converted(dir: &Path, mix: &str) -> PathBuf {
    let Export { file, tensors, .. } = Export::of(dir).unwrap();
    let choices = Choices {
        mix: mix.parse().unwrap(),
        pure: false,
        patterns: Vec::new(),
        output: None,
        embedding: None,
        weighted: false,
    };
    let plan = Plan::new(dir, &tensors, &ModelFacts::of(file.metadata()).unwrap(), &choices).unwrap();
    let out = dir.join(format!("{mix}.gguf"));
    let keys = NewMetadata::copied(file.metadata());
    write(&out, &keys, &tensors, &plan, None, 2, &mut |_| ControlFlow::Continue(())).unwrap();
    out
}

/// Checkpoints of all families.
fn checkpoints() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository("tests/fixtures/families")).unwrap();
    let mut dirs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    dirs.sort();
    assert_eq!(dirs.len(), 11);
    dirs.extend(["tests/fixtures/tiny-llama32", "tests/fixtures/tiny-options"].map(repository));
    dirs
}

#[test]
fn a_converted_checkpoint_of_every_family_gives_the_same_logits() {
    for dir in checkpoints() {
        let golden = Golden::open(dir.clone());
        let copy = with_byte_pairs(&dir);
        let file = converted(copy.path(), "F32");
        let bits = |path: &Path, ids: &[u32]| -> Vec<u32> {
            let mut session = goldens::session(goldens::cpu(2), path, F32);
            goldens::logits(&mut session, ids).into_iter().flatten().map(f32::to_bits).collect()
        };
        for case in &golden.cases {
            // GGUF files of these have no window: up to its length there is no difference.
            let windowed = ["mistral", "qwen2"].iter().any(|family| dir.ends_with(family));
            let short = if windowed { 8 } else { usize::MAX };
            let ids = &case.input_ids[..case.input_ids.len().min(short)];
            assert!(bits(&dir, ids) == bits(&file, ids), "{}", dir.display());
        }
    }
}

/// Their files are written with the `gguf` package of Python (`scripts/make_goldens.py`).
#[test]
fn keys_and_tensors_are_those_that_other_converters_write() {
    let mut seen = 0;
    for dir in checkpoints().into_iter().filter(|dir| dir.join("model.gguf").exists()) {
        let theirs = GgufFile::open(&dir.join("model.gguf")).unwrap();
        let copy = with_byte_pairs(&dir);
        let ours = GgufFile::open(&converted(copy.path(), "F32")).unwrap();
        let architecture = theirs.metadata().text("general.architecture").unwrap().unwrap();
        assert_eq!(ours.metadata().text("general.architecture").unwrap(), Some(architecture));
        for key in theirs.metadata().keys().filter(|key| key.starts_with(&format!("{architecture}."))) {
            let value = |file: &GgufFile| match file.metadata().get(key) {
                Some(Value::Array(list)) => format!("{:?}", list.iter().collect::<Vec<_>>()),
                // Which of the two types of integers it is makes no difference to any reader.
                Some(Value::Signed(n)) => n.to_string(),
                Some(Value::Unsigned(n)) => n.to_string(),
                other => format!("{other:?}"),
            };
            let (theirs, ours) = (value(&theirs), value(&ours));
            // Which layers see a window is said in several forms, and what is usual need not be said.
            let other_form = key.ends_with("sliding_window_pattern");
            let usual = ours == "None" && key.ends_with("rope.freq_base_swa");
            assert!(
                theirs == ours || other_form || usual,
                "{}: '{key}' is {ours}, theirs {theirs}",
                dir.display()
            );
        }
        let values = |file: &GgufFile| -> BTreeMap<String, Vec<u32>> {
            let tensors = file.tensors().map(|tensor| {
                let mut row = vec![0.0; tensor.dims.iter().product()];
                dequantize_row(tensor.dtype.unwrap(), tensor.bytes.as_ref(), &mut row).unwrap();
                (tensor.name.clone(), row.into_iter().map(f32::to_bits).collect())
            });
            tensors.collect()
        };
        let (theirs, ours) = (values(&theirs), values(&ours));
        assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>(), "{}", dir.display());
        for (name, values) in &theirs {
            assert!(*values == ours[name], "{}: {name}", dir.display());
        }
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn a_converted_tokenizer_takes_texts_apart_as_before() {
    let shared =
        crate::skip::shared("a_converted_tokenizer_takes_texts_apart_as_before", "models/stories260k");
    for dir in [repository("assets/demo")].into_iter().chain(shared) {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let file = converted(copy.path(), "Q8_0");
        let (before, after) = (ModelFiles::open(&dir).unwrap(), ModelFiles::open(&file).unwrap());
        let text = "One day, Lily met a dog. \"It's 12 o'clock!\" she said.\n\nThe end — naïve café 🚀";
        assert_eq!(before.encode_text(text).unwrap(), after.encode_text(text).unwrap(), "{}", dir.display());
        assert_eq!((before.bos, &before.eos), (after.bos, &after.eos), "{}", dir.display());
        assert_eq!(after.stored, DType::Q8_0);
        assert_eq!(before.config.spec, after.config.spec);
    }
}

#[test]
fn what_has_no_form_is_refused_by_name() {
    let refusal = |dir: &Path| Export::of(dir).err().expect("it is refused").to_string();
    // Words by their number.
    let message = refusal(&repository("tests/fixtures/tiny-llama32"));
    assert!(message.contains("tiny-llama32") && message.contains("tokenizer"), "{message}");
    // A scaling that depends on the length of the text.
    let copy = with_byte_pairs(&repository("tests/fixtures/families/qwen2"));
    let path = copy.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("rope_parameters");
    config["rope_scaling"] = serde_json::json!({"rope_type": "dynamic", "factor": 2.0});
    fs::write(&path, config.to_string()).unwrap();
    let message = refusal(copy.path());
    assert!(message.contains("family qwen2") && message.contains("rotary embedding"), "{message}");
    // A file in the place of a directory.
    let message = refusal(&repository("tests/fixtures/gguf/tiny-q4_1.gguf"));
    assert!(message.contains("holds a GGUF file"), "{message}");
}
