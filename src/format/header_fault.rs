//! Says what is wrong with a safetensors header that the parser has refused.
//!
//! The `safetensors` crate decides what is valid; its errors do not name the tensor or the values. This walks
//! the same JSON once more, on the way to an error only, and looks for the first thing to point at.

use std::path::Path;

use safetensors::Dtype;
use serde_json::Value;

use super::{FormatError, shown};

/// The reason why `header` was refused with `error`.
pub(super) fn explain(path: &Path, header: &[u8], error: &serde_json::Error) -> FormatError {
    let damaged = |reason| FormatError::Damaged { path: path.into(), reason };
    let map = match serde_json::from_slice::<Value>(header) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return damaged("has a header that is no JSON object: no safetensors file".into()),
        Err(e) => {
            return damaged(format!("has a header that is not JSON ({e}): it is damaged, download it again"));
        }
    };
    let mut ranges = Vec::new();
    for (name, entry) in map.iter().filter(|(name, _)| *name != "__metadata__") {
        match byte_range(entry) {
            Ok((start, end)) => ranges.push((start, end, name)),
            Err(reason) => {
                return FormatError::Tensor { path: path.into(), name: name.clone(), reason };
            }
        }
    }
    ranges.sort();
    let mut expected = 0;
    let mut before: Option<&String> = None;
    for (start, end, name) in ranges {
        if start != expected {
            let reason = match before {
                Some(b) if start < expected => {
                    format!("starts at byte {start} of the data, inside of tensor '{}'", shown(b))
                }
                _ => format!("starts at byte {start} of the data, but the one before ends at {expected}"),
            };
            return FormatError::Tensor { path: path.into(), name: name.clone(), reason };
        }
        (expected, before) = (end, Some(name));
    }
    let error = shown(&error.to_string());
    damaged(format!("has a header that is not valid ({error}): it is damaged, download it again"))
}

/// The byte range of a tensor's entry, if the entry agrees with itself.
fn byte_range(entry: &Value) -> Result<(u64, u64), String> {
    let dtype = &entry["dtype"];
    let Ok(dtype) = serde_json::from_value::<Dtype>(dtype.clone()) else {
        return Err(format!("has the unknown element type {}", shown(&dtype.to_string())));
    };
    let Some(shape) = integers(&entry["shape"]) else {
        return Err(format!("has the impossible shape {}", shown(&entry["shape"].to_string())));
    };
    let Some([start, end]) = integers(&entry["data_offsets"]).and_then(|o| <[u64; 2]>::try_from(o).ok())
    else {
        return Err(format!("has the impossible data_offsets {}", shown(&entry["data_offsets"].to_string())));
    };
    if start > end {
        return Err(format!("has data_offsets that run backwards: {start}, {end}"));
    }
    let shape_text = shown(&entry["shape"].to_string());
    let elements = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let Some(bits) = elements.and_then(|n| n.checked_mul(dtype.bitsize() as u64)) else {
        return Err(format!("has the shape {shape_text}, which is more than can be addressed"));
    };
    if bits % 8 != 0 {
        return Err(format!("has {bits} bits of data ({dtype} {shape_text}), not a whole number of bytes"));
    }
    if end - start != bits / 8 {
        return Err(format!(
            "takes {} bytes as {dtype} {shape_text}, but its data_offsets {start}..{end} hold {}",
            bits / 8,
            end - start
        ));
    }
    Ok((start, end))
}

fn integers(value: &Value) -> Option<Vec<u64>> {
    value.as_array()?.iter().map(Value::as_u64).collect()
}
