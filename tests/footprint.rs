//! The estimate of memory against what was taken, in bytes as the allocator counts them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::DType;
use llm_rs2::engine::{Footprint, Holding, ModelFiles, Request, Session, SessionOptions, TextLength};
use llm_rs2::sampling::SamplingParams;

/// The system's allocator, counting the bytes that are taken and the most that ever were.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting touches only atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = TAKEN.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let now = TAKEN.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `pointer` came from `System` by way of this, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a session took at most, and what was foreseen of that, for a text that fills its context.
fn taken_and_foreseen(files: ModelFiles, options: &SessionOptions, prompt: usize) -> (usize, u64) {
    let text = TextLength { prompt, generated: None };
    let need = Footprint::of(&files, options, Holding::InPlace, text).expect("the tensors are there");
    let backend = CpuBackend::new(CpuOptions { threads: Some(1), isa: None }).expect("a CPU that we support");
    let before = TAKEN.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mut session = Session::load(backend, files, options, &mut |_| ()).expect("it loads");
    let request = Request {
        prompt: vec![1; prompt],
        max_tokens: None,
        sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
        stop: Vec::new(),
        ignore_eos: true,
        draws: 0,
        room: 0,
    };
    let outcome = session.generate(&request, &mut ()).expect("it generates");
    assert_eq!(outcome.prompt_tokens + outcome.ids.len(), options.max_seq_len, "the context is full");
    (MOST.load(Ordering::Relaxed) - before, need.own() - need.program)
}

// One test: another one beside it would be counted too.
#[test]
fn what_a_session_takes_was_foreseen() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32");
    for (format, kv, len, prompt) in [
        (DType::BF16, DType::F16, 320, 280),
        (DType::Q8_0, DType::F16, 320, 280),
        (DType::F32, DType::F32, 300, 20),
        (DType::Q4_0, DType::F32, 560, 500),
    ] {
        let options = SessionOptions {
            weight_dtype: format,
            kv_types: kv.into(),
            max_seq_len: len,
            prefill_chunk: prompt.min(256),
            ..SessionOptions::default()
        };
        for (name, files) in [
            ("demo", ModelFiles::demo().expect("it is inside the program")),
            ("tiny", ModelFiles::open(&tiny).expect("the fixture opens")),
        ] {
            let (taken, foreseen) = taken_and_foreseen(files, &options, prompt);
            // What is beyond the large things: names, the text itself, tables of the sampler.
            let slack = 600_000;
            let case =
                format!("{name}, {format} weights, {kv} cache of {len}: {taken} taken, {foreseen} foreseen");
            assert!(taken as u64 <= foreseen + foreseen / 10 + slack, "{case}");
            assert!(foreseen <= taken as u64 + taken as u64 / 5 + slack, "{case}");
        }
    }
}
