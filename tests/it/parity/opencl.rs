//! The OpenCL backend: the same checks as for the others, on whatever device is here.

use llm_rs2::backend::opencl::{Counters, DeviceCache, OpenClBackend, OpenClError, OpenClOptions, Preset};
use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::core::DType;
use llm_rs2::engine::{ModelFiles, Request, Session, Switch};
use llm_rs2::models::ModelSpec;
use llm_rs2::sampling::SamplingParams;

use super::full_precision::{check, check_greedy};
use super::goldens::{self, F32, Golden, Setup};
use super::tolerance;

/// The default device; `None`, and `test` is skipped, where there is none.
pub fn gpu(test: &str) -> Option<OpenClBackend> {
    let found = with(None);
    if found.is_none() {
        crate::skip::skipped(test, "there is no OpenCL device");
    }
    found
}

/// The default device with these kernels; `None` where there is none.
fn with(preset: Option<Preset>) -> Option<OpenClBackend> {
    let cache = DeviceCache::new(Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/kernels").into()));
    match OpenClBackend::new(OpenClOptions { cache, preset, ..OpenClOptions::default() }) {
        Ok(gpu) => Some(gpu),
        Err(OpenClError::Static | OpenClError::NoLibrary { .. } | OpenClError::NoDevice { .. }) => None,
        Err(e) => panic!("{e}"),
    }
}

pub fn again() -> OpenClBackend {
    gpu("").expect("the device was there before")
}

#[test]
fn opencl_agrees_with_hugging_face_whole_and_in_chunks() {
    let test = "opencl_agrees_with_hugging_face_whole_and_in_chunks";
    let Some(_) = gpu(test) else { return };
    for golden in goldens::all(test) {
        for chunk in [512, 7] {
            let setup = Setup { chunk, ..F32 };
            check(again, &golden, setup, tolerance::LOGITS, tolerance::NLL);
            check_greedy(again, &golden, setup);
        }
    }
}

#[test]
fn opencl_with_f16_keys_and_values_stays_within_their_tolerance() {
    let test = "opencl_with_f16_keys_and_values_stays_within_their_tolerance";
    let Some(_) = gpu(test) else { return };
    for golden in goldens::all(test) {
        let setup = Setup { kv: DType::F16, ..F32 };
        check(again, &golden, setup, tolerance::LOGITS_F16_KV, tolerance::NLL_F16_KV);
    }
}

#[test]
fn opencl_with_q8_0_keys_and_values_stays_within_their_tolerance() {
    let test = "opencl_with_q8_0_keys_and_values_stays_within_their_tolerance";
    let Some(_) = gpu(test) else { return };
    for golden in goldens::all(test) {
        let setup = Setup { kv: DType::Q8_0, ..F32 };
        check(again, &golden, setup, tolerance::LOGITS_Q8_0_KV, tolerance::NLL_Q8_0_KV);
    }
}

/// The largest difference of a last logit from the reference backend's, as a share of their spread.
fn from_reference(golden: &Golden, setup: Setup) -> f32 {
    let mut ours = goldens::session(again(), &golden.dir, setup);
    let mut theirs = goldens::session(ReferenceBackend, &golden.dir, setup);
    let mut worst = 0.0f32;
    // One text each: the reference is slow.
    for case in &golden.cases[..1] {
        let [ours, theirs] =
            [goldens::logits(&mut ours, &case.input_ids), goldens::logits(&mut theirs, &case.input_ids)]
                .map(|rows| rows.last().cloned().expect("no case is empty"));
        let (low, high) = theirs.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        let far = ours.iter().zip(&theirs).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        worst = worst.max(far / (high - low));
    }
    worst
}

#[test]
fn opencl_computes_every_weight_format_as_the_reference_does() {
    let test = "opencl_computes_every_weight_format_as_the_reference_does";
    let Some(_) = gpu(test) else { return };
    for golden in goldens::all(test) {
        for weights in [DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1] {
            let far = from_reference(&golden, Setup { weights, ..F32 });
            let bound = if weights.is_quantized() { tolerance::LOGITS_INT8_INPUT } else { tolerance::LOGITS };
            assert!(far <= bound, "{}, {weights}: {far}", golden.dir.display());
        }
    }
}

/// What happens on the device for one more token of text, but for rounding the inputs of linear layers where integers
/// or numbers of fp16 are multiplied; and the model's configuration.
fn per_token(sampling: SamplingParams) -> Option<(Counters, ModelSpec)> {
    let gpu = gpu("a_token_costs_no_memory_and_one_wait")?;
    let rounds = gpu.converts_inputs();
    let monitor = gpu.monitor();
    let golden = goldens::all("").swap_remove(0);
    let setup = Setup { weights: DType::Q4_0, kv: DType::F16, chunk: 64 };
    let mut session = goldens::session(gpu, &golden.dir, setup);
    let mut run = |tokens| {
        let request = Request {
            prompt: golden.cases[0].input_ids[..1].to_vec(),
            max_tokens: Some(tokens),
            sampling,
            stop: Vec::new(),
            ignore_eos: true,
            ..Request::default()
        };
        let before = monitor.counters();
        assert_eq!(session.generate(&request, &mut ()).expect("generation succeeds").ids.len(), tokens);
        monitor.counters() - before
    };
    run(5);
    let (short, long) = (run(5), run(6));
    let spec = session.spec().clone();
    // Four inputs a layer, and that of the output matrix.
    let roundings = if rounds { 4 * spec.layers.len() as u64 + 1 } else { 0 };
    let one = long - short;
    Some((Counters { launches: one.launches - roundings, ..one }, spec))
}

#[test]
fn a_token_costs_no_memory_and_one_wait() {
    let Some((greedy, spec)) = per_token(SamplingParams::greedy()) else { return };
    let expected = Counters {
        // Embedding and its norm; eight kernels for attention, five behind it and their sum (with the next norm) in
        // each layer; the token's row, norm, output matrix; the largest logit in two steps.
        launches: 2 + 14 * spec.layers.len() as u64 + 3 + 2,
        blocking: 1,
        // The token and its angles.
        written: 4 + 4 * spec.ropes[0].dims as u64,
        // The likeliest token, and whether a logit is broken.
        read: 8,
        allocations: 0,
        builds: 0,
    };
    assert_eq!(greedy, expected);
    let Some((sampled, _)) = per_token(SamplingParams::default()) else { return };
    // The bar, and a few hundred values that reach it; of a small vocabulary all logits.
    let (more, read) = if spec.vocab_size > 32_000 { (1, 2060) } else { (-2, 4 * spec.vocab_size as u64) };
    let launches = expected.launches.strict_add_signed(more);
    assert_eq!(sampled, Counters { launches, read, ..expected });
    let penalized = SamplingParams { repetition_penalty: 1.1, ..SamplingParams::default() };
    let Some((whole, _)) = per_token(penalized) else { return };
    let read = 4 * spec.vocab_size as u64;
    assert_eq!(whole, Counters { launches: expected.launches - 2, read, ..expected });
}

#[test]
fn candidates_from_the_device_give_the_text_of_all_logits() {
    let Some(gpu) = gpu("candidates_from_the_device_give_the_text_of_all_logits") else { return };
    let monitor = gpu.monitor();
    let golden = goldens::all("").swap_remove(0);
    let mut session = goldens::session(gpu, &golden.dir, F32);
    let mut run = |presence_penalty| {
        let before = monitor.counters();
        let request = Request {
            prompt: golden.cases[0].input_ids[..2].to_vec(),
            max_tokens: Some(30),
            // Hot, so that it matters who the candidates are.
            sampling: SamplingParams {
                temperature: 3.0,
                top_k: 40,
                presence_penalty,
                ..SamplingParams::default()
            },
            stop: Vec::new(),
            ignore_eos: true,
            ..Request::default()
        };
        let ids = session.generate(&request, &mut ()).expect("generation succeeds").ids;
        (ids, (monitor.counters() - before).read)
    };
    let (few, read) = run(0.0);
    // A penalty that changes no logit, but needs all.
    let (whole, read_whole) = run(1e-30);
    assert_eq!(few, whole);
    assert!(read <= read_whole);
}

#[test]
fn a_text_that_goes_over_to_the_device_is_that_of_the_cpu() {
    let test = "a_text_that_goes_over_to_the_device_is_that_of_the_cpu";
    let Some(_) = gpu(test) else { return };
    let greedy = |session: &mut Session, prompt: &[u32]| {
        let request = Request {
            prompt: prompt.to_vec(),
            max_tokens: Some(12),
            sampling: SamplingParams::greedy(),
            stop: Vec::new(),
            ignore_eos: true,
            ..Request::default()
        };
        session.generate(&request, &mut ()).expect("generation succeeds")
    };
    for golden in goldens::all(test) {
        for setup in [F32, Setup { kv: DType::F16, chunk: 5, ..F32 }] {
            let mut one = goldens::session(goldens::cpu(1), &golden.dir, setup);
            let files = ModelFiles::open(&golden.dir).expect("the golden's files are whole");
            let mut two =
                Session::load_hybrid(goldens::cpu(1), again(), files, &goldens::options(setup), &mut |_| ())
                    .expect("the model loads");
            for case in &golden.cases[..1] {
                let prompt = &case.input_ids;
                let expected = greedy(&mut one, prompt);
                let never = usize::MAX;
                for (switch, moves) in [
                    (Switch { prompt: never, decode: prompt.len() + 4 }, 1),
                    (Switch { prompt: 0, decode: never }, 1),
                    (Switch { prompt: 0, decode: prompt.len() + 4 }, 2),
                    (Switch::at(1), 0),
                ] {
                    two.set_switch(switch);
                    two.forget();
                    let outcome = greedy(&mut two, prompt);
                    let place = golden.dir.display();
                    assert_eq!(outcome.ids, expected.ids, "{place}, {switch:?}");
                    assert_eq!(outcome.moved.moves, moves, "{place}, {switch:?}");
                }
            }
        }
    }
}

#[test]
fn every_set_of_kernels_tells_the_story_of_the_cpu() {
    let Some(chosen) = gpu("every_set_of_kernels_tells_the_story_of_the_cpu") else { return };
    let demo = || ModelFiles::demo().expect("the demo model is inside");
    let options = goldens::options(Setup { weights: DType::BF16, kv: DType::F16, chunk: 64 });
    let story = |session: &mut Session| {
        let request = Request {
            prompt: session.tokenizer().encode("Once upon a time", true).expect("plain text"),
            max_tokens: Some(40),
            sampling: SamplingParams::greedy(),
            stop: Vec::new(),
            ignore_eos: true,
            ..Request::default()
        };
        session.generate(&request, &mut ()).expect("generation succeeds").text
    };
    let load = Session::load(goldens::cpu(1), demo(), &options, &mut |_| ());
    let expected = story(&mut load.expect("the model loads"));
    let subgroups = chosen.device().subgroups.then_some(Preset::SubGroups);
    let images = chosen.device().has_images().then_some(Preset::Images);
    let presets = [Preset::Plain, Preset::Fast, Preset::IntegerDot, Preset::Half];
    for preset in presets.into_iter().chain(subgroups).chain(images) {
        let gpu = with(Some(preset)).expect("the device was there before");
        let load = Session::load_hybrid(goldens::cpu(1), gpu, demo(), &options, &mut |_| ());
        let mut session = load.expect("the model loads");
        // The whole text on the device, and all but the first 20 tokens of it.
        for from in [1, 20] {
            session.set_switch(Switch::at(from));
            assert_eq!(story(&mut session), expected, "{preset:?} from {from} on");
        }
    }
}
