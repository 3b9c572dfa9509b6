//! A tokenizer as a GGUF file's keys.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::pre_tokenizer::Rule;
use crate::engine::small_files::Described;
use crate::engine::special_tokens::ends_a_text;
use crate::format::gguf::{NewMetadata, NewValue};
use crate::tokenizer::{PieceKind, Vocabulary};

/// The number of a kind in `tokenizer.ggml.token_type`.
fn number(kind: PieceKind) -> i32 {
    match kind {
        PieceKind::Normal => 1,
        PieceKind::Unknown => 2,
        PieceKind::Control => 3,
        PieceKind::UserDefined => 4,
        PieceKind::Unused => 5,
        PieceKind::Byte => 6,
    }
}

/// Sets the keys of the tokenizer in `parts`, for a model with `rows` embeddings; `files` are config.json and
/// tokenizer_config.json. Gives what a user should know.
///
/// # Errors
/// A tokenizer of a kind that GGUF files do not have: a part of a sentence that begins with the model's directory.
pub(super) fn keys(
    keys: &mut NewMetadata,
    parts: &Described,
    (config, tokenizer_config): (&Map<String, Value>, &Map<String, Value>),
    rows: usize,
) -> Result<Vec<String>, String> {
    let kinds = "byte pairs with GPT-2's alphabet, or SentencePiece's byte pairs";
    let vocabulary = parts
        .tokenizer
        .vocabulary()
        .ok_or_else(|| format!("has a tokenizer that GGUF files have no form for: {kinds} are needed"))?;
    let mut notes = Vec::new();
    let mut set = |key: &str, value: NewValue| keys.set(&format!("tokenizer.ggml.{key}"), &value);
    let byte_level = vocabulary.is_byte_level();
    if !byte_level && !vocabulary.model.byte_fallback {
        return Err(format!("has a tokenizer that GGUF files have no form for: {kinds} are needed"));
    }
    let Vocabulary { mut tokens, kinds: mut types, .. } = vocabulary.clone();
    if tokens.len() > rows {
        notes.push(format!(
            "note: the last {} tokens have no embedding and are left out, such as '{}'",
            tokens.len() - rows,
            tokens[rows].as_deref().unwrap_or_default()
        ));
    }
    tokens.resize(rows, None);
    types.resize(rows, PieceKind::Unused);
    let texts =
        tokens.iter().enumerate().map(|(id, token)| token.clone().unwrap_or_else(|| format!("[PAD{id}]")));
    let texts: Vec<String> = texts.collect();
    if byte_level {
        let rule =
            Rule::like(&vocabulary.pre_tokenizer, &vocabulary.normalizer, vocabulary.model.whole_words);
        let name = rule.ok_or(
            "has a tokenizer that splits words by a rule that no name in GGUF files stands for ('tokenizer.ggml.pre')",
        )?;
        set("model", NewValue::Text("gpt2".into()));
        set("pre", NewValue::Text(name.into()));
        let text =
            |id: u32| vocabulary.model.tokens.get(id as usize).and_then(Option::as_deref).unwrap_or_default();
        let merges = vocabulary.model.merges.iter().map(|&[a, b, _]| format!("{} {}", text(a), text(b)));
        set("merges", NewValue::Texts(merges.collect()));
    } else {
        set("model", NewValue::Text("llama".into()));
        set("pre", NewValue::Text("default".into()));
        set("scores", NewValue::F32s(scores(&vocabulary, &types)));
        let first = parts.tokenizer.encode("x", false).map_err(|e| e.to_string())?.first().copied();
        let prefixed =
            first.and_then(|id| parts.tokenizer.id_to_token(id)).is_some_and(|t| t.starts_with('\u{2581}'));
        set("add_space_prefix", NewValue::Bool(prefixed));
    }
    set("token_type", NewValue::I32s(types.iter().map(|&kind| number(kind)).collect()));
    let unknown = vocabulary.model.unknown;
    let ids = Ids { parts, tokens: &texts, unknown, config, tokenizer_config };
    for (key, id) in ids.all() {
        set(key, NewValue::U32(id));
    }
    let text = parts.tokenizer.encode_prompt("x", parts.special.bos, &parts.tokenizer_config);
    let text = text.map_err(|e| e.to_string())?;
    set(
        "add_bos_token",
        NewValue::Bool(parts.special.bos.is_some() && text.first() == parts.special.bos.as_ref()),
    );
    let ends = config.get("eos_token_id").and_then(Value::as_u64);
    set(
        "add_eos_token",
        NewValue::Bool(text.len() > 1 && ends.is_some() && ends == text.last().map(|&id| id.into())),
    );
    set("tokens", NewValue::Texts(texts));
    templates(keys, parts);
    Ok(notes)
}

/// A score for each token: those that are merged first have the higher one, as SentencePiece has it.
fn scores(vocabulary: &Vocabulary, types: &[PieceKind]) -> Vec<f32> {
    let mut first: HashMap<u32, usize> = HashMap::new();
    for (rank, &[_, _, merged]) in vocabulary.model.merges.iter().enumerate() {
        first.entry(merged).or_insert(rank);
    }
    let last = vocabulary.model.merges.len();
    let score = |(id, kind): (usize, &PieceKind)| match kind {
        PieceKind::Normal | PieceKind::UserDefined => {
            -(first.get(&(id as u32)).copied().unwrap_or(last) as f32)
        }
        _ => 0.0,
    };
    types.iter().enumerate().map(score).collect()
}

/// What the special tokens are found by.
struct Ids<'a> {
    parts: &'a Described,
    tokens: &'a [String],
    /// The model's own token for what has none.
    unknown: Option<u32>,
    config: &'a Map<String, Value>,
    tokenizer_config: &'a Map<String, Value>,
}

impl Ids<'_> {
    fn all(&self) -> Vec<(&'static str, u32)> {
        let special = &self.parts.special;
        let mut found = Vec::new();
        found.extend(special.bos.map(|id| ("bos_token_id", id)));
        let named = self.parts.tokenizer_config.eos_token.as_deref().and_then(|text| self.id(text));
        let eos = named.filter(|id| special.eos.contains(id)).or(special.eos.first().copied());
        found.extend(eos.map(|id| ("eos_token_id", id)));
        // Those that end a text although their own text does not say so.
        let has = |other: &str| self.tokens.iter().any(|token| token == other);
        let known = |id: u32| self.tokens.get(id as usize).is_some_and(|text| ends_a_text(text, true, has));
        let others = special.eos.iter().copied().filter(|&id| Some(id) != eos && !known(id));
        found.extend(["eot_token_id", "eom_token_id"].into_iter().zip(others));
        found.extend(self.unknown.or_else(|| self.named("unk_token")).map(|id| ("unknown_token_id", id)));
        let padding =
            self.config.get("pad_token_id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        let padding = padding.filter(|&id| (id as usize) < self.tokens.len());
        found.extend(self.named("pad_token").or(padding).map(|id| ("padding_token_id", id)));
        found
    }

    /// A token of tokenizer_config.json, which has its text or an object with it.
    fn named(&self, key: &str) -> Option<u32> {
        let value = self.tokenizer_config.get(key)?;
        self.id(value.as_str().or_else(|| value.get("content")?.as_str())?)
    }

    fn id(&self, text: &str) -> Option<u32> {
        self.parts.tokenizer.token_to_id(text).filter(|&id| (id as usize) < self.tokens.len())
    }
}

fn templates(keys: &mut NewMetadata, parts: &Described) {
    let templates = &parts.tokenizer_config.chat_templates;
    if let Some(source) = templates.default() {
        keys.set("tokenizer.chat_template", &NewValue::Text(source.into()));
    }
    let names = templates.names();
    let others = names.iter().map(String::as_str).filter(|name| templates.get(name) != templates.default());
    let others: Vec<&str> = others.collect();
    if others.is_empty() {
        return;
    }
    for &name in &others {
        let source = templates.get(name).unwrap_or_default();
        keys.set(&format!("tokenizer.chat_template.{name}"), &NewValue::Text(source.into()));
    }
    let names = others.into_iter().map(str::to_owned).collect();
    keys.set("tokenizer.chat_templates", &NewValue::Texts(names));
}
