//! Packed files are the same everywhere: these checksums hold on every processor.

use llm_rs2::core::DType;
use llm_rs2::engine::{ModelFiles, WeightDType};
use llm_rs2::format::checksum;

/// XXH64 of the demo model's packed file, by format.
const EXPECTED: [(DType, u64); 6] = [
    (DType::F32, 0x2669_db6e_0cd1_77d0),
    (DType::F16, 0x9846_47d2_56fc_4098),
    (DType::BF16, 0x8f20_9f10_f02a_f922),
    (DType::Q8_0, 0x0d00_88fb_2e07_18ee),
    (DType::Q4_0, 0xc721_b29f_3207_ba14),
    (DType::Q4_1, 0x468b_8e1a_b536_815f),
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
