//! Block formats of GGUF files that are read and computed in another format.

use super::DType;

/// A block format that nothing is computed in: tensors in it become [`Self::becomes`] when they are loaded.
///
/// Laid out byte for byte as in ggml (`ggml-common.h`: `block_iq2_xxs`, `block_nvfp4`, ...).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadOnlyFormat {
    /// Vectors of 8 out of 2048, with -1, 0 and 1 moved by an eighth, 3-bit scales a group of 32: 50 bytes for 256 elements.
    Iq1S,
    /// The same vectors moved by eights, 3-bit scales a group of 16: 56 bytes for 256 elements.
    Iq1M,
    /// Vectors of 8 out of 256 with signs, 4-bit scales a group of 32: 66 bytes for 256 elements.
    Iq2Xxs,
    /// Vectors of 8 out of 512 with signs, 4-bit scales a group of 16: 74 bytes for 256 elements.
    Iq2Xs,
    /// Vectors of 8 out of 1024 with signs, 4-bit scales a group of 16: 82 bytes for 256 elements.
    Iq2S,
    /// Vectors of 4 out of 256 with signs, 4-bit scales a group of 32: 98 bytes for 256 elements.
    Iq3Xxs,
    /// Vectors of 4 out of 512 with signs, 4-bit scales a group of 32: 110 bytes for 256 elements.
    Iq3S,
    /// Floats of 4 bits, a float of 8 bits without sign as the scale of a group of 16: 36 bytes for 64 elements.
    Nvfp4,
    /// Plus or minus one f16 scale: 18 bytes for 128 elements.
    Q1_0,
    /// -1, 0, 1 or 2 times one f16 scale: 18 bytes for 64 elements.
    Q2_0,
    /// 8 bits an element, one f32 scale a block, sums of groups that nothing reads: 292 bytes for 256 elements.
    Q8K,
}

impl ReadOnlyFormat {
    /// Every one of them.
    pub const ALL: [ReadOnlyFormat; 11] = [
        ReadOnlyFormat::Iq1S,
        ReadOnlyFormat::Iq1M,
        ReadOnlyFormat::Iq2Xxs,
        ReadOnlyFormat::Iq2Xs,
        ReadOnlyFormat::Iq2S,
        ReadOnlyFormat::Iq3Xxs,
        ReadOnlyFormat::Iq3S,
        ReadOnlyFormat::Nvfp4,
        ReadOnlyFormat::Q1_0,
        ReadOnlyFormat::Q2_0,
        ReadOnlyFormat::Q8K,
    ];

    /// The format that a tensor becomes: the smallest one that raises the error of rounding to the read format by less than
    /// 1 %. `quant::read_only` has the conversions, and docs/QUANTIZATION.md what they cost.
    pub const fn becomes(self) -> DType {
        match self {
            // Between -1, 0 and 2 times a scale, and 0 and 15: all of their values are codes.
            ReadOnlyFormat::Q1_0 | ReadOnlyFormat::Q2_0 => DType::Q4_0,
            ReadOnlyFormat::Iq1S | ReadOnlyFormat::Iq1M => DType::Q4K,
            ReadOnlyFormat::Iq2Xxs | ReadOnlyFormat::Iq3Xxs | ReadOnlyFormat::Iq3S => DType::Q4K,
            ReadOnlyFormat::Iq2Xs | ReadOnlyFormat::Iq2S => DType::Q5K,
            ReadOnlyFormat::Nvfp4 => DType::Q6K,
            ReadOnlyFormat::Q8K => DType::Q8_0,
        }
    }

    /// See [`DType::block_len`].
    pub const fn block_len(self) -> usize {
        match self {
            ReadOnlyFormat::Nvfp4 | ReadOnlyFormat::Q2_0 => 64,
            ReadOnlyFormat::Q1_0 => 128,
            ReadOnlyFormat::Iq1S | ReadOnlyFormat::Iq1M | ReadOnlyFormat::Q8K => 256,
            ReadOnlyFormat::Iq2Xxs | ReadOnlyFormat::Iq2Xs | ReadOnlyFormat::Iq2S => 256,
            ReadOnlyFormat::Iq3Xxs | ReadOnlyFormat::Iq3S => 256,
        }
    }

    /// See [`DType::block_bytes`].
    pub const fn block_bytes(self) -> usize {
        match self {
            ReadOnlyFormat::Iq1S => 50,
            ReadOnlyFormat::Iq1M => 56,
            ReadOnlyFormat::Iq2Xxs => 66,
            ReadOnlyFormat::Iq2Xs => 74,
            ReadOnlyFormat::Iq2S => 82,
            ReadOnlyFormat::Iq3Xxs => 98,
            ReadOnlyFormat::Iq3S => 110,
            ReadOnlyFormat::Nvfp4 => 36,
            ReadOnlyFormat::Q1_0 | ReadOnlyFormat::Q2_0 => 18,
            ReadOnlyFormat::Q8K => 292,
        }
    }

    /// See [`DType::name`].
    pub const fn name(self) -> &'static str {
        match self {
            ReadOnlyFormat::Iq1S => "iq1_s",
            ReadOnlyFormat::Iq1M => "iq1_m",
            ReadOnlyFormat::Iq2Xxs => "iq2_xxs",
            ReadOnlyFormat::Iq2Xs => "iq2_xs",
            ReadOnlyFormat::Iq2S => "iq2_s",
            ReadOnlyFormat::Iq3Xxs => "iq3_xxs",
            ReadOnlyFormat::Iq3S => "iq3_s",
            ReadOnlyFormat::Nvfp4 => "nvfp4",
            ReadOnlyFormat::Q1_0 => "q1_0",
            ReadOnlyFormat::Q2_0 => "q2_0",
            ReadOnlyFormat::Q8K => "q8_k",
        }
    }
}
