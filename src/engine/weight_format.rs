//! Which format the weights are computed in.

use std::str::FromStr;

use crate::core::DType;
use crate::host::human_bytes;
use crate::models::ModelConfig;
use crate::models::llama::parameter_count;

/// What `--weight-dtype` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightDType {
    /// See [`WeightDType::choose`].
    Auto,
    /// A format by name.
    Fixed(DType),
}

impl FromStr for WeightDType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(WeightDType::Auto);
        }
        match text.parse::<DType>() {
            Ok(d) if WeightDType::CHOICES.contains(&d) => Ok(WeightDType::Fixed(d)),
            _ => Err("choose one of auto, f32, f16, bf16, q8_0, q4_0, q4_1"),
        }
    }
}

/// Below this a model is kept as it is stored: its weights fit caches and are read faster than a person can
/// notice, so that nothing is gained by rounding them.
const SMALL: u64 = 512_000_000;

impl WeightDType {
    /// The formats that weights can be computed in.
    pub const CHOICES: [DType; 6] =
        [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1];

    /// The format for a model stored as `stored`, with `available` bytes of memory (`None`: unknown).
    ///
    /// `auto` keeps blocks as they are, and the stored format of a model of up to 512 MB. A larger one becomes `q8_0`,
    /// which decodes about twice as fast as 16 bits at a loss too small to see, or `q4_0` where `q8_0` would take more
    /// than half of the available memory. So do blocks of a format that nothing is computed in.
    pub fn choose(self, config: &ModelConfig, stored: DType, available: Option<u64>) -> DType {
        match self {
            WeightDType::Fixed(dtype) => dtype,
            WeightDType::Auto => {
                let computed = Self::CHOICES.contains(&stored);
                if computed && (stored.is_quantized() || weight_bytes(config, stored) <= SMALL) {
                    stored
                } else if available.is_none_or(|a| weight_bytes(config, DType::Q8_0) <= a / 2) {
                    DType::Q8_0
                } else {
                    DType::Q4_0
                }
            }
        }
    }

    /// [`Self::choose`], refused where the weights do not fit in memory.
    ///
    /// # Errors
    /// A sentence that names the smaller format that would fit.
    pub fn settle(
        self,
        config: &ModelConfig,
        stored: DType,
        available: Option<u64>,
    ) -> Result<DType, String> {
        let dtype = self.choose(config, stored, available);
        fits(config, dtype, available).map(|()| dtype)
    }
}

/// Bytes that the model's weights take in `format`, to within the few kB of norms and block padding.
pub fn weight_bytes(config: &ModelConfig, format: DType) -> u64 {
    let blocks = parameter_count(config).div_ceil(format.block_len() as u64);
    blocks.saturating_mul(format.block_bytes() as u64)
}

/// A sentence if the weights cannot fit in memory, naming the smaller format that would.
fn fits(config: &ModelConfig, format: DType, available: Option<u64>) -> Result<(), String> {
    let only = |have: &str| format!("only {have} of memory is available");
    available.map_or(Ok(()), |have| compare(config, format, have, &only))
}

/// The same for the memory of a device.
///
/// # Errors
/// A sentence that names the device and the smaller format that would fit.
pub fn fits_device(config: &ModelConfig, format: DType, device: &str, memory: u64) -> Result<(), String> {
    compare(config, format, memory, &|have| format!("the device '{device}' has {have} of memory"))
}

fn compare(
    config: &ModelConfig,
    format: DType,
    have: u64,
    what_there_is: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    let need = weight_bytes(config, format);
    if need <= have {
        return Ok(());
    }
    let smaller = [DType::Q8_0, DType::Q4_0].into_iter().find(|&d| weight_bytes(config, d) <= have);
    let way_on = match smaller {
        Some(d) => format!("as {d} they take {}", human_bytes(weight_bytes(config, d))),
        None => "use a smaller model, or free memory".to_owned(),
    };
    let there_is = what_there_is(&human_bytes(have));
    Err(format!("the weights take {} as {format}, but {there_is}; {way_on}", human_bytes(need)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3.2 1B, or as many layers as asked for.
    fn config(layers: usize) -> ModelConfig {
        let json = format!(
            r#"{{"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
            "num_hidden_layers": {layers}, "num_attention_heads": 32, "num_key_value_heads": 8,
            "tie_word_embeddings": true}}"#
        );
        ModelConfig::from_slice(json.as_bytes(), "a test").unwrap()
    }

    #[test]
    fn sizes_are_those_of_the_real_model() {
        // 1,235,814,400 parameters, as the hub says.
        assert_eq!(parameter_count(&config(16)), 1_235_814_400);
        assert_eq!(weight_bytes(&config(16), DType::BF16), 2_471_628_800);
        assert_eq!(weight_bytes(&config(16), DType::Q4_0), 1_235_814_400 / 32 * 18);
    }

    #[test]
    fn auto_keeps_small_models_and_shrinks_large_ones_to_what_fits() {
        let auto = |layers, available| WeightDType::Auto.choose(&config(layers), DType::BF16, available);
        assert_eq!(auto(16, None), DType::Q8_0);
        assert_eq!(auto(16, Some(3_000_000_000)), DType::Q8_0);
        assert_eq!(auto(16, Some(2_000_000_000)), DType::Q4_0);
        let small = ModelConfig { vocab_size: 4096, layers: 2, ..config(1) };
        assert_eq!(WeightDType::Auto.choose(&small, DType::F16, Some(1)), DType::F16);
        // GGUF files: blocks stay what they are, and those of 256 become what fits.
        let auto = |stored, available| WeightDType::Auto.choose(&config(16), stored, available);
        assert_eq!(auto(DType::Q4_0, Some(8_000_000_000)), DType::Q4_0);
        assert_eq!(auto(DType::Q6K, Some(8_000_000_000)), DType::Q8_0);
        assert_eq!(auto(DType::Q4K, Some(2_000_000_000)), DType::Q4_0);
        assert_eq!(WeightDType::Auto.choose(&small, DType::Q4K, None), DType::Q8_0);
        assert_eq!(WeightDType::Fixed(DType::F32).choose(&config(16), DType::BF16, None), DType::F32);
    }

    #[test]
    fn a_model_too_big_for_memory_is_refused_with_the_format_that_fits() {
        let fit = |dtype, available| fits(&config(16), dtype, Some(available));
        assert_eq!(fit(DType::BF16, 2_500_000_000), Ok(()));
        assert_eq!(
            fit(DType::BF16, 1_000_000_000).unwrap_err(),
            "the weights take 2.47 GB as bf16, but only 1.00 GB of memory is available; \
             as q4_0 they take 695 MB"
        );
        assert!(fit(DType::Q4_0, 100_000_000).unwrap_err().ends_with("use a smaller model, or free memory"));
        assert_eq!(fits(&config(16), DType::F32, None), Ok(()));
        let device = |format| fits_device(&config(16), format, "Mali-G57", 2_000_000_000);
        assert_eq!(
            device(DType::BF16).unwrap_err(),
            "the weights take 2.47 GB as bf16, but the device 'Mali-G57' has 2.00 GB of memory; \
             as q8_0 they take 1.31 GB"
        );
        assert_eq!(device(DType::Q8_0), Ok(()));
    }
}
