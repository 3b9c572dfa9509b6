//! Files that others have written: by the gguf package and llama.cpp's quantization (`scripts/make_gguf_fixtures.py`), in
//! mixtures of formats as llama.cpp chooses them, against llama.cpp's own logits for the same values in float32.

use llm_rs2::core::DType;

use super::repository;
use crate::llama_cpp::{difference, reference, session};
use crate::parity::goldens::greedy;

#[test]
fn mixed_files_of_llama_cpp_have_its_logits() {
    for name in ["tiny-q4_k_m", "tiny-q5_k_m", "tiny-q4_1"] {
        let path = |end: &str| repository(&format!("tests/fixtures/gguf/{name}.{end}"));
        let mut session = session(&path("gguf"), DType::F32, DType::F32);
        for case in reference(&path("json")) {
            let (nll, apart) = difference(&mut session, &case);
            assert!(nll < 1e-4 && apart < 1e-3, "{name}: {nll}, {apart}");
            assert_eq!(greedy(&mut session, &case.ids, case.greedy.len()), case.greedy, "{name}");
        }
    }
}
