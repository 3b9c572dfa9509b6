//! Why a session could not be made or a text not be generated.

use std::path::PathBuf;

use crate::chat::ChatError;
use crate::core::{CoreError, Remedy};
use crate::format::{FormatError, shown};
use crate::host::LockError;
use crate::kv::EvictionError;
use crate::models::{ConfigError, ModelError, WeightMix};
use crate::sampling::{MaskError, SamplingError};
use crate::tokenizer::TokenizerError;

/// Errors of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Files of weights.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// config.json or generation_config.json.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights against the configuration.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// Choosing a token.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A text that cannot go on as it has to.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// Numbers of eviction.
    #[error(transparent)]
    Eviction(#[from] EvictionError),
    /// The backend.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A recommended setting that has no meaning and that nothing overrides.
    #[error("{why}; choose a value for this text")]
    Recommended {
        /// Its key in generation_config.json.
        key: &'static str,
        /// The value, and what it should be.
        why: String,
    },
    /// A policy that a backend cannot follow.
    #[error("eviction by {policy} cannot be used here: {why}; use sliding, or the cpu backend")]
    Policy {
        /// The policy.
        policy: &'static str,
        /// What the backend answers.
        why: CoreError,
    },
    /// A file that belongs to a model is not there.
    #[error("{} is missing; {hint}", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// A file is where one is to be written.
    #[error("'{}' is there already", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// Packing what is packed.
    #[error("'{}' is a packed file already; copy it, or pack the model that it was made from", path.display())]
    AlreadyPacked {
        /// The file.
        path: PathBuf,
    },
    /// A model that a GGUF file cannot hold.
    #[error("'{}' {reason}", path.display())]
    NoGguf {
        /// Its directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A packed file that is a part of a cache.
    #[error("'{}' holds no weights; give the model's directory", path.display())]
    NoWeights {
        /// The file.
        path: PathBuf,
    },
    /// Another format than a packed file holds.
    #[error(
        "'{}' holds {holds} weights, not {asked}; take them as they are, or pack the model again",
        path.display()
    )]
    OtherWeights {
        /// The packed file.
        path: PathBuf,
        /// Its formats.
        holds: WeightMix,
        /// Those asked for.
        asked: WeightMix,
    },
    /// Weights that cannot be kept in memory.
    #[error("the weights: {0}")]
    Lock(#[from] LockError),
    /// Weights that no memory is there for.
    #[error("{0}")]
    TooLarge(String),
    /// A prompt with a token that the model has no embedding for.
    #[error(
        "the prompt has the token {}, number {id}, but the model knows {vocab} tokens only; leave it out, or use the \
         tokenizer that belongs to the model",
        .token.as_deref().map_or("without a text".to_owned(), |text| format!("'{}'", shown(text)))
    )]
    UnknownToken {
        /// Its text, where the tokenizer has one.
        token: Option<String>,
        /// Its id.
        id: u32,
        /// Rows of the embedding matrix.
        vocab: usize,
    },
    /// A tensor that changes the result and that nothing here reads.
    #[error(
        "'{path}' holds the tensor '{name}'{}, which a plain Llama does not have: without it the answers would be wrong, \
         so the model is not run",
        if *.count == 1 { String::new() } else { format!(" and {} more", .count - 1) }
    )]
    UnreadTensor {
        /// The file.
        path: String,
        /// The tensor's name there.
        name: String,
        /// How many such tensors there are.
        count: usize,
    },
    /// A pass that a text shared with others.
    #[error("{0}")]
    PassFailed(String),
    /// Texts that give up tokens are not kept on a disk.
    #[error(
        "texts that give up tokens are of no use to later ones; leave out --kv-disk or --eviction-policy"
    )]
    DiskWithEviction,
    /// Files of modules after the model that cannot be used.
    #[error("{origin} {reason}")]
    EmbeddingFiles {
        /// The file.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A hidden state that is no vector of numbers.
    #[error(
        "the hidden state of token {token} is not finite: the model's weights or its arithmetic are broken"
    )]
    HiddenNotFinite {
        /// Number of the token.
        token: usize,
    },
    /// A model for embeddings that is asked for a text.
    #[error(
        "the model reads texts in both directions, so that it gives embeddings but cannot go on with a text; use serve and \
         its path /v1/embeddings"
    )]
    NotCausal,
    /// A text that does not fit into a pass, of a model that needs it to.
    #[error(
        "the text is {tokens} tokens long, which is too large: the model reads a text in both directions, so all of it goes \
         through at once, and {max} tokens can; shorten it, or let more tokens of a prompt through at once"
    )]
    TextTooLong {
        /// Tokens of the text.
        tokens: usize,
        /// The most tokens of a pass.
        max: usize,
    },
    /// No tokens to start from.
    #[error("the prompt is empty; give some text")]
    EmptyPrompt,
    /// No room for the prompt and one more token.
    #[error(
        "the prompt is {tokens} tokens long and leaves no room in a context of {max}; \
         shorten it, or allow a longer context"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// The context.
        max: usize,
    },
}

impl EngineError {
    /// The settings that the error's advice is about.
    pub fn remedies(&self) -> &'static [Remedy] {
        match self {
            EngineError::Core(e) => e.remedies(),
            EngineError::Model(ModelError::Core(e)) => e.remedies(),
            EngineError::Eviction(e) => e.remedies(),
            EngineError::Policy { .. } => &[Remedy::SlidingEviction, Remedy::CpuBackend],
            EngineError::OtherWeights { .. } | EngineError::TooLarge(_) => &[Remedy::WeightFormat],
            EngineError::EmptyPrompt => &[Remedy::Prompt],
            EngineError::PromptTooLong { .. } => &[Remedy::ContextLength],
            EngineError::TextTooLong { .. } => &[Remedy::PrefillChunk],
            _ => &[],
        }
    }
}
