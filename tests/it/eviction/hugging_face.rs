//! Against Hugging Face transformers, with a 4-D mask and position ids (`scripts/make_eviction_goldens.py`).

use std::fs;
use std::path::Path;

use llm_rs2::backend::reference::ReferenceBackend;
use serde::Deserialize;

use super::{apart, by, cpu, exact_options, logits, session};

#[derive(Deserialize)]
struct Golden {
    ids: Vec<u32>,
    window: usize,
    protected: usize,
    target: usize,
    steps: Vec<usize>,
    sliding: Vec<Vec<f32>>,
    streaming: Vec<Vec<f32>>,
}

/// Logits spread over some 10 here; transformers rounds each operation to f32.
const TOLERANCE: f32 = 2e-4;

#[test]
fn hugging_face_computes_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32/eviction.json");
    let golden: Golden = serde_json::from_slice(&fs::read(path).expect("readable")).expect("well formed");
    assert!(golden.steps.iter().any(|&step| step > 3 * golden.window));
    let ratio = golden.target as f64 / golden.window as f64;
    for (policy, expected) in [("sliding", &golden.sliding), ("streaming", &golden.streaming)] {
        let options = exact_options(Some(by(policy, golden.window, golden.protected, ratio)), 16);
        for got in [
            logits(&mut session(ReferenceBackend, options), &golden.ids, 0),
            logits(&mut session(cpu(2), options), &golden.ids, 0),
        ] {
            for (&step, expected) in golden.steps.iter().zip(expected) {
                let apart = apart(&got[step], expected);
                assert!(apart <= TOLERANCE, "{policy}, step {step}: {apart} apart");
            }
        }
    }
    let last = golden.steps.len() - 1;
    assert!(apart(&golden.sliding[last], &golden.streaming[last]) > 10.0 * TOLERANCE, "the sinks have moved");
}
