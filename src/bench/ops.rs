//! Single operations of a backend, at the shapes of a model.

use std::fmt;

use super::operands::{self, Rotation};
use super::repeat::{Budget, repeat};
use super::stats::Summary;
use crate::core::{AttentionParams, Backend, DType, KvLayer, LinearPart, Result, Run, Tensor};
use crate::models::{Decoder, Rope, TextSpan, random_ids};

/// An operation of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Rows of the embedding matrix.
    Embed,
    /// Over rows of the hidden size.
    RmsNorm,
    /// The matrices q, k and v in one call.
    LinearQkv,
    /// The matrix after attention.
    LinearO,
    /// The matrices gate and up in one call.
    LinearGateUp,
    /// The matrix down.
    LinearDown,
    /// The output matrix, of one row, as in generation.
    LinearOutput,
    /// On the queries.
    Rope,
    /// Keys and values of the rows into an empty cache.
    KvAppend,
    /// Of the rows, after as many tokens as the case's depth.
    Attention,
    /// Over rows of the feed-forward network's inner size.
    Glu,
    /// Over rows of the hidden size.
    Add,
}

impl Operator {
    /// Every operator, in the order of a forward pass.
    pub const ALL: [Operator; 12] = [
        Operator::Embed,
        Operator::RmsNorm,
        Operator::LinearQkv,
        Operator::Rope,
        Operator::KvAppend,
        Operator::Attention,
        Operator::LinearO,
        Operator::Add,
        Operator::LinearGateUp,
        Operator::Glu,
        Operator::LinearDown,
        Operator::LinearOutput,
    ];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Operator::Embed => "embed",
            Operator::RmsNorm => "rms_norm",
            Operator::LinearQkv => "linear_qkv",
            Operator::LinearO => "linear_o",
            Operator::LinearGateUp => "linear_gate_up",
            Operator::LinearDown => "linear_down",
            Operator::LinearOutput => "linear_output",
            Operator::Rope => "rope",
            Operator::KvAppend => "kv_append",
            Operator::Attention => "attention",
            Operator::Glu => "glu",
            Operator::Add => "add",
        }
    }

    /// Input features, and the output features of each matrix; `None` if it is no linear layer.
    fn matrices(self, c: &Decoder) -> Option<(usize, Vec<usize>)> {
        let (hidden, ffn) = (c.hidden_size, c.intermediate_size);
        let (q, kv) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        match self {
            Operator::LinearQkv => Some((hidden, vec![q, kv, kv])),
            Operator::LinearO => Some((q, vec![hidden])),
            Operator::LinearGateUp => Some((hidden, vec![ffn, ffn])),
            Operator::LinearDown => Some((ffn, vec![hidden])),
            Operator::LinearOutput => Some((hidden, vec![c.vocab_size])),
            _ => None,
        }
    }
}

/// An operator and what its cost depends on. Shown as `linear_o q4_0 x1`, `attention f16 d2048 x64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub operator: Operator,
    /// Type of the weights, or of keys and values.
    pub dtype: Option<DType>,
    /// Tokens before the rows, for attention.
    pub depth: Option<usize>,
    /// Tokens at once: 1 in decode.
    pub rows: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operator.name())?;
        if let Some(dtype) = self.dtype {
            write!(f, " {dtype}")?;
        }
        if let Some(depth) = self.depth {
            write!(f, " d{depth}")?;
        }
        write!(f, " x{}", self.rows)
    }
}

/// All cases for these types of weights, types of keys and values, numbers of rows and depths.
pub fn cases(weights: &[DType], kv: &[DType], rows: &[usize], depths: &[usize]) -> Vec<Case> {
    let mut all = Vec::new();
    for operator in Operator::ALL {
        let (types, depths) = match operator {
            Operator::Attention => (some(kv), some(depths)),
            Operator::KvAppend => (some(kv), vec![None]),
            Operator::RmsNorm | Operator::Rope | Operator::Glu | Operator::Add => (vec![None], vec![None]),
            _ => (some(weights), vec![None]),
        };
        let rows = if operator == Operator::LinearOutput { &[1][..] } else { rows };
        for &dtype in &types {
            for &depth in &depths {
                all.extend(rows.iter().map(|&rows| Case { operator, dtype, depth, rows }));
            }
        }
    }
    all
}

fn some<T: Copy>(list: &[T]) -> Vec<Option<T>> {
    list.iter().copied().map(Some).collect()
}

/// What a case cost.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Seconds of one call.
    pub seconds: Summary,
    /// Measurements made.
    pub repetitions: usize,
    /// Bytes that a call must read at least: its weights, or the keys and values that it sees, or, where it
    /// has neither, its input.
    pub bytes: u64,
    /// Multiplications and additions of its definition; 0 where it only copies.
    pub operations: u64,
}

impl Figure {
    /// Bytes a second, by the median.
    pub fn read(&self) -> f64 {
        self.bytes as f64 / self.seconds.median.max(1e-12)
    }

    /// Multiplications and additions a second, by the median; `None` where there are none.
    pub fn arithmetic(&self) -> Option<f64> {
        (self.operations > 0).then(|| self.operations as f64 / self.seconds.median.max(1e-12))
    }
}

/// What a call of `case` must read and compute, as in [`Figure`]: `(bytes, operations)`.
pub fn cost(config: &Decoder, case: &Case) -> (u64, u64) {
    let c = config;
    let f32s = |n: usize| 4 * n as u64;
    let stored = |rows: usize, cols: usize| {
        rows as u64 * case.dtype.and_then(|d| d.bytes_for(cols)).unwrap_or_default() as u64
    };
    let (q, kv) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
    let rows = case.rows as u64;
    if let Some((cols, outs)) = case.operator.matrices(c) {
        let total: usize = outs.iter().sum();
        return (stored(total, cols), 2 * rows * (total as u64) * cols as u64);
    }
    let hidden = case.rows * c.hidden_size;
    let inner = case.rows * c.intermediate_size;
    match case.operator {
        Operator::Embed => (stored(case.rows, c.hidden_size), 0),
        // Square and sum, then two multiplications.
        Operator::RmsNorm => (f32s(hidden), 4 * hidden as u64),
        // A pair takes four multiplications and two additions; the row's angles are read too.
        Operator::Rope => (f32s(case.rows * (q + c.head_dim)), 3 * rows * q as u64),
        Operator::KvAppend => (f32s(2 * case.rows * kv), 0),
        Operator::Attention => {
            let depth = case.depth.unwrap_or_default() as u64;
            // Row r sees depth + r + 1 keys; a multiplication and an addition each for scores and for values.
            let seen = rows * depth + rows * (rows + 1) / 2;
            (2 * (depth + rows) * stored(c.kv_heads, c.head_dim), 4 * seen * q as u64)
        }
        // Exponential, addition, division, multiplication.
        Operator::Glu => (f32s(2 * inner), 4 * inner as u64),
        _ => (f32s(2 * hidden), hidden as u64),
    }
}

/// Measures a case.
///
/// Weights and caches are made so often that together they take `working_set` bytes, and used in turns: as in a
/// model, none is found in a cache where the use before has left it. Every measurement ends when its last
/// result can be read.
///
/// # Errors
/// No memory, or what the backend reports.
pub fn measure<B: Backend>(
    backend: &B,
    config: &Decoder,
    case: &Case,
    budget: Budget,
    working_set: usize,
) -> Result<Figure> {
    let (bytes, operations) = cost(config, case);
    let c = config;
    let rows = case.rows;
    let (q, kv) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
    let copies = operands::copies(bytes, working_set);
    let timed = |output: usize, act: &mut dyn FnMut(&mut Tensor<B::Buffer>) -> Result<()>| {
        let mut out = backend.tensor(rows, output)?;
        repeat(budget, &mut |count| {
            for _ in 0..count {
                act(&mut out)?;
            }
            backend.download(&out, 0, &mut [0.0])
        })
    };
    let samples = match (case.operator, case.operator.matrices(c)) {
        (_, Some((cols, outs))) => linear(backend, case, budget, cols, &outs, copies)?,
        (Operator::Embed, _) => {
            let table = operands::weight(backend, case.dtype, c.vocab_size, c.hidden_size)?;
            let ids = random_ids(c.vocab_size, 64 * rows);
            let mut turn = Rotation::new(ids.chunks_exact(rows).collect());
            timed(c.hidden_size, &mut |out| backend.embed(&table, turn.next(), out))?
        }
        (Operator::RmsNorm, _) => {
            let x = operands::activations(backend, rows, c.hidden_size)?;
            let gain = operands::gain(backend, c.hidden_size)?;
            timed(c.hidden_size, &mut |out| backend.rms_norm(&x, &gain, c.norm_eps, out))?
        }
        (Operator::Rope, _) => {
            let mut angles = vec![0.0; rows * c.rope.dims];
            Rope::new(&c.rope, TextSpan::Original).fill(0..rows, &mut angles);
            let mut turns = backend.tensor(rows, c.rope.dims)?;
            backend.upload(&angles, &mut turns, 0)?;
            timed(q, &mut |out| backend.rope(out, &turns, c.head_dim))?
        }
        (Operator::KvAppend, _) => {
            let (layout, pages) = (operands::layout(c, case.dtype), operands::pages(rows));
            let (k, v) =
                (operands::activations(backend, rows, kv)?, operands::activations(backend, rows, kv)?);
            let mut layer = KvLayer::new(backend, layout, pages.len())?;
            let runs = [Run { rows: 0..rows, pages: &pages, len: 0 }];
            timed(1, &mut |_| backend.kv_append(&k, &v, &mut layer, &runs))?
        }
        (Operator::Attention, _) => {
            let depth = case.depth.unwrap_or_default();
            let (layout, pages) = (operands::layout(c, case.dtype), operands::pages(depth + rows));
            let how = AttentionParams::of_head_dim(c.head_dim);
            let layers = (0..copies).map(|_| operands::full_layer(backend, layout, depth + rows));
            let mut turn = Rotation::new(layers.collect::<Result<_>>()?);
            let x = operands::activations(backend, rows, q)?;
            let runs = [Run { rows: 0..rows, pages: &pages, len: depth }];
            timed(q, &mut |out| backend.attention(&x, turn.next(), &how, &runs, out))?
        }
        (Operator::Glu, _) => {
            let gate = operands::activations(backend, rows, c.intermediate_size)?;
            let up = operands::activations(backend, rows, c.intermediate_size)?;
            timed(c.intermediate_size, &mut |out| backend.glu(&gate, &up, c.activation, out))?
        }
        (_, None) => {
            let x = operands::activations(backend, rows, c.hidden_size)?;
            timed(c.hidden_size, &mut |out| backend.add(&x, out))?
        }
    };
    Ok(Figure { seconds: Summary::of(&samples), repetitions: samples.len(), bytes, operations })
}

/// One call for all of `outs`, on sets of weights in turns.
fn linear<B: Backend>(
    backend: &B,
    case: &Case,
    budget: Budget,
    cols: usize,
    outs: &[usize],
    copies: usize,
) -> Result<Vec<f64>> {
    let set = || outs.iter().map(|&rows| operands::weight(backend, case.dtype, rows, cols)).collect();
    let sets: Result<Vec<Vec<B::Weight>>> = (0..copies).map(|_| set()).collect();
    let mut turn = Rotation::new(sets?);
    let x = operands::activations(backend, case.rows, cols)?;
    let mut results: Vec<Tensor<B::Buffer>> =
        outs.iter().map(|&n| backend.tensor(case.rows, n)).collect::<Result<_>>()?;
    repeat(budget, &mut |count| {
        for _ in 0..count {
            let parts = turn.next().iter().zip(&mut results);
            let mut parts: Vec<LinearPart<'_, B>> =
                parts.map(|(weight, out)| LinearPart { weight, bias: None, out }).collect();
            backend.linear(&x, &mut parts)?;
        }
        results.last().map_or(Ok(()), |out| backend.download(out, 0, &mut [0.0]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::{CpuBackend, CpuOptions};
    use crate::backend::reference::ReferenceBackend;
    use crate::models::NamedShape;
    use std::time::Duration;

    fn case(operator: Operator, dtype: DType, depth: Option<usize>, rows: usize) -> Case {
        Case { operator, dtype: Some(dtype), depth, rows }
    }

    #[test]
    fn costs_at_the_1b_shape_by_hand() {
        let c = NamedShape::Llama32x1B.decoder();
        // 3072 rows of 2048 weights, 18 bytes for 32 of them.
        assert_eq!(cost(&c, &case(Operator::LinearQkv, DType::Q4_0, None, 1)), (3_538_944, 12_582_912));
        // 2048 rows of 8192 weights of two bytes.
        assert_eq!(cost(&c, &case(Operator::LinearDown, DType::BF16, None, 64)), (33_554_432, 2_147_483_648));
        // 8 heads of 64 halves for 513 keys and as many values; 32 heads of 64 with 513 keys.
        let one = cost(&c, &case(Operator::Attention, DType::F16, Some(512), 1));
        assert_eq!(one, (2 * 513 * 8 * 64 * 2, 4 * 513 * 32 * 64));
        // Rows that see 1, 2 and 3 keys.
        let three = cost(&c, &case(Operator::Attention, DType::F32, Some(0), 3));
        assert_eq!(three, (2 * 3 * 8 * 64 * 4, 4 * 6 * 32 * 64));
        assert_eq!(cost(&c, &Case { operator: Operator::Add, dtype: None, depth: None, rows: 2 }).0, 32_768);
    }

    #[test]
    fn cases_are_named_and_complete() {
        let all = cases(&[DType::Q4_0, DType::F16], &[DType::F32], &[1, 8], &[4, 16]);
        let names: Vec<String> = all.iter().map(Case::to_string).collect();
        for name in ["linear_output f16 x1", "attention f32 d16 x8", "add x8", "embed q4_0 x1"] {
            assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(|n| n.starts_with("linear_output") && n.ends_with("x8")));
        // 5 kinds with weights and rows, 1 with weights, 4 without a type, the cache's 1 and attention's 1.
        assert_eq!(names.len(), 5 * 4 + 2 + 4 * 2 + 2 + 4);
    }

    fn every_case<B: Backend>(backend: &B) {
        let config = Decoder { vocab_size: 100, ..NamedShape::Demo.decoder() };
        let budget = Budget { time: Duration::ZERO, least: 2 };
        for case in cases(&[DType::Q4_0, DType::F32], &[DType::F16], &[1, 3], &[5]) {
            let figure =
                measure(backend, &config, &case, budget, 100_000).unwrap_or_else(|e| panic!("{case}: {e}"));
            assert_eq!(figure.repetitions, 2, "{case}");
            assert_eq!((figure.bytes, figure.operations), cost(&config, &case), "{case}");
            assert!(figure.seconds.min > 0.0 && figure.read() > 0.0, "{case}");
        }
    }

    #[test]
    fn every_case_runs_on_every_backend() {
        every_case(&ReferenceBackend);
        every_case(&CpuBackend::new(CpuOptions { threads: Some(2), isa: None }).unwrap());
    }
}
