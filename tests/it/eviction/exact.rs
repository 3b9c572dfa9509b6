//! What is computed is full attention with a mask, at every step and on every way to get there.

use std::io::Write as _;

use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::core::{DType, KvTypes};
use llm_rs2::engine::{DraftStats, SessionOptions};
use llm_rs2::kv::EvictionStats;
use llm_rs2::sampling::SamplingParams;

use super::spy::{Heavy, Rule, Spy};
use super::{LAYERS, apart, by, cpu, exact_options, greedy, logits, session, text, visible};

const TOLERANCE: f32 = 1e-4;

/// Policies whose choice can be written down, and whether positions are counted inside the cache.
const POLICIES: [(&str, bool); 2] = [("sliding", false), ("streaming", true)];

/// All of them.
const ALL: [&str; 3] = ["sliding", "streaming", "h2o"];

/// The logits behind each of `ids` by full attention over them under a rule, by plain loops.
fn oracle(ids: &[u32], visible: Vec<Vec<usize>>, in_cache: bool) -> Vec<Vec<f32>> {
    let spy = Spy::oracle(ReferenceBackend, LAYERS, Rule { visible, heavy: None, in_cache });
    logits(&mut session(spy, exact_options(None, 64)), ids, 0)
}

#[test]
fn every_step_is_full_attention_with_a_mask_and_the_positions_in_force() {
    let ids = text(400);
    let unmasked = oracle(&ids, (0..ids.len()).map(|p| (0..=p).collect()).collect(), false);
    for (window, protected, ratio, target, chunk) in
        [(48, 4, 0.75, 36, 20), (33, 1, 0.5, 16, 1), (100, 0, 0.9, 90, 256)]
    {
        let mut all = Vec::new();
        for (policy, in_cache) in POLICIES {
            let expected = oracle(&ids, visible(ids.len(), window, protected, target), in_cache);
            let eviction = by(policy, window, protected, ratio);
            assert_eq!(eviction.target(), target);
            let mut subject = session(ReferenceBackend, exact_options(Some(eviction), chunk));
            let got = logits(&mut subject, &ids, 0);
            assert_eq!(got.len(), ids.len());
            for (step, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let apart = apart(got, expected);
                assert!(apart <= TOLERANCE, "{policy}, window {window}, step {step}: {apart} apart");
            }
            let evictions = (ids.len() - window).div_ceil(window - target);
            let evicted = evictions * (window - target);
            assert_eq!(subject.eviction_stats(), EvictionStats { evictions, evicted, for_memory: 0 });
            // Until the first eviction nothing differs from full attention, and from then on it does.
            let differs = |step: usize| apart(&got[step], &unmasked[step]);
            assert!((0..window).all(|step| differs(step) <= TOLERANCE));
            assert!((window..ids.len()).all(|step| differs(step) > TOLERANCE), "the mask is seen");
            all.push(got);
        }
        // Without sinks the two are the same, but for rounding; with them their positions are seen.
        let differ = (window..ids.len()).filter(|&step| apart(&all[0][step], &all[1][step]) > TOLERANCE);
        let differ = differ.count();
        assert_eq!(differ, if protected > 0 { ids.len() - window } else { 0 });
    }
}

/// For long enough that errors would add up if they could.
#[test]
fn three_thousand_steps_stay_with_the_oracle() {
    let ids = text(3000);
    for (policy, in_cache) in POLICIES {
        let expected = oracle(&ids, visible(ids.len(), 64, 4, 48), in_cache);
        let options = exact_options(Some(by(policy, 64, 4, 0.75)), 37);
        stays_with(&expected, &logits(&mut session(ReferenceBackend, options), &ids, 0), policy, "reference");
        stays_with(&expected, &logits(&mut session(cpu(2), options), &ids, 0), policy, "cpu");
    }
}

fn stays_with(expected: &[Vec<f32>], got: &[Vec<f32>], policy: &str, backend: &str) {
    assert_eq!(got.len(), expected.len());
    let mut worst = (0.0, 0);
    for (step, (got, expected)) in got.iter().zip(expected).enumerate() {
        worst = if apart(got, expected) > worst.0 { (apart(got, expected), step) } else { worst };
    }
    let (far, step) = worst;
    let _ = writeln!(std::io::stderr(), "{policy} on {backend}: at most {far:.1e} apart (step {step})");
    assert!(far <= TOLERANCE, "{policy} on {backend}: {far} apart at step {step}");
}

/// Which tokens stay is worked out from the oracle's own attention.
#[test]
fn heavy_hitters_are_those_of_the_oracle() {
    let ids = text(400);
    for (window, protected, ratio, target) in [(48, 4, 0.75, 36), (33, 0, 0.5, 16)] {
        let visible = vec![Vec::new(); ids.len()];
        let rule = Rule { visible, heavy: Some(Heavy { window, protected, target }), in_cache: false };
        let spy = Spy::oracle(ReferenceBackend, LAYERS, rule);
        let expected = logits(&mut session(spy, exact_options(None, 1)), &ids, 0);
        let options = exact_options(Some(by("h2o", window, protected, ratio)), 20);
        let sliding = exact_options(Some(by("sliding", window, protected, ratio)), 20);
        let sliding = logits(&mut session(ReferenceBackend, sliding), &ids, 0);
        for got in [
            logits(&mut session(ReferenceBackend, options), &ids, 0),
            logits(&mut session(cpu(2), options), &ids, 0),
        ] {
            for (step, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let far = apart(got, expected);
                assert!(far <= TOLERANCE, "window {window}, step {step}: {far} apart");
            }
            assert!((window..ids.len()).all(|step| apart(&got[step], &sliding[step]) > TOLERANCE));
        }
    }
}

#[test]
fn generation_follows_the_oracle_through_prompt_and_text() {
    let (window, protected, ratio, target) = (32, 4, 0.75, 24);
    for (policy, in_cache) in POLICIES {
        let eviction = by(policy, window, protected, ratio);
        let mut subject = session(ReferenceBackend, exact_options(Some(eviction), 13));
        let prompt = text(75);
        let outcome = subject.generate(&greedy(prompt.clone(), 150), &mut ()).expect("generates");
        assert_eq!((outcome.ids.len(), outcome.positions), (150, 224));
        let held = visible(224, window, protected, target).pop().map_or(0, |held| held.len());
        assert_eq!(outcome.held, held);
        let all = [prompt.clone(), outcome.ids].concat();
        let expected = oracle(&all[..224], visible(224, window, protected, target), in_cache);
        for (step, logits) in expected[prompt.len() - 1..].iter().enumerate() {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let chosen = logits[all[prompt.len() + step] as usize];
            assert!(largest - chosen <= TOLERANCE, "{policy}, step {step}");
        }
    }
}

#[test]
fn bits_depend_on_neither_threads_nor_chunks() {
    let ids = text(330);
    let types: [(DType, KvTypes); 4] = [
        (DType::Q8_0, DType::F16.into()),
        (DType::F32, DType::F32.into()),
        (DType::Q4_0, DType::Q8_0.into()),
        (DType::Q8_0, KvTypes { k: DType::Q4_0, v: DType::Q8_0 }),
    ];
    for (policy, (weight_dtype, kv_types)) in ALL.into_iter().flat_map(|p| types.map(|t| (p, t))) {
        let run = |threads, prefill_chunk| {
            let base = exact_options(Some(by(policy, 150, 4, 0.6)), prefill_chunk);
            let options = SessionOptions { weights: weight_dtype.into(), kv_types, ..base };
            let rows = logits(&mut session(cpu(threads), options), &ids, 120);
            rows.iter().flatten().map(|logit| logit.to_bits()).collect::<Vec<u32>>()
        };
        let expected = run(1, 1);
        for (threads, chunk) in [(2, 7), (1, 64), (2, 150), (2, 1000)] {
            assert!(
                run(threads, chunk) == expected,
                "{policy} {weight_dtype} {kv_types} {threads} threads, chunks of {chunk}"
            );
        }
    }
}

#[test]
fn prompt_lookup_says_the_same() {
    let base = SessionOptions { weights: DType::Q8_0.into(), ..exact_options(None, 17) };
    // What repeats is drafted.
    let prompt: Vec<u32> = (0..90).map(|i| 3 + i % 7).collect();
    let windows = [(40, 0.75, DType::F16), (64, 0.95, DType::Q8_0), (12, 0.5, DType::Q4_0)];
    for (policy, (window, ratio, kv)) in ALL.into_iter().flat_map(|p| windows.map(|w| (p, w))) {
        let kv_types = kv.into();
        let base = SessionOptions { eviction: Some(by(policy, window, 4, ratio)), kv_types, ..base };
        let mut plain = session(cpu(1), base);
        let mut drafting = session(cpu(2), SessionOptions { lookup: 6, ..base });
        let mut accepted = 0;
        for temperature in [0.0, 0.6] {
            let mut request = greedy(prompt.clone(), 250);
            // Said again and again.
            request.sampling =
                SamplingParams { temperature, frequency_penalty: -4.0, ..SamplingParams::default() };
            let without = plain.generate(&request, &mut ()).expect("generates");
            let with = drafting.generate(&request, &mut ()).expect("generates");
            assert_eq!((&with.ids, &with.finish), (&without.ids, &without.finish));
            assert_eq!((with.eviction, with.positions), (without.eviction, without.positions));
            assert!(with.eviction.evictions > 5, "{:?}", with.eviction);
            assert_eq!(without.lookup, DraftStats::default());
            accepted += with.lookup.accepted;
        }
        assert!(accepted > 50, "{policy}, window {window}: {accepted}");
    }
}
