//! Changes of settings that help against an error.

/// A setting that an error's advice is about. Errors give advice in plain terms ("use a shorter context"), since a command
/// line, a library call and a server have other names for their settings; who reports the error adds the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Compute on the CPU.
    CpuBackend,
    /// Compute by the reference implementation.
    ReferenceBackend,
    /// Compute without vector instructions.
    ScalarInstructions,
    /// Another device.
    Device,
    /// Another format of the weights.
    WeightFormat,
    /// Another limit for the tokens of a text.
    ContextLength,
    /// Fewer tokens of the prompt in one pass.
    PrefillChunk,
    /// Another type of keys and values.
    CacheType,
    /// Keys and values in f16.
    HalfCache,
    /// Eviction of the oldest tokens.
    SlidingEviction,
    /// Another window of the cache.
    EvictionWindow,
    /// Another number of tokens that stay at the beginning.
    ProtectedPrefix,
    /// Another share of tokens that an eviction leaves.
    EvictionRatio,
    /// A packed file, made on another machine.
    PackedFile,
    /// Text to begin with.
    Prompt,
    /// Store the logits of an evaluation.
    LogitDump,
    /// The windows of an evaluation.
    Windows,
    /// The text of an evaluation.
    EvaluatedText,
}
