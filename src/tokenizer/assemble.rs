//! Parts of a `tokenizer.json` for files that hold a vocabulary and none of these.

use serde_json::{Value, json};

/// What a piece of a vocabulary is for: `SentencePiece.Type`, which llama.cpp's `enum llama_token_type` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Part of text.
    Normal,
    /// Stands for what has no token.
    Unknown,
    /// Not for text: begins or ends one, or a turn.
    Control,
    /// Part of text, and taken out of it before anything else.
    UserDefined,
    /// In no text.
    Unused,
    /// One byte of a character that has no token.
    Byte,
}

impl PieceKind {
    /// The kind of a number; [`Self::Normal`] for what is none.
    pub fn of(number: u64) -> Self {
        match number {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }

    /// Whether a text is cut at such pieces before anything else.
    pub fn is_added(self) -> bool {
        matches!(self, Self::Unknown | Self::Control | Self::UserDefined)
    }
}

/// An entry of `added_tokens`; with `rstrip`, white space after the token belongs to it.
pub fn added_token(id: usize, content: &str, kind: PieceKind, rstrip: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": rstrip,
        "normalized": false, "special": kind != PieceKind::UserDefined,
    })
}

/// The `post_processor` that puts a token in front of a text.
pub fn begin_with(id: u64, token: &str) -> Value {
    surround(Some((id, token)), None)
}

/// The `post_processor` that puts tokens in front of a text and after it; null for none.
pub fn surround(first: Option<(u64, &str)>, last: Option<(u64, &str)>) -> Value {
    if first.is_none() && last.is_none() {
        return Value::Null;
    }
    let special = |of: Option<(u64, &str)>, kind: u32| {
        of.map(|(_, token)| json!({"SpecialToken": {"id": token, "type_id": kind}}))
    };
    let text = |name: &str, kind: u32| Some(json!({"Sequence": {"id": name, "type_id": kind}}));
    let list = |parts: Vec<Option<Value>>| Value::Array(parts.into_iter().flatten().collect());
    let named = first.into_iter().chain(last);
    let named =
        named.map(|(id, token)| (token.to_owned(), json!({"id": token, "ids": [id], "tokens": [token]})));
    json!({
        "type": "TemplateProcessing",
        "single": list(vec![special(first, 0), text("A", 0), special(last, 0)]),
        "pair": list(vec![special(first, 0), text("A", 0), text("B", 1), special(last, 1)]),
        "special_tokens": Value::Object(named.collect()),
    })
}
