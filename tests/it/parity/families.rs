//! Every family against Hugging Face's numbers, as a checkpoint and as a GGUF file.

use std::fs;
use std::path::Path;

use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::engine::{ModelFiles, Session, SessionOptions};

use super::full_precision::{check, check_greedy};
use super::goldens::{self, F32, Golden, Setup};
use super::opencl::{again, gpu};
use super::tolerance;

/// Those in the repository, and larger ones where `../shared` is.
fn families(test: &str) -> Vec<Golden> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families");
    let mut dirs: Vec<_> = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    dirs.sort();
    let names: Vec<_> = dirs.iter().map(|dir| dir.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 11, "{names:?}");
    for name in &names {
        dirs.extend(crate::skip::shared(test, &format!("goldens/{}", name.display())));
    }
    dirs.into_iter().map(Golden::open).collect()
}

#[test]
fn the_reference_backend_computes_every_family() {
    for golden in families("the_reference_backend_computes_every_family") {
        check(|| ReferenceBackend, &golden, F32, tolerance::LOGITS, tolerance::NLL);
        check_greedy(|| ReferenceBackend, &golden, F32);
    }
}

#[test]
fn the_cpu_backend_computes_every_family_in_chunks_and_on_threads() {
    for golden in families("the_cpu_backend_computes_every_family_in_chunks_and_on_threads") {
        check(|| goldens::cpu(2), &golden, F32, tolerance::LOGITS, tolerance::NLL);
        check_greedy(|| goldens::cpu(2), &golden, F32);
        let bits = |threads, chunk, ids: &[u32]| -> Vec<u32> {
            let mut session = goldens::session(goldens::cpu(threads), &golden.dir, Setup { chunk, ..F32 });
            goldens::logits(&mut session, ids).into_iter().flatten().map(f32::to_bits).collect()
        };
        for case in &golden.cases {
            let whole = bits(1, 512, &case.input_ids);
            assert!(whole == bits(3, 7, &case.input_ids), "{}", golden.dir.display());
        }
    }
}

#[test]
fn opencl_computes_every_family() {
    let test = "opencl_computes_every_family";
    let Some(_) = gpu(test) else { return };
    for golden in families(test) {
        for chunk in [512, 7] {
            let setup = Setup { chunk, ..F32 };
            check(again, &golden, setup, tolerance::LOGITS, tolerance::NLL);
            check_greedy(again, &golden, setup);
        }
    }
}

/// Whatever the length of the text: here a window of 8 tokens, and passes of 64.
#[test]
fn layers_with_a_window_hold_no_more_than_that() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families/mistral");
    let files = ModelFiles::open(&dir).expect("the fixture opens");
    let options = SessionOptions { max_seq_len: 4000, ..goldens::options(Setup { chunk: 64, ..F32 }) };
    let mut session = Session::load(goldens::cpu(2), files, &options, &mut |_| ()).expect("it loads");
    let prompt: Vec<u32> = (0..3000).map(|i| i * 7 % 48).collect();
    assert_eq!(goldens::greedy(&mut session, &prompt, 2).len(), 2);
    // Two layers of two heads of eight floats, keys and values; memory is taken in steps of 256 slots.
    let slots = session.cache_bytes() / (2 * 2 * 8 * 4 * 2);
    assert!(slots <= 256, "{slots} slots for 3002 tokens");
}

/// The same bits, whichever file the model is in.
#[test]
fn a_gguf_file_of_a_family_gives_the_logits_of_its_checkpoint() {
    let mut seen = 0;
    for golden in families("a_gguf_file_of_a_family_gives_the_logits_of_its_checkpoint") {
        let file = golden.dir.join("model.gguf");
        if !file.exists() {
            continue;
        }
        seen += 1;
        let bits = |path: &Path, ids: &[u32]| -> Vec<u32> {
            let mut session = goldens::session(goldens::cpu(2), path, F32);
            goldens::logits(&mut session, ids).into_iter().flatten().map(f32::to_bits).collect()
        };
        for case in &golden.cases {
            let (directory, gguf) = (bits(&golden.dir, &case.input_ids), bits(&file, &case.input_ids));
            assert!(directory == gguf, "{}", file.display());
        }
    }
    assert_eq!(seen, 9);
}
