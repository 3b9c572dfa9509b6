//! Messages to text: a model's chat template, rendered as Hugging Face's `transformers` renders it.
//!
//! Knows nothing of tokens. What a template renders already holds the special tokens: encode it without
//! adding any.

mod input;
mod jinja;
mod prefill;
mod reasoning;
mod switch;
mod template;
#[cfg(test)]
mod tests;
pub mod tools;

use serde_json::Value;

pub use input::ChatInput;
pub use jinja::Date;
pub use reasoning::{ReasoningForms, ReasoningSplitter, ReasoningStart, Split};
pub use template::{ChatTemplate, SpecialTexts};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks: "system", "user" or "assistant", unless the template knows more.
    pub role: String,
    /// What is said.
    pub content: String,
    /// What the assistant said to itself before.
    pub reasoning: Option<String>,
    /// Functions that the assistant calls after what it says.
    pub calls: Vec<ToolCall>,
    /// For a function's result (the role "tool"): the id of its call.
    pub tool_call_id: Option<String>,
    /// For a function's result: the function's name.
    pub name: Option<String>,
}

/// A call of a function by the assistant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What its result refers to it by; may be empty.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// An object, or a text that is one in JSON.
    pub arguments: Value,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        let (role, content) = (role.into(), content.into());
        Self { role, content, reasoning: None, calls: Vec::new(), tool_call_id: None, name: None }
    }

    /// An answer with its reasoning.
    pub fn answer(split: Split) -> Self {
        let reasoning = Some(split.reasoning).filter(|text| !text.is_empty());
        Self { reasoning, ..Self::new("assistant", split.answer) }
    }
}

/// Errors of chat templates; each message is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// The model's files hold no template.
    #[error("this model has no chat template")]
    Missing,
    /// The model's files hold several templates, none of which is the default.
    #[error("this model has several chat templates and none of them is the default: {}", names.join(", "))]
    NoDefault {
        /// Their names.
        names: Vec<String>,
    },
    /// The template is not valid Jinja.
    #[error("the model's chat template is broken: {reason}")]
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
    /// The template takes more time, memory or stack than a template may take.
    #[error("the model's chat template is stopped: {reason}")]
    Stopped {
        /// Which limit, and in which line.
        reason: String,
    },
    /// Rendering failed.
    #[error("the model's chat template fails on these messages: {reason}")]
    Failed {
        /// What went wrong and in which line.
        reason: String,
    },
    /// The template writes the same with reasoning turned on and off.
    #[error("the model's chat template has no switch that turns reasoning on or off")]
    NoSwitch,
    /// The text is no conversation in JSON.
    #[error("{0}")]
    NoConversation(String),
}

/// Result of a chat operation.
pub type Result<T, E = ChatError> = std::result::Result<T, E>;
