//! The weights of a Llama, checked against its configuration and prepared by a backend.

use super::tensors::{TensorSpec, find_tensor, has_bias, tensor_specs};
use crate::core::{Backend, DType, HostTensor, Order, PreparedWeight, Shape};
use crate::format::TensorSource;
use crate::models::ModelConfig;
use crate::models::ModelError;

/// A linear layer.
pub(super) struct Linear<W> {
    pub weight: W,
    pub bias: Option<W>,
}

/// One transformer block.
pub(super) struct Layer<W> {
    pub attention_norm: W,
    pub q: Linear<W>,
    pub k: Linear<W>,
    pub v: Linear<W>,
    pub o: Linear<W>,
    pub ffn_norm: W,
    pub gate: Linear<W>,
    pub up: Linear<W>,
    pub down: Linear<W>,
}

/// Everything that a checkpoint holds.
pub(super) struct Weights<W> {
    pub embedding: W,
    pub layers: Vec<Layer<W>>,
    pub norm: W,
    /// `None` where the embedding is the output matrix too.
    pub output: Option<W>,
}

/// How far loading has come.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    /// Parameters prepared so far.
    pub done: u64,
    /// Parameters of the model.
    pub total: u64,
}

/// Number of parameters that follows from a configuration.
pub fn parameter_count(config: &ModelConfig) -> u64 {
    let elements = |spec: TensorSpec| spec.shape.elements().map_or(u64::MAX, |n| n as u64);
    tensor_specs(config).into_iter().map(elements).fold(0, u64::saturating_add)
}

impl<W: PreparedWeight> Weights<W> {
    pub fn load<B: Backend<Weight = W>>(
        backend: &B,
        source: &dyn TensorSource,
        config: &ModelConfig,
        format: DType,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, ModelError> {
        let total = parameter_count(config);
        let mut loader = Loader { backend, source, format, progress, done: 0, total };
        let hidden = config.hidden_size;
        let embedding = loader.matrix("model.embed_tokens.weight", config.vocab_size, hidden)?;
        let layers = (0..config.layers).map(|i| loader.layer(i, config)).collect::<Result<_, _>>()?;
        let norm = loader.vector("model.norm.weight", hidden)?;
        let output = if config.tie_word_embeddings {
            None
        } else {
            Some(loader.matrix("lm_head.weight", config.vocab_size, hidden)?)
        };
        Ok(Self { embedding, layers, norm, output })
    }

    pub fn size_bytes(&self) -> usize {
        let linear = |l: &Linear<W>| l.weight.size_bytes() + l.bias.as_ref().map_or(0, W::size_bytes);
        let layers: usize = self
            .layers
            .iter()
            .map(|l| {
                [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down].map(linear).iter().sum::<usize>()
                    + l.attention_norm.size_bytes()
                    + l.ffn_norm.size_bytes()
            })
            .sum();
        let outer = self.embedding.size_bytes() + self.norm.size_bytes();
        layers + outer + self.output.as_ref().map_or(0, W::size_bytes)
    }
}

struct Loader<'a, B> {
    backend: &'a B,
    source: &'a dyn TensorSource,
    format: DType,
    progress: &'a mut dyn FnMut(LoadProgress),
    done: u64,
    total: u64,
}

impl<B: Backend> Loader<'_, B> {
    fn layer(&mut self, index: usize, config: &ModelConfig) -> Result<Layer<B::Weight>, ModelError> {
        let hidden = config.hidden_size;
        let ffn = config.intermediate_size;
        let q = config.heads * config.head_dim;
        let kv = config.kv_heads * config.head_dim;
        let (attention, mlp) = (config.attention_bias, config.mlp_bias);
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let mut linear = |part: &str, rows, cols, bias: bool| {
            let bias_name = format!("{}.bias", name(part));
            let bias = (bias && has_bias(config, &bias_name)).then_some(bias_name);
            self.linear(&format!("{}.weight", name(part)), rows, cols, bias.as_deref())
        };
        let [q, k, v, o] = [
            linear("self_attn.q_proj", q, hidden, attention)?,
            linear("self_attn.k_proj", kv, hidden, attention)?,
            linear("self_attn.v_proj", kv, hidden, attention)?,
            linear("self_attn.o_proj", hidden, q, attention)?,
        ];
        let [gate, up, down] = [
            linear("mlp.gate_proj", ffn, hidden, mlp)?,
            linear("mlp.up_proj", ffn, hidden, mlp)?,
            linear("mlp.down_proj", hidden, ffn, mlp)?,
        ];
        Ok(Layer {
            attention_norm: self.vector(&name("input_layernorm.weight"), hidden)?,
            q,
            k,
            v,
            o,
            ffn_norm: self.vector(&name("post_attention_layernorm.weight"), hidden)?,
            gate,
            up,
            down,
        })
    }

    fn linear(
        &mut self,
        name: &str,
        rows: usize,
        cols: usize,
        bias: Option<&str>,
    ) -> Result<Linear<B::Weight>, ModelError> {
        let weight = self.matrix(name, rows, cols)?;
        let bias = bias.map(|bias| self.vector(bias, rows)).transpose()?;
        Ok(Linear { weight, bias })
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<B::Weight, ModelError> {
        let tensor = find_tensor(self.source, name, Shape::from([rows, cols]))?;
        self.prepare(&tensor, self.format)
    }

    /// Norm gains and biases: few numbers that every row is multiplied with, so they stay f32.
    fn vector(&mut self, name: &str, len: usize) -> Result<B::Weight, ModelError> {
        let tensor = find_tensor(self.source, name, Shape::from([len]))?;
        self.prepare(&tensor, DType::F32)
    }

    fn prepare(&mut self, tensor: &HostTensor, format: DType) -> Result<B::Weight, ModelError> {
        let weight = self.backend.prepare(tensor, format)?;
        if (tensor.dtype(), tensor.order()) != (format, Order::read_by_kernels(format)) {
            // Converted, so the file's own pages are of no more use: a 1B model would hold 2.5 GB of them.
            tensor.data().release();
        }
        let (rows, cols) = tensor.matrix_dims();
        self.done += (rows * cols) as u64;
        (self.progress)(LoadProgress { done: self.done, total: self.total });
        Ok(weight)
    }
}
