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
    let special = json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |name: &str, kind: u32| json!({"Sequence": {"id": name, "type_id": kind}});
    json!({
        "type": "TemplateProcessing",
        "single": [special, text("A", 0)],
        "pair": [special, text("A", 0), text("B", 1)],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    })
}
