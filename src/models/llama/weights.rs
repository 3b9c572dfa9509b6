//! The weights of a model, checked against its specification and prepared by a backend.

use super::tensors::{
    ATTENTION_NORM, ATTENTION_OUTPUT_NORM, EMBEDDING, FFN_NORM, FFN_OUTPUT_NORM, FINAL_NORM, K_NORM, OUTPUT,
    Projection, Q_NORM, find_tensor, layer_name, parameter_count, projections,
};
use crate::core::{Backend, CoreError, DType, HostTensor, Order, PreparedWeight, Shape};
use crate::format::{FormatError, TensorSource};
use crate::models::{LayerSpec, ModelError, ModelSpec, QkNorm, TensorRole, WeightPlan};

/// A linear layer.
pub(super) struct Linear<W> {
    pub weight: W,
    pub bias: Option<W>,
}

/// One transformer block; norms are where its plan has them.
pub(super) struct Layer<W> {
    pub attention_norm: Option<W>,
    pub q: Linear<W>,
    pub k: Linear<W>,
    pub v: Linear<W>,
    pub o: Linear<W>,
    pub qk_norm: Option<(W, W)>,
    pub attention_output_norm: Option<W>,
    pub ffn_norm: Option<W>,
    pub gate: Linear<W>,
    pub up: Linear<W>,
    pub down: Linear<W>,
    pub ffn_output_norm: Option<W>,
}

/// Everything that a checkpoint holds.
pub(super) struct Weights<W> {
    pub embedding: W,
    pub layers: Vec<Layer<W>>,
    pub norm: W,
    /// `None` where the embedding is the output matrix too.
    pub output: Option<W>,
    bytes: usize,
}

/// The error of a tensor with the file that it is in.
fn located(error: CoreError, source: &dyn TensorSource) -> ModelError {
    match error {
        CoreError::BadTensor { name, reason } => {
            FormatError::Tensor { path: source.location(&name).into(), name, reason }.into()
        }
        other => other.into(),
    }
}

/// How far loading has come.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    /// Parameters prepared so far.
    pub done: u64,
    /// Parameters of the model.
    pub total: u64,
}

impl<W: PreparedWeight> Weights<W> {
    pub fn load<B: Backend<Weight = W>>(
        backend: &B,
        source: &dyn TensorSource,
        spec: &ModelSpec,
        plan: WeightPlan,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, ModelError> {
        let total = parameter_count(spec);
        let mut loader = Loader { backend, source, plan, progress, done: 0, total, bytes: 0 };
        let (hidden, vocab) = (spec.hidden_size, spec.vocab_size);
        let embedding = loader.matrix(TensorRole::Outer, EMBEDDING, vocab, hidden)?;
        let layers = spec.layers.iter().enumerate();
        let layers = layers.map(|(i, layer)| loader.layer(i, layer, hidden)).collect::<Result<_, _>>()?;
        let norm = loader.vector(FINAL_NORM, hidden)?;
        let output = match spec.output.tied {
            true => None,
            false => Some(loader.matrix(TensorRole::Outer, OUTPUT, vocab, hidden)?),
        };
        let bytes = loader.bytes;
        Ok(Self { embedding, layers, norm, output, bytes })
    }

    pub fn size_bytes(&self) -> usize {
        self.bytes
    }
}

struct Loader<'a, B> {
    backend: &'a B,
    source: &'a dyn TensorSource,
    plan: WeightPlan,
    progress: &'a mut dyn FnMut(LoadProgress),
    done: u64,
    total: u64,
    /// Memory that the weights take so far.
    bytes: usize,
}

impl<B: Backend> Loader<'_, B> {
    fn layer(
        &mut self,
        index: usize,
        spec: &LayerSpec,
        hidden: usize,
    ) -> Result<Layer<B::Weight>, ModelError> {
        let [q, k, v, o, gate, up, down] = projections(spec, hidden);
        let attention = &spec.attention;
        let (before, after) = (spec.norms.before, spec.norms.after);
        Ok(Layer {
            attention_norm: self.norm(index, ATTENTION_NORM, before, hidden)?,
            q: self.linear(index, &q)?,
            k: self.linear(index, &k)?,
            v: self.linear(index, &v)?,
            o: self.linear(index, &o)?,
            qk_norm: match attention.qk_norm {
                QkNorm::None => None,
                QkNorm::PerHead => Some(self.qk_norm(index, attention.head_dim, attention.head_dim)?),
                QkNorm::Whole => Some(self.qk_norm(index, attention.q_width(), attention.kv_width())?),
            },
            attention_output_norm: self.norm(index, ATTENTION_OUTPUT_NORM, after, hidden)?,
            ffn_norm: self.norm(index, FFN_NORM, before, hidden)?,
            gate: self.linear(index, &gate)?,
            up: self.linear(index, &up)?,
            down: self.linear(index, &down)?,
            ffn_output_norm: self.norm(index, FFN_OUTPUT_NORM, after, hidden)?,
        })
    }

    fn qk_norm(&mut self, index: usize, q: usize, k: usize) -> Result<(B::Weight, B::Weight), ModelError> {
        let name = |part| layer_name(index, part, "weight");
        Ok((self.vector(&name(Q_NORM), q)?, self.vector(&name(K_NORM), k)?))
    }

    fn norm(
        &mut self,
        index: usize,
        part: &str,
        wanted: bool,
        len: usize,
    ) -> Result<Option<B::Weight>, ModelError> {
        wanted.then(|| self.vector(&layer_name(index, part, "weight"), len)).transpose()
    }

    fn linear(&mut self, index: usize, p: &Projection) -> Result<Linear<B::Weight>, ModelError> {
        let name = |kind| layer_name(index, p.part, kind);
        let weight = self.matrix(TensorRole::Layer, &name("weight"), p.rows, p.cols)?;
        let bias = p.bias.then(|| self.vector(&name("bias"), p.rows)).transpose()?;
        Ok(Linear { weight, bias })
    }

    fn matrix(
        &mut self,
        role: TensorRole,
        name: &str,
        rows: usize,
        cols: usize,
    ) -> Result<B::Weight, ModelError> {
        let tensor = find_tensor(self.source, name, Shape::from([rows, cols]))?;
        self.prepare(&tensor, self.plan.format(role, tensor.dtype(), cols))
    }

    /// Norm gains and biases: few numbers that every row is multiplied with, so they stay f32.
    fn vector(&mut self, name: &str, len: usize) -> Result<B::Weight, ModelError> {
        let tensor = find_tensor(self.source, name, Shape::from([len]))?;
        self.prepare(&tensor, DType::F32)
    }

    fn prepare(&mut self, tensor: &HostTensor, format: DType) -> Result<B::Weight, ModelError> {
        let weight = self.backend.prepare(tensor, format).map_err(|e| located(e, self.source))?;
        if (tensor.dtype(), tensor.order()) != (format, Order::read_by_kernels(format)) {
            // Converted, so the file's own pages are of no more use: a 1B model would hold 2.5 GB of them.
            tensor.data().release();
        }
        let (rows, cols) = tensor.matrix_dims();
        self.bytes += weight.size_bytes();
        self.done += (rows * cols) as u64;
        (self.progress)(LoadProgress { done: self.done, total: self.total });
        Ok(weight)
    }
}
