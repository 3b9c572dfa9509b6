//! The element types of GGUF files, by their numbers (`enum ggml_type`).

use crate::core::{DType, ReadOnlyFormat};

/// The types that have a form here.
const TYPES: [(u32, DType); 29] = [
    (0, DType::F32),
    (1, DType::F16),
    (2, DType::Q4_0),
    (3, DType::Q4_1),
    (6, DType::Q5_0),
    (7, DType::Q5_1),
    (8, DType::Q8_0),
    (10, DType::Q2K),
    (11, DType::Q3K),
    (12, DType::Q4K),
    (13, DType::Q5K),
    (14, DType::Q6K),
    (15, DType::ReadOnly(ReadOnlyFormat::Q8K)),
    (16, DType::ReadOnly(ReadOnlyFormat::Iq2Xxs)),
    (17, DType::ReadOnly(ReadOnlyFormat::Iq2Xs)),
    (18, DType::ReadOnly(ReadOnlyFormat::Iq3Xxs)),
    (19, DType::ReadOnly(ReadOnlyFormat::Iq1S)),
    (20, DType::Iq4Nl),
    (21, DType::ReadOnly(ReadOnlyFormat::Iq3S)),
    (22, DType::ReadOnly(ReadOnlyFormat::Iq2S)),
    (23, DType::Iq4Xs),
    (29, DType::ReadOnly(ReadOnlyFormat::Iq1M)),
    (30, DType::BF16),
    (34, DType::Tq1_0),
    (35, DType::Tq2_0),
    (39, DType::Mxfp4),
    (40, DType::ReadOnly(ReadOnlyFormat::Nvfp4)),
    (41, DType::ReadOnly(ReadOnlyFormat::Q1_0)),
    (42, DType::ReadOnly(ReadOnlyFormat::Q2_0)),
];

/// The rest of a sentence about a tensor of a type that has none.
pub(super) fn not_read(kind: u32) -> String {
    let way_on = match kind {
        31..=33 => "such files are no longer made, and the Q4_0 file of the model serves the same purpose",
        36..=38 => "such files are no longer made, and the IQ4_NL file of the model serves the same purpose",
        _ => {
            "known are F32, F16, BF16, Q1_0 to Q8_0, Q2_K to Q8_K, IQ1_S to IQ4_XS, MXFP4, NVFP4, TQ1_0 and TQ2_0: use a file \
             in one of these"
        }
    };
    format!("has elements of type {}, which is not read; {way_on}", type_name(kind))
}

/// The element type of that number, if it has a form here.
pub(super) fn readable(kind: u32) -> Option<DType> {
    TYPES.iter().find(|(number, _)| *number == kind).map(|&(_, dtype)| dtype)
}

/// The number of an element type.
pub(super) fn number(dtype: DType) -> Option<u32> {
    TYPES.iter().find(|(_, known)| *known == dtype).map(|&(number, _)| number)
}

/// What ggml calls a type.
pub(super) fn type_name(kind: u32) -> String {
    let name = match kind {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        _ => {
            let known = readable(kind).map(|dtype| dtype.name().to_uppercase());
            return known.unwrap_or_else(|| format!("number {kind} of ggml"));
        }
    };
    name.to_owned()
}
