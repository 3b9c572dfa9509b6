//! Quantized weights: how much of the model's quality is left.

use llm_rs2::core::{Backend, DType};
use llm_rs2::engine::Request;
use llm_rs2::sampling::SamplingParams;

use crate::goldens::{self, F32, Golden, Setup};
use crate::tolerance;

/// Texts that the f32 model makes up at temperature 1: its own distribution, so that what another format adds
/// to their likelihood is its divergence from f32, and not luck with a few words.
fn sampled_texts(golden: &Golden) -> Vec<Vec<u32>> {
    let mut session = goldens::session(goldens::cpu(2), &golden.dir, F32);
    (0..8)
        .map(|seed| {
            let request = Request {
                prompt: vec![1],
                max_tokens: Some(250),
                sampling: SamplingParams {
                    temperature: 1.0,
                    top_k: 0,
                    top_p: 1.0,
                    seed,
                    ..Default::default()
                },
                stop: Vec::new(),
                ignore_eos: false,
            };
            let ids = session.generate(&request, &mut ()).expect("generation succeeds").ids;
            [vec![1], ids].concat()
        })
        .collect()
}

/// Mean negative log-likelihood of a token, over all texts.
fn mean_nll<B: Backend>(backend: B, golden: &Golden, texts: &[Vec<u32>], weights: DType) -> f64 {
    let mut session = goldens::session(backend, &golden.dir, Setup { weights, ..F32 });
    let (mut sum, mut count) = (0.0, 0.0);
    for ids in texts.iter().filter(|ids| ids.len() > 1) {
        let tokens = (ids.len() - 1) as f64;
        sum += session.mean_nll(ids).expect("scoring succeeds") * tokens;
        count += tokens;
    }
    sum / count
}

#[test]
fn q8_0_costs_next_to_nothing_and_q4_0_little() {
    let Some(golden) = goldens::stories260k("q8_0_costs_next_to_nothing_and_q4_0_little") else { return };
    let texts = sampled_texts(&golden);
    assert!(texts.iter().map(Vec::len).sum::<usize>() > 1000, "too few tokens to tell a small difference");
    let [f32, q8, q41, q4] = [DType::F32, DType::Q8_0, DType::Q4_1, DType::Q4_0]
        .map(|dtype| mean_nll(goldens::cpu(2), &golden, &texts, dtype));
    assert!((q8 / f32 - 1.0).abs() < tolerance::NLL_Q8_0, "f32 {f32}, q8_0 {q8}");
    // 4 bits cost a 260k-parameter model visibly; a mistake in a scale or a nibble costs it everything
    // (a model that knows nothing has ln 512 = 6.2).
    for (name, nll) in [("q4_0", q4), ("q4_1", q41)] {
        assert!(nll > f32 && nll < 1.25 * f32, "f32 {f32}, {name} {nll}");
    }
}
