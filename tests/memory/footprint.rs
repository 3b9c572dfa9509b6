//! The estimate of memory against what was taken, in bytes as the allocator counts them.

use std::path::Path;

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::{DType, KvCache, KvTypes};
use llm_rs2::engine::{
    CachePlace, Footprint, Holding, LoadOptions, ModelFiles, Request, Session, SessionOptions, TextLength,
    WeightDType,
};
use llm_rs2::sampling::SamplingParams;

use crate::counting::{bytes, peak, reset_peak};

/// Bytes that a session took at most, and what was foreseen of that, for a text that fills its context.
fn taken_and_foreseen(files: ModelFiles, options: &SessionOptions, prompt: usize) -> (usize, u64) {
    let text = TextLength { prompt, generated: None };
    let need = Footprint::of(&files, options, Holding::InPlace, text).expect("the tensors are there");
    let backend = CpuBackend::new(CpuOptions { threads: Some(1), isa: None }).expect("a CPU that we support");
    let before = bytes();
    reset_peak(before);
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
    (peak() - before, need.own() - need.program)
}

/// What packing a model for the first time takes, and what was foreseen of that and of the session behind it.
fn packing_was_foreseen(dir: &Path, weight_dtype: DType) {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let load = LoadOptions {
        weight_dtype: WeightDType::Fixed(weight_dtype),
        cache: CachePlace::Directory(cache.path().into()),
        ..LoadOptions::default()
    };
    let options = SessionOptions { weight_dtype, ..SessionOptions::default() };
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
    assert_eq!(files.packed.as_ref().map(|p| p.format), Some(weight_dtype));
    assert_eq!(after, Footprint { packing: 0, ..before }, "the session is what it was foreseen to be");
}

/// A cache that grows, or that gives up tokens, has one layer twice, and not all of them.
pub fn growing_takes_one_layer_more() {
    let backend = CpuBackend::new(CpuOptions { threads: Some(1), isa: None }).expect("a CPU that we support");
    let (layers, kv_heads, head_dim) = (6, 4, 64);
    for types in [DType::F16.into(), KvTypes { k: DType::Q8_0, v: DType::Q4_0 }] {
        let mut cache =
            KvCache::new(&backend, layers, kv_heads, head_dim, types, 4000).expect("an empty cache");
        let most_of = |cache: &mut KvCache<_>, change: &dyn Fn(&mut KvCache<_>)| {
            let others = bytes() - cache.size_bytes();
            reset_peak(0);
            change(cache);
            peak() - others
        };
        let mut before = 0;
        for slots in [256, 512, 1024, 2048] {
            let most = most_of(&mut cache, &|cache| {
                cache.reserve(&backend, slots - cache.len()).expect("there is memory");
            });
            let now = cache.size_bytes();
            assert_eq!(cache.layout().capacity, slots);
            // Lists of ranges and the like.
            let expected = now + before / layers..now + before / layers + 4096;
            assert!(expected.contains(&most), "{types}, {slots} slots: {most}, not {expected:?}");
            before = now;
            cache.advance(slots - cache.len());
        }
        let most =
            most_of(&mut cache, &|cache| cache.retain(&backend, &[0..4, 1048..2048], 1044).expect("moves"));
        assert_eq!(cache.size_bytes(), before, "room for as many");
        let expected = before + before / layers..before + before / layers + 4096;
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
