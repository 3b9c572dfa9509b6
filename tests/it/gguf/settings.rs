//! What a GGUF file leaves out, says in older words, or says wrongly, and what it holds beside a plain Llama.

use llm_rs2::core::DType;
use llm_rs2::engine::ModelFiles;
use llm_rs2::models::RopeScaling;

use super::writer::{Gguf, Key, add_tokenizer, converted};
use super::{repository, written};

/// The fixture with biases, linear scaling by 4 and 203 tokens.
fn tiny() -> Gguf {
    let dir = repository("tests/fixtures/tiny-options");
    let mut file = converted(&dir, DType::F16);
    add_tokenizer(&mut file, &dir);
    file
}

fn opened(file: &Gguf) -> ModelFiles {
    let (_kept, path) = written(file);
    ModelFiles::open(&path).unwrap()
}

/// The warnings, as sentences.
fn warnings(file: &Gguf) -> Vec<String> {
    opened(file).warnings.iter().map(ToString::to_string).collect()
}

/// Some pieces of SentencePiece's, with these texts and types from 3 on.
fn sentence_piece(more: &[(&str, i32)]) -> Gguf {
    let mut file = tiny();
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).into();
    let mut types = vec![2, 3, 3];
    for (text, kind) in more {
        tokens.push((*text).to_owned());
        types.push(*kind);
    }
    while tokens.len() < 203 {
        tokens.push(format!("w{}", tokens.len()));
        types.push(1);
    }
    file.keys.retain(|(name, _)| !name.starts_with("tokenizer."));
    file.set("tokenizer.ggml.model", Key::Text("llama".into()));
    file.set("tokenizer.ggml.scores", Key::F32s((0..203).map(|i| -(i as f32)).collect()));
    file.set("tokenizer.ggml.tokens", Key::Texts(tokens));
    file.set("tokenizer.ggml.token_type", Key::I32s(types));
    file
}

#[test]
fn a_sentence_piece_vocabulary_has_ids_for_begin_and_end() {
    let files = opened(&sentence_piece(&[]));
    assert_eq!((files.bos, files.eos.as_slice(), files.warnings.len()), (Some(1), &[2][..], 0));
    assert_eq!(files.tokenizer_config.bos_token.as_deref(), Some("<s>"));
    assert_eq!(files.encode_text("w5").unwrap()[0], 1);
    // In a chat too, since such a vocabulary adds it.
    assert_eq!(files.tokenizer_config.begins_chats, Some(1));
    let mut file = sentence_piece(&[]);
    file.set("tokenizer.ggml.add_bos_token", Key::Bool(false));
    let files = opened(&file);
    assert_eq!(
        (files.tokenizer_config.begins_chats, files.encode_text("w5").unwrap()[0] == 1),
        (None, false)
    );
}

#[test]
fn an_id_out_of_range_is_a_warning_and_the_default() {
    for (key, name) in [("eos", "eos_token_id"), ("bos", "bos_token_id"), ("unknown", "unknown_token_id")] {
        let mut file = sentence_piece(&[]);
        file.set(&format!("tokenizer.ggml.{key}_token_id"), Key::U32(u32::MAX));
        let files = opened(&file);
        assert_eq!((files.bos, files.eos.as_slice()), (Some(1), &[2][..]));
        let said = files.warnings[0].to_string();
        assert!(
            said.contains(name) && said.contains("4294967295") && said.contains("its place takes token"),
            "{said}"
        );
    }
    // No default for another kind of vocabulary.
    let mut file = tiny();
    file.set("tokenizer.ggml.bos_token_id", Key::U32(999));
    assert_eq!(opened(&file).bos, None);
    assert!(warnings(&file)[0].contains("the model gets none"));
}

#[test]
fn what_ends_a_turn_does_so_whatever_its_type() {
    for kind in [1, 3, 4, 5] {
        for text in ["<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "<EOT>"] {
            let files = opened(&sentence_piece(&[(text, kind)]));
            assert_eq!(files.eos, [2, 3], "{text} of type {kind}");
            assert!(files.tokenizer.is_special(3));
        }
    }
    let harmony = sentence_piece(&[("<|end|>", 3), ("<|return|>", 3), ("<|call|>", 3)]);
    assert_eq!(opened(&harmony).eos, [2, 4, 5]);
    let mut file = sentence_piece(&[("<|start|>", 3)]);
    file.set("tokenizer.ggml.eot_token_id", Key::U32(7));
    assert_eq!(opened(&file).eos, [2, 7]);
}

#[test]
fn linear_rotary_scaling_has_two_spellings_and_a_type_that_means_none() {
    let scaling = |keys: &[(&str, Key)]| {
        let mut file = tiny();
        file.keys.retain(|(name, _)| !name.starts_with("llama.rope.scaling"));
        keys.iter().for_each(|(name, key)| file.set(&format!("llama.rope.{name}"), key.clone()));
        opened(&file).config.spec.ropes[0].scaling.clone()
    };
    let (linear, none) = (RopeScaling::Linear { factor: 4.0 }, RopeScaling::None);
    let text = |t: &str| Key::Text(t.into());
    assert_eq!(scaling(&[]), none);
    assert_eq!(scaling(&[("scale_linear", Key::F32(4.0))]), linear);
    assert_eq!(scaling(&[("scaling.factor", Key::F32(4.0))]), linear);
    assert_eq!(scaling(&[("scaling.type", text("linear")), ("scale_linear", Key::F32(4.0))]), linear);
    let both = [("scaling.factor", Key::F32(4.0)), ("scale_linear", Key::F32(8.0))];
    assert_eq!(scaling(&both), linear);
    assert_eq!(scaling(&[("scaling.type", text("none")), ("scaling.factor", Key::F32(4.0))]), none);
    assert_eq!(scaling(&[("scale_linear", Key::F32(0.0))]), none);
    assert_eq!(scaling(&[("scaling.type", text("linear"))]), none);
}

#[test]
fn each_bias_is_there_where_its_tensor_is() {
    let count = |file: &Gguf| {
        let files = opened(file);
        let held = llm_rs2::models::llama::tensor_specs(&files.config.spec);
        held.iter().filter(|spec| spec.name.ends_with(".bias")).count()
    };
    let without = |part: &str| {
        let mut file = tiny();
        file.tensors.retain(|t| !(t.0.contains(part) && t.0.ends_with(".bias")));
        count(&file)
    };
    // Seven in each of two layers.
    assert_eq!((count(&tiny()), without("blk.")), (14, 0));
    for part in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        assert_eq!((without(part), without(&format!("blk.1.{part}"))), (12, 13), "{part}");
    }
}

#[test]
fn keys_of_other_models_are_named() {
    for (key, value, named) in [
        ("logit_scale", Key::F32(0.5), true),
        ("logit_scale", Key::F32(1.0), false),
        ("attention.sliding_window", Key::U32(64), true),
        ("attention.sliding_window", Key::U32(256), false),
        ("final_logit_softcapping", Key::F32(30.0), true),
        ("use_parallel_residual", Key::Bool(true), true),
    ] {
        let mut file = tiny();
        file.set(&format!("llama.{key}"), value);
        let said = warnings(&file);
        assert_eq!(said.iter().any(|w| w.contains(&format!("'llama.{key}'"))), named, "{key}: {said:?}");
    }
}
