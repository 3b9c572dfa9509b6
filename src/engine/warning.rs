//! What a user should know about a model's files although they can be used.

use crate::core::DType;

/// Each is one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelWarning {
    /// The id of a special token that the vocabulary does not have.
    #[error("the {key} {id} is not one of the {tokens} tokens of the model, and does not count")]
    TokenOutOfRange {
        /// Where it stands.
        key: &'static str,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        tokens: usize,
    },
    /// A tokenizer with more tokens than the model, which are not added ones.
    #[error(
        "the tokenizer has tokens up to number {last}, but the model knows {tokens} only; they may belong to different \
         models"
    )]
    ForeignTokenizer {
        /// Its last token.
        last: u32,
        /// Size of the vocabulary.
        tokens: usize,
    },
    /// The same in a GGUF file, whose kind of vocabulary may have a token for it all the same.
    #[error(
        "'{key}' is {id}, which is not one of the {tokens} tokens of the model; {}",
        .instead.map_or("the model gets none".to_owned(), |id| format!("its place takes token {id}, as in other such files"))
    )]
    DefaultToken {
        /// Where it stands.
        key: &'static str,
        /// The value.
        id: String,
        /// Size of the vocabulary.
        tokens: usize,
        /// The id in its place.
        instead: Option<u64>,
    },
    /// A value without a meaning: the sentence about it.
    #[error("{0}; it does not count")]
    ValueNotUsed(String),
    /// Tensors that are in the files and that nothing reads.
    #[error(
        "{origin} holds {} that the model does not use, since config.json does not ask for {}: '{first}'{}",
        if *.count == 1 { "a tensor".to_owned() } else { format!("{} tensors", .count) },
        if *.count == 1 { "it" } else { "them" },
        if .others.is_empty() { String::new() } else { format!(" and others like '{}'", .others.join("', '")) }
    )]
    UnusedTensors {
        /// The file or directory.
        origin: String,
        /// How many.
        count: usize,
        /// The first.
        first: String,
        /// The first of each other kind, up to a few.
        others: Vec<String>,
    },
    /// Tensors in types that nothing is computed in.
    #[error(
        "{origin} holds {} in {} converted when the model is loaded: {}",
        count(.types.iter().map(|of| of.2).sum()),
        if .types.len() == 1 { "a type that is" } else { "types that are" },
        .types.iter().map(|(stored, format, n)| format!("{n} of {stored} to {format}")).collect::<Vec<_>>().join(", ")
    )]
    Converted {
        /// The file or directory.
        origin: String,
        /// The type that they are stored in, the one that they become, and how many there are.
        types: Vec<(DType, DType, usize)>,
    },
    /// Settings that are in a file and change nothing here.
    #[error("{origin} has '{key}' = {value}, which is not used: {why}")]
    UnusedSetting {
        /// The file.
        origin: String,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What that means.
        why: &'static str,
    },
}

fn count(tensors: usize) -> String {
    if tensors == 1 { "a tensor".to_owned() } else { format!("{tensors} tensors") }
}
