//! f32 weights: logits, ranks, likelihood and greedy text, on both backends.

use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::core::{Backend, DType};
use llm_rs2::eval::texts;

use super::goldens::{self, Case, F32, Golden, Setup};
use super::tolerance;

fn spread(logits: &[f32]) -> f32 {
    let (low, high) =
        logits.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    high - low
}

/// Compares every last logit, the order of the top 10 at every position, and the likelihood.
pub fn check<B: Backend>(make: impl Fn() -> B, golden: &Golden, setup: Setup, share: f32, nll: f64) {
    let mut session = goldens::session(make(), &golden.dir, setup);
    for (index, case) in golden.cases.iter().enumerate() {
        let what = format!("{} case {index}", golden.dir.display());
        let rows = goldens::logits(&mut session, &case.input_ids);
        assert_eq!(rows.len(), case.input_ids.len(), "{what}");
        let last = rows.last().expect("no case is empty");
        assert_eq!(last.len(), case.last_logits.len(), "{what}");
        let bound = share * spread(&case.last_logits);
        for (id, (ours, theirs)) in last.iter().zip(&case.last_logits).enumerate() {
            assert!((ours - theirs).abs() <= bound, "{what}: logit {id} is {ours}, expected {theirs}");
        }
        for (position, row) in rows.iter().enumerate() {
            check_top10(row, &case.top10_ids[position], 2.0 * share * spread(row), &what, position);
        }
        if let Some(expected) = case.mean_nll {
            let texts = std::slice::from_ref(&case.input_ids);
            let ours = texts::score(&mut session, texts).expect("scoring succeeds").mean_nll();
            assert!((ours - expected).abs() <= nll, "{what}: mean NLL {ours}, expected {expected}");
        }
    }
}

/// Ours and theirs may differ in a rank only where our logits for the two ids are within `gap`.
fn check_top10(row: &[f32], theirs: &[u32], gap: f32, what: &str, position: usize) {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    assert_eq!(theirs.len(), 10);
    for (rank, (&ours, &theirs)) in order.iter().zip(theirs).enumerate() {
        let distance = row[ours] - row[theirs as usize];
        assert!(
            distance.abs() <= gap,
            "{what}: position {position} rank {rank} is {ours}, expected {theirs}"
        );
    }
}

pub fn check_greedy<B: Backend>(make: impl Fn() -> B, golden: &Golden, setup: Setup) {
    let mut session = goldens::session(make(), &golden.dir, setup);
    for (index, Case { input_ids, greedy_ids, .. }) in golden.cases.iter().enumerate() {
        let ours = goldens::greedy(&mut session, input_ids, greedy_ids.len());
        assert_eq!(&ours, greedy_ids, "{} case {index}", golden.dir.display());
    }
}

#[test]
fn reference_backend_agrees_with_hugging_face() {
    for golden in goldens::all("reference_backend_agrees_with_hugging_face") {
        check(|| ReferenceBackend, &golden, F32, tolerance::LOGITS, tolerance::NLL);
        check_greedy(|| ReferenceBackend, &golden, F32);
    }
}

#[test]
fn cpu_backend_agrees_with_hugging_face_on_1_2_and_3_threads() {
    for golden in goldens::all("cpu_backend_agrees_with_hugging_face_on_1_2_and_3_threads") {
        for threads in 1..=3 {
            check(|| goldens::cpu(threads), &golden, F32, tolerance::LOGITS, tolerance::NLL);
            check_greedy(|| goldens::cpu(threads), &golden, F32);
        }
    }
}

#[test]
fn prefill_in_chunks_agrees_too_and_is_the_same_to_the_bit_on_the_cpu() {
    for golden in goldens::all("prefill_in_chunks_agrees_too_and_is_the_same_to_the_bit_on_the_cpu") {
        let mut whole = goldens::session(goldens::cpu(2), &golden.dir, F32);
        for chunk in [1, 7, 64] {
            let setup = Setup { chunk, ..F32 };
            check(|| ReferenceBackend, &golden, setup, tolerance::LOGITS, tolerance::NLL);
            check(|| goldens::cpu(2), &golden, setup, tolerance::LOGITS, tolerance::NLL);
            check_greedy(|| goldens::cpu(2), &golden, setup);
            let mut parts = goldens::session(goldens::cpu(2), &golden.dir, setup);
            for case in &golden.cases {
                let bits = |rows: Vec<Vec<f32>>| -> Vec<u32> {
                    rows.into_iter().flatten().map(f32::to_bits).collect()
                };
                let expected = bits(goldens::logits(&mut whole, &case.input_ids));
                assert_eq!(bits(goldens::logits(&mut parts, &case.input_ids)), expected, "chunk {chunk}");
            }
        }
    }
}

#[test]
fn f16_keys_and_values_stay_within_their_tolerance() {
    for golden in goldens::all("f16_keys_and_values_stay_within_their_tolerance") {
        let setup = Setup { kv: DType::F16, ..F32 };
        check(|| ReferenceBackend, &golden, setup, tolerance::LOGITS_F16_KV, tolerance::NLL_F16_KV);
        check(|| goldens::cpu(2), &golden, setup, tolerance::LOGITS_F16_KV, tolerance::NLL_F16_KV);
    }
}

#[test]
fn q8_0_keys_and_values_stay_within_their_tolerance() {
    for golden in goldens::all("q8_0_keys_and_values_stay_within_their_tolerance") {
        let setup = Setup { kv: DType::Q8_0, ..F32 };
        check(|| ReferenceBackend, &golden, setup, tolerance::LOGITS_Q8_0_KV, tolerance::NLL_Q8_0_KV);
        check(|| goldens::cpu(2), &golden, setup, tolerance::LOGITS_Q8_0_KV, tolerance::NLL_Q8_0_KV);
    }
}
