//! Damaged, hostile and unsupported files: one sentence each, never a panic.

use llm_rs2::core::DType;
use llm_rs2::engine::ModelFiles;
use proptest::prelude::*;

use super::writer::{Gguf, Key, add_tokenizer, converted};
use super::{repository, written};

fn tiny() -> Gguf {
    let dir = repository("tests/fixtures/tiny-options");
    let mut file = converted(&dir, DType::F16);
    add_tokenizer(&mut file, &dir);
    file
}

#[track_caller]
fn refused(file: &Gguf, says: &str) {
    bytes_refused(&file.bytes(), says);
}

#[track_caller]
fn bytes_refused(bytes: &[u8], says: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, bytes).unwrap();
    let Err(e) = ModelFiles::open(&path) else { panic!("opened, instead of: {says}") };
    let message = e.to_string();
    assert!(message.contains(says) && message.contains("m.gguf") && !message.contains('\n'), "{message}");
}

#[test]
fn what_is_not_supported_is_named() {
    let with = |name: &str, key: Key| {
        let mut file = tiny();
        file.set(name, key);
        file
    };
    let text = |t: &str| Key::Text(t.into());
    for (name, key, says) in [
        (
            "general.architecture",
            text("mamba"),
            "holds a model of the architecture 'mamba', which is not supported; known are llama, mistral3, qwen2, ",
        ),
        ("llama.expert_count", Key::U32(8), "holds a mixture of 8 experts"),
        ("llama.rope.scaling.type", text("mrope"), "scales its rotary embedding by 'mrope'"),
        (
            "llama.rope.dimension_count",
            Key::U32(6),
            "'partial_rotary_factor' is 0.5, but this model turns whole heads",
        ),
        ("tokenizer.ggml.model", text("t5"), "has a tokenizer of the kind 't5'"),
        ("tokenizer.ggml.pre", text("klingon"), "splits words by the rule 'klingon'"),
        ("split.count", Key::U32(3), "lacks the key 'split.no'"),
        ("general.alignment", Key::U32(24), "has 'general.alignment' = 24, where a power of two"),
        (
            "general.alignment",
            Key::U32(4),
            "has 'general.alignment' = 4, where a power of two from 8 on is needed",
        ),
        ("general.alignment", Key::U32(0), "has 'general.alignment' = 0, where"),
        (
            "llama.block_count",
            text("two"),
            "has 'llama.block_count' = 'two', where an integer from 0 on is needed",
        ),
        ("llama.attention.head_count", Key::U32(0), "'num_attention_heads'"),
        ("llama.context_length", Key::F32(1.5), "has 'llama.context_length' = 1.5"),
        (
            "llama.rope.freq_base",
            Key::F32(f32::NAN),
            "has 'llama.rope.freq_base' = NaN, where a number is needed",
        ),
        (
            "llama.rope.scaling.attn_factor",
            Key::F32(2.0),
            "has 'llama.rope.scaling.attn_factor' = 2, but only 1",
        ),
        ("llama.attention.causal", Key::Bool(false), "reads a text in both directions"),
        ("llama.attention.scale", Key::F32(0.5), "has 'llama.attention.scale' = 0.5, but only"),
        ("tokenizer.ggml.bos_token_id", text("one"), "has 'tokenizer.ggml.bos_token_id' = 'one'"),
        (
            "tokenizer.ggml.tokens",
            Key::I32s(vec![1]),
            "has something else than texts in 'tokenizer.ggml.tokens'",
        ),
        ("tokenizer.ggml.token_type", Key::I32s(vec![1]), "has 203 tokens, but 1 values"),
    ] {
        refused(&with(name, key), says);
    }
    let mut file = tiny();
    file.keys.retain(|(name, _)| name != "llama.embedding_length");
    refused(&file, "lacks the key 'llama.embedding_length'");
    let mut file = tiny();
    let place = file.tensors.iter().position(|t| t.0 == "blk.0.ffn_up.weight").unwrap();
    for (kind, says) in [
        (99, "has elements of type number 99 of ggml, which is not read; known are F32"),
        (26, "has elements of type I32, which is not read"),
        (
            33,
            "has elements of type Q4_0_8_8, which is not read; such files are no longer made, and the Q4_0 file",
        ),
        (
            36,
            "has elements of type IQ4_NL_4_4, which is not read; such files are no longer made, and the IQ4_NL file",
        ),
    ] {
        file.tensors[place].2 = kind;
        let (_kept, path) = written(&file);
        let opened = ModelFiles::open(&path).unwrap();
        let message = opened.tensors.get("model.layers.0.mlp.up_proj.weight").unwrap_err().to_string();
        assert!(message.contains("tensor 'blk.0.ffn_up.weight' in '") && message.contains(says), "{message}");
    }
    let mut file = tiny();
    file.tensors.push((
        "rope_freqs.weight".into(),
        vec![6],
        0,
        [1f32, 2.0, 3.0, 4.0, 5.0, 6.0].map(f32::to_le_bytes).concat(),
    ));
    refused(&file, "'rope_freqs.weight' with other numbers than Llama 3.1");
    let mut file = tiny();
    for layer in 0..2 {
        let ones = vec![1f32; 12].into_iter().flat_map(f32::to_le_bytes).collect();
        file.tensors.push((format!("blk.{layer}.attn_q_norm.weight"), vec![12], 0, ones));
    }
    refused(
        &file,
        "holds the tensor 'blk.0.attn_q_norm.weight' and 1 more, which a plain Llama does not have",
    );
}

#[test]
fn damage_is_named() {
    let whole = tiny().bytes();
    bytes_refused(&whole[..whole.len() - 40], "ends ");
    bytes_refused(&whole[..100], "claims ");
    let entry = whole.windows(6).position(|w| w == b"blk.1.").unwrap();
    bytes_refused(&whole[..entry + 30], "in the middle of its header");
    bytes_refused(&whole[..7], "in the middle of its header");
    let at = |place: usize, bytes: &[u8]| {
        let mut out = whole.clone();
        out[place..place + bytes.len()].copy_from_slice(bytes);
        out
    };
    bytes_refused(
        &at(4, &1u32.to_le_bytes()),
        "is of GGUF version 1; known are 2 and 3: download a newer file",
    );
    // The version alone is that of a file for big-endian machines, and so are the numbers then.
    bytes_refused(&at(4, &3u32.to_be_bytes()), "tensors, but the ");
    bytes_refused(&at(4, &1u32.to_be_bytes()), "is of GGUF version 1; known are 2 and 3");
    bytes_refused(&at(4, &70_000u32.to_be_bytes()), "is of GGUF version ");
    bytes_refused(&at(8, &u64::MAX.to_le_bytes()), "claims 18446744073709551615 tensors");
    bytes_refused(&at(16, &(1u64 << 40).to_le_bytes()), "claims 1099511627776 keys");
    // The length of the first key.
    bytes_refused(&at(24, &u64::MAX.to_le_bytes()), "bytes of text");
    let mut twice = tiny();
    twice.tensors.push(twice.tensors[3].clone());
    refused(&twice, "twice");
    let mut twice = tiny();
    twice.keys.push(("general.architecture".into(), Key::Bool(true)));
    refused(&twice, "has the key 'general.architecture' twice");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Most changes hit the header, where everything is that could mislead.
    #[test]
    fn a_changed_file_never_panics(
        changes in prop::collection::vec((0usize..12_000, prop::sample::select(&[0u8, 1, 2, 9, 32, 127, 255][..])), 1..6),
        cut in prop::option::of(0usize..60_000),
    ) {
        static FILE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut bytes = FILE.get_or_init(|| tiny().bytes()).clone();
        for (place, value) in changes {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        std::fs::write(&path, &bytes).unwrap();
        match ModelFiles::open(&path) {
            Ok(files) => {
                for name in files.tensors.names() {
                    if let Ok(Some(tensor)) = files.tensors.get(name) {
                        let (rows, _) = tensor.matrix_dims();
                        (0..rows).for_each(|row| assert!(tensor.row_bytes(row).len() <= bytes.len()));
                    }
                }
            }
            Err(e) => prop_assert!(!e.to_string().contains('\n')),
        }
    }
}
