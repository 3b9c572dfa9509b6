//! Checkpoints with their reference outputs, and sessions over them.

use std::fs;
use std::path::{Path, PathBuf};

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::{Backend, DType};
use llm_rs2::engine::{ModelFiles, Request, Session, SessionOptions};
use llm_rs2::sampling::SamplingParams;
use serde::Deserialize;

/// One text with what transformers made of it.
#[derive(Deserialize)]
pub struct Case {
    pub input_ids: Vec<u32>,
    pub mean_nll: Option<f64>,
    pub last_logits: Vec<f32>,
    pub top10_ids: Vec<Vec<u32>>,
    pub greedy_ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

/// A checkpoint beside its `reference.json`.
pub struct Golden {
    pub dir: PathBuf,
    pub cases: Vec<Case>,
}

impl Golden {
    pub fn open(dir: PathBuf) -> Self {
        let text = fs::read(dir.join("reference.json")).expect("reference.json is readable");
        let reference: Reference = serde_json::from_slice(&text).expect("reference.json is well formed");
        assert!(!reference.cases.is_empty());
        Self { dir, cases: reference.cases }
    }
}

/// The goldens that are here: those in the repository always, the others where `../shared` is.
pub fn all(test: &str) -> Vec<Golden> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures = root.join("tests/fixtures");
    let mut found =
        vec![Golden::open(fixtures.join("tiny-llama32")), Golden::open(fixtures.join("tiny-options"))];
    let demo = root.join("assets/demo");
    if demo.join("reference.json").exists() {
        found.push(Golden::open(demo));
    }
    found.extend(stories260k(test));
    found
}

/// The trained 260k-parameter model, where `../shared` is.
pub fn stories260k(test: &str) -> Option<Golden> {
    crate::skip::shared(test, "models/stories260k").map(Golden::open)
}

/// How a session is made.
#[derive(Clone, Copy)]
pub struct Setup {
    pub weights: DType,
    pub kv: DType,
    pub chunk: usize,
}

/// Everything in f32, the whole prompt at once.
pub const F32: Setup = Setup { weights: DType::F32, kv: DType::F32, chunk: 512 };

pub fn options(setup: Setup) -> SessionOptions {
    SessionOptions {
        weights: setup.weights.into(),
        kv_types: setup.kv.into(),
        max_seq_len: 512,
        eviction: None,
        prefill_chunk: setup.chunk,
        lookup: 0,
        check_numerics: false,
    }
}

pub fn session<B: Backend>(backend: B, dir: &Path, setup: Setup) -> Session {
    let files = ModelFiles::open(dir).expect("the golden checkpoint opens");
    Session::load(backend, files, &options(setup), &mut |_| ()).expect("the golden checkpoint loads")
}

pub fn cpu(threads: usize) -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() })
        .expect("a CPU that we support")
}

/// Logits of every position.
pub fn logits(session: &mut Session, ids: &[u32]) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    session
        .score(ids, 0, &mut |position, logits| {
            assert_eq!(position, rows.len());
            rows.push(logits.to_vec());
        })
        .expect("the golden's ids are in the vocabulary");
    rows
}

/// The likeliest continuation, through the same path as the program's.
pub fn greedy(session: &mut Session, prompt: &[u32], tokens: usize) -> Vec<u32> {
    let request = Request {
        prompt: prompt.to_vec(),
        max_tokens: Some(tokens),
        sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
        stop: Vec::new(),
        ignore_eos: true,
        ..Request::default()
    };
    session.generate(&request, &mut ()).expect("generation succeeds").ids
}
