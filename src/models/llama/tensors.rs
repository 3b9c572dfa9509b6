//! Which tensors a model consists of, under which names and in which shapes: those of Llama's checkpoints, with names of our
//! own for what Llama does not have.

use crate::core::{HostTensor, Shape};
use crate::format::TensorSource;
use crate::models::{LayerSpec, ModelConfig, ModelError, ModelSpec, QkNorm, TensorRole};

/// A tensor that a model asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Shape,
    /// What it does.
    pub role: TensorRole,
}

/// The embedding matrix.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The norm before the output matrix.
pub(super) const FINAL_NORM: &str = "model.norm.weight";
/// The output matrix, where it is not the embedding matrix.
pub(super) const OUTPUT: &str = "lm_head.weight";
/// Norm of the input of attention.
pub(super) const ATTENTION_NORM: &str = "input_layernorm";
/// Norm of the input of the feed-forward network; Llama's name for it.
pub(super) const FFN_NORM: &str = "post_attention_layernorm";
/// Norm of what attention gives.
pub(super) const ATTENTION_OUTPUT_NORM: &str = "attention_output_norm";
/// Norm of what the feed-forward network gives.
pub(super) const FFN_OUTPUT_NORM: &str = "feed_forward_output_norm";
/// Norms of queries and keys.
pub(super) const Q_NORM: &str = "self_attn.q_norm";
pub(super) const K_NORM: &str = "self_attn.k_norm";

/// Splits `model.layers.7.self_attn.q_proj.weight` into the layer, the part and the kind.
pub(in crate::models) fn layer_part(name: &str) -> Option<(usize, &str, &str)> {
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    Some((layer.parse().ok()?, part, kind))
}

/// The opposite of [`layer_part`].
pub(in crate::models) fn layer_name(layer: usize, part: &str, kind: &str) -> String {
    format!("model.layers.{layer}.{part}.{kind}")
}

/// A linear layer of a block.
pub(super) struct Projection {
    pub part: &'static str,
    pub rows: usize,
    pub cols: usize,
    pub bias: bool,
}

/// The linear layers of a block: q, k, v, o, gate, up, down.
pub(super) fn projections(layer: &LayerSpec, hidden: usize) -> [Projection; 7] {
    let (attention, ffn) = (&layer.attention, &layer.ffn);
    let (q, kv, width) = (attention.q_width(), attention.kv_width(), ffn.width);
    let of = |part, rows, cols, bias| Projection { part, rows, cols, bias };
    [
        of("self_attn.q_proj", q, hidden, attention.biases.q),
        of("self_attn.k_proj", kv, hidden, attention.biases.k),
        of("self_attn.v_proj", kv, hidden, attention.biases.v),
        of("self_attn.o_proj", hidden, q, attention.biases.o),
        of("mlp.gate_proj", width, hidden, ffn.biases.gate),
        of("mlp.up_proj", width, hidden, ffn.biases.up),
        of("mlp.down_proj", hidden, width, ffn.biases.down),
    ]
}

/// The norms of a block, with their lengths.
fn norms(layer: &LayerSpec, hidden: usize) -> Vec<(&'static str, usize)> {
    let attention = &layer.attention;
    let mut all = Vec::new();
    if layer.norms.before {
        all.extend([(ATTENTION_NORM, hidden), (FFN_NORM, hidden)]);
    }
    if layer.norms.after {
        all.extend([(ATTENTION_OUTPUT_NORM, hidden), (FFN_OUTPUT_NORM, hidden)]);
    }
    match attention.qk_norm {
        QkNorm::None => {}
        QkNorm::PerHead => all.extend([(Q_NORM, attention.head_dim), (K_NORM, attention.head_dim)]),
        QkNorm::Whole => all.extend([(Q_NORM, attention.q_width()), (K_NORM, attention.kv_width())]),
    }
    all
}

impl ModelConfig {
    /// The model with those of the biases that may be there and are, each by itself, and with an output matrix of its own if
    /// there is one or config.json insists. With `in_all_layers` a projection that has a bias in some layer has to have one in
    /// all, so that an incomplete checkpoint is found out.
    pub fn settle(mut self, source: &dyn TensorSource, in_all_layers: bool) -> Self {
        let names: std::collections::HashSet<&str> = source.names().into_iter().collect();
        let hidden = self.spec.hidden_size;
        let has = |layer: usize, part: &str| names.contains(layer_name(layer, part, "bias").as_str());
        let layers = || self.spec.layers.iter().enumerate().map(|(i, layer)| (i, projections(layer, hidden)));
        let there = |(i, parts): (usize, [Projection; 7])| parts.map(|p| (p.bias, has(i, p.part)));
        let there: Vec<_> = layers().map(there).collect();
        let anywhere: [bool; 7] =
            std::array::from_fn(|at| in_all_layers && there.iter().any(|parts| parts[at].1));
        for (layer, parts) in self.spec.layers.iter_mut().zip(there) {
            let kept = |at: usize| {
                let (allowed, there) = parts[at];
                allowed && (there || anywhere[at])
            };
            let [q, k, v, o, gate, up, down] = std::array::from_fn(kept);
            let biases = &mut layer.attention.biases;
            (biases.q, biases.k, biases.v, biases.o) = (q, k, v, o);
            let biases = &mut layer.ffn.biases;
            (biases.gate, biases.up, biases.down) = (gate, up, down);
        }
        if !self.spec.output.tied && !self.untied && !names.contains(OUTPUT) {
            self.spec.output.tied = true;
        }
        self
    }
}

/// All tensors of a model, in the order in which a forward pass reads them.
pub fn tensor_specs(spec: &ModelSpec) -> Vec<TensorSpec> {
    let (hidden, vocab) = (spec.hidden_size, spec.vocab_size);
    let mut specs = Vec::new();
    let mut add = |name: String, shape: Shape, role| specs.push(TensorSpec { name, shape, role });
    add(EMBEDDING.into(), [vocab, hidden].into(), TensorRole::Outer);
    for (index, layer) in spec.layers.iter().enumerate() {
        for (part, len) in norms(layer, hidden) {
            add(layer_name(index, part, "weight"), [len].into(), TensorRole::Vector);
        }
        for Projection { part, rows, cols, bias } in projections(layer, hidden) {
            add(layer_name(index, part, "weight"), [rows, cols].into(), TensorRole::Layer);
            if bias {
                add(layer_name(index, part, "bias"), [rows].into(), TensorRole::Vector);
            }
        }
    }
    add(FINAL_NORM.into(), [hidden].into(), TensorRole::Vector);
    if !spec.output.tied {
        add(OUTPUT.into(), [vocab, hidden].into(), TensorRole::Outer);
    }
    specs
}

/// Number of parameters of a model.
pub fn parameter_count(spec: &ModelSpec) -> u64 {
    let elements = |tensor: TensorSpec| tensor.shape.elements().map_or(u64::MAX, |n| n as u64);
    tensor_specs(spec).into_iter().map(elements).fold(0, u64::saturating_add)
}

/// The tensor of that name and shape.
///
/// # Errors
/// [`ModelError::MissingTensor`], [`ModelError::WrongShape`], or what the source reports.
pub fn find_tensor(source: &dyn TensorSource, name: &str, expected: Shape) -> Result<HostTensor, ModelError> {
    let location = || source.location(name);
    let tensor = source
        .get(name)?
        .ok_or_else(|| ModelError::MissingTensor { name: name.to_owned(), location: location() })?;
    if tensor.shape() != expected {
        return Err(ModelError::WrongShape {
            name: name.to_owned(),
            location: location(),
            got: tensor.shape().to_string(),
            expected: expected.to_string(),
        });
    }
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Decoder, NamedShape, RandomWeights};

    fn small() -> Decoder {
        Decoder { layers: 2, attention_bias: true, mlp_bias: true, ..NamedShape::Demo.decoder() }
    }

    #[test]
    fn a_model_has_the_tensors_that_its_configuration_asks_for() {
        assert_eq!(tensor_specs(&NamedShape::Llama32x1B.decoder().spec()).len(), 16 * 9 + 2);
        let tied = small();
        assert_eq!(tensor_specs(&tied.spec()).len(), 2 * 16 + 2);
        let own = Decoder { tied: false, ..tied.clone() };
        assert_eq!(parameter_count(&own.spec()) - parameter_count(&tied.spec()), 2048 * 128);
        // q and o of 128 rows, k and v of 64, gate and up of 384, down of 128.
        let none = Decoder { attention_bias: false, mlp_bias: false, ..tied.clone() };
        assert_eq!(
            parameter_count(&tied.spec()) - parameter_count(&none.spec()),
            2 * (3 * 128 + 2 * 64 + 2 * 384)
        );
    }

    #[test]
    fn each_bias_is_by_itself() {
        let all = ModelConfig::llama(&small());
        let mut held = all.clone();
        held.spec.layers[0].attention.biases.o = false;
        held.spec.layers[1].attention.biases.o = false;
        held.spec.layers[1].ffn.biases.up = false;
        let source = RandomWeights::new(&held.spec);
        assert_eq!(all.clone().settle(&source, false), held);
        // One that is in some layers alone is looked for in all.
        let strict = all.settle(&source, true);
        let missing = tensor_specs(&strict.spec)
            .into_iter()
            .filter(|spec| find_tensor(&source, &spec.name, spec.shape).is_err())
            .map(|spec| spec.name);
        assert_eq!(missing.collect::<Vec<_>>(), ["model.layers.1.mlp.up_proj.bias"]);
        // What config.json does not allow is not looked for.
        let without =
            ModelConfig::llama(&Decoder { attention_bias: false, ..small() }).settle(&source, false);
        assert!(!without.spec.layers[0].attention.biases.q);
    }

    #[test]
    fn an_output_matrix_that_is_not_there_is_the_embedding_unless_the_file_insists() {
        let tied = ModelConfig::llama(&small());
        let own = ModelConfig::llama(&Decoder { tied: false, ..small() });
        let without = RandomWeights::new(&tied.spec);
        assert!(own.clone().settle(&without, true).spec.output.tied);
        assert!(!own.clone().settle(&RandomWeights::new(&own.spec), true).spec.output.tied);
        let insisting = ModelConfig { untied: true, ..own };
        assert!(!insisting.settle(&without, true).spec.output.tied);
    }
}
