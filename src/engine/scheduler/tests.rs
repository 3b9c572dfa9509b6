//! Several texts at once are those that each would be alone.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::core::DType;
use crate::engine::runner::Runner;
use crate::engine::text_rules::TextRules;
use crate::engine::{
    Finish, HybridRunner, ModelFiles, ModelRunner, Outcome, Request, RunnerSize, Session, SessionOptions,
    Switch,
};
use crate::kv::{Eviction, Evictor, POLICIES};
use crate::models::llama::Llama;
use crate::sampling::SamplingParams;

fn cpu() -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), ..CpuOptions::default() }).unwrap()
}

fn runner(chunk: usize) -> Box<dyn Runner> {
    let files = ModelFiles::demo().unwrap();
    let model =
        Llama::load(&cpu(), files.tensors.as_ref(), files.config.spec, DType::Q8_0, &mut |_| ()).unwrap();
    let size =
        RunnerSize { kv_types: DType::F16.into(), slots: 2000, chunk, logits_rows: 3, check_numerics: false };
    Box::new(ModelRunner::new(cpu(), model, size).unwrap())
}

fn requests() -> Vec<Request> {
    let tokenizer = ModelFiles::demo().unwrap().tokenizer;
    let story = "The old fox had a red ball. The old fox lived in a small house. The old fox";
    let request = |text: &str, sampling, tokens| Request {
        prompt: tokenizer.encode(text, true).unwrap(),
        max_tokens: Some(tokens),
        sampling,
        stop: Vec::new(),
        ignore_eos: true,
        ..Request::default()
    };
    let warm = SamplingParams { temperature: 1.2, seed: 5, ..SamplingParams::default() };
    vec![
        request(story, SamplingParams::greedy(), 30),
        request("Once", warm, 50),
        request("One day, a girl named Lily found a", SamplingParams { top_k: 0, ..warm }, 1),
        request(&story.repeat(3), SamplingParams { repetition_penalty: 1.1, ..warm }, 20),
    ]
}

fn options(eviction: Option<Eviction>) -> SessionOptions {
    SessionOptions { weights: DType::Q8_0.into(), max_seq_len: 400, eviction, ..SessionOptions::default() }
}

/// Ends a text after so many of its pieces.
struct Reader(usize);

impl Observer for Reader {
    fn prefill(&mut self, _: usize, _: usize) {}

    fn text(&mut self, _: &str) -> ControlFlow<()> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn cancelled(&self) -> bool {
        false
    }
}

/// All texts of `requests` in passes together, each in a sequence of its own.
fn together(
    runner: &mut dyn Runner,
    requests: &[Request],
    eviction: Option<Eviction>,
    lookup: usize,
    readers: &mut [Reader],
) -> Vec<Outcome> {
    let files = ModelFiles::demo().unwrap();
    let tokenizer = Arc::new(files.tokenizer);
    let rules = TextRules { tokenizer, eos: files.eos, head: files.embedding, shown: Vec::new() };
    let mut logits = vec![0.0; runner.spec().vocab_size];
    let most = eviction.map_or(400, |eviction| eviction.window());
    let mut sequences: Vec<Sequence> = requests
        .iter()
        .map(|_| Sequence::open(runner, eviction.map(Evictor::new), most, 16, lookup + 1).unwrap())
        .collect();
    let mut shared = Shared { runner, rules: &rules, logits: &mut logits };
    let mut generations: Vec<Generation<'_>> = requests
        .iter()
        .zip(&mut sequences)
        .map(|(request, sequence)| {
            Generation::start(Cow::Borrowed(request), &mut shared, sequence, lookup).unwrap()
        })
        .collect();
    while generations.iter().any(|generation| generation.finish().is_none()) {
        let all = sequences.iter_mut().zip(&mut generations).zip(&mut *readers);
        let mut active: Vec<Active<'_, '_>> =
            all.map(|((sequence, generation), observer)| active_of(sequence, generation, observer)).collect();
        step(&mut shared, &mut active).unwrap();
        assert!(active.iter().all(|one| one.fault.is_none()));
    }
    let all = generations.into_iter().zip(&mut sequences);
    all.map(|(generation, sequence)| generation.end(&mut shared, sequence, &mut ()).unwrap()).collect()
}

fn active_of<'a, 'r>(
    sequence: &'a mut Sequence,
    generation: &'a mut Generation<'r>,
    observer: &'a mut Reader,
) -> Active<'a, 'r> {
    Active { sequence, generation, observer, most: usize::MAX, fault: None }
}

fn readers() -> Vec<Reader> {
    (0..4).map(|_| Reader(usize::MAX)).collect()
}

fn alone(eviction: Option<Eviction>) -> Vec<Outcome> {
    let files = ModelFiles::demo().unwrap();
    let mut session = Session::load(cpu(), files, &options(eviction), &mut |_| ()).unwrap();
    let mut generate = |request: &Request| {
        session.forget();
        session.generate(request, &mut ()).unwrap()
    };
    requests().iter().map(&mut generate).collect()
}

fn same(ours: &[Outcome], alone: &[Outcome], what: &str) {
    for (ours, alone) in ours.iter().zip(alone) {
        assert_eq!((&ours.text, &ours.ids), (&alone.text, &alone.ids), "{what}");
        assert_eq!((&ours.finish, ours.draws), (&alone.finish, alone.draws), "{what}");
        assert_eq!((ours.held, ours.positions, ours.eviction), (alone.held, alone.positions, alone.eviction));
    }
}

#[test]
fn texts_together_are_those_of_each_alone() {
    let expected = alone(None);
    // A pass that has room for all, one that prompts have to wait for, and drafts.
    for (chunk, lookup) in [(256, 0), (16, 0), (4, 0), (64, 6)] {
        let outcomes = together(runner(chunk).as_mut(), &requests(), None, lookup, &mut readers());
        same(&outcomes, &expected, &format!("{chunk} tokens a pass, {lookup} drafted"));
        assert_eq!(outcomes.iter().any(|outcome| outcome.lookup.drafted > 0), lookup > 0);
    }
}

#[test]
fn texts_together_are_evicted_from_as_each_alone() {
    for policy in POLICIES {
        let eviction = Eviction::new(policy, 24, 4, 0.75).unwrap();
        let expected = alone(Some(eviction));
        assert!(expected[0].eviction.evictions > 1);
        let outcomes = together(runner(32).as_mut(), &requests(), Some(eviction), 0, &mut readers());
        same(&outcomes, &expected, policy.name);
    }
}

#[test]
fn one_that_ends_early_changes_nothing_for_the_others() {
    let expected = alone(None);
    let mut readers = readers();
    readers[0] = Reader(3);
    let outcomes = together(runner(64).as_mut(), &requests(), None, 0, &mut readers);
    assert_eq!(outcomes[0].finish, Finish::OutputClosed);
    assert!(expected[0].ids.starts_with(&outcomes[0].ids) && outcomes[0].ids.len() < 10);
    same(&outcomes[1..], &expected[1..], "the others");
}

#[test]
fn two_backends_take_texts_together_too() {
    let expected = alone(None);
    for switch in [Switch { prompt: 10, decode: usize::MAX }, Switch { prompt: usize::MAX, decode: 30 }] {
        let mut hybrid = HybridRunner::new(runner(64), runner(64));
        hybrid.set_switch(switch);
        same(&together(&mut hybrid, &requests(), None, 0, &mut readers()), &expected, "hybrid");
        assert!(hybrid.moved().tokens > 0, "{switch:?}");
    }
}

#[test]
fn a_fork_goes_on_from_where_it_began() {
    let mut runner = runner(64);
    let runner = runner.as_mut();
    let ids = &requests()[3].prompt;
    let mut logits = vec![0.0; runner.spec().vocab_size];
    let mut score = |runner: &mut dyn Runner, sequence, ids: &[u32]| {
        use crate::engine::Stage::Score;
        for ids in ids.chunks(64) {
            runner.forward(&[Part { sequence, ids, wanted: 1, stage: Score }]).unwrap();
        }
        runner.logits(0, &mut logits).unwrap();
        logits.iter().map(|l| l.to_bits()).collect::<Vec<_>>()
    };
    let first = runner.open(400).unwrap();
    let expected = score(runner, first, ids);
    let taken = runner.cache_bytes();
    let fork = runner.fork(first, ids.len() - 5).unwrap().expect("nothing was evicted");
    assert_eq!(runner.cache_bytes(), taken, "no page is there twice");
    runner.close(first);
    assert!(runner.held(first).is_err());
    assert_eq!(score(runner, fork, &ids[ids.len() - 5..]), expected);
    assert!(runner.fork(fork, ids.len() + 1).unwrap().is_none(), "it has not come so far");
    assert_eq!(runner.open(400).unwrap(), first, "numbers are used again");
}
