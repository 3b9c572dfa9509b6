//! A token costs no memory: once a session is made and its cache has room, a forward pass allocates nothing.

use std::path::Path;

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::{Backend, DType};
use llm_rs2::engine::{ModelFiles, ModelRunner, Part, Runner, RunnerSize, Stage};
use llm_rs2::models::llama::Llama;

use crate::counting::calls;

/// Allocations of 40 decode steps, after a prompt and two steps.
fn allocations<B: Backend>(backend: B, format: DType) -> usize {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32");
    let files = ModelFiles::open(&dir).expect("the fixture opens");
    let model =
        Llama::load(&backend, files.tensors.as_ref(), files.config.spec, format, &mut |_| ()).expect("loads");
    let size = RunnerSize {
        kv_types: DType::F16.into(),
        slots: 128,
        chunk: 16,
        logits_rows: 1,
        check_numerics: false,
    };
    let mut runner = ModelRunner::new(backend, model, size).expect("a small runner");
    let mut logits = vec![0.0; runner.spec().vocab_size];
    let sequence = runner.open(128).expect("a small sequence");
    let mut pass = |ids: &[u32], wanted| {
        runner.forward(&[Part { sequence, ids, wanted, stage: Stage::Decode }]).expect("a pass");
        if wanted > 0 {
            runner.logits(0, &mut logits).expect("logits");
        }
    };
    pass(&[1, 2, 3], 0);
    let mut step = |id| pass(&[id], 1);
    step(4);
    step(5);
    let before = calls();
    (6..46).for_each(&mut step);
    calls() - before
}

pub fn decoding_allocates_nothing() {
    let control = calls();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert!(calls() > control, "the allocator counts");
    for threads in [1, 3] {
        for format in [DType::F32, DType::BF16, DType::Q8_0, DType::Q4_0] {
            let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
            let backend = CpuBackend::new(options).expect("a CPU that we support");
            assert_eq!(allocations(backend, format), 0, "{format}, {threads} threads");
        }
    }
}
