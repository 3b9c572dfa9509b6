//! Why texts cannot be held to a schema or a grammar.

/// A constraint that cannot be followed, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GrammarError(pub String);

impl GrammarError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// What llguidance says about `what`, see [`reason`].
    pub(super) fn of_library(what: &str, error: &str) -> Self {
        Self(format!("{what}: {}", reason(error)))
    }
}

/// What llguidance says, without the state and the backtrace that it may add.
pub(super) fn reason(error: &str) -> String {
    let first = error.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
    match first {
        "NoExtensionBias" | "NoExtension" => "no text can follow here".to_owned(),
        first => first.chars().take(400).collect(),
    }
}
