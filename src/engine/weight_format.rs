//! Which format the weights are computed in.

use super::memory::human_bytes;
use crate::core::DType;
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

/// Below this a model is kept as it is stored: its weights fit caches and are read faster than a person can
/// tell, so that nothing is gained by rounding them.
const SMALL: u64 = 512_000_000;

impl WeightDType {
    /// The formats that weights can be computed in.
    pub const CHOICES: [DType; 6] =
        [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1];

    /// The format for a model stored as `stored`, with `available` bytes of memory (`None`: unknown).
    ///
    /// `auto` keeps the stored format of a model of up to 512 MB. A larger one becomes `q8_0`, which decodes
    /// about twice as fast as 16 bits at a loss too small to see, or `q4_0` where `q8_0` would take more than
    /// half of the available memory.
    pub fn choose(self, config: &ModelConfig, stored: DType, available: Option<u64>) -> DType {
        match self {
            WeightDType::Fixed(dtype) => dtype,
            WeightDType::Auto => {
                if weight_bytes(config, stored) <= SMALL {
                    stored
                } else if available.is_none_or(|a| weight_bytes(config, DType::Q8_0) <= a / 2) {
                    DType::Q8_0
                } else {
                    DType::Q4_0
                }
            }
        }
    }
}

/// Bytes that the model's weights take in `format`, to within the few kB of norms and block padding.
pub fn weight_bytes(config: &ModelConfig, format: DType) -> u64 {
    let blocks = parameter_count(config).div_ceil(format.block_len() as u64);
    blocks.saturating_mul(format.block_bytes() as u64)
}

/// A sentence if the weights cannot fit in memory, naming the smaller format that would.
pub fn fits(config: &ModelConfig, format: DType, available: Option<u64>) -> Result<(), String> {
    let (need, Some(have)) = (weight_bytes(config, format), available) else { return Ok(()) };
    if need <= have {
        return Ok(());
    }
    let smaller = [DType::Q8_0, DType::Q4_0].into_iter().find(|&d| weight_bytes(config, d) <= have);
    let way_on = match smaller {
        Some(d) => format!("--weight-dtype {d} takes {}", human_bytes(weight_bytes(config, d))),
        None => "use a smaller model, or free memory".to_owned(),
    };
    Err(format!(
        "the weights take {} as {format}, but only {} of memory is available; {way_on}",
        human_bytes(need),
        human_bytes(have)
    ))
}
