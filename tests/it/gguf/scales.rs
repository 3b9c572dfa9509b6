//! Scales that are NaN or infinite are an error when a model is loaded, with the tensor and the place.

use std::process::Command;

use llm_rs2::core::{DType, ReadOnlyFormat};
use llm_rs2::models::WeightPlan;

use super::model::try_logits;
use super::types::{TYPES, Type, model};
use super::writer::Gguf;
use super::written;

/// The model with a scale of one block of a tensor that is no number.
fn broken(kind: &Type, nan: bool) -> Option<Gguf> {
    let mut file = model(kind);
    let (.., bytes) = file.tensors.iter_mut().find(|t| t.0 == "blk.0.ffn_down.weight").unwrap();
    // The last block of row 5.
    let at = (6 * 256 / kind.len - 1) * kind.bytes;
    let block = &mut bytes[at..at + kind.bytes];
    let half: u16 = if nan { 0x7e00 } else { 0xfc00 };
    match (kind.dtype, kind.halves) {
        (_, [.., last]) => block[*last..last + 2].copy_from_slice(&half.to_le_bytes()),
        (DType::Mxfp4, _) if nan => block[0] = 255,
        (DType::Mxfp4, _) => block[0] = 254,
        (DType::ReadOnly(ReadOnlyFormat::Iq1M), _) => {
            for word in 0..4 {
                let bits = (half >> (4 * word) & 15) as u8;
                block[49 + 2 * word] = block[49 + 2 * word] & 15 | bits << 4;
            }
        }
        (DType::ReadOnly(ReadOnlyFormat::Q8K), _) => {
            let scale = if nan { f32::NAN } else { f32::NEG_INFINITY };
            block[..4].copy_from_slice(&scale.to_le_bytes());
        }
        // Every byte is a number.
        (DType::ReadOnly(ReadOnlyFormat::Nvfp4), _) => return None,
        (dtype, _) => panic!("{dtype}"),
    }
    Some(file)
}

/// The places that a message has to name.
fn expected(kind: &Type) -> String {
    let first = 256 - kind.len;
    format!(
        "as a scale in row 5, columns {first} to 255: the file is damaged, or was made from broken weights; "
    )
}

#[test]
fn a_scale_that_is_no_number_is_named_with_its_place() {
    for kind in &TYPES {
        for nan in [true, false] {
            let Some(file) = broken(kind, nan) else { continue };
            let (_kept, path) = written(&file);
            // As it is, and in a format that it would have to be read for.
            for plan in [WeightPlan::AsStored, DType::Q8_0.into(), DType::F32.into()] {
                let said = try_logits(&path, plan).expect_err("it is refused").to_string();
                assert!(
                    said.contains("tensor 'model.layers.0.mlp.down_proj.weight' in '")
                        && said.contains("m.gguf")
                        && said.contains(&expected(kind)),
                    "{} as {plan}: {said}",
                    kind.dtype
                );
            }
        }
    }
}

#[test]
fn programs_refuse_it_once_and_keep_nothing() {
    let kind = TYPES.iter().find(|t| t.dtype == DType::Q4K).unwrap();
    let (kept, path) = written(&broken(kind, true).unwrap());
    let path_text = path.to_str().unwrap();
    let cache = kept.path().join("cache");
    let packed = kept.path().join("m.packed");
    let made = kept.path().join("made.gguf");
    let generate = env!("CARGO_BIN_EXE_generate");
    let quantize = env!("CARGO_BIN_EXE_quantize");
    for (program, args) in [
        (generate, vec!["-m", path_text, "-p", "a", "-n", "1", "--pack-cache", cache.to_str().unwrap()]),
        (generate, vec!["-m", path_text, "-p", "a", "-n", "1", "--pack-cache", "off"]),
        (generate, vec!["-m", path_text, "--pack-to", packed.to_str().unwrap()]),
        (quantize, vec![path_text, made.to_str().unwrap(), "Q8_0"]),
        (quantize, vec![path_text, made.to_str().unwrap(), "Q4_K_S", "--pure"]),
    ] {
        let output = Command::new(program).args(&args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said.matches("NaN as a scale").count(), 1, "{args:?}: {said}");
        assert!(said.contains("m.gguf' has NaN") && said.contains(&expected(kind)), "{args:?}: {said}");
        assert!(!said.contains("are not kept"), "{args:?}: {said}");
    }
    assert!(!packed.exists() && !made.exists());
    assert_eq!(std::fs::read_dir(&cache).map_or(0, Iterator::count), 0);
    let checked = Command::new(quantize).args(["--check", path_text]).output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        checked.status.code() == Some(1) && said.contains("256 of 65536 values are NaN or infinite"),
        "{said}"
    );
}
