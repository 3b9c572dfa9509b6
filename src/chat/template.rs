//! A model's chat template, and what it is rendered with.

use std::sync::OnceLock;

use serde_json::Value;

use super::jinja::{Date, Fault, Kind, Template};
use super::reasoning::ReasoningForms;
use super::switch::Switch;
use super::tools::{Form, Support};
use super::{ChatError, ChatInput, Message, Result};

/// A model's chat template.
///
/// The language is Jinja as `transformers` sets it up: `trim_blocks`, `lstrip_blocks`, `break` and `continue`,
/// `generation` blocks, the methods of Python's strings and dicts, `raise_exception(message)`, `strftime_now(format)`
/// and a `tojson` that writes as Python's `json.dumps`. A template sees `messages`, `add_generation_prompt`, `tools`,
/// `documents`, `bos_token` and `eos_token`.
#[derive(Debug)]
pub struct ChatTemplate {
    template: Template,
    uses_date: bool,
    reasoning: ReasoningForms,
    /// Variables that may turn reasoning on and off.
    switches: Vec<&'static Switch>,
    /// How the model writes calls of functions.
    calls: Option<&'static Form>,
    /// What the template knows of them, once somebody has asked.
    tools: OnceLock<Support>,
}

/// Texts of special tokens, empty where the model has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTexts {
    /// Of the token that begins a text.
    pub bos: String,
    /// Of the token that ends one.
    pub eos: String,
}

impl ChatTemplate {
    /// Compiles the Jinja source of a template.
    ///
    /// # Errors
    /// [`ChatError::Broken`] with the line.
    pub fn new(source: &str) -> Result<Self> {
        let template = Template::parse(source).map_err(|fault| match fault.kind {
            Kind::TooMuch => ChatError::Stopped { reason: reason(&fault) },
            _ => ChatError::Broken { reason: reason(&fault) },
        })?;
        Ok(Self {
            template,
            uses_date: source.contains("strftime_now"),
            reasoning: ReasoningForms::of_template(source),
            switches: Switch::candidates(source),
            calls: Form::of_template(source),
            tools: OnceLock::new(),
        })
    }

    /// Whether its text depends on the date.
    pub fn uses_date(&self) -> bool {
        self.uses_date
    }

    /// How the model writes its reasoning.
    pub fn reasoning(&self) -> &ReasoningForms {
        &self.reasoning
    }

    /// The variable that turns reasoning on or off, and its value for that: one with which the same message becomes
    /// another prompt.
    ///
    /// # Errors
    /// [`ChatError::NoSwitch`] if there is none.
    pub fn switch(&self, on: bool, special: &SpecialTexts, date: Date) -> Result<(&'static str, Value)> {
        let text = |(name, value): (&str, Value)| {
            let input = ChatInput::new(&[Message::new("user", "words")], true).with(name, value);
            self.render(&input, special, date).ok()
        };
        let differs = |switch: &&&Switch| match (text(switch.set(true)), text(switch.set(false))) {
            (Some(on), Some(off)) => on != off,
            _ => false,
        };
        self.switches.iter().find(differs).map(|switch| switch.set(on)).ok_or(ChatError::NoSwitch)
    }

    /// What the template knows of functions that a model may call.
    pub fn tools(&self, special: &SpecialTexts, date: Date) -> &Support {
        let find = || Support::find(self.calls, |input| self.render(&input, special, date).ok());
        self.tools.get_or_init(find)
    }

    /// The text of a conversation.
    ///
    /// # Errors
    /// [`ChatError::Refused`] if the template raises an exception (as for a wrong order of roles),
    /// [`ChatError::Stopped`] if it takes too much, or [`ChatError::Failed`].
    pub fn render(&self, input: &ChatInput, special: &SpecialTexts, date: Date) -> Result<String> {
        let special = [("bos_token", special.bos.as_str()), ("eos_token", special.eos.as_str())];
        let mut variables: Vec<(&str, Value)> = special.map(|(name, text)| (name, text.into())).into();
        for (name, value) in input.variables() {
            variables.retain(|(known, _)| *known != name);
            variables.push((name, value.clone()));
        }
        let text = self.template.render(&variables, date).map_err(|fault| match fault.kind {
            Kind::Raised => ChatError::Refused { reason: one_line(&fault.what) },
            Kind::TooMuch => ChatError::Stopped { reason: reason(&fault) },
            Kind::Syntax | Kind::Failed => ChatError::Failed { reason: reason(&fault) },
        })?;
        input.cut(text)
    }
}

/// The most characters of a message that comes from a template.
const MESSAGE: usize = 500;

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// What is wrong, with its line, in one line of text.
fn reason(fault: &Fault) -> String {
    let what = one_line(&fault.what);
    match fault.line {
        Some(line) => format!("{what} (line {line})"),
        None => what,
    }
}
