//! The tokenizer: a GGUF file's tokens, merges and scores as a tokenizer.json.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use super::special::SpecialIds;
use super::token_type::{self, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED};
use crate::engine::special_tokens::ends_a_text;
use crate::format::gguf::{Array, Metadata, Value};
use crate::format::{FormatError, shown};

/// How Llama 3 splits a text into words, from its tokenizer.json.
const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What stands for a space in SentencePiece's vocabularies.
const SPACE: &str = "\u{2581}";

/// A file's vocabulary.
pub(super) struct Vocabulary<'a> {
    metadata: &'a Metadata,
    tokens: Vec<&'a str>,
    /// As many as tokens.
    types: Vec<u64>,
    /// As the file gives them.
    given: Vec<u64>,
    special: SpecialIds,
}

impl<'a> Vocabulary<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// No tokens, something else than texts, or another number of types.
    pub fn of(metadata: &'a Metadata) -> Result<Self, FormatError> {
        let tokens = metadata.required("tokenizer.ggml.tokens", metadata.list("tokenizer.ggml.tokens")?)?;
        let tokens = texts(metadata, "tokenizer.ggml.tokens", tokens)?;
        let types: Vec<u64> = match metadata.list("tokenizer.ggml.token_type")? {
            Some(types) => types.iter().map(token_type::of).collect(),
            None => vec![1; tokens.len()],
        };
        if types.len() != tokens.len() {
            return Err(metadata.fault(format!(
                "has {} tokens, but {} values in 'tokenizer.ggml.token_type'",
                tokens.len(),
                types.len()
            )));
        }
        let mut this =
            Self { metadata, tokens, given: types.clone(), types, special: SpecialIds::of(metadata)? };
        this.correct_types()?;
        Ok(this)
    }

    /// Tokens that end a text are for control, whatever type the file gives them.
    fn correct_types(&mut self) -> Result<(), FormatError> {
        let sentence_piece = self.metadata.text("tokenizer.ggml.model")? == Some("llama");
        let has = |other: &str| self.tokens.contains(&other);
        for (token, kind) in self.tokens.iter().zip(&mut self.types) {
            // SentencePiece makes no piece of such a text.
            if ends_a_text(token, sentence_piece || *kind != NORMAL, has) {
                *kind = CONTROL;
            }
        }
        Ok(())
    }

    /// The text of a token, whose id is one of the file's.
    fn token(&self, id: Option<u64>) -> Option<&'a str> {
        id.and_then(|id| self.tokens.get(usize::try_from(id).ok()?).copied())
    }

    /// Whether a text begins with the token for that; `default`: where the file does not say.
    fn adds_bos(&self) -> Result<bool, FormatError> {
        let metadata = self.metadata;
        let default = match metadata.text("tokenizer.ggml.model")? {
            Some("llama") => true,
            _ => is_llama3(metadata)?,
        };
        Ok(metadata.boolean("tokenizer.ggml.add_bos_token")?.unwrap_or(default))
    }

    /// Tokens for `vocab` of a model, with their ids. Control tokens are among them: an added token keeps the id that it
    /// has there, and gets one after the last otherwise, whatever `added_tokens` says.
    fn ids(&self, kept: impl Fn(u64) -> bool) -> Map<String, Json> {
        let all = self.tokens.iter().zip(&self.given).enumerate();
        all.filter(|(_, (_, kind))| kept(**kind))
            .map(|(id, (token, _))| ((*token).to_owned(), id.into()))
            .collect()
    }

    /// `added_tokens`: those that a text is cut at before anything else.
    fn added(&self) -> Vec<Json> {
        let all = self.tokens.iter().zip(&self.types).enumerate();
        all.filter(|(_, (_, kind))| [CONTROL, UNKNOWN, USER_DEFINED].contains(kind))
            .map(|(id, (token, kind))| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": *kind != USER_DEFINED,
                })
            })
            .collect()
    }

    /// Puts the token before a text's first in front, if the file or the kind of its vocabulary says so.
    fn post_processor(&self) -> Result<Json, FormatError> {
        let Some(bos) = self.token(self.special.bos).filter(|_| self.adds_bos().unwrap_or(false)) else {
            return Ok(Json::Null);
        };
        let id = self.special.bos;
        let (special, text) = (
            json!({"SpecialToken": {"id": bos, "type_id": 0}}),
            |name: &str, kind: u32| json!({"Sequence": {"id": name, "type_id": kind}}),
        );
        Ok(json!({
            "type": "TemplateProcessing",
            "single": [special, text("A", 0)],
            "pair": [special, text("A", 0), text("B", 1)],
            "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
        }))
    }
}

/// The elements of a list that has to be one of texts.
fn texts<'a>(metadata: &Metadata, key: &str, list: Array<'a>) -> Result<Vec<&'a str>, FormatError> {
    let texts = list.iter().map(|value| if let Value::Text(text) = value { Some(text) } else { None });
    let texts: Option<Vec<_>> = texts.collect();
    texts.ok_or_else(|| metadata.fault(format!("has something else than texts in '{key}'")))
}

/// tokenizer.json for a file.
pub(super) fn tokenizer(vocabulary: &Vocabulary<'_>) -> Result<Json, FormatError> {
    let metadata = vocabulary.metadata;
    let model = metadata.required("tokenizer.ggml.model", metadata.text("tokenizer.ggml.model")?)?;
    match model {
        "gpt2" => byte_level(vocabulary),
        "llama" => sentence_piece(vocabulary),
        other => Err(metadata.fault(format!(
            "has a tokenizer of the kind '{}', which is not supported; known are gpt2 and llama",
            shown(other)
        ))),
    }
}

/// Whether words are split as Llama 3 splits them.
fn is_llama3(metadata: &Metadata) -> Result<bool, FormatError> {
    Ok(metadata.text("tokenizer.ggml.pre")?.is_some_and(|pre| pre.starts_with("llama")))
}

/// Byte-level BPE: Llama 3.
fn byte_level(vocabulary: &Vocabulary<'_>) -> Result<Json, FormatError> {
    let metadata = vocabulary.metadata;
    let split = match metadata.text("tokenizer.ggml.pre")? {
        Some("llama-bpe" | "llama3" | "llama-v3") => json!([
            {"type": "Split", "pattern": {"Regex": LLAMA3_WORDS}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]),
        Some("smollm") => json!([
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]),
        Some("gpt-2") => json!([
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]),
        other => {
            return Err(metadata.fault(format!(
                "has a tokenizer that splits words by the rule '{}' ('tokenizer.ggml.pre'), which is not supported; \
                 known are llama-bpe, smollm and gpt-2: use the safetensors checkpoint",
                shown(other.unwrap_or("default"))
            )));
        }
    };
    let llama3 = is_llama3(metadata)?;
    let merges = metadata.required("tokenizer.ggml.merges", metadata.list("tokenizer.ggml.merges")?)?;
    Ok(json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": split},
        "post_processor": vocabulary.post_processor()?,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE",
            "ignore_merges": llama3,
            "vocab": vocabulary.ids(|kind| kind != UNUSED),
            "merges": texts(metadata, "tokenizer.ggml.merges", merges)?,
        },
    }))
}

/// SentencePiece's BPE with bytes for unknown characters: Llama 2 and the models of its time.
fn sentence_piece(vocabulary: &Vocabulary<'_>) -> Result<Json, FormatError> {
    let metadata = vocabulary.metadata;
    let typed = vocabulary.types.iter().position(|&kind| kind == UNKNOWN);
    let unknown = match (metadata.get("tokenizer.ggml.unknown_token_id"), typed) {
        (None, Some(id)) => vocabulary.tokens.get(id).copied(),
        _ => vocabulary.token(vocabulary.special.unknown),
    };
    let prefix = metadata.boolean("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let normalizers =
        if prefix { json!([{"type": "Prepend", "prepend": SPACE}, spaces]) } else { json!([spaces]) };
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": vocabulary.post_processor()?,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "unk_token": unknown,
            "fuse_unk": true,
            "byte_fallback": true,
            "ignore_merges": false,
            "vocab": vocabulary.ids(|_| true),
            "merges": merges(vocabulary)?,
        },
    }))
}

/// SentencePiece has no merges: of all neighbours it joins those that give the token with the highest score. The same
/// as merges, best token first (as transformers converts such vocabularies).
fn merges<'a>(vocabulary: &Vocabulary<'a>) -> Result<Vec<[&'a str; 2]>, FormatError> {
    let metadata = vocabulary.metadata;
    let scores = metadata.required("tokenizer.ggml.scores", metadata.list("tokenizer.ggml.scores")?)?;
    let ids: HashMap<&str, usize> = vocabulary.tokens.iter().enumerate().map(|(id, t)| (*t, id)).collect();
    let mut found = Vec::new();
    for (id, (token, score)) in vocabulary.tokens.iter().zip(scores.iter()).enumerate() {
        let Value::Float(score) = score else { continue };
        if vocabulary.types[id] == CONTROL || vocabulary.types[id] == UNKNOWN {
            continue;
        }
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&l), Some(&r)) = (ids.get(left), ids.get(right)) {
                found.push((score, l, r, [left, right]));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    Ok(found.into_iter().map(|(_, _, _, pair)| pair).collect())
}

/// tokenizer_config.json for a file.
pub(super) fn tokenizer_config(vocabulary: &Vocabulary<'_>) -> Result<Json, FormatError> {
    let metadata = vocabulary.metadata;
    Ok(json!({
        "bos_token": vocabulary.token(vocabulary.special.bos),
        "eos_token": vocabulary.token(vocabulary.special.eos),
        "chat_template": chat_templates(metadata)?,
        "add_bos_token": vocabulary.adds_bos()?,
    }))
}

/// The chat templates of a file: the default, and those that `tokenizer.chat_templates` names.
fn chat_templates(metadata: &Metadata) -> Result<Json, FormatError> {
    let mut templates = serde_json::Map::new();
    let default =
        metadata.text("tokenizer.chat_template")?.map(|source| ("default".to_owned(), source.into()));
    templates.extend(default);
    if let Some(names) = metadata.list("tokenizer.chat_templates")? {
        for name in names.iter() {
            let Value::Text(name) = name else { continue };
            if let Some(source) = metadata.text(&format!("tokenizer.chat_template.{name}"))? {
                templates.insert(name.to_owned(), source.into());
            }
        }
    }
    Ok(if templates.is_empty() { Json::Null } else { templates.into() })
}
