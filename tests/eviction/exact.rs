//! What is computed is full attention with a mask, at every step and on every way to get there.

use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::core::{DType, KvTypes};
use llm_rs2::engine::{LookupStats, SessionOptions};
use llm_rs2::kv::EvictionStats;
use llm_rs2::sampling::SamplingParams;

use super::spy::Spy;
use super::{LAYERS, cpu, exact_options, greedy, logits, session, sliding, text};

const TOLERANCE: f32 = 1e-4;

/// The positions that each position of a text sees: whenever `window` are held and another comes, the oldest behind
/// the first `protected` go until `target` are left.
fn visible(tokens: usize, window: usize, protected: usize, target: usize) -> Vec<Vec<usize>> {
    let mut held = Vec::new();
    (0..tokens)
        .map(|position| {
            if held.len() == window {
                held.drain(protected..protected + window - target);
            }
            held.push(position);
            held.clone()
        })
        .collect()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn sliding_is_full_attention_with_a_mask_at_every_step() {
    let ids = text(400);
    let everything: Vec<Vec<usize>> = (0..ids.len()).map(|p| (0..=p).collect()).collect();
    let oracle = |mask| {
        logits(&mut session(Spy::masked(ReferenceBackend, LAYERS, mask), exact_options(None, 64)), &ids, 0)
    };
    let unmasked = oracle(everything);
    for (window, protected, ratio, target, chunk) in
        [(48, 4, 0.75, 36, 20), (33, 1, 0.5, 16, 1), (100, 0, 0.9, 90, 256)]
    {
        let expected = oracle(visible(ids.len(), window, protected, target));
        let eviction = sliding(window, protected, ratio);
        assert_eq!(eviction.target(), target);
        let mut subject = session(ReferenceBackend, exact_options(Some(eviction), chunk));
        let got = logits(&mut subject, &ids, 0);
        assert_eq!(got.len(), ids.len());
        for (step, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let apart = apart(got, expected);
            assert!(apart <= TOLERANCE, "window {window}, step {step}: {apart} apart");
        }
        let evictions = (ids.len() - window).div_ceil(window - target);
        let evicted = evictions * (window - target);
        assert_eq!(subject.eviction_stats(), EvictionStats { evictions, evicted });
        // Until the first eviction nothing differs from full attention, and from then on it does.
        let differs = |step: usize| apart(&got[step], &unmasked[step]);
        assert!((0..window).all(|step| differs(step) <= TOLERANCE));
        assert!((window..ids.len()).all(|step| differs(step) > TOLERANCE), "the mask is seen");
    }
}

#[test]
fn generation_follows_the_oracle_through_prompt_and_text() {
    let (window, protected, ratio, target) = (32, 4, 0.75, 24);
    let mut subject = session(ReferenceBackend, exact_options(Some(sliding(window, protected, ratio)), 13));
    let prompt = text(75);
    let outcome = subject.generate(&greedy(prompt.clone(), 150), &mut ()).expect("generates");
    assert_eq!((outcome.ids.len(), outcome.positions), (150, 224));
    assert_eq!(outcome.held, visible(224, window, protected, target).pop().map_or(0, |held| held.len()));
    let all = [prompt.clone(), outcome.ids].concat();
    let mask = visible(all.len(), window, protected, target);
    let mut oracle = session(Spy::masked(ReferenceBackend, LAYERS, mask), exact_options(None, 64));
    for (step, logits) in logits(&mut oracle, &all[..all.len() - 1], prompt.len() - 1).iter().enumerate() {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let chosen = logits[all[prompt.len() + step] as usize];
        assert!(largest - chosen <= TOLERANCE, "step {step}");
    }
}

#[test]
fn bits_depend_on_neither_threads_nor_chunks() {
    let ids = text(500);
    let kv_types: [KvTypes; 4] = [
        DType::F16.into(),
        DType::F32.into(),
        DType::Q8_0.into(),
        KvTypes { k: DType::Q4_0, v: DType::Q8_0 },
    ];
    for (weight_dtype, kv_types) in
        [DType::Q8_0, DType::F32, DType::Q4_0, DType::Q8_0].into_iter().zip(kv_types)
    {
        let run = |threads, prefill_chunk| {
            let base = exact_options(Some(sliding(150, 4, 0.6)), prefill_chunk);
            let options = SessionOptions { weight_dtype, kv_types, ..base };
            let rows = logits(&mut session(cpu(threads), options), &ids, 120);
            rows.iter().flatten().map(|logit| logit.to_bits()).collect::<Vec<u32>>()
        };
        let expected = run(1, 1);
        for (threads, chunk) in [(2, 7), (1, 64), (2, 150), (2, 1000)] {
            assert!(
                run(threads, chunk) == expected,
                "{weight_dtype} {kv_types} {threads} threads, chunks of {chunk}"
            );
        }
    }
}

#[test]
fn prompt_lookup_says_the_same() {
    let base = SessionOptions { weight_dtype: DType::Q8_0, ..exact_options(None, 17) };
    // What repeats is drafted.
    let prompt: Vec<u32> = (0..90).map(|i| 3 + i % 7).collect();
    let stored = [DType::F16, DType::Q8_0, DType::Q4_0];
    for ((window, ratio), kv) in [(40, 0.75), (64, 0.95), (12, 0.5)].into_iter().zip(stored) {
        let kv_types = kv.into();
        let base = SessionOptions { eviction: Some(sliding(window, 4, ratio)), kv_types, ..base };
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
            assert_eq!(without.lookup, LookupStats::default());
            accepted += with.lookup.accepted;
        }
        assert!(accepted > 50, "window {window}: {accepted}");
    }
}
