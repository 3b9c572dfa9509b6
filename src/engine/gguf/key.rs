//! Names of a GGUF file's keys.

/// The key of a Llama.
pub(super) fn key(name: &str) -> String {
    format!("llama.{name}")
}
