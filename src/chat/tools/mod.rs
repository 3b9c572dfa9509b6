//! Functions that a model may call: how they are shown to it, and how its calls are read.
//!
//! A template writes functions and earlier calls in the words that its model was trained with ([`Support`] says what it
//! knows, and makes the rest of plain text). What the model then writes is taken apart as it comes ([`ToolParser`]), by a
//! [`Form`] that the template's source gives away.

mod constraint;
mod defined;
mod event;
mod form;
mod gemma;
mod generic;
mod harmony;
mod history;
mod json_calls;
mod json_scanner;
mod named;
mod parser;
mod python;
mod python_literal;
mod sink;
mod support;
mod tags;
#[cfg(test)]
mod tests;
mod write;

pub use constraint::{Otherwise, Wanted, constraint};
pub use defined::Tool;
pub use event::ToolEvent;
pub use form::Form;
pub use parser::ToolParser;
pub use support::Support;

/// Which calls are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// None, or as many as the model likes.
    #[default]
    Auto,
    /// None: the model does not hear of the functions.
    None,
    /// One at least.
    Required,
    /// A call of this function.
    Named(String),
}
