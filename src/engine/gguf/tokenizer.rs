//! The tokenizer: a GGUF file's tokens, merges and scores, in the form that is looked up in place.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::pre_tokenizer::Rule;
use super::special::SpecialIds;
use super::token_type;
use crate::engine::special_tokens::ends_a_text;
use crate::format::gguf::{Array, Metadata, Value};
use crate::format::{FormatError, shown};
use crate::tokenizer::{BytePairs, FlatForm, Piece, PieceKind, SentencePiece, added_token, surround};

/// Names in `tokenizer.ggml.pre` of vocabularies in SentencePiece's spelling that come with merges.
const SPELLED_OUT: [&str; 3] = ["gemma4", "granite-embed-multi-311m", "sarvam-moe"];

/// A file's vocabulary.
pub(super) struct Vocabulary<'a> {
    metadata: &'a Metadata,
    tokens: Vec<&'a str>,
    /// As many as tokens.
    types: Vec<PieceKind>,
    /// As the file gives them.
    given: Vec<PieceKind>,
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
        let types: Vec<PieceKind> = match metadata.list("tokenizer.ggml.token_type")? {
            Some(types) => types.iter().map(token_type::of).collect(),
            None => vec![PieceKind::Normal; tokens.len()],
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
            if ends_a_text(token, sentence_piece || *kind != PieceKind::Normal, has) {
                *kind = PieceKind::Control;
            }
        }
        Ok(())
    }

    /// The text of a token, whose id is one of the file's.
    fn token(&self, id: Option<u64>) -> Option<&'a str> {
        id.and_then(|id| self.tokens.get(usize::try_from(id).ok()?).copied())
    }

    /// Whether a text begins with the token for that.
    fn adds_bos(&self) -> Result<bool, FormatError> {
        let metadata = self.metadata;
        let given = metadata.boolean("tokenizer.ggml.add_bos_token")?;
        Ok(match Kind::of(metadata)? {
            // Whatever the file says: the first ones said otherwise, and were wrong (as llama.cpp).
            Kind::SentencePiece { name: "gemma4", .. } => true,
            Kind::SentencePiece { merges, .. } => given.unwrap_or(!merges),
            Kind::ByteLevel(rule) => given.unwrap_or(rule.adds_bos),
        })
    }

    /// Whether white space after a token that a text is cut at belongs to it. Files do not say so; Phi-3 is known for it (as
    /// llama.cpp).
    fn takes_spaces_after(&self, token: &str) -> bool {
        let name = self.metadata.text("general.name").ok().flatten().unwrap_or_default().to_lowercase();
        (name.contains("phi-3") || name.contains("phi3"))
            && !["<unk>", "<s>", "<|endoftext|>"].contains(&token)
    }

    /// `added_tokens`: those that a text is cut at before anything else.
    fn added(&self) -> Vec<Json> {
        let all = self.tokens.iter().zip(&self.types).enumerate().filter(|(_, (_, kind))| kind.is_added());
        all.map(|(id, (token, kind))| added_token(id, token, *kind, self.takes_spaces_after(token))).collect()
    }

    /// Puts the token before a text's first in front, if the file or the kind of its vocabulary says so, and the one that
    /// ends a text at its end, if the file does.
    fn post_processor(&self) -> Result<Json, FormatError> {
        let named = |id: Option<u64>| id.zip(self.token(id));
        let bos = named(self.special.bos).filter(|_| self.adds_bos().unwrap_or(false));
        let adds_eos = self.metadata.boolean("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
        Ok(surround(bos, named(self.special.eos).filter(|_| adds_eos)))
    }

    /// All tokens, with their scores if they count.
    fn pieces(&self, scored: bool) -> Result<Vec<Piece<'a>>, FormatError> {
        let metadata = self.metadata;
        let key = "tokenizer.ggml.scores";
        let mut scores = vec![0.0; self.tokens.len()];
        if scored {
            let list = metadata.required(key, metadata.list(key)?)?;
            if list.len() != scores.len() {
                return Err(metadata.fault(format!(
                    "has {} tokens, but {} values in '{key}'",
                    scores.len(),
                    list.len()
                )));
            }
            for (score, value) in scores.iter_mut().zip(list.iter()) {
                let Value::Float(value) = value else {
                    return Err(metadata.fault(format!("has something else than numbers in '{key}'")));
                };
                *score = value as f32;
            }
        }
        let all = self.tokens.iter().zip(&self.types).zip(scores);
        let piece = |((text, kind), score): ((&&'a str, &PieceKind), f32)| Piece {
            text,
            score,
            kind: *kind,
            rstrip: kind.is_added() && self.takes_spaces_after(text),
        };
        Ok(all.map(piece).collect())
    }

    /// The merges, by ids.
    fn merges(&self) -> Result<Vec<[u32; 3]>, FormatError> {
        let metadata = self.metadata;
        let key = "tokenizer.ggml.merges";
        let merges = metadata.required(key, metadata.list(key)?)?;
        let ids: HashMap<&str, u32> =
            self.tokens.iter().zip(0u32..).map(|(token, id)| (*token, id)).collect();
        let mut whole = String::new();
        let mut found = Vec::with_capacity(merges.len());
        for merge in texts(metadata, key, merges)? {
            let space = merge.char_indices().skip(1).find(|(_, c)| *c == ' ');
            let pair = space.map(|(at, _)| (&merge[..at], &merge[at + 1..]));
            let known = pair.and_then(|(left, right)| {
                whole.clear();
                whole.extend([left, right]);
                Some([*ids.get(left)?, *ids.get(right)?, *ids.get(whole.as_str())?])
            });
            found.push(known.ok_or_else(|| {
                metadata.fault(format!(
                    "merges '{}', which are not two of its tokens that make a third",
                    shown(merge)
                ))
            })?);
        }
        Ok(found)
    }
}

/// The kinds of vocabularies that are read.
enum Kind<'a> {
    /// Bytes in GPT-2's alphabet, words by a rule.
    ByteLevel(&'static Rule),
    /// Characters with bytes for those that are no tokens: with scores, or with merges under this name.
    SentencePiece { name: &'a str, merges: bool },
}

impl<'a> Kind<'a> {
    /// That of a file.
    ///
    /// # Errors
    /// One that is not read, or a rule that is not known.
    fn of(metadata: &'a Metadata) -> Result<Self, FormatError> {
        let model = metadata.required("tokenizer.ggml.model", metadata.text("tokenizer.ggml.model")?)?;
        // A file without a rule is from before there was a choice.
        let name = metadata.text("tokenizer.ggml.pre")?.unwrap_or("default");
        match model {
            "llama" => Ok(Kind::SentencePiece { name: "", merges: false }),
            "gemma4" => Ok(Kind::SentencePiece { name: "gemma4", merges: true }),
            "gpt2" if SPELLED_OUT.contains(&name) => Ok(Kind::SentencePiece { name, merges: true }),
            "gpt2" => Rule::of(name).map(Kind::ByteLevel).ok_or_else(|| {
                metadata.fault(format!(
                    "has a tokenizer that splits words by the rule '{}' ('tokenizer.ggml.pre'), which is not supported: \
                     use the safetensors checkpoint; known rules are {}",
                    shown(name),
                    Rule::names().chain(SPELLED_OUT).collect::<Vec<_>>().join(", ")
                ))
            }),
            other => Err(metadata.fault(format!(
                "has a tokenizer of the kind '{}'{}, which is not supported; known are gpt2, llama and gemma4",
                shown(other),
                match other {
                    "bert" => " (WordPiece)",
                    "t5" => " (SentencePiece's unigrams)",
                    "rwkv" => " (greedy longest match)",
                    _ => "",
                }
            ))),
        }
    }
}

/// The elements of a list that has to be one of texts.
fn texts<'a>(metadata: &Metadata, key: &str, list: Array<'a>) -> Result<Vec<&'a str>, FormatError> {
    let texts = list.iter().map(|value| if let Value::Text(text) = value { Some(text) } else { None });
    let texts: Option<Vec<_>> = texts.collect();
    texts.ok_or_else(|| metadata.fault(format!("has something else than texts in '{key}'")))
}

/// The tokenizer of a file.
///
/// # Errors
/// A kind or a rule that is not known, or parts that do not fit each other.
pub(super) fn tokenizer(vocabulary: &Vocabulary<'_>) -> Result<FlatForm, FormatError> {
    let form = match Kind::of(vocabulary.metadata)? {
        Kind::ByteLevel(rule) => byte_level(vocabulary, rule)?,
        Kind::SentencePiece { merges, .. } => sentence_piece(vocabulary, merges)?,
    };
    form.ok_or_else(|| vocabulary.metadata.fault("has too many tokens or merges".to_owned()))
}

/// Byte-level BPE: Llama 3, Qwen and many others.
fn byte_level(vocabulary: &Vocabulary<'_>, rule: &Rule) -> Result<Option<FlatForm>, FormatError> {
    // Control tokens are among them: an added token keeps the id that it has there, and gets one after the last otherwise.
    let given = vocabulary.tokens.iter().zip(&vocabulary.given);
    let model = BytePairs {
        tokens: given.map(|(token, kind)| Some(*token).filter(|_| *kind != PieceKind::Unused)).collect(),
        merges: vocabulary.merges()?,
        whole_words: rule.whole_words,
        ..BytePairs::default()
    };
    let rest = json!({
        "added_tokens": vocabulary.added(),
        "normalizer": rule.normalizer(),
        "pre_tokenizer": rule.pre_tokenizer(),
        "post_processor": vocabulary.post_processor()?,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    });
    Ok(FlatForm::new(&rest, &model))
}

/// SentencePiece's BPE with bytes for unknown characters: Llama 2, Gemma and others; with `merges` of its own, or scores.
fn sentence_piece(vocabulary: &Vocabulary<'_>, merges: bool) -> Result<Option<FlatForm>, FormatError> {
    let metadata = vocabulary.metadata;
    let typed = vocabulary.types.iter().position(|&kind| kind == PieceKind::Unknown);
    let unknown = match (metadata.get("tokenizer.ggml.unknown_token_id"), typed) {
        (None, Some(id)) => Some(id as u64),
        _ => vocabulary.special.unknown,
    };
    let model = SentencePiece {
        pieces: vocabulary.pieces(!merges)?,
        unknown: unknown.and_then(|id| u32::try_from(id).ok()),
        byte_fallback: true,
        add_prefix: metadata.boolean("tokenizer.ggml.add_space_prefix")?.unwrap_or(!merges),
        remove_extra_spaces: false,
        replacements: &[],
        post_processor: vocabulary.post_processor()?,
    };
    Ok(if merges { model.with_merges(vocabulary.merges()?) } else { model.byte_pairs() })
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
