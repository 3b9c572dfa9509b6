//! Quantized weights: how much of the model's quality is left.

use llm_rs2::core::DType;
use llm_rs2::eval::texts;

use super::goldens::{self, F32, Setup};
use super::tolerance;

#[test]
fn q8_0_costs_next_to_nothing_and_q4_0_little() {
    let Some(golden) = goldens::stories260k("q8_0_costs_next_to_nothing_and_q4_0_little") else { return };
    let session = |weights| goldens::session(goldens::cpu(2), &golden.dir, Setup { weights, ..F32 });
    // The model's own distribution, so that what another format adds is its divergence from f32.
    let texts = texts::make_up(&mut session(DType::F32), 1, 8, 250).expect("generation succeeds");
    assert!(texts.iter().map(Vec::len).sum::<usize>() > 1000, "too few tokens to tell a small difference");
    let [f32, q8, q41, q4] = [DType::F32, DType::Q8_0, DType::Q4_1, DType::Q4_0]
        .map(|dtype| texts::score(&mut session(dtype), &texts).expect("scoring succeeds").mean_nll());
    assert!((q8 / f32 - 1.0).abs() < tolerance::NLL_Q8_0, "f32 {f32}, q8_0 {q8}");
    // 4 bits cost a 260k-parameter model visibly; a mistake in a scale or a nibble costs it everything
    // (a model that knows nothing has ln 512 = 6.2).
    for (name, nll) in [("q4_0", q4), ("q4_1", q41)] {
        assert!(nll > f32 && nll < 1.25 * f32, "f32 {f32}, {name} {nll}");
    }
}
