//! What llama.cpp computes for a file (`scripts/llama_cpp_reference.cpp`), and how far our figures are from it.

use std::path::Path;

use llm_rs2::core::DType;
use llm_rs2::engine::{ModelFiles, Session, SessionOptions};
use llm_rs2::models::WeightPlan;
use serde::Deserialize;

use super::parity::goldens::{cpu, logits};

/// A text, and what llama.cpp computes for it.
#[derive(Deserialize)]
pub struct Case {
    pub file: String,
    pub ids: Vec<u32>,
    /// Mean negative log-likelihood of each token but the first.
    pub mean_nll: f64,
    /// The last logits are those of every `stride`-th token.
    stride: usize,
    last_logits: Vec<f32>,
    pub greedy: Vec<u32>,
}

/// The cases of a fixture.
pub fn reference(path: &Path) -> Vec<Case> {
    #[derive(Deserialize)]
    struct Reference {
        cases: Vec<Case>,
    }
    let text = std::fs::read(path).expect("the fixture is readable");
    serde_json::from_slice::<Reference>(&text).expect("the fixture is well formed").cases
}

pub fn session(path: &Path, weights: impl Into<WeightPlan>, kv: DType) -> Session {
    let files = ModelFiles::open(path).expect("the model opens");
    let options = SessionOptions {
        weights: weights.into(),
        kv_types: kv.into(),
        max_seq_len: 1024,
        ..SessionOptions::default()
    };
    Session::load(cpu(2), files, &options, &mut |_| ()).expect("the model loads")
}

/// How far a session is from llama.cpp: the mean NLL as a share of the reference's, and the root of the mean squared
/// difference of the last logits as a share of the reference's standard deviation.
pub fn difference(session: &mut Session, case: &Case) -> (f64, f64) {
    let rows = logits(session, &case.ids);
    let nll = mean_nll(&rows, &case.ids);
    let last = rows.last().expect("a row for each token");
    ((nll / case.mean_nll - 1.0).abs(), distance(last, case))
}

fn mean_nll(rows: &[Vec<f32>], ids: &[u32]) -> f64 {
    let each = rows.iter().zip(&ids[1..]).map(|(row, &id)| {
        let top = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = row.iter().map(|&x| (f64::from(x) - top).exp()).sum();
        top + sum.ln() - f64::from(row[id as usize])
    });
    each.sum::<f64>() / (ids.len() - 1) as f64
}

fn distance(row: &[f32], case: &Case) -> f64 {
    let ours: Vec<f64> = row.iter().step_by(case.stride).map(|&x| f64::from(x)).collect();
    let theirs: Vec<f64> = case.last_logits.iter().map(|&x| f64::from(x)).collect();
    assert_eq!(ours.len(), theirs.len(), "{}: one vocabulary", case.file);
    let n = theirs.len() as f64;
    let mean = theirs.iter().sum::<f64>() / n;
    let variance = theirs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let error = ours.iter().zip(&theirs).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / n;
    (error / variance).sqrt()
}
