//! Packed files are the same everywhere: these checksums hold on every processor.

use llm_rs2::core::DType;
use llm_rs2::engine::{ModelFiles, WeightDType};
use llm_rs2::format::checksum;

/// XXH64 of the demo model's packed file, by format.
const EXPECTED: [(DType, u64); 6] = [
    (DType::F32, 0xd3de_a37e_2592_8664),
    (DType::F16, 0x362f_c7a4_3e93_b010),
    (DType::BF16, 0xaf36_1a0f_b4f2_28a8),
    (DType::Q8_0, 0xf173_422a_ecc8_f31c),
    (DType::Q4_0, 0xd0c5_c7b2_733f_2a93),
    (DType::Q4_1, 0x4e16_dabd_6675_2e2f),
];

#[test]
fn the_demo_model_packs_to_the_same_bytes_on_every_machine() {
    let dir = tempfile::tempdir().unwrap();
    let found = EXPECTED.map(|(dtype, _)| {
        let path = dir.path().join(dtype.name());
        let (format, len) = ModelFiles::pack(None, WeightDType::Fixed(dtype), &path, false, &mut ()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((format, len), (dtype, bytes.len() as u64));
        (dtype, checksum(&bytes))
    });
    assert_eq!(found, EXPECTED, "in hexadecimal: {:x?}", found.map(|f| f.1));
}
