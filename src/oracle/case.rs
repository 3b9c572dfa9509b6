//! What is tried.

use std::fmt;
use std::ops::Range;

use super::{Operator, Values};
use crate::core::{Activation, DType};

/// An operation with its size and format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// See [`Operator::Alloc`].
    Alloc {
        /// Elements.
        len: usize,
    },
    /// See [`Operator::Transfer`].
    Transfer {
        /// Rows of the tensor.
        rows: usize,
        /// Their length.
        cols: usize,
    },
    /// See [`Operator::CopyRows`].
    CopyRows {
        /// Rows of the source.
        rows: usize,
        /// Their length.
        cols: usize,
        /// Those that are copied.
        take: Range<usize>,
    },
    /// See [`Operator::Prepare`].
    Prepare {
        /// As which the matrix is stored.
        from: DType,
        /// Which is asked for.
        to: DType,
        /// Rows of the matrix.
        rows: usize,
        /// Their length.
        cols: usize,
    },
    /// See [`Operator::Embed`].
    Embed {
        /// Format of the matrix.
        dtype: DType,
        /// Rows of the matrix.
        vocab: usize,
        /// Their length.
        cols: usize,
        /// Rows that are looked up.
        rows: usize,
    },
    /// See [`Operator::RmsNorm`].
    RmsNorm {
        /// Tokens.
        rows: usize,
        /// Length of a row.
        cols: usize,
    },
    /// See [`Operator::RmsNormInPlace`].
    RmsNormInPlace {
        /// Tokens.
        rows: usize,
        /// Heads of a row.
        heads: usize,
        /// Elements of a head.
        head_dim: usize,
    },
    /// See [`Operator::Linear`].
    Linear {
        /// Format of the matrices.
        dtype: DType,
        /// Tokens.
        rows: usize,
        /// Input features.
        cols: usize,
        /// Output features of each matrix.
        outs: Vec<usize>,
        /// Whether there are biases.
        bias: bool,
    },
    /// See [`Operator::Rope`].
    Rope {
        /// Tokens.
        rows: usize,
        /// Heads of a row.
        heads: usize,
        /// Elements of a head.
        head_dim: usize,
        /// Those of them that turn, the first ones.
        turned: usize,
        /// Position of the first row.
        position: usize,
    },
    /// See [`Operator::KvAppend`].
    KvAppend {
        /// The cache.
        cache: Cache,
        /// Slots that are filled before.
        at: usize,
        /// Rows that are appended.
        rows: usize,
    },
    /// See [`Operator::KvCopy`].
    KvCopy {
        /// The cache.
        cache: Cache,
        /// Slots that are filled.
        slots: usize,
        /// Those that are kept.
        keep: Vec<Range<usize>>,
    },
    /// See [`Operator::KvMove`].
    KvMove {
        /// The cache.
        cache: Cache,
        /// Slots that are filled.
        slots: usize,
        /// Those that go into the other cache, from its slot 0 on.
        take: Range<usize>,
    },
    /// See [`Operator::Attention`].
    Attention {
        /// The cache.
        cache: Cache,
        /// Slots that a row sees at most.
        window: Option<usize>,
        /// Whether scores have a scale of another size, and a cap.
        capped: bool,
        /// Tokens before the rows.
        at: usize,
        /// Rows of queries.
        rows: usize,
    },
    /// See [`Operator::Glu`].
    Glu {
        /// What the gate goes through.
        activation: Activation,
        /// Tokens.
        rows: usize,
        /// Length of a row.
        cols: usize,
    },
    /// See [`Operator::Scale`].
    Scale {
        /// Tokens.
        rows: usize,
        /// Length of a row.
        cols: usize,
    },
    /// See [`Operator::Softcap`].
    Softcap {
        /// Tokens.
        rows: usize,
        /// Length of a row.
        cols: usize,
    },
    /// See [`Operator::Add`].
    Add {
        /// Tokens.
        rows: usize,
        /// Length of a row.
        cols: usize,
    },
    /// See [`Operator::AddRmsNorm`].
    AddRmsNorm {
        /// Tokens.
        rows: usize,
        /// Length of a row.
        cols: usize,
    },
}

/// Heads and format of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// As which keys and values are stored.
    pub dtype: DType,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads that are stored.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}x{}", self.heads, self.kv_heads, self.head_dim)
    }
}

/// Ranges as in `0..4+9..11`.
struct Ranges<'a>(&'a [Range<usize>]);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Range { start, end }) in self.0.iter().enumerate() {
            write!(f, "{}{start}..{end}", if i == 0 { "" } else { "+" })?;
        }
        if self.0.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

impl Work {
    /// What is done.
    pub fn operator(&self) -> Operator {
        match self {
            Work::Alloc { .. } => Operator::Alloc,
            Work::Transfer { .. } => Operator::Transfer,
            Work::CopyRows { .. } => Operator::CopyRows,
            Work::Prepare { .. } => Operator::Prepare,
            Work::Embed { .. } => Operator::Embed,
            Work::RmsNorm { .. } => Operator::RmsNorm,
            Work::RmsNormInPlace { .. } => Operator::RmsNormInPlace,
            Work::Linear { .. } => Operator::Linear,
            Work::Rope { .. } => Operator::Rope,
            Work::KvAppend { .. } => Operator::KvAppend,
            Work::KvCopy { .. } => Operator::KvCopy,
            Work::KvMove { .. } => Operator::KvMove,
            Work::Attention { .. } => Operator::Attention,
            Work::Glu { .. } => Operator::Glu,
            Work::Scale { .. } => Operator::Scale,
            Work::Softcap { .. } => Operator::Softcap,
            Work::Add { .. } => Operator::Add,
            Work::AddRmsNorm { .. } => Operator::AddRmsNorm,
        }
    }

    /// Format of the weights, or of keys and values.
    pub fn dtype(&self) -> Option<DType> {
        match *self {
            Work::Prepare { to: dtype, .. } | Work::Embed { dtype, .. } | Work::Linear { dtype, .. } => {
                Some(dtype)
            }
            Work::KvAppend { cache, .. }
            | Work::KvCopy { cache, .. }
            | Work::KvMove { cache, .. }
            | Work::Attention { cache, .. } => Some(cache.dtype),
            _ => None,
        }
    }

    /// The size in words, such as `2048->512+512 x7`.
    pub fn shape(&self) -> String {
        match self {
            Work::Alloc { len } => format!("{len}"),
            Work::CopyRows { rows, cols, take } => {
                format!("{}..{} of {rows}x{cols}", take.start, take.end)
            }
            Work::Prepare { from, rows, cols, .. } => format!("from {from} {rows}x{cols}"),
            Work::Embed { vocab, cols, rows, .. } => format!("{vocab}x{cols} x{rows}"),
            Work::Linear { rows, cols, outs, bias, .. } => {
                let outs: Vec<String> = outs.iter().map(usize::to_string).collect();
                format!("{cols}->{}{} x{rows}", outs.join("+"), if *bias { " bias" } else { "" })
            }
            Work::RmsNormInPlace { rows, heads, head_dim } => format!("{heads}x{head_dim} x{rows}"),
            Work::Rope { rows, heads, head_dim, turned, position } => {
                let part = if turned == head_dim { String::new() } else { format!("/{turned}") };
                format!("{heads}x{head_dim}{part} at {position} x{rows}")
            }
            Work::KvAppend { cache, at, rows } => format!("{cache} at {at} x{rows}"),
            Work::KvCopy { cache, slots, keep } => format!("{cache} {} of {slots}", Ranges(keep)),
            Work::KvMove { cache, slots, take } => {
                format!("{cache} {}..{} of {slots}", take.start, take.end)
            }
            Work::Attention { cache, window, capped, at, rows } => {
                let window = window.map_or(String::new(), |window| format!(" w{window}"));
                format!("{cache}{window}{} d{at} x{rows}", if *capped { " capped" } else { "" })
            }
            Work::Glu { activation, rows, cols } => format!("{activation} {cols} x{rows}"),
            Work::Transfer { rows, cols }
            | Work::RmsNorm { rows, cols }
            | Work::Scale { rows, cols }
            | Work::Softcap { rows, cols }
            | Work::Add { rows, cols }
            | Work::AddRmsNorm { rows, cols } => format!("{cols} x{rows}"),
        }
    }
}

/// A trial's size, format and numbers. Shown as `linear q4_0 2048->512 x7 random`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub work: Work,
    /// With which numbers.
    pub values: Values,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.work.operator().name())?;
        if let Some(dtype) = self.work.dtype() {
            write!(f, " {dtype}")?;
        }
        write!(f, " {} {}", self.work.shape(), self.values.name())
    }
}
