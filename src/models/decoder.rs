//! A decoder whose layers are all alike: what most families begin with.

use super::config::{
    ConfigError, Fields, MAX_DIM, MAX_HEAD_DIM, MAX_HEADS, MAX_LAYERS, MAX_POSITIONS, RopeContext,
};
use super::rope::RopeScaling;
use super::spec::{
    AttentionBiases, AttentionSpec, FfnBiases, FfnSpec, LayerSpec, ModelSpec, NormPlan, OutputSpec, QkNorm,
    RopeSpec,
};
use crate::core::Activation;
use crate::format::shown;

/// Dimensions and constants of a model, named as config.json of transformers names them (shorter where the meaning is
/// plain). Every value that is read is checked: counts are at least 1, `heads` is a multiple of `kv_heads`, `head_dim` is
/// even, no product of two dimensions overflows 64 bits, all numbers are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Rows of the embedding matrix.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward network's inner layer.
    pub intermediate_size: usize,
    /// `num_hidden_layers`.
    pub layers: usize,
    /// `num_attention_heads`: query heads.
    pub heads: usize,
    /// `num_key_value_heads`; as many as `heads` if absent.
    pub kv_heads: usize,
    /// Width of one head; `heads * head_dim` need not be `hidden_size`.
    pub head_dim: usize,
    /// `max_position_embeddings`: positions that the model was trained for.
    pub max_positions: usize,
    /// `rms_norm_eps`: added to the mean square before its root.
    pub norm_eps: f32,
    /// What the gate of the feed-forward network goes through.
    pub activation: Activation,
    /// The projections q, k, v and o may have biases.
    pub attention_bias: bool,
    /// The projections gate, up and down may have biases.
    pub mlp_bias: bool,
    /// `tie_word_embeddings`: the output matrix is the embedding matrix.
    pub tied: bool,
    /// The rotary position embedding.
    pub rope: RopeSpec,
}

/// What holds for a family where config.json does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// `None`: `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    pub max_positions: usize,
    pub norm_eps: f64,
    pub theta: f64,
    pub tied: bool,
    /// The key of the activation, and the function.
    pub activation: (&'static str, Activation),
    /// A part of each head may be turned alone.
    pub partial_rotary: bool,
}

impl Default for Defaults {
    /// Those of Llama.
    fn default() -> Self {
        Self {
            head_dim: None,
            max_positions: 2048,
            norm_eps: 1e-6,
            theta: 10_000.0,
            tied: false,
            activation: ("hidden_act", Activation::Silu),
            partial_rotary: false,
        }
    }
}

impl Decoder {
    /// Reads config.json. The rotary embedding is that of all layers, if the file has one for all.
    pub(super) fn read(fields: &Fields<'_>, defaults: &Defaults) -> Result<Self, ConfigError> {
        let mut this = Self::without_rope(fields, defaults)?;
        this.rope = this.rope_context(defaults).read(fields)?;
        Ok(this)
    }

    /// The same, with a rotary embedding that is still to be read.
    pub(super) fn without_rope(fields: &Fields<'_>, defaults: &Defaults) -> Result<Self, ConfigError> {
        let activation = read_activation(fields, defaults.activation)?;
        let hidden_size = fields.required("hidden_size", 1, MAX_DIM)?;
        let heads = fields.required("num_attention_heads", 1, MAX_HEADS)?;
        let kv_heads = fields.integer("num_key_value_heads", 1, MAX_HEADS)?.unwrap_or(heads);
        if heads % kv_heads != 0 {
            return Err(fields.invalid(format!(
                "'num_attention_heads' is {heads}, which is not a multiple of 'num_key_value_heads', {kv_heads}"
            )));
        }
        let head_dim = match fields.integer("head_dim", 1, MAX_HEAD_DIM)?.or(defaults.head_dim) {
            Some(n) => n,
            None if hidden_size % heads == 0 => hidden_size / heads,
            None => {
                return Err(fields.invalid(format!(
                    "'hidden_size' is {hidden_size}, which is not a multiple of 'num_attention_heads', {heads}, \
                     and no 'head_dim' is given"
                )));
            }
        };
        if head_dim % 2 != 0 {
            return Err(
                fields.invalid(format!("a head has {head_dim} values, but RoPE needs an even number"))
            );
        }
        if heads.checked_mul(head_dim).is_none_or(|n| n > MAX_DIM) {
            return Err(fields.invalid(format!(
                "{heads} heads of {head_dim} values are more than the {MAX_DIM} that are allowed"
            )));
        }
        Ok(Self {
            vocab_size: fields.required("vocab_size", 1, MAX_DIM)?,
            hidden_size,
            intermediate_size: fields.required("intermediate_size", 1, MAX_DIM)?,
            layers: fields.required("num_hidden_layers", 1, MAX_LAYERS)?,
            heads,
            kv_heads,
            head_dim,
            max_positions: fields
                .integer("max_position_embeddings", 1, MAX_POSITIONS)?
                .unwrap_or(defaults.max_positions),
            // The bounds keep it positive and finite as an f32.
            norm_eps: fields.number("rms_norm_eps", 1e-30, 1.0)?.unwrap_or(defaults.norm_eps) as f32,
            activation,
            attention_bias: false,
            mlp_bias: false,
            tied: fields.boolean("tie_word_embeddings")?.unwrap_or(defaults.tied),
            rope: RopeSpec {
                theta: defaults.theta,
                dims: head_dim,
                scaling: RopeScaling::None,
                query_growth: None,
            },
        })
    }

    /// Reads `attention_bias` and `mlp_bias`.
    pub(super) fn with_biases(self, fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let biases = |key: &str| fields.boolean(key).map(|given| given.unwrap_or(false));
        Ok(Self { attention_bias: biases("attention_bias")?, mlp_bias: biases("mlp_bias")?, ..self })
    }

    /// What its rotary embeddings depend on.
    pub(super) fn rope_context(&self, defaults: &Defaults) -> RopeContext {
        RopeContext {
            theta: defaults.theta,
            head_dim: self.head_dim,
            max_positions: self.max_positions,
            partial: defaults.partial_rotary,
        }
    }

    /// A decoder with all layers as the first one of `spec`: for estimates of time.
    pub fn like(spec: &ModelSpec) -> Self {
        let rope = RopeSpec { theta: 10_000.0, dims: 2, scaling: RopeScaling::None, query_growth: None };
        let mut this = Self {
            vocab_size: spec.vocab_size,
            hidden_size: spec.hidden_size,
            intermediate_size: 1,
            layers: spec.layers.len(),
            heads: 1,
            kv_heads: 1,
            head_dim: 2,
            max_positions: spec.max_positions,
            norm_eps: spec.norm_eps,
            activation: Activation::Silu,
            attention_bias: false,
            mlp_bias: false,
            tied: spec.output.tied,
            rope: spec.ropes.first().cloned().unwrap_or(rope),
        };
        if let Some(LayerSpec { attention, ffn, .. }) = spec.layers.first() {
            (this.heads, this.kv_heads, this.head_dim) =
                (attention.heads, attention.kv_heads, attention.head_dim);
            (this.intermediate_size, this.activation) = (ffn.width, ffn.activation);
        }
        this
    }

    /// The decoder as data.
    pub fn spec(&self) -> ModelSpec {
        let (a, f) = (self.attention_bias, self.mlp_bias);
        let layer = LayerSpec {
            attention: AttentionSpec {
                heads: self.heads,
                kv_heads: self.kv_heads,
                head_dim: self.head_dim,
                rope: Some(0),
                window: None,
                ahead: 0,
                scale: 1.0 / (self.head_dim as f32).sqrt(),
                softcap: None,
                qk_norm: QkNorm::None,
                biases: AttentionBiases { q: a, k: a, v: a, o: a },
            },
            ffn: FfnSpec {
                width: self.intermediate_size,
                activation: self.activation,
                biases: FfnBiases { gate: f, up: f, down: f },
            },
            norms: NormPlan { before: true, after: false },
            residual_scale: 1.0,
        };
        ModelSpec {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            max_positions: self.max_positions,
            norm_eps: self.norm_eps,
            embedding_scale: 1.0,
            ropes: vec![self.rope.clone()],
            layers: vec![layer; self.layers],
            output: OutputSpec { tied: self.tied, scale: 1.0, softcap: None },
        }
    }
}

/// The activation by the names that transformers has for it.
fn read_activation(
    fields: &Fields<'_>,
    (key, usual): (&'static str, Activation),
) -> Result<Activation, ConfigError> {
    match fields.string(key)? {
        None => Ok(usual),
        // "swish" is the older name of the same function.
        Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
        Some(other) => Err(fields.invalid(format!(
            "the activation '{}' ('{key}') is not supported; known are silu and gelu_pytorch_tanh",
            shown(other)
        ))),
    }
}
