//! Packed files are the same everywhere: these checksums hold on every processor.

use llm_rs2::core::DType;
use llm_rs2::engine::{ModelFiles, WeightDType};
use llm_rs2::format::checksum;

/// XXH64 of the demo model's packed file, by format.
const EXPECTED: [(DType, u64); 6] = [
    (DType::F32, 0xf345_6fca_fcfa_995b),
    (DType::F16, 0xa236_8d08_ba08_70fc),
    (DType::BF16, 0x846d_6c3b_cbe3_5363),
    (DType::Q8_0, 0x07aa_8cbe_ab71_77f7),
    (DType::Q4_0, 0x3f05_f0f4_5b78_e13b),
    (DType::Q4_1, 0xfcb6_3318_f033_3eaa),
];

#[test]
fn the_demo_model_packs_to_the_same_bytes_on_every_machine() {
    let dir = tempfile::tempdir().unwrap();
    let found = EXPECTED.map(|(dtype, _)| {
        let path = dir.path().join(dtype.name());
        let (format, len) = ModelFiles::pack(None, WeightDType::Pure(dtype), &path, false, &mut ()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((format.to_string(), len), (dtype.to_string(), bytes.len() as u64));
        (dtype, checksum(&bytes))
    });
    assert_eq!(found, EXPECTED, "in hexadecimal: {:x?}", found.map(|f| f.1));
}
