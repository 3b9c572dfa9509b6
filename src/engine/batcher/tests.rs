//! Texts in a crowd are those that each would be alone.

mod rows;
mod salts;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, OnceLock};

use super::*;
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::core::DType;
use crate::engine::{Finish, Request, Session, SessionOptions};
use crate::kv::{Eviction, POLICIES};
use crate::sampling::SamplingParams;

fn cpu() -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), ..CpuOptions::default() }).unwrap()
}

const CONTEXT: usize = 300;

fn session_options(eviction: Option<Eviction>) -> SessionOptions {
    SessionOptions {
        weights: DType::Q8_0.into(),
        max_seq_len: CONTEXT,
        eviction,
        prefill_chunk: 32,
        ..SessionOptions::default()
    }
}

fn batcher(texts: usize, slots: usize, prefixes: usize, eviction: Option<Eviction>) -> Batcher {
    let options = BatchOptions { session: session_options(eviction), texts, slots, prefixes };
    Batcher::load(cpu(), ModelFiles::demo().unwrap(), options, &mut |_| ()).unwrap()
}

/// What a reader has heard.
#[derive(Default)]
struct Heard {
    text: String,
    /// Tokens of the prompt that did not go through the model.
    reused: Option<usize>,
    outcome: Option<Result<Outcome, EngineError>>,
    /// Leaves after so many pieces.
    patience: Option<usize>,
}

#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Heard>>);

impl Listener {
    fn patient(pieces: usize) -> Self {
        Self(Arc::new(Mutex::new(Heard { patience: Some(pieces), ..Heard::default() })))
    }

    fn outcome(&self) -> Outcome {
        self.0.lock().unwrap().outcome.take().expect("it has ended").expect("without an error")
    }

    fn reused(&self) -> usize {
        self.0.lock().unwrap().reused.expect("it has begun")
    }
}

impl Observer for Listener {
    fn prefill(&mut self, _: usize, _: usize) {}

    fn text(&mut self, piece: &str) -> ControlFlow<()> {
        let mut heard = self.0.lock().unwrap();
        heard.text.push_str(piece);
        match &mut heard.patience {
            Some(0) => ControlFlow::Break(()),
            Some(left) => {
                *left -= 1;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn cancelled(&self) -> bool {
        self.0.lock().unwrap().patience == Some(0)
    }
}

impl Reader for Listener {
    fn begun(&mut self, _: usize, reused: usize) {
        self.0.lock().unwrap().reused = Some(reused);
    }

    fn ended(&mut self, outcome: Result<Outcome, EngineError>) {
        let mut heard = self.0.lock().unwrap();
        if let Ok(outcome) = &outcome {
            assert_eq!(outcome.text, heard.text);
        }
        assert!(heard.outcome.replace(outcome).is_none());
    }
}

/// Texts with all kinds of settings, some with long beginnings in common.
fn requests() -> Vec<Request> {
    let tokenizer = ModelFiles::demo().unwrap().tokenizer;
    let story = "The old fox had a red ball. The old fox lived in a small house. ".repeat(4);
    let starts = ["Once", "One day, a girl named Lily found a", &story, &format!("{story}One day, the fox")];
    (0..24_u64)
        .map(|i| {
            let sampling = SamplingParams {
                temperature: [0.0, 0.8, 1.3][i as usize % 3],
                top_k: [40, 0, 5][i as usize / 2 % 3],
                repetition_penalty: if i % 4 == 0 { 1.1 } else { 1.0 },
                seed: i / 2,
                ..SamplingParams::default()
            };
            Request {
                prompt: tokenizer.encode(starts[i as usize % starts.len()], true).unwrap(),
                max_tokens: Some(1 + (i as usize * 37) % 60),
                sampling,
                stop: if i % 5 == 0 { vec!["the".to_owned()] } else { Vec::new() },
                ignore_eos: i % 2 == 0,
                bias: if i % 7 == 0 { vec![(300, 4.0), (301, -100.0)] } else { Vec::new() },
                ..Request::default()
            }
        })
        .collect()
}

fn alone(eviction: Option<Eviction>) -> Vec<Outcome> {
    let options = session_options(eviction);
    let mut session = Session::load(cpu(), ModelFiles::demo().unwrap(), &options, &mut |_| ()).unwrap();
    let mut one = |request: &Request| {
        session.forget();
        session.generate(request, &mut ()).unwrap()
    };
    requests().iter().map(&mut one).collect()
}

/// What each text is alone, without eviction.
fn expected() -> &'static [Outcome] {
    static EXPECTED: OnceLock<Vec<Outcome>> = OnceLock::new();
    EXPECTED.get_or_init(|| alone(None))
}

fn run(batcher: &mut Batcher) -> Vec<Pass> {
    let mut passes = Vec::new();
    while !batcher.is_idle() {
        // As if nothing were known of the machine: passes are then the same on any.
        batcher.pace = Pace::default();
        passes.push(batcher.step());
    }
    passes
}

/// All requests, in the order of `order`.
fn together(batcher: &mut Batcher, order: &[usize]) -> (Vec<Outcome>, Vec<Pass>) {
    let requests = requests();
    let listeners: Vec<Listener> = requests.iter().map(|_| Listener::default()).collect();
    for &i in order {
        batcher.submit(requests[i].clone(), Box::new(listeners[i].clone()));
    }
    let passes = run(batcher);
    (listeners.iter().map(Listener::outcome).collect(), passes)
}

#[track_caller]
fn same(ours: &[Outcome], alone: &[Outcome]) {
    for (i, (ours, alone)) in ours.iter().zip(alone).enumerate() {
        assert_eq!((&ours.text, &ours.ids), (&alone.text, &alone.ids), "request {i}");
        assert_eq!((&ours.finish, ours.draws), (&alone.finish, alone.draws), "request {i}");
        assert_eq!(
            (ours.prompt_tokens, ours.positions),
            (alone.prompt_tokens, alone.positions),
            "request {i}"
        );
    }
}

#[test]
fn a_text_depends_neither_on_the_crowd_nor_on_its_order_nor_on_what_was_kept() {
    let expected = expected();
    let forward: Vec<usize> = (0..expected.len()).collect();
    let backward: Vec<usize> = forward.iter().rev().copied().collect();
    let mut crowd = batcher(8, 4000, 100, None);
    let (outcomes, passes) = together(&mut crowd, &forward);
    same(&outcomes, expected);
    assert!(passes.iter().any(|pass| pass.decoding > 1 && pass.prompt_tokens > 0), "prompts beside texts");
    // Now with everything kept, and the other way round.
    let (again, _) = together(&mut crowd, &backward);
    same(&again, expected);
    assert!(again.iter().map(|o| o.reused_tokens).sum::<usize>() > 500, "beginnings are used again");
    // One at a time, nothing kept.
    let (single, passes) = together(&mut batcher(1, 4000, 0, None), &backward);
    same(&single, expected);
    assert!(passes.iter().all(|pass| pass.decoding <= 1));
    assert!(single.iter().all(|outcome| outcome.reused_tokens == 0));
}

#[test]
fn texts_that_give_up_their_memory_become_the_same() {
    let expected = expected();
    let order: Vec<usize> = (0..expected.len()).collect();
    // Memory for one and a half of the longest texts.
    let mut small = batcher(8, 400, 100, None);
    let (outcomes, passes) = together(&mut small, &order);
    assert!(passes.iter().any(|pass| pass.interrupted > 0), "memory was never short");
    same(&outcomes, expected);
    assert!(small.load_now().pages.used <= small.load_now().pages.most);
}

#[test]
fn every_policy_evicts_in_a_crowd_as_alone() {
    for policy in POLICIES {
        let eviction = Eviction::new(policy, 48, 4, 0.75).unwrap();
        let expected = alone(Some(eviction));
        assert!(expected.iter().any(|outcome| outcome.eviction.evictions > 0));
        let order: Vec<usize> = (0..expected.len()).collect();
        let mut crowd = batcher(6, 2000, 100, Some(eviction));
        same(&together(&mut crowd, &order).0, &expected);
        same(&together(&mut crowd, &order).0, &expected);
    }
}

#[test]
fn a_common_beginning_is_computed_once() {
    let tokenizer = ModelFiles::demo().unwrap().tokenizer;
    let story = "The old fox had a red ball. The old fox lived in a small house. ".repeat(6);
    let request = |end: &str, seed| Request {
        prompt: tokenizer.encode(&format!("{story}{end}"), true).unwrap(),
        max_tokens: Some(5),
        sampling: SamplingParams { seed, ..SamplingParams::default() },
        ..Request::default()
    };
    let mut crowd = batcher(8, 4000, 100, None);
    let listeners: Vec<Listener> = (0..8).map(|_| Listener::default()).collect();
    for (i, listener) in listeners.iter().enumerate() {
        crowd.submit(request(&"x".repeat(i), i as u64), Box::new(listener.clone()));
    }
    let passes = run(&mut crowd);
    let prompt = listeners[0].outcome().prompt_tokens;
    let computed: usize = passes.iter().map(|pass| pass.prompt_tokens).sum();
    assert!(prompt > 100 && computed < prompt + 8 * 70, "{computed} tokens of {prompt} and little more");
    assert_eq!(listeners[0].reused(), 0);
    assert!(listeners[1..].iter().all(|listener| listener.reused() >= 64));
}

#[test]
fn a_reader_that_leaves_frees_its_place_and_its_memory() {
    let expected = expected();
    let requests = requests();
    let mut crowd = batcher(2, 4000, 0, None);
    let (leaver, gone, stayer) = (Listener::patient(2), Listener::patient(0), Listener::default());
    crowd.submit(requests[9].clone(), Box::new(leaver.clone()));
    crowd.submit(requests[3].clone(), Box::new(gone.clone()));
    crowd.submit(requests[4].clone(), Box::new(stayer.clone()));
    run(&mut crowd);
    assert_eq!(gone.outcome().finish, Finish::Cancelled);
    let left = leaver.outcome();
    assert!(matches!(left.finish, Finish::OutputClosed | Finish::Cancelled), "{:?}", left.finish);
    assert!(left.ids.len() < expected[9].ids.len());
    same(&[stayer.outcome()], &expected[4..5]);
    assert_eq!((crowd.load_now().pages.used, crowd.load_now().active), (0, 0));
}

#[test]
fn one_text_that_fails_harms_no_other() {
    let expected = expected();
    let mut bad = requests()[5].clone();
    bad.sampling.top_k = 0;
    bad.bias =
        (0..batcher(1, 300, 0, None).spec().vocab_size as u32).map(|id| (id, f32::NEG_INFINITY)).collect();
    let mut crowd = batcher(4, 4000, 100, None);
    let (failing, other) = (Listener::default(), Listener::default());
    crowd.submit(bad, Box::new(failing.clone()));
    crowd.submit(requests()[1].clone(), Box::new(other.clone()));
    run(&mut crowd);
    let error = failing.0.lock().unwrap().outcome.take().unwrap().unwrap_err();
    assert!(matches!(error, EngineError::Sampling(_)), "{error}");
    same(&[other.outcome()], &expected[1..2]);
    // What cannot be asked for is refused before it waits.
    let refused = |request: Request| {
        let listener = Listener::default();
        batcher(1, 300, 0, None).submit(request, Box::new(listener.clone()));
        let outcome = listener.0.lock().unwrap().outcome.take();
        outcome.expect("it is refused at once").unwrap_err().to_string()
    };
    assert!(refused(Request::default()).contains("empty"));
    assert!(refused(Request { prompt: vec![1; CONTEXT], ..Request::default() }).contains("300"));
    assert!(refused(Request { prompt: vec![1_000_000], ..Request::default() }).contains("1000000"));
}

#[test]
fn only_so_many_texts_are_kept() {
    let order: Vec<usize> = (0..requests().len()).collect();
    let mut crowd = batcher(4, 4000, 2, None);
    together(&mut crowd, &order);
    assert_eq!(crowd.load_now().prefixes, 2);
    let Batcher { runner, prefixes, .. } = &mut crowd;
    while prefixes.drop_oldest(runner.as_mut()) {}
    assert_eq!(crowd.load_now().pages.used, 0, "nothing is held by anybody");
}
