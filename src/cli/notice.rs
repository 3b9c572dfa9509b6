//! Lines on standard error.

use std::io::{Write, stderr};

use crate::backend::opencl::OpenClError;
use crate::core::{CoreError, Remedy};
use crate::engine::EngineError;
use crate::eval::EvalError;
use crate::kv::EvictionError;

/// A line on standard error; where even that is closed it is dropped.
pub(super) fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// An error with its causes, each printed once, since some name theirs themselves; and the flags that its advice is about.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    let text = error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    });
    with_flags(text, error.chain().find_map(remedies).unwrap_or_default())
}

/// A text with advice in plain terms, and the flags that the advice is about.
pub(super) fn with_flags(text: String, remedies: &[Remedy]) -> String {
    let flags: Vec<_> = remedies.iter().map(|&r| flag(r)).filter(|flag| !text.contains(flag)).collect();
    if flags.is_empty() { text } else { format!("{text} ({})", flags.join(", ")) }
}

/// The settings that an error of a layer below is about.
fn remedies(error: &(dyn std::error::Error + 'static)) -> Option<&'static [Remedy]> {
    None.or_else(|| error.downcast_ref::<EvalError>().map(EvalError::remedies))
        .or_else(|| error.downcast_ref::<EngineError>().map(EngineError::remedies))
        .or_else(|| error.downcast_ref::<EvictionError>().map(EvictionError::remedies))
        .or_else(|| error.downcast_ref::<OpenClError>().map(OpenClError::remedies))
        .or_else(|| error.downcast_ref::<CoreError>().map(CoreError::remedies))
        .filter(|remedies| !remedies.is_empty())
}

/// How the command line spells a setting.
fn flag(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::CpuBackend => "--backend cpu",
        Remedy::ReferenceBackend => "--backend reference",
        Remedy::ScalarInstructions => "--isa scalar",
        Remedy::Device => "--device",
        Remedy::WeightFormat => "--weight-dtype",
        Remedy::ContextLength => "--max-seq-len",
        Remedy::PrefillChunk => "--prefill-chunk",
        Remedy::CacheType => "--kv-type",
        Remedy::HalfCache => "--kv-type f16",
        Remedy::SlidingEviction => "--eviction-policy sliding",
        Remedy::EvictionWindow => "--eviction-window",
        Remedy::ProtectedPrefix => "--protected-prefix",
        Remedy::EvictionRatio => "--eviction-target-ratio",
        Remedy::PackedFile => "--pack-to",
        Remedy::Prompt => "--prompt, --prompt-file or standard input",
        Remedy::LogitDump => "--dump-logits-topk",
        Remedy::Windows => "--window, --stride",
        Remedy::EvaluatedText => "--file, --teacher-force",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FormatError;

    #[test]
    fn a_cause_is_told_once() {
        let io = || std::io::Error::other("the disk is full");
        let twice = anyhow::Error::new(FormatError::Io { action: "write", path: "x".into(), source: io() });
        assert_eq!(sentence(&twice), "cannot write 'x': the disk is full");
        let chain = anyhow::Error::new(io()).context("nothing is saved");
        assert_eq!(sentence(&chain), "nothing is saved: the disk is full");
    }
}
