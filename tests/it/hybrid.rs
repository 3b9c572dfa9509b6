//! Two backends for one text. With the CPU on both sides every move has to leave each bit as it was: the text is that of
//! one backend, wherever one takes over from the other.

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::core::{Backend, DType, KvTypes};
use llm_rs2::engine::{ModelFiles, MoveStats, Outcome, Request, Session, SessionOptions, Switch};
use llm_rs2::kv::{Eviction, POLICIES};
use llm_rs2::sampling::SamplingParams;

fn cpu(threads: usize) -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() })
        .expect("a CPU that we support")
}

fn demo() -> ModelFiles {
    ModelFiles::demo().expect("the demo model is inside")
}

fn options(weight_dtype: DType, kv: DType) -> SessionOptions {
    SessionOptions {
        weights: weight_dtype.into(),
        kv_types: KvTypes::from(kv),
        max_seq_len: 300,
        eviction: None,
        prefill_chunk: 16,
        lookup: 0,
        check_numerics: false,
    }
}

const STORY: &str =
    "The old fox had a red ball. The old fox lived in a small house made of stones. One day, the";

fn request(session: &Session, tokens: usize, sampling: SamplingParams) -> Request {
    let prompt = session.tokenizer().encode(STORY, true).expect("plain text");
    Request {
        prompt,
        max_tokens: Some(tokens),
        sampling,
        stop: Vec::new(),
        ignore_eos: true,
        ..Request::default()
    }
}

fn generate(session: &mut Session, tokens: usize, sampling: SamplingParams) -> Outcome {
    let request = request(session, tokens, sampling);
    session.generate(&request, &mut ()).expect("generation succeeds")
}

fn hybrid<C: Backend>(second: C, options: &SessionOptions) -> Session {
    Session::load_hybrid(cpu(1), second, demo(), options, &mut |_| ()).expect("the model loads")
}

const NEVER: usize = usize::MAX;

#[test]
fn the_text_is_that_of_one_backend_wherever_the_other_takes_over() {
    let sampled = SamplingParams { temperature: 1.5, seed: 9, ..SamplingParams::default() };
    let greedy = SamplingParams::greedy();
    let penalized = SamplingParams { repetition_penalty: 1.1, ..sampled };
    for (kv, lookup, chunk, sampling) in
        [(DType::F16, 0, 16, penalized), (DType::F32, 4, 5, greedy), (DType::F16, 0, 256, sampled)]
    {
        let options = SessionOptions { lookup, prefill_chunk: chunk, ..options(DType::Q8_0, kv) };
        let mut one = Session::load(cpu(1), demo(), &options, &mut |_| ()).expect("the model loads");
        let mut two = hybrid(cpu(2), &options);
        let expected = generate(&mut one, 40, sampling);
        let prompt = expected.prompt_tokens;
        // In the middle of the text, at its first token, behind a prompt on the other side, or never.
        for (switch, moves) in [
            (Switch::at(NEVER), 0),
            (Switch::at(prompt + 20), 1),
            (Switch { prompt: NEVER, decode: 0 }, 1),
            (Switch { prompt: 0, decode: NEVER }, 1),
            (Switch { prompt: prompt + 1, decode: prompt + 30 }, 1),
            (Switch { prompt, decode: prompt + 30 }, 2),
            (Switch::at(1), 0),
        ] {
            two.set_switch(switch);
            two.forget();
            let outcome = generate(&mut two, 40, sampling);
            assert_eq!(outcome.ids, expected.ids, "{switch:?}, {options:?}");
            assert_eq!((outcome.held, outcome.positions), (expected.held, expected.positions));
            assert_eq!(outcome.moved.moves, moves, "{switch:?}");
            // Once more, with the prompt in one of the caches, or in both.
            let again = generate(&mut two, 40, sampling);
            assert_eq!(again.ids, expected.ids, "again, {switch:?}, {options:?}");
            assert_eq!(again.reused_tokens, prompt - 1, "{switch:?}");
        }
    }
}

#[test]
fn only_what_is_new_is_moved() {
    let mut two = hybrid(cpu(1), &options(DType::F16, DType::F16));
    let mut moved = |switch| {
        two.set_switch(switch);
        two.forget();
        let outcome = generate(&mut two, 40, SamplingParams::greedy());
        (outcome.moved, outcome.prompt_tokens)
    };
    let (middle, prompt) = moved(Switch { prompt: NEVER, decode: 40 });
    assert!(prompt < 40);
    assert_eq!(middle, MoveStats { moves: 1, tokens: 40 });
    // The prompt comes back when the text goes on, and goes over again with the ten tokens since.
    let (there_and_back, _) = moved(Switch { prompt: 0, decode: prompt + 10 });
    assert_eq!(there_and_back, MoveStats { moves: 2, tokens: prompt + 10 });
    assert_eq!(moved(Switch::at(1)).0, MoveStats::default());
}

#[test]
fn evictions_are_as_with_one_backend() {
    let eviction = Eviction::new(&POLICIES[0], 40, 4, 0.75).expect("a sound setting");
    let options = SessionOptions { eviction: Some(eviction), ..options(DType::Q8_0, DType::F16) };
    let mut one = Session::load(cpu(1), demo(), &options, &mut |_| ()).expect("the model loads");
    let expected = generate(&mut one, 120, SamplingParams::greedy());
    assert!(expected.eviction.evictions > 5);
    let mut two = hybrid(cpu(1), &options);
    for switch in [Switch::at(1), Switch::at(35), Switch { prompt: 0, decode: NEVER }] {
        two.set_switch(switch);
        let outcome = generate(&mut two, 120, SamplingParams::greedy());
        assert_eq!(outcome.ids, expected.ids, "{switch:?}");
        assert_eq!((outcome.eviction, outcome.held), (expected.eviction, expected.held), "{switch:?}");
        assert!(outcome.moved.moves > 0, "{switch:?}");
    }
    // Likelihoods are the first backend's, whatever went before.
    let ids: Vec<u32> = (3..100).collect();
    let scores = |session: &mut Session| {
        let mut all = Vec::new();
        session.score(&ids, 90, &mut |_, logits| all.extend_from_slice(logits)).expect("the ids are known");
        all
    };
    assert_eq!(scores(&mut two), scores(&mut one));
}

#[test]
fn backends_that_keep_keys_in_another_order_understand_each_other() {
    for kv in [DType::F32, DType::F16] {
        let options = options(DType::F32, kv);
        let mut one = Session::load(cpu(1), demo(), &options, &mut |_| ()).expect("the model loads");
        let expected = generate(&mut one, 16, SamplingParams::greedy());
        let mut two = hybrid(ReferenceBackend, &options);
        for switch in [
            Switch { prompt: NEVER, decode: expected.prompt_tokens + 8 },
            Switch { prompt: 0, decode: NEVER },
        ] {
            two.set_switch(switch);
            assert_eq!(generate(&mut two, 16, SamplingParams::greedy()).ids, expected.ids, "{switch:?}");
        }
    }
}

#[test]
fn a_calibration_chooses_and_leaves_no_trace() {
    let options = options(DType::F32, DType::F16);
    let mut one = Session::load(cpu(1), demo(), &options, &mut |_| ()).expect("the model loads");
    let time = std::time::Duration::from_millis(50);
    assert_eq!(one.calibrate(time).expect("nothing to do"), None);
    let expected = generate(&mut one, 20, SamplingParams::greedy());
    let mut two = hybrid(ReferenceBackend, &options);
    let found = two.calibrate(time).expect("both can be timed").expect("there are two");
    // Which was faster is for the machine to say, whatever else it had to do; what follows from it is not.
    assert_eq!(found.switch.decode == 0, found.decode[1] < found.decode[0], "{found:?}");
    assert!((1..=16).contains(&found.rows), "{found:?}");
    let outcome = generate(&mut two, 20, SamplingParams::greedy());
    assert_eq!((&outcome.ids, outcome.reused_tokens), (&expected.ids, 0), "{found:?}");
    let sides = (outcome.prompt_tokens >= found.switch.prompt, found.switch.decode == 0);
    assert_eq!(outcome.moved.moves, usize::from(sides.0 != sides.1), "{found:?}");
}
