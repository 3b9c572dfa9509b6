//! The rotary embedding of a GGUF file, in the words of config.json.

use serde_json::{Value, json};

use super::key::key;
use crate::format::gguf::GgufFile;
use crate::format::{FormatError, shown};
use crate::models::{Rope, RopeConfig, RopeScaling};

/// Llama 3.1 and its successors: how the frequencies of the rotary embedding were stretched. Their GGUF files do not
/// have these numbers but what follows from them, a divisor for each frequency in `rope_freqs.weight`.
const LLAMA3: (f64, f64, usize) = (1.0, 4.0, 8192);

/// `rope_scaling` of config.json.
pub(super) fn scaling(file: &GgufFile, head_dim: u64, theta: f64) -> Result<Value, FormatError> {
    let linear = linear(file)?;
    let metadata = file.metadata();
    let Some(tensor) = file.get("rope_freqs.weight")? else { return Ok(linear.unwrap_or(Value::Null)) };
    let divisors: Vec<f64> =
        tensor.bytes().as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    let fault = |why: &str| metadata.fault(format!("has a tensor 'rope_freqs.weight' {why}"));
    if tensor.dtype() != crate::core::DType::F32 || divisors.len() as u64 != head_dim / 2 {
        return Err(fault("that does not have one f32 number for each pair of values of a head"));
    }
    if divisors.iter().all(|&d| d == 1.0) {
        return Ok(linear.unwrap_or(Value::Null));
    }
    let factor = divisors.iter().copied().fold(1.0, f64::max);
    let (low_freq_factor, high_freq_factor, original_max_position_embeddings) = LLAMA3;
    let scaling =
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings };
    if linear.is_some() || !gives(scaling, theta, &divisors) {
        return Err(fault(
            "with other numbers than Llama 3.1 to 3.3 have, which is not supported: use the safetensors checkpoint",
        ));
    }
    Ok(json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low_freq_factor,
        "high_freq_factor": high_freq_factor,
        "original_max_position_embeddings": original_max_position_embeddings,
    }))
}

/// Linear scaling, under the newer keys or the older one (`rope.scale_linear`). A file without a type means linear, and
/// a factor of 0 none, as in llama.cpp.
fn linear(file: &GgufFile) -> Result<Option<Value>, FormatError> {
    let metadata = file.metadata();
    let attention = metadata.number(&key("rope.scaling.attn_factor"))?;
    if let Some(factor) = attention.filter(|&factor| factor != 1.0) {
        return Err(metadata.fault(format!(
            "has '{}' = {factor}, but only 1 is supported: use the safetensors checkpoint",
            key("rope.scaling.attn_factor")
        )));
    }
    match metadata.text(&key("rope.scaling.type"))? {
        Some("none") => return Ok(None),
        None | Some("linear") => {}
        Some(other) => {
            return Err(metadata.fault(format!(
                "scales its rotary embedding by '{}', which is not supported; known are none and linear",
                shown(other)
            )));
        }
    }
    let factor = match metadata.number(&key("rope.scaling.factor"))? {
        None => metadata.number(&key("rope.scale_linear"))?,
        some => some,
    };
    Ok(factor.filter(|&f| f != 0.0 && f != 1.0).map(|f| json!({"rope_type": "linear", "factor": f})))
}

/// Whether a scaling divides the frequencies by these numbers, to the precision of an f32.
fn gives(scaling: RopeScaling, theta: f64, divisors: &[f64]) -> bool {
    // What the checks of config.json will refuse has no frequencies to compare.
    if !(1.0..=1e15).contains(&theta) {
        return false;
    }
    let frequencies = |scaling| Rope::new(&RopeConfig { theta, scaling }, 2 * divisors.len());
    let (plain, scaled) = (frequencies(RopeScaling::None), frequencies(scaling));
    let pairs = plain.frequencies().iter().zip(scaled.frequencies()).zip(divisors);
    pairs.into_iter().all(|((plain, scaled), divisor)| (plain / scaled / divisor - 1.0).abs() < 1e-5)
}
