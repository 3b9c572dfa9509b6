//! Messages to text: a model's chat template, rendered as Hugging Face's `transformers` renders it.
//!
//! Knows nothing of tokens. What a template renders already holds the special tokens: encode it without
//! adding any.

mod template;
#[cfg(test)]
mod tests;
mod tojson;

pub use template::ChatTemplate;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks: "system", "user" or "assistant", unless the template knows more.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// Errors of chat templates; each message is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// The model's files hold no template.
    #[error("this model has no chat template; name one with --chat-template, or leave out --chat")]
    Missing,
    /// The template is not valid Jinja.
    #[error(
        "the model's chat template is broken: {reason}; leave out --chat or give another one with --chat-template"
    )]
    Broken {
        /// What is wrong and in which line.
        reason: String,
    },
    /// The template itself refuses the messages (`raise_exception`).
    #[error("the model's chat template refuses these messages: {reason}")]
    Refused {
        /// The template's own words.
        reason: String,
    },
    /// The template asks for today's date and has none of its own to fall back on.
    #[error(
        "the model's chat template calls strftime_now, which is not offered: the same prompt has to give the \
         same text every day; put a fixed date into the template"
    )]
    WantsDate,
    /// Rendering failed.
    #[error("the model's chat template fails on these messages: {reason}")]
    Failed {
        /// What went wrong and in which line.
        reason: String,
    },
}

/// Result of a chat operation.
pub type Result<T, E = ChatError> = std::result::Result<T, E>;
