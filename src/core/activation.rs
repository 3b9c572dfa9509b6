//! Activation functions of gated feed-forward networks.

use std::fmt;

/// The function that a gate goes through in [`super::Backend::glu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)` (Shazeer 2020, arXiv 2002.05202): SwiGLU.
    Silu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))` (Hendrycks and Gimpel 2016, arXiv 1606.08415): GEGLU as
    /// `gelu_pytorch_tanh`.
    GeluTanh,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 2] = [Activation::Silu, Activation::GeluTanh];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu_tanh",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
