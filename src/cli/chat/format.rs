//! Which chat template is used, on which date, with reasoning or without; what to do where there is none.

use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::chat::{ChatError, ChatInput, Date, ReasoningSplitter, ReasoningStart};
use crate::cli::args::Args;
use crate::cli::{prompt, reasoning};
use crate::engine::{ChatFormat, EngineError, SavedConversation};
use crate::tokenizer::{ChatTemplates, Tokenizer, TokenizerConfig};

/// The format of the model's chats, if the arguments ask for one. `saved` is the conversation that goes on.
///
/// # Errors
/// A template that is missing or broken, or has no switch for reasoning where one is needed.
pub fn choose(
    args: &Args,
    config: &TokenizerConfig,
    saved: &SavedConversation,
) -> Result<Option<ChatFormat>> {
    if !args.chat && args.messages.is_none() {
        return Ok(None);
    }
    let named = args.chat_template.as_deref();
    let source = named.map(|named| source(named, &config.chat_templates)).transpose()?;
    let date = args.date.or(saved.date).unwrap_or_else(Date::today);
    let mut format = ChatFormat::new(config, source.as_deref(), date).map_err(advise)?;
    reasoning::set(args, saved.thinking, &mut format)?;
    Ok(Some(format))
}

/// What belongs to a prompt that a template has written; nothing for others.
#[derive(Default)]
pub struct Templated {
    /// See [`ChatFormat::date`].
    pub date: Option<Date>,
    /// See [`ChatFormat::thinking`].
    pub thinking: Option<bool>,
    /// Takes its answer apart.
    pub splitter: Option<ReasoningSplitter>,
    /// See [`ChatFormat::reasoning`].
    pub reasoning: Option<ReasoningStart>,
    /// See [`ChatFormat::marker_tokens`].
    pub markers: Vec<u32>,
}

impl Templated {
    /// For the text of a prompt.
    ///
    /// # Errors
    /// What the tokenizer cannot encode.
    pub fn new(format: &ChatFormat, tokenizer: &Tokenizer, prompt: &str) -> Result<Self> {
        Ok(Self {
            date: format.date(),
            thinking: format.thinking(),
            splitter: Some(format.splitter(prompt)),
            reasoning: format.reasoning(prompt),
            markers: format.marker_tokens(tokenizer)?,
        })
    }
}

/// The template of this name among the model's own, or else in the file of this name.
pub fn source(named: &Path, own: &ChatTemplates) -> Result<String> {
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
