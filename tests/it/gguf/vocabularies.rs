//! Vocabularies of published models, as llama.cpp has them, with texts and the ids that their own tokenizers give.

use std::fs;
use std::path::Path;

use llm_rs2::engine::ModelFiles;
use llm_rs2::format::gguf::{GgufFile, Metadata, Value};

use super::tokenizer::smallest;
use super::writer::{Gguf, Key};
use super::{shared, written};

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

#[test]
fn published_vocabularies_give_the_ids_of_their_makers() {
    let test = "published_vocabularies_give_the_ids_of_their_makers";
    let Some(dir) = shared(test, "tokenizers/ggml") else { return };
    for (name, count) in [
        ("deepseek-coder", 46),
        ("falcon", 46),
        ("gpt-2", 46),
        ("llama-spm", 46),
        ("phi-3", 46),
        ("starcoder", 46),
    ] {
        let vocabulary = GgufFile::open(&dir.join(format!("ggml-vocab-{name}.gguf"))).unwrap();
        let (_kept, path) = written(&model_with(vocabulary.metadata()));
        let files = ModelFiles::open(&path).unwrap();
        let cases = cases(&dir, name);
        assert_eq!(cases.len(), count, "{name}");
        for (text, ids) in cases {
            assert_eq!(files.tokenizer.encode(&text, false).unwrap(), ids, "{name}: {text:?}");
            assert_eq!(files.tokenizer.decode(&ids, false).unwrap(), text, "{name}");
        }
    }
}
