//! Texts that begin as others did: what need not be computed again, and that it makes no difference.

mod evicted;
mod files;
mod reuse;

use std::ops::ControlFlow;
use std::path::Path;

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::DType;
use llm_rs2::engine::{ModelFiles, Observer, Outcome, Request, Session, SessionOptions};
use llm_rs2::kv::{Eviction, Registered};
use llm_rs2::sampling::SamplingParams;

fn by(policy: &str, window: usize, protected: usize) -> Eviction {
    let policy = Registered::named(policy).expect("it is registered");
    Eviction::new(policy, window, protected, 0.75).expect("numbers that fit")
}

fn options(eviction: Option<Eviction>, lookup: usize) -> SessionOptions {
    SessionOptions {
        weights: DType::F32.into(),
        kv_types: DType::F16.into(),
        max_seq_len: 400,
        eviction,
        prefill_chunk: 1,
        lookup,
        check_numerics: false,
    }
}

fn session(options: SessionOptions) -> Session {
    let cpu = CpuBackend::new(CpuOptions { threads: Some(1), ..CpuOptions::default() })
        .expect("a CPU that we support");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32");
    let files = ModelFiles::open(&dir).expect("the fixture opens");
    Session::load(cpu, files, &options, &mut |_| ()).expect("the fixture loads")
}

/// Some text of `tokens` tokens; another for another `seed`.
fn text(tokens: usize, seed: u32) -> Vec<u32> {
    let mut state = seed;
    std::iter::once(1)
        .chain(std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            3 + (state >> 8) % 500
        }))
        .take(tokens)
        .collect()
}

/// A text that depends on every logit, and on what came before.
fn request(prompt: &[u32], tokens: usize) -> Request {
    Request {
        prompt: prompt.to_vec(),
        max_tokens: Some(tokens),
        sampling: SamplingParams {
            temperature: 1.5,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.3,
            frequency_penalty: 0.2,
            seed: 9,
            ..SamplingParams::default()
        },
        stop: Vec::new(),
        ignore_eos: true,
        ..Request::default()
    }
}

/// Counts the tokens of the prompt that go through the model, which they do one by one.
#[derive(Default)]
struct Count(usize);

impl Observer for Count {
    fn prefill(&mut self, _: usize, _: usize) {
        self.0 += 1;
    }

    fn text(&mut self, _: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn cancelled(&self) -> bool {
        false
    }
}

/// Generates, and makes sure that what is said to be reused was not computed.
fn generate(session: &mut Session, request: &Request) -> Outcome {
    let mut count = Count::default();
    let outcome = session.generate(request, &mut count).expect("generates");
    assert_eq!(count.0 + outcome.reused_tokens, request.prompt.len());
    outcome
}
