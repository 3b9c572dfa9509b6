//! Which formats the weights are computed in.

use std::str::FromStr;

use super::ModelWarning;
use crate::core::DType;
use crate::format::TensorSource;
use crate::host::human_bytes;
use crate::models::llama::{TensorSpec, tensor_specs};
use crate::models::{ModelSpec, TensorRole, WeightMix, WeightPlan};

/// What `--weight-dtype` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightDType {
    /// See [`WeightDType::choose`].
    Auto,
    /// A format by name; the embedding and the output matrix keep at least 8 bits.
    Fixed(DType),
    /// A format by name, for every matrix (`--pure`).
    Pure(DType),
}

impl FromStr for WeightDType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(WeightDType::Auto);
        }
        match text.parse::<DType>() {
            Ok(d) if WeightDType::CHOICES.contains(&d) => Ok(WeightDType::Fixed(d)),
            _ => Err(format!("choose one of auto, {}", WeightDType::CHOICES.map(DType::name).join(", "))),
        }
    }
}

/// Below this a model is kept as it is stored: its weights fit caches and are read faster than a person can
/// notice, so that nothing is gained by rounding them.
const SMALL: u64 = 512_000_000;

/// The smaller plans that are suggested, the better one first.
const SMALLER: [DType; 2] = [DType::Q8_0, DType::Q4_0];

impl WeightDType {
    /// The formats that weights can be computed in.
    pub const CHOICES: [DType; 18] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::Q8_0,
        DType::Q6K,
        DType::Q5K,
        DType::Q5_1,
        DType::Q5_0,
        DType::Q4K,
        DType::Q4_1,
        DType::Q4_0,
        DType::Iq4Nl,
        DType::Iq4Xs,
        DType::Mxfp4,
        DType::Q3K,
        DType::Q2K,
        DType::Tq2_0,
        DType::Tq1_0,
    ];

    /// The same for every matrix, if `pure` is set and a format was named.
    pub fn pure(self, pure: bool) -> Self {
        match self {
            WeightDType::Fixed(dtype) if pure => WeightDType::Pure(dtype),
            other => other,
        }
    }

    /// The plan for a model whose layers are stored as `stored` (all of it, as far as sizes go), with `available` bytes
    /// of memory (`None`: unknown).
    ///
    /// `auto` keeps block formats as they are, tensor by tensor, and the stored format of a model of up to 512 MB. A
    /// larger one becomes `q8_0`, which decodes about twice as fast as 16 bits at a loss too small to see, or `q4_0`
    /// where `q8_0` would take more than half of the available memory.
    pub fn choose(self, spec: &ModelSpec, stored: DType, available: Option<u64>) -> WeightPlan {
        let fits = |dtype: DType| available.is_none_or(|a| weight_bytes(spec, dtype.into()) <= a / 2);
        match self {
            WeightDType::Fixed(dtype) => WeightPlan::sparing_outer(dtype),
            WeightDType::Pure(dtype) => dtype.into(),
            WeightDType::Auto if stored.is_float() => {
                if weight_bytes(spec, stored.into()) <= SMALL {
                    WeightPlan::AsStored
                } else if fits(DType::Q8_0) {
                    DType::Q8_0.into()
                } else {
                    WeightPlan::sparing_outer(DType::Q4_0)
                }
            }
            WeightDType::Auto => WeightPlan::AsStored,
        }
    }

    /// [`Self::choose`], refused where the weights do not fit in memory.
    ///
    /// # Errors
    /// A sentence that names the smaller format that would fit.
    pub fn settle(
        self,
        spec: &ModelSpec,
        stored: DType,
        available: Option<u64>,
    ) -> Result<WeightPlan, String> {
        let plan = self.choose(spec, stored, available);
        fits(spec, &mix(spec, plan, &|_| stored), available).map(|()| plan)
    }
}

/// The formats of the matrices by a plan, where a tensor is stored as `stored` says.
pub fn mix(spec: &ModelSpec, plan: WeightPlan, stored: &dyn Fn(&TensorSpec) -> DType) -> WeightMix {
    let mut mix = WeightMix::default();
    for tensor in tensor_specs(spec).iter().filter(|tensor| tensor.role != TensorRole::Vector) {
        let (_, cols) = tensor.shape.as_matrix().unwrap_or_default();
        let format = plan.format(tensor.role, stored(tensor), cols);
        let blocks = tensor.shape.elements().unwrap_or(usize::MAX).div_ceil(format.block_len()) as u64;
        mix.add(format, blocks.saturating_mul(format.block_bytes() as u64));
    }
    mix
}

/// What is to be said about tensors that are computed in another type than `plan` finds them in since nothing is computed in
/// that.
pub(super) fn converted(
    origin: &str,
    spec: &ModelSpec,
    plan: WeightPlan,
    source: &dyn TensorSource,
) -> Option<ModelWarning> {
    if plan != WeightPlan::AsStored {
        return None;
    }
    let mut types: Vec<(DType, DType, usize)> = Vec::new();
    for asked in tensor_specs(spec) {
        // What cannot be read is reported where it is needed.
        let Ok(Some(tensor)) = source.get(&asked.name) else { continue };
        let stored = tensor.dtype();
        let format = plan.format(asked.role, stored, tensor.matrix_dims().1);
        if !matches!(stored, DType::ReadOnly(_)) {
            continue;
        }
        match types.iter_mut().find(|of| (of.0, of.1) == (stored, format)) {
            Some(same) => same.2 += 1,
            None => types.push((stored, format, 1)),
        }
    }
    types.sort_by_key(|of| std::cmp::Reverse(of.2));
    (!types.is_empty()).then(|| ModelWarning::Converted { origin: origin.to_owned(), types })
}

/// Bytes that the matrices take by a plan that does not depend on how they are stored.
pub fn weight_bytes(spec: &ModelSpec, plan: WeightPlan) -> u64 {
    mix(spec, plan, &|_| DType::F32).bytes()
}

/// A sentence if weights cannot fit in memory, naming the smaller format that would.
///
/// # Errors
/// That sentence.
pub(super) fn fits(spec: &ModelSpec, need: &WeightMix, available: Option<u64>) -> Result<(), String> {
    let only = |have: &str| format!("only {have} of memory is available");
    available.map_or(Ok(()), |have| compare(spec, need, have, &only))
}

/// The same for the memory of a device.
///
/// # Errors
/// A sentence that names the device and the smaller format that would fit.
pub fn fits_device(spec: &ModelSpec, need: &WeightMix, device: &str, memory: u64) -> Result<(), String> {
    compare(spec, need, memory, &|have| format!("the device '{device}' has {have} of memory"))
}

fn compare(
    spec: &ModelSpec,
    need: &WeightMix,
    have: u64,
    what_there_is: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    if need.bytes() <= have {
        return Ok(());
    }
    let of = |dtype| weight_bytes(spec, WeightPlan::sparing_outer(dtype));
    let way_on = match SMALLER.into_iter().find(|&d| of(d) <= have) {
        Some(d) => format!("as {d} they take {}", human_bytes(of(d))),
        None => "use a smaller model, or free memory".to_owned(),
    };
    let there_is = what_there_is(&human_bytes(have));
    Err(format!("the weights take {} as {need}, but {there_is}; {way_on}", human_bytes(need.bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::ModelConfig;
    use crate::models::llama::parameter_count;

    /// Llama 3.2 1B, or as many layers as asked for.
    fn config(layers: usize) -> ModelSpec {
        let json = format!(
            r#"{{"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
            "num_hidden_layers": {layers}, "num_attention_heads": 32, "num_key_value_heads": 8,
            "tie_word_embeddings": true}}"#
        );
        ModelConfig::from_slice(json.as_bytes(), "a test").unwrap().spec
    }

    #[test]
    fn sizes_are_those_of_the_real_model() {
        // 1,235,814,400 parameters, as the hub says; 33 of 2048 of them in vectors.
        assert_eq!(parameter_count(&config(16)), 1_235_814_400);
        let matrices = 1_235_814_400 - 33 * 2048;
        assert_eq!(weight_bytes(&config(16), DType::BF16.into()), 2 * matrices);
        assert_eq!(weight_bytes(&config(16), DType::Q4_0.into()), matrices / 32 * 18);
        // The embedding's 8.5 bits in place of 4.5.
        let outer = weight_bytes(&config(16), WeightPlan::sparing_outer(DType::Q4_0));
        assert_eq!(outer, matrices / 32 * 18 + 128_256 * 2048 / 32 * 16);
    }

    #[test]
    fn auto_keeps_small_models_and_shrinks_large_ones_to_what_fits() {
        let auto = |layers, available| WeightDType::Auto.choose(&config(layers), DType::BF16, available);
        assert_eq!(auto(16, None), DType::Q8_0.into());
        assert_eq!(auto(16, Some(3_000_000_000)), DType::Q8_0.into());
        assert_eq!(auto(16, Some(2_000_000_000)), WeightPlan::sparing_outer(DType::Q4_0));
        let mut small = config(1);
        small.vocab_size = 512;
        assert_eq!(WeightDType::Auto.choose(&small, DType::BF16, None), WeightPlan::AsStored);
        // Blocks stay what they are, whatever their size.
        let blocks = |stored, have| WeightDType::Auto.choose(&config(64), stored, have);
        assert_eq!(blocks(DType::Q4_1, None), WeightPlan::AsStored);
        assert_eq!(blocks(DType::Q4K, Some(64_000_000_000)), WeightPlan::AsStored);
        let named = WeightDType::Fixed(DType::Q4_0);
        assert_eq!(named.pure(true).choose(&small, DType::BF16, None), DType::Q4_0.into());
        assert_eq!(named.pure(false), named);
    }

    #[test]
    fn a_model_too_big_for_memory_is_refused_with_the_format_that_fits() {
        let of = |dtype: DType| mix(&config(16), dtype.into(), &|_| DType::F32);
        let fit = |dtype, available| fits(&config(16), &of(dtype), Some(available));
        assert_eq!(fit(DType::BF16, 2_500_000_000), Ok(()));
        assert_eq!(
            fit(DType::BF16, 1_000_000_000).unwrap_err(),
            "the weights take 2.47 GB as bf16, but only 1.00 GB of memory is available; \
             as q4_0 they take 826 MB"
        );
        assert!(fit(DType::Q4_0, 100_000_000).unwrap_err().ends_with("use a smaller model, or free memory"));
        assert_eq!(fits(&config(16), &of(DType::F32), None), Ok(()));
        let device = |dtype| fits_device(&config(16), &of(dtype), "Mali-G57", 2_000_000_000);
        assert_eq!(
            device(DType::BF16).unwrap_err(),
            "the weights take 2.47 GB as bf16, but the device 'Mali-G57' has 2.00 GB of memory; \
             as q8_0 they take 1.31 GB"
        );
        assert_eq!(device(DType::Q8_0), Ok(()));
    }
}
