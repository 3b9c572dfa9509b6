//! Element types of stored tensors.

use std::fmt;
use std::str::FromStr;

/// Number of elements in a quantized block that weights are computed in (ggml's `QK4_0`, `QK4_1`, `QK8_0`).
pub const BLOCK_LEN: usize = 32;

/// Number of elements in a block of the formats that are only read (ggml's `QK_K`).
pub const K_BLOCK_LEN: usize = 256;

/// A block format that weights are computed in. What works on blocks matches on these, without a default, so that the
/// compiler finds every place that has to know a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockFormat {
    /// [`DType::Q8_0`].
    Q8_0,
    /// [`DType::Q4_0`].
    Q4_0,
    /// [`DType::Q4_1`].
    Q4_1,
}

/// A floating point format, for matching as [`BlockFormat`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatFormat {
    /// [`DType::F32`].
    F32,
    /// [`DType::F16`].
    F16,
    /// [`DType::BF16`].
    BF16,
}

/// How the elements of a tensor are stored.
///
/// The quantized formats are blocks of [`BLOCK_LEN`] elements laid out byte for byte as in ggml
/// (`ggml-common.h`: `block_q4_0`, `block_q4_1`, `block_q8_0`). The others, some of them in blocks of [`K_BLOCK_LEN`],
/// are as ggml has them too; nothing is computed in them, they are converted as they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    BF16,
    /// 4 bits an element, one f16 scale a block: 18 bytes for 32 elements.
    Q4_0,
    /// 4 bits an element, f16 scale and minimum a block: 20 bytes for 32 elements.
    Q4_1,
    /// 8 bits an element, one f16 scale a block: 34 bytes for 32 elements.
    Q8_0,
    /// 5 bits an element, one f16 scale a block: 22 bytes for 32 elements.
    Q5_0,
    /// 5 bits an element, f16 scale and minimum a block: 24 bytes for 32 elements.
    Q5_1,
    /// 4 bits an element that choose one of sixteen values, one f16 scale a block: 18 bytes for 32 elements.
    Iq4Nl,
    /// 2 bits an element, 4-bit scales and minima a group of 16: 84 bytes for 256 elements.
    Q2K,
    /// 3 bits an element, 6-bit scales a group of 16: 110 bytes for 256 elements.
    Q3K,
    /// As [`Self::Iq4Nl`], 6-bit scales a group of 32: 136 bytes for 256 elements.
    Iq4Xs,
    /// 4 bits an element, 6-bit scales and minima a group of 32: 144 bytes for 256 elements.
    Q4K,
    /// 5 bits an element, 6-bit scales and minima a group of 32: 176 bytes for 256 elements.
    Q5K,
    /// 6 bits an element, 8-bit scales a group of 16: 210 bytes for 256 elements.
    Q6K,
    /// Unsigned bytes.
    U8,
    /// 32-bit integers, used for token ids.
    I32,
}

impl DType {
    /// Every type, in the order in which help texts list them.
    pub const ALL: [DType; 17] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::Q8_0,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Iq4Nl,
        DType::Q2K,
        DType::Q3K,
        DType::Iq4Xs,
        DType::Q4K,
        DType::Q5K,
        DType::Q6K,
        DType::U8,
        DType::I32,
    ];

    /// Elements that are stored together: 32 or 256 for the block formats, 1 for the others.
    pub const fn block_len(self) -> usize {
        match self {
            DType::Q4_0 | DType::Q4_1 | DType::Q8_0 | DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl => BLOCK_LEN,
            DType::Q2K | DType::Q3K | DType::Iq4Xs | DType::Q4K | DType::Q5K | DType::Q6K => K_BLOCK_LEN,
            DType::F32 | DType::F16 | DType::BF16 | DType::U8 | DType::I32 => 1,
        }
    }

    /// Bytes of one block ([`Self::block_len`] elements).
    pub const fn block_bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 => 1,
            DType::Q4_0 => 18,
            DType::Q4_1 => 20,
            DType::Q8_0 => 34,
            DType::Q5_0 => 22,
            DType::Q5_1 => 24,
            DType::Iq4Nl => 18,
            DType::Q2K => 84,
            DType::Q3K => 110,
            DType::Iq4Xs => 136,
            DType::Q4K => 144,
            DType::Q5K => 176,
            DType::Q6K => 210,
        }
    }

    /// Bytes that `len` consecutive elements take; a last block that is not full counts whole.
    /// `None` if the number does not fit in a `usize`.
    pub const fn bytes_for(self, len: usize) -> Option<usize> {
        len.div_ceil(self.block_len()).checked_mul(self.block_bytes())
    }

    /// Bytes that `len` consecutive elements take if a last block that is not full is stored short: its scale (and
    /// minimum), then half a byte or a byte an element, rounded up. `None` if the number does not fit in a `usize`.
    pub const fn short_bytes_for(self, len: usize) -> Option<usize> {
        let rest = len % self.block_len();
        let Some(bytes) = (len / self.block_len()).checked_mul(self.block_bytes()) else { return None };
        let quants = self.block_bytes() - self.scale_bytes();
        let short =
            if rest == 0 { 0 } else { self.scale_bytes() + (quants * rest).div_ceil(self.block_len()) };
        bytes.checked_add(short)
    }

    /// Bytes of a block in front of its quants.
    const fn scale_bytes(self) -> usize {
        match self.block_format() {
            Some(BlockFormat::Q4_0 | BlockFormat::Q8_0) => 2,
            Some(BlockFormat::Q4_1) => 4,
            None => 0,
        }
    }

    /// The block format that weights of this type are computed in, if it is one.
    pub const fn block_format(self) -> Option<BlockFormat> {
        match self {
            DType::Q8_0 => Some(BlockFormat::Q8_0),
            DType::Q4_0 => Some(BlockFormat::Q4_0),
            DType::Q4_1 => Some(BlockFormat::Q4_1),
            DType::F32 | DType::F16 | DType::BF16 => None,
            DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl => None,
            DType::Q2K | DType::Q3K | DType::Iq4Xs | DType::Q4K | DType::Q5K | DType::Q6K => None,
            DType::U8 | DType::I32 => None,
        }
    }

    /// The floating point format, if it is one.
    pub const fn float_format(self) -> Option<FloatFormat> {
        match self {
            DType::F32 => Some(FloatFormat::F32),
            DType::F16 => Some(FloatFormat::F16),
            DType::BF16 => Some(FloatFormat::BF16),
            DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => None,
            DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl => None,
            DType::Q2K | DType::Q3K | DType::Iq4Xs | DType::Q4K | DType::Q5K | DType::Q6K => None,
            DType::U8 | DType::I32 => None,
        }
    }

    /// Whether this is one of the block formats that weights are computed in.
    pub const fn is_quantized(self) -> bool {
        self.block_format().is_some()
    }

    /// Whether a weight may be stored like this. What is neither [`Self::is_float`] nor [`Self::is_quantized`] is
    /// converted as it is read.
    pub const fn is_weight(self) -> bool {
        !matches!(self, DType::U8 | DType::I32)
    }

    /// Whether this is a floating point format.
    pub const fn is_float(self) -> bool {
        self.float_format().is_some()
    }

    /// The name used in flags and messages: `f32`, `q4_0`, ...
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::Q4_0 => "q4_0",
            DType::Q4_1 => "q4_1",
            DType::Q8_0 => "q8_0",
            DType::Q5_0 => "q5_0",
            DType::Q5_1 => "q5_1",
            DType::Iq4Nl => "iq4_nl",
            DType::Q2K => "q2_k",
            DType::Q3K => "q3_k",
            DType::Iq4Xs => "iq4_xs",
            DType::Q4K => "q4_k",
            DType::Q5K => "q5_k",
            DType::Q6K => "q6_k",
            DType::U8 => "u8",
            DType::I32 => "i32",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no [`DType`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown element type '{0}'; known are {known}", known = DType::ALL.map(DType::name).join(", "))]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;

    /// Reads a name in any letter case, as flags (`q4_0`) and safetensors headers (`BF16`) spell it.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        DType::ALL
            .into_iter()
            .find(|d| d.name().eq_ignore_ascii_case(s))
            .ok_or_else(|| UnknownDType(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_round_up_to_whole_blocks_and_never_overflow() {
        assert_eq!(DType::Q4_0.bytes_for(64), Some(36));
        assert_eq!(DType::Q4_1.bytes_for(33), Some(40));
        assert_eq!(DType::Q8_0.bytes_for(0), Some(0));
        assert_eq!(DType::F32.bytes_for(3), Some(12));
        assert_eq!(DType::Q6K.bytes_for(512), Some(420));
        assert_eq!(DType::F32.bytes_for(usize::MAX), None);
    }

    #[test]
    fn short_blocks_take_what_their_elements_need() {
        let bytes = |dtype: DType, len| dtype.short_bytes_for(len);
        assert_eq!([0, 8, 32, 33].map(|len| bytes(DType::Q8_0, len)), [0, 10, 34, 37].map(Some));
        assert_eq!([0, 8, 17, 64].map(|len| bytes(DType::Q4_0, len)), [0, 6, 11, 36].map(Some));
        assert_eq!([5, 32].map(|len| bytes(DType::Q4_1, len)), [7, 20].map(Some));
        assert_eq!((bytes(DType::F16, 7), bytes(DType::F16, usize::MAX)), (Some(14), None));
    }

    #[test]
    fn names_read_back() {
        for d in DType::ALL {
            assert_eq!(d.name().to_uppercase().parse::<DType>(), Ok(d));
        }
        assert!("q5_2".parse::<DType>().is_err());
    }
}
