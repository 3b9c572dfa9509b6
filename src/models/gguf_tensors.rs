//! The tensors of a checkpoint as the GGUF files of its family have them: what reading such a file undoes.

use std::collections::BTreeSet;

use super::families::{Family, Stored};
use super::llama::{find_tensor, layer_part, tensor_specs};
use super::{ModelError, ModelSpec, StoredTensors, TensorRole};
use crate::core::{DType, HostBytes, HostTensor, Order};
use crate::format::gguf::{StoredTensor, name_in_file};
use crate::format::{FormatError, TensorSource};
use crate::quant::dequantize_row;

impl StoredTensors {
    /// All tensors of the model `spec` under the names that files of `family` have, in the order of the forward pass:
    /// matrices as they are, with the order in which their rows have to come; norms' gains and biases as F32.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape, or no place in such a file.
    pub fn for_gguf(
        &self,
        family: &'static Family,
        spec: &ModelSpec,
    ) -> Result<Vec<StoredTensor>, ModelError> {
        let mut made = BTreeSet::new();
        let mut tensors = Vec::new();
        for wanted in tensor_specs(spec) {
            let refused = |reason: &str| FormatError::Tensor {
                path: self.location(&wanted.name).into(),
                name: wanted.name.clone(),
                reason: reason.to_owned(),
            };
            let name = name_in_file(&family.gguf.storage.stored_name(&wanted.name))
                .ok_or_else(|| refused("has no name in GGUF files"))?;
            if !made.insert(name.clone()) {
                continue;
            }
            let layered = layer_part(&wanted.name);
            let rule = layered.and_then(|(_, part, _)| family.gguf.storage.rule(part));
            let tensor = match (rule, layered.and_then(|(_, part, _)| self.rule(part))) {
                (Some(Stored::Fused { ours, .. }), Some(Stored::Fused { ours: same, .. }))
                    if ours == same =>
                {
                    let stored = self.checkpoint().get(&self.stored_name(&wanted.name))?;
                    stored.ok_or_else(|| refused("is missing"))?
                }
                (Some(Stored::Fused { .. }), _) => {
                    return Err(refused("is stored by itself, which its GGUF files have no place for").into());
                }
                _ => find_tensor(self, &wanted.name, wanted.shape)?,
            };
            let order = match layered {
                Some((layer, "self_attn.q_proj" | "self_attn.k_proj", _))
                    if family.gguf.storage.interleaved =>
                {
                    let layer = spec.layers.get(layer).ok_or_else(|| refused("is of no layer"))?;
                    Order::Interleaved(layer.attention.head_dim)
                }
                _ => Order::Rows,
            };
            let stored = match wanted.role {
                TensorRole::Vector => vector(name, &tensor, order),
                TensorRole::Layer | TensorRole::Outer => matrix(name, &tensor, order),
            };
            tensors.push(stored.ok_or_else(|| refused("is of a type that is not converted"))?);
        }
        Ok(tensors)
    }
}

/// Numbers as F32, in the order that the file has.
fn vector(name: String, tensor: &HostTensor, order: Order) -> Option<StoredTensor> {
    let mut values = vec![0.0; tensor.shape().elements()?];
    dequantize_row(tensor.dtype(), tensor.bytes(), &mut values).ok()?;
    let placed = (0..values.len()).map(|place| values[order.row(place)]);
    let bytes: Vec<u8> = placed.flat_map(f32::to_le_bytes).collect();
    Some(stored(name, DType::F32, tensor, bytes.into(), Order::Rows))
}

fn matrix(name: String, tensor: &HostTensor, order: Order) -> Option<StoredTensor> {
    let plain = tensor.order() == Order::Rows && tensor.dtype().is_float();
    plain.then(|| stored(name, tensor.dtype(), tensor, tensor.data().clone(), order))
}

fn stored(name: String, dtype: DType, tensor: &HostTensor, bytes: HostBytes, order: Order) -> StoredTensor {
    let dims = tensor.shape().dims().to_vec();
    StoredTensor { name, dtype: Some(dtype), type_name: dtype.name().to_uppercase(), dims, bytes, order }
}
