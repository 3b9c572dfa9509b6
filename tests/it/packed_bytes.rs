//! Packed files are the same everywhere: these checksums hold on every processor.

use llm_rs2::core::DType;
use llm_rs2::engine::{ModelFiles, WeightDType};
use llm_rs2::format::checksum;

/// XXH64 of the demo model's packed file, by format.
const EXPECTED: [(DType, u64); 6] = [
    (DType::F32, 0xaf94_0a10_4020_4637),
    (DType::F16, 0xe4ac_eff4_84f7_5914),
    (DType::BF16, 0xe4ae_0c8a_c5d8_723b),
    (DType::Q8_0, 0x562b_1e99_6730_ec43),
    (DType::Q4_0, 0x4bf9_1dfc_e9b2_9a5d),
    (DType::Q4_1, 0x8a46_8706_4bae_c64b),
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
