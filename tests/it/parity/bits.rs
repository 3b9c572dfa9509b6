//! The same bits on every machine: the hashes here are asserted by x86-64 and by aarch64, for each instruction set
//! that the machine has.

use std::path::Path;

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions, Isa};
use llm_rs2::core::DType;

use super::goldens::{self, Setup};

/// Tokens of a prompt: groups of twelve rows, and of every smaller size that the kernels know.
const TOKENS: usize = 27;

/// Hashes of all logits of [`TOKENS`] positions, in the order of [`FORMATS`].
const LOGITS: [(&str, [u64; 8]); 3] = [
    (
        "tests/fixtures/tiny-llama32",
        [
            0x71bd_36b7_0c45_6397,
            0x9fd4_d001_3270_8e87,
            0xa74d_52e1_ffb0_3381,
            0x93d3_5dd1_8090_7b1f,
            0x9095_3157_85e0_7ea1,
            0x37c4_18a2_48b9_5e17,
            0xb303_4fcc_f04f_ef15,
            0xa1c3_2a43_869c_9be3,
        ],
    ),
    (
        "tests/fixtures/tiny-options",
        [
            0x06c1_ed96_ea9a_58a6,
            0xf510_f66e_4527_34b2,
            0x4419_2d46_78ed_3c66,
            0x9858_5485_568d_d4f1,
            0xb0c1_c54b_d7ed_b6ec,
            0x668a_7912_26e8_7651,
            0x1c81_712e_21bc_9549,
            0xb6a1_b510_4258_9a38,
        ],
    ),
    (
        "assets/demo",
        [
            0xe311_8180_341b_3632,
            0x26ea_3482_533c_12b6,
            0x8a84_43cc_c12f_b208,
            0xfa86_98dc_1a67_3ec1,
            0x2729_8a95_2977_d265,
            0x7536_a180_dc4c_f403,
            0xd64b_329b_5093_6641,
            0x5069_77ae_8332_b098,
        ],
    ),
];

/// Hashes of the 40 likeliest ids after the prompt by the demo model, one by one.
const TEXTS: [u64; 8] = [
    0x3d58_a0f3_44db_8a31,
    0x3d58_a0f3_44db_8a31,
    0x3d58_a0f3_44db_8a31,
    0x3d58_a0f3_44db_8a31,
    0x3d58_a0f3_44db_8a31,
    0x3d58_a0f3_44db_8a31,
    0x3d58_a0f3_44db_8a31,
    0x7aee_b991_7788_b4ec,
];

/// Formats of the weights, and of keys and values.
const FORMATS: [(DType, DType); 8] = [
    (DType::F32, DType::F32),
    (DType::F16, DType::F16),
    (DType::BF16, DType::F16),
    (DType::Q8_0, DType::F16),
    (DType::Q4_0, DType::F32),
    (DType::Q4_1, DType::F16),
    (DType::F32, DType::Q8_0),
    (DType::Q8_0, DType::Q4_0),
];

/// 64-bit FNV-1a over little-endian words.
fn hash(words: impl IntoIterator<Item = u32>) -> u64 {
    words
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn backend(isa: Isa) -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), isa: Some(isa) }).expect("an available instruction set")
}

/// The longest text of the checkpoint in `dir`, cut to [`TOKENS`].
fn prompt(dir: &Path) -> Vec<u32> {
    let golden = goldens::all("bits").into_iter().find(|g| g.dir == dir).expect("the checkpoint has goldens");
    let longest = golden.cases.into_iter().map(|c| c.input_ids).max_by_key(Vec::len).expect("a case");
    longest[..TOKENS].to_vec()
}

#[test]
fn logits_and_texts_are_the_same_on_every_machine() {
    let mut wrong = Vec::new();
    let mut check = |what: String, got: u64, expected: u64| {
        if got != expected {
            wrong.push(format!("{what}: {got:#018x}, not {expected:#018x}"));
        }
    };
    for (dir, logits) in LOGITS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        let ids = prompt(&path);
        for (i, (weights, kv)) in FORMATS.into_iter().enumerate() {
            for isa in Isa::available() {
                let setup = Setup { weights, kv, chunk: TOKENS };
                let mut session = goldens::session(backend(isa), &path, setup);
                let rows = goldens::logits(&mut session, &ids);
                assert_eq!(rows.len(), TOKENS);
                let at = format!("{dir}, {weights} weights, {kv} cache, {isa}");
                check(format!("logits of {at}"), hash(rows.iter().flatten().map(|v| v.to_bits())), logits[i]);
                if dir == "assets/demo" {
                    check(format!("text of {at}"), hash(goldens::greedy(&mut session, &ids, 40)), TEXTS[i]);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
