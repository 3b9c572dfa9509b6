//! Models for embeddings against what transformers makes of the same texts, as directories of sentence-transformers and as GGUF
//! files.

use std::fs;
use std::path::{Path, PathBuf};

use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::core::Backend;
use llm_rs2::engine::{ModelFiles, Norm, Pooling, Session};
use serde::Deserialize;

use super::goldens::{self, F32, Setup};
use super::opencl::{again, gpu};
use super::tolerance;

#[derive(Deserialize)]
struct Case {
    input_ids: Vec<u32>,
    hidden: Vec<Vec<f32>>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/embeddings").join(name)
}

fn cases(name: &str) -> Vec<Case> {
    let text = fs::read(dir(name).join("reference.json")).expect("it is readable");
    serde_json::from_slice::<Reference>(&text).expect("it is well formed").cases
}

/// The vector of a text as a client gets it.
fn embed(session: &mut Session, ids: &[u32], pooling: Pooling) -> Vec<f32> {
    let mut vector = session.embed(ids, pooling).expect("it is a text").remove(0);
    Norm::Euclidean.apply(&mut vector);
    vector
}

fn bits(rows: &[Vec<f32>]) -> Vec<u32> {
    rows.iter().flatten().map(|x| x.to_bits()).collect()
}

/// Hidden states and vectors of all cases against transformers, from one file.
fn check<B: Backend>(backend: impl Fn() -> B, name: &str, path: &Path, pooling: Pooling) {
    let files = ModelFiles::open(path).expect("it opens");
    let causal = files.config.spec.is_causal();
    assert_eq!(files.embedding.pooling_or_usual(causal), pooling, "{}", path.display());
    let mut session = goldens::session(backend(), path, F32);
    for case in cases(name) {
        let rows = session.embed(&case.input_ids, Pooling::None).expect("it is a text");
        assert_eq!(rows.len(), case.hidden.len());
        let spread = case.hidden.iter().flatten().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (row, expected) in rows.iter().zip(&case.hidden) {
            for (x, expected) in row.iter().zip(expected) {
                assert!((x - expected).abs() <= tolerance::LOGITS * spread, "{name}: {x} {expected}");
            }
        }
        let vector = embed(&mut session, &case.input_ids, pooling);
        assert_eq!(vector.len(), case.embedding.len());
        for (x, expected) in vector.iter().zip(&case.embedding) {
            assert!((x - expected).abs() <= tolerance::LOGITS, "{name}: {x} {expected}");
        }
    }
}

const MODELS: [(&str, Pooling, bool); 2] =
    [("qwen3", Pooling::Last, true), ("gemma3_text", Pooling::Mean, false)];

#[test]
fn vectors_are_those_of_transformers() {
    for (name, pooling, causal) in MODELS {
        for path in [dir(name), dir(name).join("model.gguf")] {
            let files = ModelFiles::open(&path).unwrap();
            assert_eq!(files.config.spec.is_causal(), causal);
            assert!(files.warnings.is_empty(), "{:?}", files.warnings);
            check(|| ReferenceBackend, name, &path, pooling);
            check(|| goldens::cpu(2), name, &path, pooling);
        }
    }
}

#[test]
fn vectors_have_the_same_bits_from_either_file_on_any_threads_and_in_any_chunks() {
    for (name, pooling, causal) in MODELS {
        let of = |path: &Path, threads, chunk, ids: &[u32]| {
            let mut session = goldens::session(goldens::cpu(threads), path, Setup { chunk, ..F32 });
            bits(&session.embed(ids, pooling).unwrap())
        };
        for case in cases(name) {
            let ids = &case.input_ids;
            let expected = of(&dir(name), 1, 512, ids);
            assert_eq!(of(&dir(name).join("model.gguf"), 2, 512, ids), expected, "{name}");
            assert_eq!(of(&dir(name), 3, if causal { 7 } else { 40 }, ids), expected, "{name}");
        }
    }
}

#[test]
fn opencl_gives_vectors_or_says_that_it_cannot() {
    let Some(_) = gpu("opencl_gives_vectors_or_says_that_it_cannot") else { return };
    check(again, "qwen3", &dir("qwen3"), Pooling::Last);
    let mut session = goldens::session(again(), &dir("gemma3_text"), F32);
    let error = session.embed(&[1, 5, 2], Pooling::Mean).unwrap_err().to_string();
    assert_eq!(error, "the opencl backend cannot let a token see later ones");
}

#[test]
fn texts_have_the_special_tokens_that_the_model_was_trained_with() {
    for (name, before) in [("qwen3", vec![]), ("gemma3_text", vec![1])] {
        let of = |path: &Path, text: &str| ModelFiles::open(path).unwrap().encode_text(text).unwrap();
        assert_eq!(of(&dir(name), "t7 t9"), [&before[..], &[7, 9, 2]].concat(), "{name}");
        assert_eq!(of(&dir(name).join("model.gguf"), "t0"), [&before[..], &[2, 2]].concat(), "{name}");
    }
}

#[test]
fn a_packed_file_has_what_follows_pooling() {
    let target = tempfile::tempdir().unwrap();
    for (name, pooling, _) in MODELS {
        let packed = target.path().join(format!("{name}.packed"));
        let f32 = llm_rs2::engine::WeightDType::Fixed(llm_rs2::core::DType::F32);
        ModelFiles::pack(Some(&dir(name)), f32, &packed, false, &mut ()).unwrap();
        check(|| goldens::cpu(2), name, &packed, pooling);
    }
}

#[test]
fn a_text_that_does_not_fit_into_a_pass_is_refused() {
    let mut session = goldens::session(goldens::cpu(1), &dir("gemma3_text"), Setup { chunk: 16, ..F32 });
    assert!(session.embed(&[5; 16], Pooling::Mean).is_ok());
    let message = session.embed(&[5; 17], Pooling::Mean).unwrap_err().to_string();
    assert!(message.starts_with("the text is 17 tokens long, which is too large"), "{message}");
}
