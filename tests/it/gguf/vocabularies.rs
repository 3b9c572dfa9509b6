//! Vocabularies of published models, as llama.cpp has them, with texts and the ids that their own tokenizers give.

use std::fs;
use std::path::Path;

use llm_rs2::engine::ModelFiles;
use llm_rs2::format::gguf::{GgufFile, Metadata, Value};

use super::tokenizer::smallest;
use super::writer::{Gguf, Key};
use super::{shared, written};
use crate::real_models::{GEMMA3, model};

/// The keys of a vocabulary, copied into the file of a model that is small in all else.
fn model_with(vocabulary: &Metadata) -> Gguf {
    let text =
        |value: Value<'_>| if let Value::Text(text) = value { text.to_owned() } else { panic!("{value:?}") };
    let tokens = vocabulary.list("tokenizer.ggml.tokens").unwrap().expect("there are tokens");
    let mut file = smallest(tokens.len() as u64);
    for key in ["model", "pre"].map(|key| format!("tokenizer.ggml.{key}")) {
        if let Some(value) = vocabulary.text(&key).unwrap() {
            file.set(&key, Key::Text(value.to_owned()));
        }
    }
    for key in ["tokens", "merges"].map(|key| format!("tokenizer.ggml.{key}")) {
        if let Some(list) = vocabulary.list(&key).unwrap() {
            file.set(&key, Key::Texts(list.iter().map(text).collect()));
        }
    }
    if let Some(types) = vocabulary.list("tokenizer.ggml.token_type").unwrap() {
        let number = |value| if let Value::Signed(n) = value { n as i32 } else { panic!("{value:?}") };
        file.set("tokenizer.ggml.token_type", Key::I32s(types.iter().map(number).collect()));
    }
    if let Some(scores) = vocabulary.list("tokenizer.ggml.scores").unwrap() {
        let number = |value| if let Value::Float(x) = value { x as f32 } else { panic!("{value:?}") };
        file.set("tokenizer.ggml.scores", Key::F32s(scores.iter().map(number).collect()));
    }
    for key in ["bos", "eos", "unknown"].map(|name| format!("tokenizer.ggml.{name}_token_id")) {
        if let Some(id) = vocabulary.integer(&key).unwrap() {
            file.set(&key, Key::U32(id as u32));
        }
    }
    for key in ["add_bos_token", "add_space_prefix"].map(|key| format!("tokenizer.ggml.{key}")) {
        if let Some(value) = vocabulary.boolean(&key).unwrap() {
            file.set(&key, Key::Bool(value));
        }
    }
    file
}

/// Texts and their ids.
fn cases(dir: &Path, name: &str) -> Vec<(String, Vec<u32>)> {
    let read = |end: &str| fs::read_to_string(dir.join(format!("ggml-vocab-{name}.gguf.{end}"))).unwrap();
    let (inputs, outputs) = (read("inp"), read("out"));
    let texts = inputs.split("__ggml_vocab_test__\n").map(|t| t.strip_suffix('\n').unwrap_or(t).to_owned());
    let ids = outputs.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect());
    texts.zip(ids).collect()
}

/// Whether a vocabulary has the tokens of each text that its maker says.
fn assert_same(vocabulary: &Metadata, name: &str, cases: &[(String, Vec<u32>)]) {
    let (_kept, path) = written(&model_with(vocabulary));
    let files = ModelFiles::open(&path).unwrap();
    assert_eq!(cases.len(), 46, "{name}");
    for (text, ids) in cases {
        assert_eq!(files.tokenizer.encode(text, false).unwrap(), *ids, "{name}: {text:?}");
        assert_eq!(files.tokenizer.decode(ids, false).unwrap(), *text, "{name}");
    }
}

#[test]
fn published_vocabularies_give_the_ids_of_their_makers() {
    let test = "published_vocabularies_give_the_ids_of_their_makers";
    let Some(dir) = shared(test, "tokenizers/ggml") else { return };
    for name in ["deepseek-coder", "falcon", "gpt-2", "llama-spm", "phi-3", "starcoder"] {
        let vocabulary = GgufFile::open(&dir.join(format!("ggml-vocab-{name}.gguf"))).unwrap();
        assert_same(vocabulary.metadata(), name, &cases(&dir, name));
    }
}

/// Of Gemma 4 there are texts and ids alone; its vocabulary is Gemma 3's, with 262,144 tokens.
#[test]
fn gemmas_vocabulary_gives_the_ids_of_its_maker() {
    let test = "gemmas_vocabulary_gives_the_ids_of_its_maker";
    let Some(dir) = shared(test, "tokenizers/ggml") else { return };
    let Some(path) = model(test, GEMMA3) else { return };
    let file = GgufFile::open(&path).unwrap();
    assert_same(file.metadata(), "gemma-4", &cases(&dir, "gemma-4"));
}

#[test]
fn other_kinds_of_vocabularies_are_named() {
    for (kind, says) in
        [("bert", "'bert' (WordPiece)"), ("t5", "'t5' (SentencePiece's unigrams)"), ("rwkv", "'rwkv'")]
    {
        let mut file = smallest(1);
        file.set("tokenizer.ggml.model", Key::Text(kind.into()));
        file.set("tokenizer.ggml.tokens", Key::Texts(vec!["a".into()]));
        let (_kept, path) = written(&file);
        let message = ModelFiles::open(&path).err().expect("it is refused").to_string();
        assert!(message.contains("m.gguf") && message.contains(says), "{message}");
        assert!(message.contains("not supported; known are gpt2, llama and gemma4"), "{message}");
    }
}

/// SentencePiece's spelling with merges, Phi-3's white space, composed letters.
#[test]
fn rules_that_no_file_has() {
    let open = |kind: &str, pre: &str, name: &str, tokens: &[&str], types: &[i32], merges: &[&str]| {
        let mut file = smallest(tokens.len() as u64);
        let list = |texts: &[&str]| Key::Texts(texts.iter().map(|t| (*t).to_owned()).collect());
        file.set("general.name", Key::Text(name.into()));
        file.set("tokenizer.ggml.model", Key::Text(kind.into()));
        file.set("tokenizer.ggml.pre", Key::Text(pre.into()));
        file.set("tokenizer.ggml.tokens", list(tokens));
        file.set("tokenizer.ggml.token_type", Key::I32s(types.to_vec()));
        file.set("tokenizer.ggml.scores", Key::F32s(vec![0.0; tokens.len()]));
        file.set("tokenizer.ggml.merges", list(merges));
        file.set("tokenizer.ggml.bos_token_id", Key::U32(0));
        let (_kept, path) = written(&file);
        ModelFiles::open(&path).unwrap()
    };
    let tokens = ["<bos>", "a", "\u{2581}", "\u{2581}a", "\n", "\n\n", "<0xC3>", "<0xA9>"];
    let gemma = open("gemma4", "default", "", &tokens, &[3, 1, 1, 1, 1, 1, 6, 6], &["\u{2581} a", "\n \n"]);
    assert_eq!(gemma.encode_text("a a\n\n é").unwrap(), [0, 1, 3, 5, 2, 6, 7]);
    assert_eq!(gemma.tokenizer.decode(&[1, 3, 5, 2, 6, 7], false).unwrap(), "a a\n\n é");

    let tokens = ["<s>", "a", "<|user|>", "\u{2581}", "<0x0A>"];
    for (name, ids) in [("Phi-3 mini", &[0, 3, 1, 2, 3, 1][..]), ("other", &[0, 3, 1, 2, 3, 3, 4, 1])] {
        let phi = open("llama", "default", name, &tokens, &[3, 1, 3, 1, 6], &[]);
        assert_eq!(phi.encode_text("a<|user|> \na").unwrap(), ids, "{name}");
    }

    // The two bytes of a composed é in GPT-2's alphabet.
    for (pre, ids) in [("qwen2", &[2, 3][..]), ("stablelm2", &[1])] {
        let bytes = open("gpt2", pre, "", &["<s>", "e", "\u{c3}", "\u{a9}"], &[3, 1, 1, 1], &[]);
        assert_eq!(bytes.tokenizer.encode("e\u{301}", false).unwrap(), ids, "{pre}");
    }
}
