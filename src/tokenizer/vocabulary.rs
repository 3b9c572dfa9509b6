//! A byte-pair tokenizer by its parts, for files that store them.

use serde_json::Value;

use super::flat::{self, BytePairs};
use super::{Inner, PieceKind, Tokenizer};

/// The parts of a byte-pair tokenizer.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// Tokens and merges.
    pub model: BytePairs,
    /// What each id is for; longer than the model's tokens where tokens were added after the last.
    pub kinds: Vec<PieceKind>,
    /// The texts of all ids, those of added tokens included.
    pub tokens: Vec<Option<String>>,
    /// The `normalizer` of a tokenizer.json.
    pub normalizer: Value,
    /// The `pre_tokenizer` of a tokenizer.json.
    pub pre_tokenizer: Value,
}

impl Vocabulary {
    /// Whether tokens are spelled in GPT-2's alphabet for bytes.
    pub fn is_byte_level(&self) -> bool {
        fn found(step: &Value) -> bool {
            step["type"] == "ByteLevel"
                || step["pretokenizers"].as_array().is_some_and(|all| all.iter().any(found))
        }
        found(&self.pre_tokenizer)
    }
}

impl Tokenizer {
    /// Its parts; `None` if it is not of byte pairs, or of a kind of them that has no tables.
    pub fn vocabulary(&self) -> Option<Vocabulary> {
        let (model, rest) = match &self.inner {
            Inner::Whole(whole) => flat::parts_of_whole(whole)?,
            Inner::Flat(flat) => flat::parts_of_flat(flat)?,
        };
        let last = self.max_id().map_or(0, |id| id as usize + 1);
        let mut tokens = model.tokens.clone();
        tokens.resize(last.max(tokens.len()), None);
        let mut kinds = vec![PieceKind::Normal; tokens.len()];
        for (id, token) in self.inner.added().get_added_tokens_decoder() {
            let id = *id as usize;
            tokens[id] = Some(token.content.clone());
            kinds[id] = if token.special { PieceKind::Control } else { PieceKind::UserDefined };
        }
        for (token, kind) in tokens.iter().zip(&mut kinds) {
            match token {
                None => *kind = PieceKind::Unused,
                Some(token) if model.byte_fallback && is_byte(token) => *kind = PieceKind::Byte,
                Some(_) => {}
            }
        }
        if let Some(kind) = model.unknown.and_then(|id| kinds.get_mut(id as usize)) {
            *kind = PieceKind::Unknown;
        }
        let part = |name: &str| rest.get(name).cloned().unwrap_or(Value::Null);
        let (normalizer, pre_tokenizer) = (part("normalizer"), part("pre_tokenizer"));
        Some(Vocabulary { model, kinds, tokens, normalizer, pre_tokenizer })
    }
}

/// `<0x0A>`.
fn is_byte(token: &str) -> bool {
    let digits = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}
