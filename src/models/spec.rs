//! What a decoder is made of, as data: a family's configuration becomes a [`ModelSpec`], and one forward pass runs any of
//! them.

use super::rope::RopeScaling;
use crate::core::{Activation, KvShape};

/// A decoder: an embedding, layers, a norm and an output matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Rows of the embedding matrix.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Positions that the model was trained for.
    pub max_positions: usize,
    /// Added to the mean square before its root, in every norm.
    pub norm_eps: f32,
    /// Embeddings are multiplied by it; 1 for none.
    pub embedding_scale: f32,
    /// The rotary embeddings that layers refer to.
    pub ropes: Vec<RopeSpec>,
    /// In the order in which they are passed.
    pub layers: Vec<LayerSpec>,
    /// From the last layer to the logits.
    pub output: OutputSpec,
}

/// A transformer block: attention, then a feed-forward network, each added to the residual stream.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSpec {
    /// The first half.
    pub attention: AttentionSpec,
    /// The second half.
    pub ffn: FfnSpec,
    /// Where the norms are.
    pub norms: NormPlan,
    /// What each half adds to the residual stream is multiplied by it; 1 for none.
    pub residual_scale: f32,
}

/// Where a half of a block has norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormPlan {
    /// Of its input.
    pub before: bool,
    /// Of its output, before that is added to the residual stream.
    pub after: bool,
}

/// Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245).
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Which of [`ModelSpec::ropes`] turns queries and keys; `None`: they have no positions.
    pub rope: Option<usize>,
    /// A token sees this many tokens, itself among them; `None`: all from the first one on.
    pub window: Option<usize>,
    /// So many of these may come after it; 0: attention is causal. Where it is not, a text goes through in one pass.
    pub ahead: usize,
    /// Scores are multiplied by it.
    pub scale: f32,
    /// Scores are kept within `-softcap..=softcap`.
    pub softcap: Option<f32>,
    /// The norm of queries and keys.
    pub qk_norm: QkNorm,
    /// Which projections have biases.
    pub biases: AttentionBiases,
}

/// Biases of q, k, v and o.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttentionBiases {
    /// Of the queries' projection.
    pub q: bool,
    /// Of the keys'.
    pub k: bool,
    /// Of the values'.
    pub v: bool,
    /// Of the output's.
    pub o: bool,
}

/// How queries and keys are normalized before they are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// Not at all.
    None,
    /// Each head by itself, with one gain for all heads.
    PerHead,
    /// All heads of a token together.
    Whole,
}

/// A gated feed-forward network: `down(activation(gate(x)) * up(x))` (Shazeer 2020, arXiv 2002.05202).
#[derive(Clone, Debug, PartialEq)]
pub struct FfnSpec {
    /// Width of the inner layer.
    pub width: usize,
    /// What the gate goes through.
    pub activation: Activation,
    /// Which projections have biases.
    pub biases: FfnBiases,
}

/// Biases of gate, up and down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FfnBiases {
    /// Of the gate's projection.
    pub gate: bool,
    /// Of the other one beside it.
    pub up: bool,
    /// Of the one back to the residual stream.
    pub down: bool,
}

/// From the last layer to the logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputSpec {
    /// The output matrix is the embedding matrix.
    pub tied: bool,
    /// Logits are multiplied by it; 1 for none.
    pub scale: f32,
    /// Logits are kept within `-softcap..=softcap`.
    pub softcap: Option<f32>,
}

/// A rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    /// The base of the frequencies: pair `i` turns by `theta^(-2i/dims)` a position.
    pub theta: f64,
    /// Elements of a head that are turned: the first ones, an even number.
    pub dims: usize,
    /// How frequencies are changed for contexts longer than the first training's.
    pub scaling: RopeScaling,
    /// How queries grow with their position.
    pub query_growth: Option<QueryGrowth>,
}

/// Queries at position `p` are multiplied by `1 + beta * ln(1 + floor(p / original))` (Llama 4; Ministral 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryGrowth {
    /// How much.
    pub beta: f64,
    /// Positions that the model was first trained for.
    pub original: usize,
}

impl AttentionSpec {
    /// Width of a token's queries.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of a token's keys, and of its values.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

impl ModelSpec {
    /// Whether no token sees a later one, so that a text can be gone on with.
    pub fn is_causal(&self) -> bool {
        self.layers.iter().all(|layer| layer.attention.ahead == 0)
    }

    /// The largest of a number over all layers.
    pub fn widest(&self, of: impl Fn(&LayerSpec) -> usize) -> usize {
        self.layers.iter().map(of).max().unwrap_or(0)
    }

    /// What the cache holds of each layer.
    pub fn cache_shapes(&self) -> Vec<KvShape> {
        let shape = |AttentionSpec { kv_heads, head_dim, window, ahead, .. }: &AttentionSpec| KvShape {
            kv_heads: *kv_heads,
            head_dim: *head_dim,
            // A text that goes through in one pass is held as a whole.
            window: window.filter(|_| *ahead == 0),
        };
        self.layers.iter().map(|layer| shape(&layer.attention)).collect()
    }

    /// Layers, heads of keys and values, and width of a head, which all layers have in common.
    pub fn cache_shape(&self) -> [usize; 3] {
        let widest = |of: fn(&AttentionSpec) -> usize| self.widest(|layer| of(&layer.attention));
        [self.layers.len(), widest(|a| a.kv_heads), widest(|a| a.head_dim)]
    }

    /// The length of a text from which on its rotary embeddings are others; `None`: they are always the same.
    pub fn rope_switch(&self) -> Option<usize> {
        self.ropes.iter().filter_map(|rope| rope.scaling.switch()).min()
    }
}
