//! Element types of stored tensors.

use std::fmt;
use std::str::FromStr;

use super::ReadOnlyFormat;

/// Number of elements in a short block (ggml's `QK4_0`, `QK8_0`, ...).
pub const BLOCK_LEN: usize = 32;

/// Number of elements in a long block, or super-block (ggml's `QK_K`).
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
    /// [`DType::Q5_0`].
    Q5_0,
    /// [`DType::Q5_1`].
    Q5_1,
    /// [`DType::Iq4Nl`].
    Iq4Nl,
    /// [`DType::Mxfp4`].
    Mxfp4,
    /// [`DType::Q2K`].
    Q2K,
    /// [`DType::Q3K`].
    Q3K,
    /// [`DType::Q4K`].
    Q4K,
    /// [`DType::Q5K`].
    Q5K,
    /// [`DType::Q6K`].
    Q6K,
    /// [`DType::Iq4Xs`].
    Iq4Xs,
    /// [`DType::Tq1_0`].
    Tq1_0,
    /// [`DType::Tq2_0`].
    Tq2_0,
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
/// The quantized formats are blocks of [`BLOCK_LEN`] or [`K_BLOCK_LEN`] elements, laid out byte for byte as in ggml
/// (`ggml-common.h`: `block_q4_0`, `block_q4_K`, ...).
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
    /// Floats of 4 bits, one power of two a block: 17 bytes for 32 elements.
    Mxfp4,
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
    /// -1, 0 or 1 times one f16 scale, five elements a byte: 54 bytes for 256 elements.
    Tq1_0,
    /// -1, 0 or 1 times one f16 scale, four elements a byte: 66 bytes for 256 elements.
    Tq2_0,
    /// A format of GGUF files that is read, and computed in another one.
    ReadOnly(ReadOnlyFormat),
    /// Unsigned bytes.
    U8,
    /// 32-bit integers, used for token ids.
    I32,
}

impl DType {
    /// Every type but those that are only read ([`ReadOnlyFormat::ALL`]), in the order in which help texts list them.
    pub const ALL: [DType; 20] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::Q8_0,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Iq4Nl,
        DType::Mxfp4,
        DType::Q2K,
        DType::Q3K,
        DType::Iq4Xs,
        DType::Q4K,
        DType::Q5K,
        DType::Q6K,
        DType::Tq1_0,
        DType::Tq2_0,
        DType::U8,
        DType::I32,
    ];

    /// Elements that are stored together: 32 or 256 for the block formats that weights are computed in, 1 for floats and ids.
    pub const fn block_len(self) -> usize {
        match self {
            DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => BLOCK_LEN,
            DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl | DType::Mxfp4 => BLOCK_LEN,
            DType::Q2K | DType::Q3K | DType::Q4K | DType::Q5K | DType::Q6K => K_BLOCK_LEN,
            DType::Iq4Xs | DType::Tq1_0 | DType::Tq2_0 => K_BLOCK_LEN,
            DType::ReadOnly(format) => format.block_len(),
            DType::F32 | DType::F16 | DType::BF16 | DType::U8 | DType::I32 => 1,
        }
    }

    /// Bytes of one block ([`Self::block_len`] elements).
    pub const fn block_bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 => 1,
            DType::ReadOnly(format) => format.block_bytes(),
            DType::Q4_0 => 18,
            DType::Q4_1 => 20,
            DType::Q8_0 => 34,
            DType::Q5_0 => 22,
            DType::Q5_1 => 24,
            DType::Iq4Nl => 18,
            DType::Mxfp4 => 17,
            DType::Q2K => 84,
            DType::Q3K => 110,
            DType::Iq4Xs => 136,
            DType::Q4K => 144,
            DType::Q5K => 176,
            DType::Q6K => 210,
            DType::Tq1_0 => 54,
            DType::Tq2_0 => 66,
        }
    }

    /// Bytes that `len` consecutive elements take; a last block that is not full counts whole.
    /// `None` if the number does not fit in a `usize`.
    pub const fn bytes_for(self, len: usize) -> Option<usize> {
        len.div_ceil(self.block_len()).checked_mul(self.block_bytes())
    }

    /// The nearest length at or above `len` that a row can have: blocks of [`K_BLOCK_LEN`] are whole, while a last one of
    /// [`BLOCK_LEN`] may be filled up.
    pub const fn row_len(self, len: usize) -> usize {
        if self.block_len() == K_BLOCK_LEN { len.next_multiple_of(K_BLOCK_LEN) } else { len }
    }

    /// Bytes that `len` consecutive elements of a cache take, where a last block that is not full is stored short: its
    /// scale, then half a byte or a byte an element, rounded up. `None` if the number does not fit in a `usize`.
    pub const fn short_bytes_for(self, len: usize) -> Option<usize> {
        // The block formats that caches have begin with one f16.
        let scale = if self.is_quantized() { 2 } else { 0 };
        let rest = len % self.block_len();
        let Some(bytes) = (len / self.block_len()).checked_mul(self.block_bytes()) else { return None };
        let quants = self.block_bytes() - scale;
        let short = if rest == 0 { 0 } else { scale + (quants * rest).div_ceil(self.block_len()) };
        bytes.checked_add(short)
    }

    /// The block format that weights of this type are computed in, if it is one.
    pub const fn block_format(self) -> Option<BlockFormat> {
        match self {
            DType::Q8_0 => Some(BlockFormat::Q8_0),
            DType::Q4_0 => Some(BlockFormat::Q4_0),
            DType::Q4_1 => Some(BlockFormat::Q4_1),
            DType::Q5_0 => Some(BlockFormat::Q5_0),
            DType::Q5_1 => Some(BlockFormat::Q5_1),
            DType::Iq4Nl => Some(BlockFormat::Iq4Nl),
            DType::Mxfp4 => Some(BlockFormat::Mxfp4),
            DType::Q2K => Some(BlockFormat::Q2K),
            DType::Q3K => Some(BlockFormat::Q3K),
            DType::Q4K => Some(BlockFormat::Q4K),
            DType::Q5K => Some(BlockFormat::Q5K),
            DType::Q6K => Some(BlockFormat::Q6K),
            DType::Iq4Xs => Some(BlockFormat::Iq4Xs),
            DType::Tq1_0 => Some(BlockFormat::Tq1_0),
            DType::Tq2_0 => Some(BlockFormat::Tq2_0),
            DType::F32 | DType::F16 | DType::BF16 => None,
            DType::ReadOnly(_) | DType::U8 | DType::I32 => None,
        }
    }

    /// The floating point format, if it is one.
    pub const fn float_format(self) -> Option<FloatFormat> {
        match self {
            DType::F32 => Some(FloatFormat::F32),
            DType::F16 => Some(FloatFormat::F16),
            DType::BF16 => Some(FloatFormat::BF16),
            DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => None,
            DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl | DType::Mxfp4 => None,
            DType::Q2K | DType::Q3K | DType::Q4K | DType::Q5K | DType::Q6K => None,
            DType::Iq4Xs | DType::Tq1_0 | DType::Tq2_0 => None,
            DType::ReadOnly(_) | DType::U8 | DType::I32 => None,
        }
    }

    /// The format that a tensor which is stored like this is computed in, unless another one is asked for.
    pub const fn computed_as(self) -> Self {
        match self {
            DType::ReadOnly(format) => format.becomes(),
            other => other,
        }
    }

    /// Whether this is one of the block formats that weights are computed in.
    pub const fn is_quantized(self) -> bool {
        self.block_format().is_some()
    }

    /// Whether a weight may be stored like this.
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
            DType::Mxfp4 => "mxfp4",
            DType::Q2K => "q2_k",
            DType::Q3K => "q3_k",
            DType::Iq4Xs => "iq4_xs",
            DType::Q4K => "q4_k",
            DType::Q5K => "q5_k",
            DType::Q6K => "q6_k",
            DType::Tq1_0 => "tq1_0",
            DType::Tq2_0 => "tq2_0",
            DType::ReadOnly(format) => format.name(),
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
