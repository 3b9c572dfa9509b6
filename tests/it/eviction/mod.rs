//! A cache that gives up old tokens: what is computed with it, and what it costs.

mod exact;
mod fixed_memory;
mod hugging_face;
mod memory;
mod opencl;
mod spy;

use std::path::Path;

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::{Backend, DType};
use llm_rs2::engine::{ModelFiles, Request, Session, SessionOptions};
use llm_rs2::kv::{Eviction, Registered};
use llm_rs2::sampling::SamplingParams;

/// Layers of the fixture.
const LAYERS: usize = 3;

fn cpu(threads: usize) -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() })
        .expect("a CPU that we support")
}

fn by(policy: &str, window: usize, protected: usize, ratio: f64) -> Eviction {
    let policy = Registered::named(policy).expect("it is registered");
    Eviction::new(policy, window, protected, ratio).expect("numbers that fit")
}

fn exact_options(eviction: Option<Eviction>, prefill_chunk: usize) -> SessionOptions {
    SessionOptions {
        weights: DType::F32.into(),
        kv_types: DType::F32.into(),
        max_seq_len: 4000,
        eviction,
        prefill_chunk,
        lookup: 0,
        check_numerics: false,
    }
}

fn session<B: Backend>(backend: B, options: SessionOptions) -> Session {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32");
    let files = ModelFiles::open(&dir).expect("the fixture opens");
    Session::load(backend, files, &options, &mut |_| ()).expect("the fixture loads")
}

/// Some text of `tokens` tokens.
fn text(tokens: usize) -> Vec<u32> {
    let mut state = 12345u32;
    std::iter::once(1)
        .chain(std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            3 + (state >> 8) % 500
        }))
        .take(tokens)
        .collect()
}

fn logits(session: &mut Session, ids: &[u32], from: usize) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    let mut next = from;
    session
        .score(ids, from, &mut |row, logits| {
            assert_eq!(row, next, "rows come in order");
            next += 1;
            all.push(logits.to_vec());
        })
        .expect("the text can be scored");
    all
}

/// The positions that each position of a text sees: whenever `window` are held and another comes, the oldest behind
/// the first `protected` go until `target` are left.
fn visible(tokens: usize, window: usize, protected: usize, target: usize) -> Vec<Vec<usize>> {
    let mut held = Vec::new();
    (0..tokens)
        .map(|position| {
            if held.len() == window {
                held.drain(protected..protected + window - target);
            }
            held.push(position);
            held.clone()
        })
        .collect()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn greedy(prompt: Vec<u32>, max_tokens: usize) -> Request {
    Request {
        prompt,
        max_tokens: Some(max_tokens),
        sampling: SamplingParams::greedy(),
        stop: Vec::new(),
        ignore_eos: true,
        ..Request::default()
    }
}
