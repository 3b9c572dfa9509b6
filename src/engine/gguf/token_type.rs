//! What a token is for: `enum llama_token_type` of llama.cpp.

use crate::format::gguf::Value;

/// Part of text.
pub(super) const NORMAL: u64 = 1;
/// Stands for what has no token.
pub(super) const UNKNOWN: u64 = 2;
/// Not for text: begins or ends one, or a turn.
pub(super) const CONTROL: u64 = 3;
/// Part of text, and taken out of it before anything else.
pub(super) const USER_DEFINED: u64 = 4;
/// In no text.
pub(super) const UNUSED: u64 = 5;

/// The type that a value says; [`NORMAL`] for what is none.
pub(super) fn of(value: Value<'_>) -> u64 {
    match value {
        Value::Unsigned(n) => n,
        Value::Signed(n) => u64::try_from(n).unwrap_or(NORMAL),
        _ => NORMAL,
    }
}
