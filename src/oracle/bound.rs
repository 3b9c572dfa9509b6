//! How far from the reference a result may be.

use super::{Difference, Operator, Work};

/// The largest differences that pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Normalized mean squared error: the squared differences' sum over that of the reference's values.
    pub nmse: f64,
    /// Largest difference of an element, as a share of the largest magnitude of its row in the reference.
    pub max: f64,
}

impl Bound {
    /// Every bit is the same.
    pub const EXACT: Self = Self { nmse: 0.0, max: 0.0 };

    /// f32: additions in another order.
    pub const F32: Self = Self { nmse: 1e-10, max: 1e-5 };

    /// Weights or caches of 16 bits: a device may compute in them.
    pub const HALF: Self = Self { nmse: 1e-6, max: 1e-3 };

    /// The block formats. Both sides multiply the same quants, and inputs that are rounded alike.
    pub const QUANTIZED: Self = Self { nmse: 1e-6, max: 1e-3 };

    /// The bound for `work`. What only moves numbers must be [`Self::EXACT`]; reading a stored matrix is one product
    /// a number in any format, so it falls under [`Self::F32`].
    pub fn of(work: &Work) -> Self {
        match (work.operator(), work.dtype()) {
            (Operator::Alloc | Operator::Transfer | Operator::CopyRows, _) => Self::EXACT,
            (Operator::Prepare | Operator::Embed, _) | (_, None) => Self::F32,
            (_, Some(dtype)) if dtype.is_quantized() => Self::QUANTIZED,
            (_, Some(crate::core::DType::F32)) => Self::F32,
            _ => Self::HALF,
        }
    }

    /// Whether a result that differs so much passes.
    pub fn admits(&self, difference: &Difference) -> bool {
        let exact = *self != Self::EXACT || difference.same_bits;
        exact && difference.nmse <= self.nmse && difference.max <= self.max
    }
}
