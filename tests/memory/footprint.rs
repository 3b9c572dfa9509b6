//! The estimate of memory against what was taken, in bytes as the allocator counts them.

use std::path::Path;

use llm_rs2::backend::cpu::{CpuBackend, CpuBuffer, CpuOptions};
use llm_rs2::core::{DType, KvPool, KvSequence, KvShape, KvTypes};
use llm_rs2::engine::{
    CachePlace, Footprint, Holding, LoadOptions, ModelFiles, Request, Session, SessionOptions, Switch,
    TextLength, WeightDType,
};
use llm_rs2::kv::{Eviction, Registered};
use llm_rs2::models::WeightPlan;
use llm_rs2::sampling::SamplingParams;

use crate::counting::{bytes, peak, reset_peak};

fn cpu() -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(1), isa: None }).expect("a CPU that we support")
}

/// Tokens behind the prompt of a text that does not end where its context is full.
const GENERATED: usize = 40;

/// Bytes that a session took at most, and what was foreseen of that, for a text that fills its context, or goes on beyond
/// its window.
fn taken_and_foreseen(
    files: ModelFiles,
    options: &SessionOptions,
    prompt: usize,
    holding: Holding,
) -> (usize, u64) {
    let generated = options.eviction.map(|_| GENERATED);
    let text = TextLength { prompt, generated };
    let need = Footprint::of(&files, options, holding, text).expect("the tensors are there");
    let hybrid = holding == Holding::InPlaceAndCopied;
    let (first, second) = (cpu(), hybrid.then(cpu));
    let before = bytes();
    reset_peak(before);
    let mut session = match second {
        None => Session::load(first, files, options, &mut |_| ()),
        Some(second) => Session::load_hybrid(first, second, files, options, &mut |_| ()),
    }
    .expect("it loads");
    // The prompt goes through the first one, what follows through the second.
    session.set_switch(Switch { prompt: usize::MAX, decode: 0 });
    let request = Request {
        prompt: vec![1; prompt],
        max_tokens: generated,
        sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
        stop: Vec::new(),
        ignore_eos: true,
        ..Request::default()
    };
    let outcome = session.generate(&request, &mut ()).expect("it generates");
    let len = generated.map_or(options.max_seq_len, |generated| prompt + generated);
    assert_eq!(outcome.prompt_tokens + outcome.ids.len(), len, "the text is as long as it can be");
    assert_eq!(session.moved().tokens > 0, hybrid);
    assert_eq!(session.eviction_stats().evictions > 0, options.eviction.is_some());
    (peak() - before, need.own() - need.program)
}

/// What packing a model for the first time takes, and what was foreseen of that and of the session behind it.
fn packing_was_foreseen(dir: &Path, weight_dtype: DType) {
    let plan = WeightPlan::sparing_outer(weight_dtype);
    let cache = tempfile::tempdir().expect("a temporary directory");
    let load = LoadOptions {
        weight_dtype: WeightDType::Fixed(weight_dtype),
        cache: CachePlace::Directory(cache.path().into()),
        ..LoadOptions::default()
    };
    let options = SessionOptions { weights: plan, ..SessionOptions::default() };
    let foresee = |files: &ModelFiles| {
        let text = TextLength { prompt: 10, generated: None };
        Footprint::of(files, &options, Holding::InPlace, text).expect("the tensors are there")
    };
    let mut files = ModelFiles::load(dir, &load, &mut ()).expect("it opens");
    assert_eq!(cache.path().read_dir().expect("a directory").count(), 0, "nothing is converted yet");
    let before = foresee(&files);
    assert!(before.mapped > 0 && before.packing > 0, "{before:?}");
    let taken = bytes();
    reset_peak(taken);
    assert!(files.keep_packed(&mut ()).expect("it packs"), "the place can be written");
    let most = (peak() - taken) as u64;
    assert!(most <= before.packing, "{most} taken, {} foreseen", before.packing);
    let after = foresee(&files);
    assert!(files.packed.is_some());
    assert_eq!(
        files.weight_mix(WeightPlan::AsStored).expect("the tensors are there"),
        files.weight_mix(plan).unwrap()
    );
    assert_eq!(after, Footprint { packing: 0, ..before }, "the session is what it was foreseen to be");
}

/// A cache that grows has one buffer twice, of keys or of values, and not all of them; one that gives up tokens has
/// nothing twice.
pub fn growing_takes_one_buffer_more() {
    let backend = CpuBackend::new(CpuOptions { threads: Some(1), isa: None }).expect("a CPU that we support");
    let shape = KvShape { kv_heads: 4, head_dim: 64, window: None };
    for types in [DType::F16.into(), KvTypes { k: DType::Q8_0, v: DType::Q4_0 }] {
        let layers = 6;
        let mut pool = KvPool::new(&backend, &vec![shape; layers], types, 4000).expect("an empty pool");
        let mut sequence = KvSequence::new(&pool, 4000);
        type Change<'a> = &'a dyn Fn(&mut KvPool<CpuBuffer>, &mut KvSequence);
        let most_of = |pool: &mut KvPool<_>, sequence: &mut KvSequence, change: Change<'_>| {
            let others = bytes() - pool.size_bytes();
            reset_peak(0);
            change(pool, sequence);
            peak() - others
        };
        let mut before = 0;
        for slots in [256, 512, 1024, 2048] {
            let most = most_of(&mut pool, &mut sequence, &|pool, sequence| {
                sequence.reserve(&backend, pool, slots - sequence.len()).expect("there is memory");
            });
            let now = pool.size_bytes();
            assert_eq!(pool.whole_capacity(), slots);
            // Lists of pages and the like.
            let expected = now..now + before / layers + 4096;
            assert!(expected.contains(&most), "{types}, {slots} slots: {most}, not {expected:?}");
            before = now;
            sequence.advance(slots - sequence.len());
        }
        let most = most_of(&mut pool, &mut sequence, &|pool, sequence| {
            sequence.retain(&backend, pool, &[0..4, 1048..2048], 1044).expect("moves");
        });
        assert_eq!(pool.size_bytes(), before, "room for as many");
        let expected = before..before + 4096;
        assert!(expected.contains(&most), "{types}, an eviction: {most}, not {expected:?}");
    }
}

pub fn a_session_takes_what_was_foreseen() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32");
    for format in [DType::Q4_0, DType::Q8_0, DType::F16] {
        packing_was_foreseen(&tiny, format);
    }
    for (format, kv, len, prompt) in [
        (DType::BF16, DType::F16, 320, 280),
        (DType::Q8_0, DType::F16, 320, 280),
        (DType::F32, DType::F32, 300, 20),
        (DType::Q4_0, DType::F32, 560, 500),
    ] {
        let options = SessionOptions {
            weights: format.into(),
            kv_types: kv.into(),
            max_seq_len: len,
            prefill_chunk: prompt.min(256),
            ..SessionOptions::default()
        };
        for (name, files) in [
            ("demo", ModelFiles::demo().expect("it is inside the program")),
            ("tiny", ModelFiles::open(&tiny).expect("the fixture opens")),
        ] {
            was_foreseen(
                &format!("{name}, {format}, {kv}, {len}"),
                files,
                &options,
                prompt,
                Holding::InPlace,
            );
        }
    }
}

/// Holds what was taken against what was foreseen.
fn was_foreseen(case: &str, files: ModelFiles, options: &SessionOptions, prompt: usize, holding: Holding) {
    let (taken, foreseen) = taken_and_foreseen(files, options, prompt, holding);
    // What is beyond the large things: names, the text itself, tables of the sampler.
    let slack = 600_000;
    let case = format!("{case}: {taken} taken, {foreseen} foreseen");
    assert!(taken as u64 <= foreseen + foreseen / 10 + slack, "{case}");
    assert!(foreseen <= taken as u64 + taken as u64 / 5 + slack, "{case}");
}

/// What a policy goes by, and what two backends take, belong to it.
pub fn each_policy_takes_what_was_foreseen() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32");
    let (window, prompt) = (1024, 1100);
    for (name, protected, lookup, chunk) in [
        ("sliding", 4, 0, 256),
        ("streaming", 700, 0, 256),
        ("h2o", 4, 0, 256),
        // Passes of as many rows as a draft could have had, and real drafts.
        ("h2o", 4, 0, 120),
        ("h2o", 4, 8, 256),
    ] {
        let policy = Registered::named(name).expect("it is known");
        let options = SessionOptions {
            weights: DType::Q8_0.into(),
            kv_types: DType::F16.into(),
            max_seq_len: window,
            prefill_chunk: chunk,
            lookup,
            eviction: Some(Eviction::new(policy, window, protected, 0.75).expect("numbers that fit")),
            ..SessionOptions::default()
        };
        let files = ModelFiles::open(&tiny).expect("the fixture opens");
        was_foreseen(&format!("{name}, {protected}, {chunk}"), files, &options, prompt, Holding::InPlace);
    }
    let options = SessionOptions {
        weights: DType::Q8_0.into(),
        kv_types: DType::F32.into(),
        max_seq_len: 1200,
        ..SessionOptions::default()
    };
    let files = ModelFiles::open(&tiny).expect("the fixture opens");
    was_foreseen("hybrid", files, &options, prompt, Holding::InPlaceAndCopied);
}
