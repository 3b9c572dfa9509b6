//! What a token is for, by `tokenizer.ggml.token_type`.

use crate::format::gguf::Value;
use crate::tokenizer::PieceKind;

/// The kind that a value says; [`PieceKind::Normal`] for what is none.
pub(super) fn of(value: Value<'_>) -> PieceKind {
    match value {
        Value::Unsigned(n) => PieceKind::of(n),
        Value::Signed(n) => u64::try_from(n).map_or(PieceKind::Normal, PieceKind::of),
        _ => PieceKind::Normal,
    }
}
