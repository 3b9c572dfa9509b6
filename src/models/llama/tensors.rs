//! Which tensors a Llama consists of, under which names and in which shapes.

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

/// All tensors of a model, in the order in which a forward pass reads them.
pub fn tensor_specs(config: &ModelConfig) -> Vec<TensorSpec> {
    let (hidden, ffn, vocab) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let q = config.heads * config.head_dim;
    let kv = config.kv_heads * config.head_dim;
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
        for (part, rows, cols, bias) in [
            ("self_attn.q_proj", q, hidden, config.attention_bias),
            ("self_attn.k_proj", kv, hidden, config.attention_bias),
            ("self_attn.v_proj", kv, hidden, config.attention_bias),
            ("self_attn.o_proj", hidden, q, config.attention_bias),
            ("mlp.gate_proj", ffn, hidden, config.mlp_bias),
            ("mlp.up_proj", ffn, hidden, config.mlp_bias),
            ("mlp.down_proj", hidden, ffn, config.mlp_bias),
        ] {
            add(name(&format!("{part}.weight")), [rows, cols].into());
            if bias {
                add(name(&format!("{part}.bias")), [rows].into());
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
    use crate::models::NamedShape;
    use crate::models::llama::parameter_count;

    #[test]
    fn the_tensors_hold_as_many_parameters_as_the_model_has() {
        for (tied, bias) in [(true, false), (false, true)] {
            let config = ModelConfig {
                tie_word_embeddings: tied,
                attention_bias: bias,
                mlp_bias: bias,
                ..NamedShape::Llama32x1B.config()
            };
            let sum: usize = tensor_specs(&config).iter().map(|t| t.shape.elements().unwrap()).sum();
            assert_eq!(sum as u64, parameter_count(&config));
        }
        assert_eq!(tensor_specs(&NamedShape::Llama32x1B.config()).len(), 16 * 9 + 2);
    }
}
