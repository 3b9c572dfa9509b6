//! What a GGUF file says about embeddings, as the files that a directory of sentence-transformers has for it.

use serde_json::json;

use super::key::Keys;
use crate::core::HostTensor;
use crate::format::{FormatError, TensorSource};
use crate::quant::dequantize_row;

/// Dense layers after pooling.
pub(in crate::engine) const DENSE: [&str; 2] = ["dense_2.weight", "dense_3.weight"];

/// Settings of each, and its weights.
const FILES: [[&str; 2]; 2] = [
    ["2_Dense/config.json", "2_Dense/model.safetensors"],
    ["3_Dense/config.json", "3_Dense/model.safetensors"],
];

/// The settings of pooling (the kinds of llama.cpp), and the dense layers.
///
/// # Errors
/// Values of another type; matrices that cannot be read.
pub(super) fn files(
    keys: Keys<'_>,
    tensors: &dyn TensorSource,
) -> Result<Vec<(&'static str, Vec<u8>)>, FormatError> {
    let mut files = Vec::new();
    let mode = match keys.integer("pooling_type")? {
        Some(1) => Some("mean"),
        Some(2) => Some("cls"),
        Some(3) => Some("lasttoken"),
        // None, which leaves it open, or one for models that compare texts.
        _ => None,
    };
    if let Some(mode) = mode {
        files.push(("1_Pooling/config.json", json!({ "pooling_mode": mode }).to_string().into_bytes()));
    }
    for (name, [settings, weights]) in DENSE.into_iter().zip(FILES) {
        if let Some(tensor) = tensors.get(name)? {
            let config = json!({ "activation_function": "torch.nn.modules.linear.Identity" });
            files.push((settings, config.to_string().into_bytes()));
            files.push((weights, safetensors(&tensor, tensors)?));
        }
    }
    Ok(files)
}

/// A file that holds the matrix as `linear.weight`, in f32.
fn safetensors(tensor: &HostTensor, source: &dyn TensorSource) -> Result<Vec<u8>, FormatError> {
    let fault = |reason: String| FormatError::Tensor {
        path: source.location(tensor.name()).into(),
        name: tensor.name().to_owned(),
        reason,
    };
    let (rows, cols) = tensor.matrix_dims();
    let elements = rows.checked_mul(cols).filter(|&elements| elements <= 1 << 26);
    let elements = elements.ok_or_else(|| fault("is too large for a layer after pooling".into()))?;
    let mut values = vec![0.0; elements];
    dequantize_row(tensor.dtype(), tensor.bytes(), &mut values).map_err(|why| fault(why.to_string()))?;
    let entry = json!({ "dtype": "F32", "shape": [rows, cols], "data_offsets": [0, 4 * elements] });
    let header = json!({ "linear.weight": entry }).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(values.into_iter().flat_map(f32::to_le_bytes));
    Ok(file)
}
