//! Quantized weights: how much of the model's quality is left.

use llm_rs2::core::{Backend, DType};

use crate::goldens::{self, F32, Golden, Setup};
use crate::tolerance;

/// Mean negative log-likelihood over all cases, weighted by tokens. The greedy continuations are scored with
/// the prompts: a longer text, on which the model is sure of itself, and so a sharper measure.
fn mean_nll<B: Backend>(backend: B, golden: &Golden, weights: DType) -> f64 {
    let mut session = goldens::session(backend, &golden.dir, Setup { weights, ..F32 });
    let (mut sum, mut count) = (0.0, 0);
    for case in &golden.cases {
        let ids: Vec<u32> = case.input_ids.iter().chain(&case.greedy_ids).copied().collect();
        sum += session.mean_nll(&ids).expect("scoring succeeds") * (ids.len() - 1) as f64;
        count += ids.len() - 1;
    }
    sum / f64::from(count as u32)
}

#[test]
fn q8_0_costs_next_to_nothing_and_q4_0_little() {
    let Some(golden) = goldens::stories260k("q8_0_costs_next_to_nothing_and_q4_0_little") else { return };
    let [f32, q8, q41, q4] = [DType::F32, DType::Q8_0, DType::Q4_1, DType::Q4_0]
        .map(|dtype| mean_nll(goldens::cpu(2), &golden, dtype));
    assert!((q8 / f32 - 1.0).abs() < tolerance::NLL_Q8_0, "f32 {f32}, q8_0 {q8}");
    // 4 bits cost a 260k-parameter model visibly; a mistake in a scale or a nibble costs it everything
    // (a model that knows nothing has ln 512 = 6.2).
    for (name, nll) in [("q4_0", q4), ("q4_1", q41)] {
        assert!(nll > f32 && nll < 1.5 * f32 + 0.1, "f32 {f32}, {name} {nll}");
    }
}
