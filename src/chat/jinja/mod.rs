//! Jinja, as far as chat templates use it: the language that `transformers` renders them in, with Python's values.
//!
//! A template comes with a downloaded model. It can compute and nothing else, and [`limits`] bounds the time, the
//! memory and the stack that it takes.

mod access;
mod args;
mod arithmetic;
mod ast;
mod compare;
mod eval;
mod expression;
mod fault;
mod filters;
mod format;
mod interpreter;
mod json;
mod lexer;
mod limits;
mod methods;
mod namespaces;
mod parser;
mod predicates;
mod repr;
mod str_methods;
mod strftime;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;
use std::thread;

use serde_json::Value as Json;

pub use self::fault::{Fault, Kind};
pub use self::strftime::Date;

use self::fault::Result;
use self::interpreter::Interpreter;
use self::limits::{Limits, STACK};
use self::namespaces::Namespaces;
use self::value::Value;

/// A template that has been parsed.
#[derive(Debug)]
pub struct Template {
    body: ast::Body,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, and the line.
    pub fn parse(source: &str) -> Result<Self> {
        on_own_stack(|| parser::parse(source)).map(|body| Self { body })
    }

    /// The text that the template makes of these variables.
    ///
    /// # Errors
    /// Why there is none.
    pub fn render(&self, variables: &[(&str, Json)], date: Date) -> Result<String> {
        on_own_stack(|| {
            // The budget is for what the template does with the variables, which may be large.
            let (limits, spaces) = (Limits::new(), Namespaces::default());
            let given = Limits::new();
            let named = |(name, json): &(&str, Json)| -> Result<(Arc<str>, Value)> {
                Ok(((*name).into(), Value::from_json(json, &given)?))
            };
            let variables = variables.iter().map(named).collect::<Result<_>>()?;
            Interpreter::new(&limits, &spaces, date).render(&self.body, variables)
        })
    }
}

/// Runs `work` on a thread whose stack is as large as the limits of nesting need, whoever calls.
fn on_own_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let started =
            thread::Builder::new().name("chat template".into()).stack_size(STACK).spawn_scoped(scope, work);
        let ended = started.map(thread::ScopedJoinHandle::join);
        match ended {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Fault::failed("the template engine has a fault")),
            Err(e) => Err(Fault::too_much(format!("there is no room for a thread to render it ({e})"))),
        }
    })
}
