//! The tensors of a checkpoint under the names of the forward pass, whatever its family calls them, and put right once:
//! fused matrices split, norms' gains completed, rows of heads in order.

use super::families::{Storage, Stored};
use super::spec::{LayerSpec, ModelSpec};
use super::{ModelConfig, llama};
use crate::core::{DType, HostTensor, Order, ReadOnlyFormat, Shape};
use crate::format::{Checkpoint, FormatError, TensorSource};
use crate::quant::dequantize_row;

/// A checkpoint read as its family stores it.
pub struct StoredTensors {
    checkpoint: Checkpoint,
    storage: Storage,
    spec: ModelSpec,
    names: Vec<String>,
    /// Names lack the [`TRUNK`] in front: models for embeddings are stored so, without what is around them.
    bare: bool,
}

/// What the names of all tensors begin with but that of an output matrix.
const TRUNK: &str = "model.";

impl StoredTensors {
    /// The tensors of a checkpoint that `config` describes.
    pub fn new(checkpoint: Checkpoint, config: &ModelConfig) -> Self {
        let storage = match checkpoint.gguf() {
            Some(_) => config.family.gguf.storage,
            None => config.family.checkpoint,
        };
        let names = checkpoint.names();
        let bare = names.contains(&"embed_tokens.weight");
        let whole = |name: &str| if bare { format!("{TRUNK}{name}") } else { name.to_owned() };
        let names = names.into_iter().flat_map(|name| ours(storage, &whole(name))).collect();
        Self { checkpoint, storage, spec: config.spec.clone(), names, bare }
    }

    /// The files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The name under which `name` is stored.
    pub fn stored_name(&self, name: &str) -> String {
        let stored = self.storage.stored_name(name);
        match stored.strip_prefix(TRUNK) {
            Some(rest) if self.bare => rest.to_owned(),
            _ => stored,
        }
    }

    /// What all elements of the matrix `name` are to be multiplied with: NVFP4 has one such number a tensor, beside it.
    fn factor(&self, name: &str, dtype: DType) -> Result<f32, FormatError> {
        let stem = name.strip_suffix(".weight").filter(|_| dtype == DType::ReadOnly(ReadOnlyFormat::Nvfp4));
        let Some(stem) = stem else { return Ok(1.0) };
        let scale = self.checkpoint.get(&self.stored_name(&format!("{stem}.scale")))?;
        let Some(scale) = scale else { return Ok(1.0) };
        let mut factor = [f32::NAN];
        if dequantize_row(scale.dtype(), scale.bytes(), &mut factor).is_ok() && factor[0].is_finite() {
            return Ok(factor[0]);
        }
        Err(FormatError::Tensor {
            path: self.location(name).into(),
            name: scale.name().to_owned(),
            reason: "is no finite number, which the scale of a tensor has to be: download it again".into(),
        })
    }

    /// Whether `name` is a number that goes with a matrix in NVFP4: what it is multiplied with, or what its inputs were
    /// when it was made, which changes nothing.
    pub fn is_scale(&self, name: &str) -> bool {
        let stem = name.strip_suffix(".input_scale").or_else(|| name.strip_suffix(".scale"));
        let matrix =
            stem.and_then(|stem| self.checkpoint.get(&self.stored_name(&format!("{stem}.weight"))).ok()?);
        matrix.is_some_and(|matrix| matrix.dtype() == DType::ReadOnly(ReadOnlyFormat::Nvfp4))
    }

    pub(super) fn rule(&self, part: &str) -> Option<Stored> {
        self.storage.rule(part)
    }

    /// Rows `part` of those that `theirs` holds one after the other.
    fn split(
        &self,
        whole: &HostTensor,
        layer: usize,
        part: &str,
        parts: &[&str],
    ) -> Result<HostTensor, String> {
        let spec = self.spec.layers.get(layer).ok_or("is of a layer that the model does not have")?;
        let heights: Vec<usize> = parts.iter().map(|part| rows_of(spec, part)).collect();
        let at = parts.iter().position(|name| *name == part).ok_or("does not hold this part")?;
        let all: usize = heights.iter().sum();
        let (start, rows) = (heights[..at].iter().sum::<usize>(), heights[at]);
        let dims = whole.shape();
        let stored = dims.dims()[0];
        if stored != all {
            return Err(format!("has {stored} rows, where its parts have {all}"));
        }
        let row = whole.data().size() / stored.max(1);
        let data = whole.data().slice(start * row..(start + rows) * row).ok_or("is too short")?;
        let shape = match dims.dims() {
            [_, cols] => Shape::from([rows, *cols]),
            _ => Shape::from([rows]),
        };
        HostTensor::new(whole.name(), whole.dtype(), shape, data).map_err(|e| e.to_string())
    }

    fn put_right(&self, name: &str, tensor: HostTensor) -> Result<HostTensor, String> {
        let unusable = |e: crate::core::CoreError| e.to_string();
        let layered = llama::layer_part(name);
        let tensor = match layered.and_then(|(layer, part, _)| Some((layer, part, self.rule(part)?))) {
            Some((layer, part, Stored::Fused { ours, .. })) => self.split(&tensor, layer, part, ours)?,
            _ => tensor,
        };
        if self.storage.gains_less_one && name.ends_with("norm.weight") {
            let mut gains = vec![0.0; tensor.matrix_dims().1];
            dequantize_row(tensor.dtype(), tensor.bytes(), &mut gains).map_err(unusable)?;
            gains.iter_mut().for_each(|gain| *gain += 1.0);
            return HostTensor::from_f32(name, tensor.shape(), &gains).map_err(unusable);
        }
        if let Some((layer, part @ ("self_attn.q_proj" | "self_attn.k_proj"), _)) = layered
            && self.storage.interleaved
        {
            let spec = self.spec.layers.get(layer).ok_or("is of a layer that the model does not have")?;
            let order = Order::Interleaved(spec.attention.head_dim);
            return in_order(name, &tensor, order).map_err(|e| format!("({part}): {e}"));
        }
        HostTensor::in_order(name, tensor.dtype(), tensor.shape(), tensor.order(), tensor.data().clone())
            .map_err(unusable)
    }
}

/// The tensor with its rows, or its elements, in another order.
fn in_order(name: &str, tensor: &HostTensor, order: Order) -> Result<HostTensor, String> {
    let (dtype, shape) = (tensor.dtype(), tensor.shape());
    let [len] = *shape.dims() else {
        return HostTensor::in_order(name, dtype, shape, order, tensor.data().clone())
            .map_err(|e| e.to_string());
    };
    // One row of single elements, which are few.
    if dtype.block_len() != 1 || Order::bytes(order, dtype, len, 1) != Some(tensor.bytes().len()) {
        return Err(format!("is no row of heads, with {shape} elements of {dtype}"));
    }
    let size = dtype.block_bytes();
    let place = |i: usize| &tensor.bytes()[order.place(i) * size..][..size];
    let bytes: Vec<u8> = (0..len).flat_map(|i| place(i).iter().copied()).collect();
    HostTensor::new(name, dtype, shape, bytes.into()).map_err(|e| e.to_string())
}

/// Rows of a layer's matrix.
fn rows_of(layer: &LayerSpec, part: &str) -> usize {
    match part {
        "self_attn.q_proj" => layer.attention.q_width(),
        "self_attn.k_proj" | "self_attn.v_proj" => layer.attention.kv_width(),
        _ => layer.ffn.width,
    }
}

/// What the forward pass calls a stored tensor.
fn ours(storage: Storage, name: &str) -> Vec<String> {
    let Some((layer, part, kind)) = llama::layer_part(name) else { return vec![name.to_owned()] };
    let named = |part: &str| llama::layer_name(layer, part, kind);
    let rule = storage.parts.iter().find(|rule| match rule {
        Stored::As { theirs, .. } | Stored::Fused { theirs, .. } => *theirs == part,
    });
    match rule {
        Some(Stored::As { ours, .. }) => vec![named(ours)],
        Some(Stored::Fused { ours, .. }) => ours.iter().map(|part| named(part)).collect(),
        None => vec![name.to_owned()],
    }
}

impl TensorSource for StoredTensors {
    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        let stored = self.stored_name(name);
        let Some(tensor) = self.checkpoint.get(&stored)? else { return Ok(None) };
        let factor = self.factor(name, tensor.dtype())?;
        self.put_right(name, tensor).map(|tensor| Some(tensor.with_factor(factor))).map_err(|reason| {
            let name = self.checkpoint.gguf().map_or(stored.clone(), |file| file.stored_name(&stored));
            FormatError::Tensor { path: self.location(&stored).into(), name, reason }
        })
    }

    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    fn location(&self, name: &str) -> String {
        self.checkpoint.location(&self.stored_name(name))
    }

    fn total_bytes(&self) -> u64 {
        self.checkpoint.total_bytes()
    }
}

impl std::fmt::Debug for StoredTensors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredTensors").field("checkpoint", &self.checkpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::families::Family;

    #[test]
    fn fused_and_renamed_parts_have_the_names_of_the_forward_pass() {
        let phi3 = Family::find(Some("phi3"), &[]).unwrap();
        let of = |storage, name: &str| ours(storage, &format!("model.layers.3.{name}"));
        assert_eq!(
            of(phi3.checkpoint, "mlp.gate_up_proj.weight"),
            ["model.layers.3.mlp.gate_proj.weight", "model.layers.3.mlp.up_proj.weight"]
        );
        assert_eq!(of(phi3.gguf.storage, "mlp.up_proj.weight").len(), 2);
        assert_eq!(of(phi3.gguf.storage, "mlp.down_proj.weight"), ["model.layers.3.mlp.down_proj.weight"]);
        let gemma = Family::find(Some("gemma2"), &[]).unwrap();
        assert_eq!(
            of(gemma.checkpoint, "pre_feedforward_layernorm.weight"),
            ["model.layers.3.post_attention_layernorm.weight"]
        );
        assert_eq!(ours(gemma.checkpoint, "model.norm.weight"), ["model.norm.weight"]);
    }

    #[test]
    fn a_row_of_heads_is_put_in_order() {
        let values: Vec<f32> = (0..8u8).map(f32::from).collect();
        let stored = HostTensor::from_f32("b", Shape::from([8]), &values).unwrap();
        let tensor = in_order("b", &stored, Order::Interleaved(4)).unwrap();
        let mut found = [0.0; 8];
        dequantize_row(DType::F32, tensor.bytes(), &mut found).unwrap();
        assert_eq!(found, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert!(in_order("b", &stored, Order::Interleaved(6)).is_err());
    }
}
