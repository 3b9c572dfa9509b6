//! The operations of a backend by name.

use std::fmt;
use std::str::FromStr;

/// An operation of [`crate::core::Backend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Fresh memory is zero.
    Alloc,
    /// `upload`, then `download`.
    Transfer,
    /// Rows of one tensor into another.
    CopyRows,
    /// A stored matrix into the backend's layout and format, read back row by row.
    Prepare,
    /// Rows of an embedding matrix.
    Embed,
    /// Root mean square norm.
    RmsNorm,
    /// The same of each head, in place.
    RmsNormInPlace,
    /// One or several matrices, with and without bias.
    Linear,
    /// Rotary embedding.
    Rope,
    /// Keys and values into a cache, seen through attention.
    KvAppend,
    /// Ranges of slots that move together in a cache, seen through attention.
    KvCopy,
    /// Slots of a cache that go to the host and into another cache, seen through attention.
    KvMove,
    /// Grouped-query attention.
    Attention,
    /// Gated activation.
    Glu,
    /// A factor for all elements.
    Scale,
    /// Elements bent into a range.
    Softcap,
    /// Element-wise sum.
    Add,
    /// Element-wise sum and the norm of what it gives.
    AddRmsNorm,
}

impl Operator {
    /// Every operator, those first that the others need.
    pub const ALL: [Operator; 18] = [
        Operator::Alloc,
        Operator::Transfer,
        Operator::CopyRows,
        Operator::Prepare,
        Operator::Embed,
        Operator::RmsNorm,
        Operator::RmsNormInPlace,
        Operator::Linear,
        Operator::Rope,
        Operator::KvAppend,
        Operator::KvCopy,
        Operator::KvMove,
        Operator::Attention,
        Operator::Glu,
        Operator::Scale,
        Operator::Softcap,
        Operator::Add,
        Operator::AddRmsNorm,
    ];

    /// The name in tables and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Operator::Alloc => "alloc",
            Operator::Transfer => "transfer",
            Operator::CopyRows => "copy_rows",
            Operator::Prepare => "prepare",
            Operator::Embed => "embed",
            Operator::RmsNorm => "rms_norm",
            Operator::RmsNormInPlace => "rms_norm_in_place",
            Operator::Linear => "linear",
            Operator::Rope => "rope",
            Operator::KvAppend => "kv_append",
            Operator::KvCopy => "kv_copy",
            Operator::KvMove => "kv_move",
            Operator::Attention => "attention",
            Operator::Glu => "glu",
            Operator::Scale => "scale",
            Operator::Softcap => "softcap",
            Operator::Add => "add",
            Operator::AddRmsNorm => "add_rms_norm",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no [`Operator`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown operator '{0}'; known are {names}", names = Operator::ALL.map(Operator::name).join(", "))]
pub struct UnknownOperator(pub String);

impl FromStr for Operator {
    type Err = UnknownOperator;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|o| o.name() == s).ok_or_else(|| UnknownOperator(s.to_owned()))
    }
}
