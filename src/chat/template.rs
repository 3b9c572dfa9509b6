//! The template engine, set up as `transformers` sets up Jinja.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, context};

use super::tojson::tojson;
use super::{ChatError, Message, Result};

/// The name under which the engine reports places in the template.
const NAME: &str = "chat template";

/// A model's chat template.
///
/// The language is Jinja with what `transformers` adds to it: `trim_blocks`, `lstrip_blocks`, `break` and
/// `continue`, the methods of Python's strings and dicts, `raise_exception(message)` and a `tojson` that
/// writes as Python's `json.dumps`. A template sees `messages`, `add_generation_prompt`, `bos_token`,
/// `eos_token`, and `tools` and `documents`, which are none.
///
/// `strftime_now` is left undefined on purpose, so that the same messages give the same text on any day:
/// templates that test for it (Llama 3.2's does) fall back to a date of their own.
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Marks an error as the template's own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

impl ChatTemplate {
    /// Compiles the Jinja source of a template.
    ///
    /// # Errors
    /// [`ChatError::Broken`] with the line.
    pub fn new(source: &str) -> Result<Self> {
        let broken = |e: Error| ChatError::Broken { reason: reason(&e) };
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(broken)?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
        });
        environment.template_from_named_str(NAME, source).map_err(broken)?;
        Ok(Self { environment, source: source.to_owned() })
    }

    /// Compiles the template of a model that may have none.
    ///
    /// # Errors
    /// [`ChatError::Missing`] for `None`, else as [`Self::new`].
    pub fn from_optional(source: Option<&str>) -> Result<Self> {
        Self::new(source.ok_or(ChatError::Missing)?)
    }

    /// The text of a conversation. With `add_generation_prompt` it ends where the assistant is to speak.
    /// `bos` and `eos` are the texts of these tokens, empty if the model has none.
    ///
    /// # Errors
    /// [`ChatError::Refused`] if the template raises an exception (as for a wrong order of roles),
    /// [`ChatError::WantsDate`], or [`ChatError::Failed`].
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        bos: &str,
        eos: &str,
    ) -> Result<String> {
        let messages: Vec<Value> =
            messages.iter().map(|m| context! { role => &m.role, content => &m.content }).collect();
        let context = context! {
            messages => messages,
            add_generation_prompt => add_generation_prompt,
            bos_token => bos,
            eos_token => eos,
            tools => (),
            documents => (),
        };
        self.environment.render_named_str(NAME, &self.source, context).map_err(|e| render_error(&e))
    }
}

fn render_error(error: &Error) -> ChatError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(Raised(message)) = e.downcast_ref() {
            return ChatError::Refused { reason: message.clone() };
        }
        cause = e.source();
    }
    let names_date = error.detail().is_some_and(|detail| detail.contains("strftime_now"));
    if error.kind() == ErrorKind::UnknownFunction && names_date {
        return ChatError::WantsDate;
    }
    ChatError::Failed { reason: reason(error) }
}

/// What an error says, with its line, in one line of text.
fn reason(error: &Error) -> String {
    let what = match error.detail() {
        Some(detail) => format!("{}, {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    match error.line() {
        Some(line) => format!("{what} (line {line})"),
        None => what,
    }
}
