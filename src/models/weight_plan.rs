//! The format in which each tensor of a model is computed with.

use std::fmt;

use crate::core::DType;

/// What a tensor does in a model, as far as its format depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorRole {
    /// A norm's gain or a bias: few numbers that every row is multiplied with or added to.
    Vector,
    /// A matrix of a layer.
    Layer,
    /// The embedding or the output matrix: an error in it goes into every token.
    Outer,
}

/// Chooses a format for each tensor. A vector is always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightPlan {
    /// Each matrix as it is stored, or where nothing is computed in that, in [`DType::computed_as`].
    AsStored,
    /// The same format for all matrices of a kind.
    Formats {
        /// Of the layers' matrices.
        layers: DType,
        /// Of the embedding and the output matrix.
        outer: DType,
    },
}

impl WeightPlan {
    /// `dtype` for the layers' matrices. The embedding and the output matrix are not rounded to fewer than 8 bits.
    pub fn sparing_outer(dtype: DType) -> Self {
        let outer = match dtype {
            blocks if blocks.is_quantized() => DType::Q8_0,
            floats => floats,
        };
        WeightPlan::Formats { layers: dtype, outer }
    }

    /// The format for a tensor that is stored as `stored`, in rows of `cols` elements.
    pub fn format(self, role: TensorRole, stored: DType, cols: usize) -> DType {
        let format = match (role, self) {
            (TensorRole::Vector, _) => DType::F32,
            (_, WeightPlan::AsStored) => stored.computed_as(),
            (TensorRole::Layer, WeightPlan::Formats { layers, .. }) => layers,
            (TensorRole::Outer, WeightPlan::Formats { outer, .. }) => outer,
        };
        for_columns(format, cols)
    }
}

impl From<DType> for WeightPlan {
    /// Every matrix in one format.
    fn from(dtype: DType) -> Self {
        WeightPlan::Formats { layers: dtype, outer: dtype }
    }
}

impl fmt::Display for WeightPlan {
    /// `as-stored`, `q8_0`, or where the embedding's format is another one `q4_0+q8_0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WeightPlan::AsStored => f.write_str("as-stored"),
            WeightPlan::Formats { layers, outer } if layers == outer => layers.fmt(f),
            WeightPlan::Formats { layers, outer } => write!(f, "{layers}+{outer}"),
        }
    }
}

/// `format`, or for rows that are no whole blocks of 256 the nearest one in blocks of 32, the same as llama.cpp's.
pub fn for_columns(format: DType, cols: usize) -> DType {
    let whole = cols.is_multiple_of(format.block_len());
    match format {
        DType::Iq4Xs if !whole => DType::Iq4Nl,
        DType::Q4K if !whole => DType::Q5_0,
        DType::Q5K if !whole => DType::Q5_1,
        DType::Q6K if !whole => DType::Q8_0,
        DType::Q2K | DType::Q3K | DType::Tq1_0 | DType::Tq2_0 if !whole => DType::Q4_0,
        // Blocks of 32 may be filled up with zeros.
        _ => format,
    }
}

/// The formats of a model's matrices, with the bytes that each takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightMix(Vec<(DType, u64)>);

impl WeightMix {
    /// Counts `bytes` of a matrix in `dtype`.
    pub fn add(&mut self, dtype: DType, bytes: u64) {
        match self.0.iter_mut().find(|(d, _)| *d == dtype) {
            Some((_, sum)) => *sum = sum.saturating_add(bytes),
            None => self.0.push((dtype, bytes)),
        }
        self.0.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.name().cmp(b.0.name())));
    }

    /// The formats, that of the most bytes first.
    pub fn formats(&self) -> impl Iterator<Item = (DType, u64)> {
        self.0.iter().copied()
    }

    /// Bytes of all matrices.
    pub fn bytes(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

impl fmt::Display for WeightMix {
    /// `q4_0`, or `q4_1+q8_0` with the format of the most bytes first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (dtype, _)) in self.0.iter().enumerate() {
            write!(f, "{}{dtype}", if i > 0 { "+" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ReadOnlyFormat;

    #[test]
    fn a_plan_gives_each_tensor_its_format() {
        let of = |plan: WeightPlan, stored| {
            [TensorRole::Vector, TensorRole::Layer, TensorRole::Outer]
                .map(|role| plan.format(role, stored, 512))
        };
        assert_eq!(of(WeightPlan::AsStored, DType::Q4K), [DType::F32, DType::Q4K, DType::Q4K]);
        assert_eq!(of(WeightPlan::AsStored, DType::BF16), [DType::F32, DType::BF16, DType::BF16]);
        let nvfp4 = DType::ReadOnly(ReadOnlyFormat::Nvfp4);
        assert_eq!(of(WeightPlan::AsStored, nvfp4), [DType::F32, DType::Q6K, DType::Q6K]);
        assert_eq!(WeightPlan::AsStored.format(TensorRole::Layer, nvfp4, 192), DType::Q8_0);
        assert_eq!(
            of(WeightPlan::sparing_outer(DType::Q4_0), DType::F16),
            [DType::F32, DType::Q4_0, DType::Q8_0]
        );
        assert_eq!(WeightPlan::sparing_outer(DType::F16), DType::F16.into());
        assert_eq!(WeightPlan::from(DType::Q4K).format(TensorRole::Layer, DType::F16, 96), DType::Q5_0);
        for format in DType::ALL.into_iter().filter(|d| d.is_weight()) {
            assert_eq!(for_columns(format, 768), format);
            assert!(for_columns(format, 33).block_len() <= 32);
        }
        let names = [WeightPlan::AsStored, DType::Q4_0.into(), WeightPlan::sparing_outer(DType::Q4_0)];
        assert_eq!(names.map(|plan| plan.to_string()), ["as-stored", "q4_0", "q4_0+q8_0"]);
    }

    #[test]
    fn a_mix_names_the_format_of_the_most_bytes_first() {
        let mut mix = WeightMix::default();
        for (dtype, bytes) in [(DType::Q8_0, 30), (DType::Q4_1, 20), (DType::Q4_1, 20)] {
            mix.add(dtype, bytes);
        }
        assert_eq!((mix.to_string().as_str(), mix.bytes()), ("q4_1+q8_0", 70));
    }
}
