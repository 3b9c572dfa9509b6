//! Which tensors a Llama consists of, under which names and in which shapes.

use std::collections::BTreeSet;

use crate::core::{HostTensor, Shape};
use crate::format::TensorSource;
use crate::models::{ModelConfig, ModelError};

/// A tensor that a configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name as in Hugging Face checkpoints.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Shape,
    /// A matrix of a linear layer or the embedding; the others are norm gains and biases, which stay f32.
    pub matrix: bool,
}

/// The linear layers of a block: name, rows, columns, and whether config.json lets them have a bias.
fn projections(config: &ModelConfig) -> [(&'static str, usize, usize, bool); 7] {
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let (attention, mlp) = (config.attention_bias, config.mlp_bias);
    [
        ("self_attn.q_proj", q, hidden, attention),
        ("self_attn.k_proj", kv, hidden, attention),
        ("self_attn.v_proj", kv, hidden, attention),
        ("self_attn.o_proj", hidden, q, attention),
        ("mlp.gate_proj", ffn, hidden, mlp),
        ("mlp.up_proj", ffn, hidden, mlp),
        ("mlp.down_proj", hidden, ffn, mlp),
    ]
}

/// The configuration for the tensors that there are: each bias is by itself. With `in_all_layers` a projection that has
/// one in some layer has to have one in all, so that an incomplete checkpoint is found out.
pub fn without_absent_biases(
    config: ModelConfig,
    source: &dyn TensorSource,
    in_all_layers: bool,
) -> ModelConfig {
    let names: BTreeSet<&str> = source.names().into_iter().collect();
    let mut absent_biases = BTreeSet::new();
    for (part, _, _, _) in projections(&config).into_iter().filter(|p| p.3) {
        let of = |layer: usize| format!("model.layers.{layer}.{part}.bias");
        let absent: Vec<String> =
            (0..config.layers).map(of).filter(|name| !names.contains(name.as_str())).collect();
        if absent.len() == config.layers || !in_all_layers {
            absent_biases.extend(absent);
        }
    }
    ModelConfig { absent_biases, ..config }
}

/// Whether there is a bias of that name, which config.json allows.
pub(super) fn has_bias(config: &ModelConfig, name: &str) -> bool {
    !config.absent_biases.contains(name)
}

/// All tensors of a model, in the order in which a forward pass reads them.
pub fn tensor_specs(config: &ModelConfig) -> Vec<TensorSpec> {
    let (hidden, vocab) = (config.hidden_size, config.vocab_size);
    let mut specs = Vec::new();
    let mut add = |name: String, shape: Shape| {
        let matrix = shape.dims().len() == 2;
        specs.push(TensorSpec { name, shape, matrix });
    };
    add("model.embed_tokens.weight".into(), [vocab, hidden].into());
    for layer in 0..config.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        add(name("input_layernorm.weight"), [hidden].into());
        add(name("post_attention_layernorm.weight"), [hidden].into());
        for (part, rows, cols, bias) in projections(config) {
            add(name(&format!("{part}.weight")), [rows, cols].into());
            let bias_name = name(&format!("{part}.bias"));
            if bias && has_bias(config, &bias_name) {
                add(bias_name, [rows].into());
            }
        }
    }
    add("model.norm.weight".into(), [hidden].into());
    if !config.tie_word_embeddings {
        add("lm_head.weight".into(), [vocab, hidden].into());
    }
    specs
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
    use crate::models::llama::parameter_count;
    use crate::models::{NamedShape, RandomWeights};

    fn small() -> ModelConfig {
        ModelConfig { layers: 2, attention_bias: true, mlp_bias: true, ..NamedShape::Demo.config() }
    }

    #[test]
    fn a_model_has_the_tensors_that_its_configuration_asks_for() {
        assert_eq!(tensor_specs(&NamedShape::Llama32x1B.config()).len(), 16 * 9 + 2);
        let tied = small();
        assert_eq!(tensor_specs(&tied).len(), 2 * 16 + 2);
        let own = ModelConfig { tie_word_embeddings: false, ..tied.clone() };
        assert_eq!(parameter_count(&own) - parameter_count(&tied), 2048 * 128);
        // q and o of 128 rows, k and v of 64, gate and up of 384, down of 128.
        let none = ModelConfig { attention_bias: false, mlp_bias: false, ..tied.clone() };
        assert_eq!(parameter_count(&tied) - parameter_count(&none), 2 * (3 * 128 + 2 * 64 + 2 * 384));
    }

    #[test]
    fn each_bias_is_by_itself() {
        let mut held = small();
        let of = |layer: usize, part: &str| format!("model.layers.{layer}.{part}.bias");
        held.absent_biases =
            BTreeSet::from([of(0, "self_attn.o_proj"), of(1, "self_attn.o_proj"), of(1, "mlp.up_proj")]);
        let source = RandomWeights::new(&held);
        assert_eq!(without_absent_biases(small(), &source, false), held);
        // One that is in some layers alone is looked for in all.
        let strict = without_absent_biases(small(), &source, true);
        assert_eq!(strict.absent_biases.len(), 2);
        let missing = tensor_specs(&strict)
            .into_iter()
            .filter(|spec| find_tensor(&source, &spec.name, spec.shape).is_err())
            .map(|spec| spec.name);
        assert_eq!(missing.collect::<Vec<_>>(), [of(1, "mlp.up_proj")]);
        // What config.json does not allow is not looked for.
        let without = ModelConfig { attention_bias: false, ..small() };
        let names: Vec<String> = tensor_specs(&without).into_iter().map(|spec| spec.name).collect();
        assert!(!names.contains(&of(0, "self_attn.q_proj")));
    }
}
