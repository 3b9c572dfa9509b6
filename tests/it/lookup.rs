//! Prompt lookup changes the number of passes and nothing else: text, ids and the reason to end are those of
//! plain decoding, greedy and sampled.

use std::path::Path;

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::core::{Backend, DType};
use llm_rs2::engine::{DraftStats, Finish, ModelFiles, Outcome, Request, Session, SessionOptions};
use llm_rs2::sampling::SamplingParams;

fn cpu() -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), ..CpuOptions::default() }).expect("a CPU that we support")
}

fn session<B: Backend>(backend: B, files: ModelFiles, options: SessionOptions) -> Session {
    Session::load(backend, files, &options, &mut |_| ()).expect("the model loads")
}

fn options(lookup: usize) -> SessionOptions {
    SessionOptions {
        weights: DType::Q8_0.into(),
        kv_types: DType::F16.into(),
        max_seq_len: 400,
        eviction: None,
        prefill_chunk: 64,
        lookup,
        check_numerics: false,
    }
}

/// A prompt whose words come back in the answer.
const STORY: &str = "The old fox had a red ball. The old fox lived in a small house made of stones. One day, the \
                     old fox lost the red ball. Who had the red ball?";

/// The first four are as different as they can be.
fn requests(session: &Session) -> Vec<Request> {
    let prompt = session.tokenizer().encode(STORY, true).expect("plain text");
    let plain = Request {
        prompt,
        max_tokens: Some(150),
        sampling: SamplingParams::greedy(),
        stop: Vec::new(),
        ignore_eos: true,
        ..Request::default()
    };
    let sampled = |temperature, seed| SamplingParams { temperature, seed, ..SamplingParams::default() };
    let penalties = SamplingParams {
        repetition_penalty: 1.1,
        frequency_penalty: 0.1,
        presence_penalty: 0.2,
        repetition_window: 20,
        ..sampled(0.7, 3)
    };
    // What was said is said again, over and over.
    let parrot = |frequency_penalty, base| SamplingParams { frequency_penalty, ..base };
    let mut all = vec![plain.clone()];
    for sampling in [
        parrot(-3.0, SamplingParams::greedy()),
        parrot(-5.0, sampled(0.7, 4)),
        penalties,
        sampled(0.5, 1),
        sampled(1.5, 9),
        SamplingParams { repetition_penalty: 1.05, ..SamplingParams::greedy() },
    ] {
        all.push(Request { sampling, ..plain.clone() });
    }
    all.push(Request { ignore_eos: false, ..plain.clone() });
    all.extend((0..6).map(|n| Request { max_tokens: Some(n), ..plain.clone() }));
    all.push(Request { max_tokens: None, ..plain });
    all
}

#[track_caller]
fn same(with: &Outcome, without: &Outcome) {
    assert_eq!(with.ids, without.ids);
    assert_eq!(with.text, without.text);
    assert_eq!(with.finish, without.finish);
    assert_eq!(with.decode_steps, without.decode_steps);
    assert_eq!(without.lookup, DraftStats::default());
    let DraftStats { passes, drafted, accepted } = with.lookup;
    assert!(accepted <= drafted && passes <= drafted && accepted <= with.decode_steps, "{:?}", with.lookup);
}

/// The first requests, with and without; gives the sum of what was drafted.
fn compare<B: Backend>(
    make: impl Fn() -> B,
    files: impl Fn() -> ModelFiles,
    base: SessionOptions,
    count: usize,
) -> DraftStats {
    let mut sum = DraftStats::default();
    let mut plain = session(make(), files(), SessionOptions { lookup: 0, ..base });
    let mut drafting = session(make(), files(), base);
    for request in requests(&plain).into_iter().take(count) {
        let without = plain.generate(&request, &mut ()).expect("plain decoding succeeds");
        let with = drafting.generate(&request, &mut ()).expect("drafting succeeds");
        same(&with, &without);
        sum.passes += with.lookup.passes;
        sum.drafted += with.lookup.drafted;
        sum.accepted += with.lookup.accepted;
        // The same drafts again: nothing is left of the text before, and no clock decides.
        assert_eq!(drafting.generate(&request, &mut ()).expect("again").lookup, with.lookup);
        // A text that goes on from it: what was drafted and not chosen is not taken for what was said.
        let prompt = [request.prompt.as_slice(), &with.ids, &request.prompt[1..9]].concat();
        if prompt.len() + 20 < base.max_seq_len {
            let next = Request { prompt, max_tokens: Some(9), ..request.clone() };
            let behind = drafting.generate(&next, &mut ()).expect("goes on");
            assert!(
                behind.reused_tokens + 1 >= request.prompt.len() + with.ids.len(),
                "{}",
                behind.reused_tokens
            );
            plain.forget();
            same(&behind, &plain.generate(&next, &mut ()).expect("begins anew"));
        }
        // The text ends within a stop string that a draft may run over.
        let Some((at, _)) = without.text.char_indices().nth(40) else { continue };
        let stop: String = without.text[at..].chars().take(9).collect();
        let request = Request { stop: vec!["never to be found".to_owned(), stop.clone()], ..request };
        let stopped = drafting.generate(&request, &mut ()).expect("stops");
        same(&stopped, &plain.generate(&request, &mut ()).expect("stops"));
        assert_eq!(stopped.finish, Finish::Stop(stop));
    }
    sum
}

fn demo() -> ModelFiles {
    ModelFiles::demo().expect("the demo model is whole")
}

#[test]
fn the_demo_model_says_the_same_with_any_draft_length() {
    for lookup in [1, 4, 64] {
        let sum = compare(cpu, demo, options(lookup), usize::MAX);
        assert!(sum.accepted > 100, "{lookup}: {sum:?}");
        assert!(lookup > 1 || sum.passes == sum.drafted, "{sum:?}");
    }
}

#[test]
fn any_weights_any_cache_any_chunk() {
    for (weight_dtype, kv, prefill_chunk) in
        [(DType::BF16, DType::F32, 1), (DType::Q4_0, DType::Q8_0, 3), (DType::F32, DType::F16, 512)]
    {
        compare(
            cpu,
            demo,
            SessionOptions { weights: weight_dtype.into(), kv_types: kv.into(), prefill_chunk, ..options(5) },
            4,
        );
    }
}

#[test]
fn the_reference_backend_drafts_as_well() {
    let base = SessionOptions {
        weights: DType::F32.into(),
        kv_types: DType::F32.into(),
        max_seq_len: 120,
        ..options(4)
    };
    assert!(compare(|| ReferenceBackend, demo, base, 3).accepted > 20);
}

#[test]
fn the_context_ends_where_it_would_have() {
    let prompt = session(cpu(), demo(), options(0)).tokenizer().encode(STORY, true).unwrap().len();
    for room in 1..12 {
        let base = SessionOptions { max_seq_len: prompt + room, ..options(8) };
        let mut drafting = session(cpu(), demo(), base);
        let mut request = requests(&drafting).remove(0);
        request.max_tokens = None;
        let outcome = drafting.generate(&request, &mut ()).unwrap();
        assert_eq!((outcome.finish, outcome.ids.len()), (Finish::ContextFull, room));
    }
    compare(cpu, demo, SessionOptions { max_seq_len: prompt + 70, ..options(8) }, 4);
}

#[test]
fn random_weights_that_repeat_themselves() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32");
    let files = || ModelFiles::open(&dir).expect("the fixture opens");
    let mut plain = session(cpu(), files(), options(0));
    let mut drafting = session(cpu(), files(), options(6));
    for temperature in [0.0, 0.3, 1.0] {
        let request = Request {
            prompt: (0..60).map(|i| 3 + i % 7).collect(),
            max_tokens: Some(120),
            sampling: SamplingParams { temperature, ..SamplingParams::default() },
            stop: Vec::new(),
            ignore_eos: true,
            ..Request::default()
        };
        let with = drafting.generate(&request, &mut ()).unwrap();
        same(&with, &plain.generate(&request, &mut ()).unwrap());
    }
}

#[test]
fn stories260k_says_the_same() {
    let Some(dir) = crate::skip::shared("stories260k_says_the_same", "models/stories260k") else { return };
    let sum = compare(cpu, || ModelFiles::open(&dir).expect("the model opens"), options(6), usize::MAX);
    assert!(sum.accepted > 50, "{sum:?}");
}
