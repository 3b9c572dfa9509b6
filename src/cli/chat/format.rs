//! Which chat template is used, and on which date; what to do where there is none.

use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::chat::{ChatError, ChatInput, Date};
use crate::cli::args::Args;
use crate::cli::prompt;
use crate::engine::{ChatFormat, EngineError};
use crate::tokenizer::{ChatTemplates, TokenizerConfig};

/// The format of the model's chats, if the arguments ask for one. `saved` is the date of the conversation that goes on.
///
/// # Errors
/// A template that is missing or broken.
pub fn choose(args: &Args, config: &TokenizerConfig, saved: Option<Date>) -> Result<Option<ChatFormat>> {
    if !args.chat && args.messages.is_none() {
        return Ok(None);
    }
    let named = args.chat_template.as_deref();
    let source = named.map(|named| source(named, &config.chat_templates)).transpose()?;
    let date = args.date.or(saved).unwrap_or_else(Date::today);
    ChatFormat::new(config, source.as_deref(), date).map(Some).map_err(advise)
}

/// The template of this name among the model's own, or else in the file of this name.
fn source(named: &Path, own: &ChatTemplates) -> Result<String> {
    if let Some(source) = named.to_str().and_then(|name| own.get(name)) {
        return Ok(source.to_owned());
    }
    prompt::template(named).map_err(|error| match own.names() {
        names if names.is_empty() || named.exists() => error,
        names => error.context(format!(
            "'{}' is none of the model's chat templates ({}), and no file that can be read",
            named.display(),
            names.join(", ")
        )),
    })
}

/// What to do about an error of a chat template.
pub fn advise(error: EngineError) -> anyhow::Error {
    let EngineError::Chat(chat) = &error else { return error.into() };
    match chat {
        ChatError::Missing => anyhow!("{error}; name one with --chat-template, or leave out --chat"),
        ChatError::NoDefault { .. } => {
            anyhow!("{error}; choose one of them with --chat-template NAME, or leave out --chat")
        }
        ChatError::Broken { .. } | ChatError::Stopped { .. } => {
            anyhow!("{error}; leave out --chat or give another one with --chat-template")
        }
        _ => error.into(),
    }
}

/// The conversation of `--messages`.
///
/// # Errors
/// A file that cannot be read, or holds no conversation.
pub fn messages(path: &Path) -> Result<ChatInput> {
    let (text, name) = prompt::file(path)?;
    ChatInput::from_json(&text).with_context(|| format!("{name} is no conversation"))
}
