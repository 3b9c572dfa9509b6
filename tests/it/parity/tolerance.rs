//! How far from Hugging Face's float32 results each setting may be. Stated here and nowhere else.

/// Largest error of a logit, as a share of the spread (largest minus smallest) of the reference's logits.
/// Both sides round to f32 in different orders of summation; what is left is about 1e-6.
pub const LOGITS: f32 = 1e-3;

/// As [`LOGITS`], with keys and values stored as f16 (11 bits of mantissa: 5e-4 a value).
pub const LOGITS_F16_KV: f32 = 5e-3;

/// Largest error of the mean negative log-likelihood, in nats.
pub const NLL: f64 = 1e-4;

/// As [`NLL`], with keys and values stored as f16.
pub const NLL_F16_KV: f64 = 2e-3;

/// As [`LOGITS`], with keys and values stored as q8_0 (off by up to 1/254 of their block's largest).
pub const LOGITS_Q8_0_KV: f32 = 5e-2;

/// As [`NLL`], with keys and values stored as q8_0, in nats. Short texts of the smallest model are the worst.
pub const NLL_Q8_0_KV: f64 = 4e-2;

/// Largest change of the mean negative log-likelihood under q8_0 weights, as a share of its value.
pub const NLL_Q8_0: f64 = 0.005;

/// As [`LOGITS`], between two backends of which one rounds the inputs of quantized layers to int8 (as the reference
/// does) and the other does not: 1/254 of a block's largest value, in each of some layers.
pub const LOGITS_INT8_INPUT: f32 = 3e-2;
