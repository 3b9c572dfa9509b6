//! How fast a backend is at a model's shape, about.

use std::time::Duration;

use anyhow::Result;

use super::facts::Speed;
use crate::bench::{Budget, Case, Operator, cost, measure};
use crate::core::{Backend, DType};
use crate::models::Decoder;

/// Time that is spent on a backend, without making the weights.
const TIME: Duration = Duration::from_secs(2);

/// What the figures stand for.
pub const METHOD: &str = "the matrices of one layer with random weights, measured for two seconds and scaled to all \
layers and the output matrix; attention and sampling come on top";

/// Rows of a prompt that are taken in at once.
const ROWS: usize = 16;

/// The matrices of a layer.
const MATRICES: [Operator; 4] =
    [Operator::LinearQkv, Operator::LinearO, Operator::LinearGateUp, Operator::LinearDown];

/// Measures with weights of `format`.
pub fn speed<B: Backend>(backend: &B, decoder: &Decoder, format: DType) -> Result<Speed> {
    // Enough that the weights do not stay in a cache, as in a model.
    const WORKING_SET: usize = 64 << 20;
    let budget = Budget { time: TIME / (2 * MATRICES.len() as u32), least: 2 };
    let case = |operator, rows| Case { operator, dtype: Some(format), depth: None, rows };
    let layer = |rows| {
        MATRICES.iter().try_fold(0.0, |sum, &operator| {
            let figure = measure(backend, decoder, &case(operator, rows), budget, WORKING_SET)?;
            Ok::<f64, anyhow::Error>(sum + figure.seconds.median)
        })
    };
    let (one, many) = (layer(1)?, layer(ROWS)?);
    let bytes = |operator| cost(decoder, &case(operator, 1)).0 as f64;
    let layer_bytes: f64 = MATRICES.iter().map(|&operator| bytes(operator)).sum();
    let layers = decoder.layers as f64;
    // The output matrix is read like the others.
    let token = one * (layers + bytes(Operator::LinearOutput) / layer_bytes);
    Ok(Speed {
        what: backend.describe(),
        decode_tokens_per_s: rounded(1.0 / token),
        prefill_tokens_per_s: rounded(ROWS as f64 / (many * layers)),
    })
}

/// To thousandths: under an emulator, or on a busy machine, less than a tenth of a token is made a second.
fn rounded(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
}
