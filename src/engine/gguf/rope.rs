//! The rotary embedding of a GGUF file, in the words of config.json.

use serde_json::{Map, Value, json};

use super::key::Keys;
use crate::format::{FormatError, TensorSource, shown};
use crate::models::{Rope, RopeScaling, RopeSpec, TextSpan};

/// Llama 3.1 and its successors: how the frequencies of the rotary embedding were stretched. Their GGUF files do not
/// have these numbers but what follows from them, a divisor for each frequency in `rope_freqs.weight`.
const LLAMA3: (f64, f64, usize) = (1.0, 4.0, 8192);

/// `rope_scaling` of config.json.
pub(super) fn scaling(
    tensors: &dyn TensorSource,
    keys: Keys<'_>,
    head_dim: u64,
) -> Result<Value, FormatError> {
    let pairs = keys.integer("rope.dimension_count")?.unwrap_or(head_dim) / 2;
    if let Some(long) = divisors(tensors, keys, "rope_factors_long.weight", pairs)? {
        return longrope(tensors, keys, pairs, &long);
    }
    let simple = simple(keys)?;
    let Some(divisors) = divisors(tensors, keys, "rope_freqs.weight", pairs)? else { return Ok(simple) };
    if divisors.iter().all(|&d| d == 1.0) {
        return Ok(simple);
    }
    let factor = divisors.iter().copied().fold(1.0, f64::max);
    let (low_freq_factor, high_freq_factor, original) = LLAMA3;
    let theta = keys.number("rope.freq_base")?.unwrap_or(10_000.0);
    let scaling = RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original };
    if !simple.is_null() || !gives(scaling, theta, &divisors) {
        return Err(keys.metadata.fault(
            "has a tensor 'rope_freqs.weight' with other numbers than Llama 3.1 to 3.3 have, which is not supported: use \
             the safetensors checkpoint"
                .into(),
        ));
    }
    Ok(json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low_freq_factor,
        "high_freq_factor": high_freq_factor,
        "original_max_position_embeddings": original,
    }))
}

/// The numbers of a tensor that has one for each frequency.
fn divisors(
    tensors: &dyn TensorSource,
    keys: Keys<'_>,
    name: &str,
    pairs: u64,
) -> Result<Option<Vec<f64>>, FormatError> {
    let Some(tensor) = tensors.get(name)? else { return Ok(None) };
    let numbers: Vec<f64> =
        tensor.bytes().as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    if tensor.dtype() != crate::core::DType::F32 || numbers.len() as u64 != pairs {
        return Err(keys.metadata.fault(format!(
            "has a tensor '{name}' that does not have one f32 number for each pair of values of a head"
        )));
    }
    Ok(Some(numbers))
}

/// Other frequencies for long texts than for short ones (Phi 3).
fn longrope(
    tensors: &dyn TensorSource,
    keys: Keys<'_>,
    pairs: u64,
    long: &[f64],
) -> Result<Value, FormatError> {
    let name = "rope_factors_short.weight";
    let short = keys.metadata.required(name, divisors(tensors, keys, name, pairs)?)?;
    let mut scaling = json!({ "rope_type": "longrope", "short_factor": short, "long_factor": long });
    for (key, name) in [
        ("rope.scaling.original_context_length", "original_max_position_embeddings"),
        ("rope.scaling.attn_factor", "attention_factor"),
    ] {
        if let Some(number) = keys.number(key)? {
            scaling[name] = number.into();
        }
    }
    Ok(scaling)
}

/// What a file says by its keys: linear scaling, under the newer keys or the older one (`rope.scale_linear`), or YaRN. A file
/// without a type means linear, and a factor of 0 none, as in llama.cpp.
fn simple(keys: Keys<'_>) -> Result<Value, FormatError> {
    let kind = match keys.text("rope.scaling.type")? {
        Some("yarn") => return yarn(keys),
        other => other,
    };
    if let Some(factor) = keys.number("rope.scaling.attn_factor")?.filter(|&factor| factor != 1.0) {
        return Err(keys.metadata.fault(format!(
            "has '{}' = {factor}, but only 1 is supported: use the safetensors checkpoint",
            keys.full("rope.scaling.attn_factor")
        )));
    }
    match kind {
        Some("none") => return Ok(Value::Null),
        None | Some("linear") => {}
        Some(other) => {
            return Err(keys.metadata.fault(format!(
                "scales its rotary embedding by '{}', which is not supported; known are none, linear and yarn",
                shown(other)
            )));
        }
    }
    let factor = match keys.number("rope.scaling.factor")? {
        None => keys.number("rope.scale_linear")?,
        some => some,
    };
    let factor = factor.filter(|&f| f != 0.0 && f != 1.0);
    Ok(factor.map_or(Value::Null, |f| json!({"rope_type": "linear", "factor": f})))
}

/// Keys of YaRN, and what config.json calls them.
pub(super) const YARN: [(&str, &str); 7] = [
    ("rope.scaling.factor", "factor"),
    ("rope.scaling.original_context_length", "original_max_position_embeddings"),
    ("rope.scaling.yarn_beta_fast", "beta_fast"),
    ("rope.scaling.yarn_beta_slow", "beta_slow"),
    ("rope.scaling.yarn_attn_factor", "attention_factor"),
    ("rope.scaling.yarn_log_multiplier", "mscale_all_dim"),
    ("attention.temperature_scale", "llama_4_scaling_beta"),
];

fn yarn(keys: Keys<'_>) -> Result<Value, FormatError> {
    let mut scaling = Map::from_iter([("rope_type".to_owned(), "yarn".into())]);
    for (key, name) in YARN {
        if let Some(number) = keys.number(key)? {
            scaling.insert(name.to_owned(), number.into());
        }
    }
    if scaling.contains_key("mscale_all_dim") {
        // What llama.cpp takes for it.
        scaling.insert("mscale".to_owned(), 1.0.into());
    }
    Ok(scaling.into())
}

/// Whether a scaling divides the frequencies by these numbers, to the precision of an f32.
fn gives(scaling: RopeScaling, theta: f64, divisors: &[f64]) -> bool {
    // What the checks of config.json will refuse has no frequencies to compare.
    if !(1.0..=1e15).contains(&theta) {
        return false;
    }
    let frequencies = |scaling| {
        let spec = RopeSpec { theta, dims: 2 * divisors.len(), scaling, query_growth: None };
        Rope::new(&spec, TextSpan::Original)
    };
    let (plain, scaled) = (frequencies(RopeScaling::None), frequencies(scaling));
    let pairs = plain.frequencies().iter().zip(scaled.frequencies()).zip(divisors);
    pairs.into_iter().all(|((plain, scaled), divisor)| (plain / scaled / divisor - 1.0).abs() < 1e-5)
}
