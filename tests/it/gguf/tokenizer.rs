//! Tokenizers out of GGUF files against those of tokenizer.json.

use std::fs;

use llm_rs2::core::DType;
use llm_rs2::engine::ModelFiles;
use llm_rs2::tokenizer::Tokenizer;
use serde_json::Value;

use super::writer::{Gguf, Key, add_tokenizer, converted};
use super::{repository, shared, written};

/// A model of two values a token with room for `vocab` tokens.
pub fn smallest(vocab: u64) -> Gguf {
    let mut file = Gguf::default();
    file.set("general.architecture", Key::Text("llama".into()));
    for (key, value) in [
        ("block_count", 1),
        ("context_length", 128),
        ("embedding_length", 2),
        ("feed_forward_length", 2),
        ("attention.head_count", 1),
    ] {
        file.set(&format!("llama.{key}"), Key::U32(value));
    }
    file.set("llama.attention.layer_norm_rms_epsilon", Key::F32(1e-5));
    let matrix = |name: &str, rows: u64| (name.to_owned(), vec![rows, 2], 1, vec![0; 4 * rows as usize]);
    file.tensors.push(matrix("token_embd.weight", vocab));
    file
}

#[test]
fn llama_3_gives_the_published_ids() {
    let test = "llama_3_gives_the_published_ids";
    let Some(dir) = shared(test, "tokenizers/llama3") else { return };
    let mut file = smallest(128_256);
    add_tokenizer(&mut file, &dir);
    file.set("tokenizer.ggml.bos_token_id", Key::U32(128_000));
    file.set("tokenizer.ggml.eos_token_id", Key::U32(128_009));
    file.set("tokenizer.chat_template", Key::Text("{{ bos_token }}hi".into()));
    file.set("tokenizer.chat_templates", Key::Texts(vec!["default".into(), "rag".into(), "gone".into()]));
    file.set("tokenizer.chat_template.rag", Key::Text("{{ documents }}".into()));
    let (_kept, path) = written(&file);
    let files = ModelFiles::open(&path).unwrap();
    let inputs = fs::read_to_string(dir.join("cases.inp")).unwrap();
    let outputs = fs::read_to_string(dir.join("cases.out")).unwrap();
    let texts = inputs.split("__ggml_vocab_test__\n").map(|t| t.strip_suffix('\n').unwrap_or(t));
    let mut cases = 0;
    for (text, ids) in texts.zip(outputs.split('\n')) {
        let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(files.tokenizer.encode(text, false).unwrap(), ids, "{text:?}");
        assert_eq!(files.tokenizer.decode(&ids, false).unwrap(), text);
        cases += 1;
    }
    assert_eq!(cases, 47);
    assert_eq!(files.encode_text("Hello").unwrap(), [128_000, 9906]);
    // The one that the file names, and what else ends a text or a turn.
    assert_eq!(files.eos, [128_001, 128_008, 128_009]);
    assert_eq!(files.bos, Some(128_000));
    assert_eq!(files.tokenizer_config.bos_token.as_deref(), Some("<|begin_of_text|>"));
    let templates = &files.tokenizer_config.chat_templates;
    assert_eq!(templates.default(), Some("{{ bos_token }}hi"));
    assert_eq!((templates.get("rag"), templates.names().len()), (Some("{{ documents }}"), 2));
}

/// A vocabulary of SentencePiece's, with the scores that its merges stand for.
fn sentence_piece(file: &mut Gguf, json: &Value) {
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let merges = json["model"]["merges"].as_array().unwrap();
    let mut tokens = vec![String::new(); vocab.len()];
    let (mut types, mut scores) = (vec![1; vocab.len()], vec![-1e9; vocab.len()]);
    for (token, id) in vocab {
        let id = id.as_u64().unwrap() as usize;
        tokens[id] = token.clone();
        types[id] = match token.as_str() {
            "<unk>" => 2,
            "<s>" | "</s>" => 3,
            byte if byte.starts_with("<0x") => 6,
            _ => 1,
        };
    }
    for (rank, merge) in merges.iter().enumerate() {
        let whole = format!("{}{}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
        let id = vocab[&whole].as_u64().unwrap() as usize;
        scores[id] = f32::max(scores[id], -(rank as f32));
    }
    file.set("tokenizer.ggml.model", Key::Text("llama".into()));
    file.set("tokenizer.ggml.tokens", Key::Texts(tokens));
    file.set("tokenizer.ggml.token_type", Key::I32s(types));
    file.set("tokenizer.ggml.scores", Key::F32s(scores));
    file.set("tokenizer.ggml.bos_token_id", Key::U32(1));
    file.set("tokenizer.ggml.eos_token_id", Key::U32(2));
}

#[test]
fn sentence_piece_gives_the_ids_of_its_merges() {
    let test = "sentence_piece_gives_the_ids_of_its_merges";
    let Some(dir) = shared(test, "models/stories260k") else { return };
    let json = fs::read(dir.join("tokenizer.json")).unwrap();
    let expected = Tokenizer::from_bytes(&json, "tokenizer.json").unwrap();
    let mut file = converted(&dir, DType::F32);
    sentence_piece(&mut file, &serde_json::from_slice(&json).unwrap());
    let (_kept, path) = written(&file);
    let files = ModelFiles::open(&path).unwrap();
    let story = fs::read_to_string(repository("README.md")).unwrap();
    for text in story.lines().chain([
        "",
        " two  spaces ",
        "日本 🦙!\n\n",
        "Once upon a time, there was a little girl",
    ]) {
        let ids = expected.encode(text, true).unwrap();
        assert_eq!(files.encode_text(text).unwrap(), ids, "{text:?}");
        assert_eq!(files.tokenizer.decode(&ids, true).unwrap(), expected.decode(&ids, true).unwrap());
    }
    assert_eq!((files.bos, files.eos.as_slice()), (Some(1), &[2][..]));
}

/// SmolLM2 has its control tokens first, Llama 3 last, others among the rest.
#[test]
fn control_tokens_keep_their_ids_wherever_they_are() {
    let tokens = ["<|first|>", "h", "<|middle|>", "i", "hi", "<|last|>"].map(str::to_owned).to_vec();
    let types = vec![3, 1, 3, 1, 1, 4];
    let mut file = smallest(types.len() as u64);
    file.set("tokenizer.ggml.model", Key::Text("gpt2".into()));
    file.set("tokenizer.ggml.pre", Key::Text("gpt-2".into()));
    file.set("tokenizer.ggml.tokens", Key::Texts(tokens));
    file.set("tokenizer.ggml.token_type", Key::I32s(types));
    file.set("tokenizer.ggml.merges", Key::Texts(vec!["h i".into()]));
    let (_kept, path) = written(&file);
    let files = ModelFiles::open(&path).unwrap();
    assert_eq!(files.encode_text("<|last|>hi<|first|>i<|middle|>").unwrap(), [5, 4, 0, 3, 2]);
    assert_eq!(files.tokenizer.decode(&[0, 4, 2, 5], false).unwrap(), "<|first|>hi<|middle|><|last|>");
}
