//! What a case works on, on the host: every backend is given the same bytes.

use super::{Case, InputRounding, Values, Work};
use crate::core::{CoreError, DType, HostTensor, Result, Shape};
use crate::models::{NamedShape, Rope, RopeSpec, TextSpan, noise, random_ids, repeated_rows};
use crate::quant::float::{bf16_to_f32, f32_to_bf16};
use crate::quant::{dequantize_row, quantize_row, row_bytes, rows::RowReader};

/// The operands of a case.
#[derive(Clone, Debug, Default)]
pub struct Operands {
    /// Activations, in the order in which the operation takes them; for caches: keys, values, queries.
    pub inputs: Vec<Vec<f32>>,
    /// Matrices, or the gains of a norm.
    pub weights: Vec<HostTensor>,
    /// The format that is asked for them.
    pub format: Option<DType>,
    /// A vector for each matrix, or none.
    pub biases: Vec<HostTensor>,
    /// Rows that are looked up.
    pub ids: Vec<u32>,
}

/// Rows of a matrix that differ: a prime number, so that no tile of any size hides an exchange of rows.
const DISTINCT: usize = 1021;

/// The most rows of queries that look at a cache.
const LOOKS: usize = 64;

/// The rows of queries that look at a cache of `slots`, and the slot that the first one stands at: from the first slot
/// on, so that the order shows, unless there are very many.
pub(super) fn looks(slots: usize) -> (usize, usize) {
    let rows = if slots <= LOOKS { slots } else { LOOKS / 8 };
    (rows, slots - rows)
}

impl Operands {
    /// Those of `case`, the same ones each time.
    ///
    /// # Errors
    /// No memory.
    pub fn new(case: &Case) -> Result<Self> {
        let v = case.values;
        let two = |len: usize| vec![v.activations(1, len), v.activations(2, len)];
        let mut own = Self { format: case.work.dtype(), ..Self::default() };
        match &case.work {
            Work::Alloc { .. } => {}
            Work::Transfer { rows, cols }
            | Work::CopyRows { rows, cols, .. }
            | Work::Scale { rows, cols }
            | Work::Softcap { rows, cols } => {
                own.inputs = vec![v.activations(1, rows * cols)];
            }
            Work::Prepare { from, rows, cols, .. } => {
                own.weights = vec![matrix(v, 1, *from, *rows, *cols)?];
                own.ids = (0..*rows as u32).collect();
            }
            Work::Embed { dtype, vocab, cols, rows } => {
                own.weights = vec![matrix(v, 1, *dtype, *vocab, *cols)?];
                own.ids = random_ids(*vocab, *rows);
                // The last row of the matrix is among them.
                own.ids.iter_mut().take(1).for_each(|id| *id = *vocab as u32 - 1);
            }
            Work::RmsNorm { rows, cols } => {
                own.inputs = vec![v.activations(1, rows * cols)];
                own.weights = vec![gains(*cols)?];
            }
            Work::AddRmsNorm { rows, cols } => {
                own.inputs = two(rows * cols);
                own.weights = vec![gains(*cols)?];
            }
            Work::Linear { dtype, rows, cols, outs, bias } => {
                own.inputs = vec![v.activations(1, rows * cols)];
                for (seed, &out) in (2..).zip(outs) {
                    own.weights.push(matrix(v, seed, *dtype, out, *cols)?);
                    if *bias {
                        let values: Vec<f32> = noise(seed + 100, out).collect();
                        own.biases.push(HostTensor::from_f32("biases", Shape::from([out]), &values)?);
                    }
                }
            }
            Work::RmsNormInPlace { rows, heads, head_dim } => {
                own.inputs = vec![v.activations(1, rows * heads * head_dim)];
                own.weights = vec![gains(*head_dim)?];
            }
            Work::Rope { rows, heads, head_dim, turned, position } => {
                let mut angles = vec![0.0; rows * turned];
                let rope = Rope::new(
                    &RopeSpec { dims: *turned, ..NamedShape::Llama32x1B.decoder().rope },
                    TextSpan::Original,
                );
                rope.fill(*position..position + rows, &mut angles);
                own.inputs = vec![v.activations(1, rows * heads * head_dim), angles];
            }
            Work::KvAppend { cache, at, rows } => {
                let slots = at + rows;
                own.inputs = cached(v, slots * cache.kv_heads * cache.head_dim);
                own.inputs.push(v.queries(3, looks(slots).0 * cache.heads * cache.head_dim));
            }
            Work::KvCopy { cache, slots, keep } => {
                let kept = keep.iter().map(ExactSizeIterator::len).sum();
                own.inputs = cached(v, slots * cache.kv_heads * cache.head_dim);
                own.inputs.push(v.queries(3, looks(kept).0 * cache.heads * cache.head_dim));
            }
            Work::KvMove { cache, slots, take } => {
                own.inputs = cached(v, slots * cache.kv_heads * cache.head_dim);
                own.inputs.push(v.queries(3, looks(take.len()).0 * cache.heads * cache.head_dim));
            }
            Work::Attention { cache, at, rows, .. } => {
                own.inputs = cached(v, (at + rows) * cache.kv_heads * cache.head_dim);
                own.inputs.push(v.queries(3, rows * cache.heads * cache.head_dim));
            }
            Work::Glu { rows, cols, .. } | Work::Add { rows, cols } => own.inputs = two(rows * cols),
        }
        Ok(own)
    }

    /// Whether linear layers that round inputs in this way compute from something else than the reference does.
    pub fn changes_with(&self, rounding: InputRounding) -> bool {
        match (rounding, self.format) {
            (InputRounding::None, Some(format)) => format.is_quantized(),
            (InputRounding::Int8AndBf16, Some(format)) => matches!(format, DType::F16 | DType::BF16),
            _ => false,
        }
    }

    /// What the reference computes a linear layer from to do as one that rounds inputs in this way.
    ///
    /// # Errors
    /// No memory.
    pub fn rounded(&self, rounding: InputRounding) -> Result<Self> {
        let format = self.format.unwrap_or(DType::F32);
        // Nothing is rounded that is multiplied with f32 weights.
        let to = if rounding == InputRounding::None { DType::F32 } else { DType::BF16 };
        let round = |x: &Vec<f32>| x.iter().map(|&v| if to == DType::BF16 { bf16(v) } else { v }).collect();
        Ok(Self {
            inputs: self.inputs.iter().map(round).collect(),
            weights: self.weights.iter().map(|w| converted(w, format, to)).collect::<Result<_>>()?,
            format: Some(to),
            biases: self.biases.clone(),
            ids: self.ids.clone(),
        })
    }
}

fn bf16(value: f32) -> f32 {
    bf16_to_f32(f32_to_bf16(value))
}

fn gains(cols: usize) -> Result<HostTensor> {
    let gains: Vec<f32> = noise(2, cols).map(|x| 1.0 + 0.05 * x).collect();
    HostTensor::from_f32("gains", Shape::from([cols]), &gains)
}

fn cached(v: Values, len: usize) -> Vec<Vec<f32>> {
    vec![v.cached(1, len), v.cached(2, len)]
}

/// Stored as `dtype`, or as f32 where rows are no whole blocks.
fn matrix(v: Values, seed: u64, dtype: DType, rows: usize, cols: usize) -> Result<HostTensor> {
    let stored = if cols.is_multiple_of(dtype.block_len()) { dtype } else { DType::F32 };
    repeated_rows(stored, rows, cols, &v.weights(seed, rows.min(DISTINCT) * cols))
}

/// What a matrix is once it has been stored as `format`, stored as the float format `to`.
fn converted(tensor: &HostTensor, format: DType, to: DType) -> Result<HostTensor> {
    let (rows, cols) = tensor.matrix_dims();
    let (mut values, len) = (vec![0.0; cols], row_bytes(to, cols));
    let size = rows.saturating_mul(len);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| CoreError::OutOfMemory { what: "a matrix", bytes: size })?;
    bytes.resize(size, 0);
    let mut reader = RowReader::new(tensor, format);
    for (r, out) in bytes.chunks_exact_mut(len.max(1)).enumerate() {
        dequantize_row(format, reader.row(r)?, &mut values)?;
        quantize_row(to, &values, out)?;
    }
    HostTensor::new(tensor.name(), to, tensor.shape(), bytes.into())
}
