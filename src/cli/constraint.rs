//! `--json-schema` and `--grammar`: what a text has to be.

use std::sync::Arc;

use anyhow::Result;

use crate::chat::ReasoningStart;
use crate::engine::Session;
use crate::sampling::Rule;

/// Flags of programs that can follow schemas and grammars; none without the feature `structured`.
#[derive(Debug, clap::Args)]
pub struct ConstraintArgs {
    /// Hold the text to a JSON schema, token by token; in chats each answer. The schema itself, or '@' and its file
    #[cfg(feature = "structured")]
    #[arg(long, value_name = "SCHEMA|@FILE", conflicts_with = "grammar", help_heading = "Text")]
    pub json_schema: Option<String>,

    /// Hold the text to the grammar in a file, in the form of llama.cpp (GBNF), or after a first line with %llguidance in
    /// that of llguidance (Lark)
    #[cfg(feature = "structured")]
    #[arg(long, value_name = "FILE", help_heading = "Text")]
    pub grammar: Option<std::path::PathBuf>,
}

/// What texts of a session have to be.
#[derive(Debug)]
pub struct Constrained {
    #[cfg(feature = "structured")]
    wanted: Option<(crate::sampling::Constraint, crate::grammar::Grammars)>,
}

#[cfg(feature = "structured")]
mod follow {
    use std::path::Path;

    use anyhow::{Context, ensure};

    use super::*;
    use crate::grammar::{self, Grammars};
    use crate::sampling::Constraint;

    impl ConstraintArgs {
        fn read(&self) -> Result<Option<Constraint>> {
            if let Some(given) = &self.json_schema {
                let (text, place) = match given.strip_prefix('@') {
                    None => (given.clone(), "--json-schema".to_owned()),
                    Some(path) => (text(Path::new(path))?, format!("'{path}'")),
                };
                let schema = serde_json::from_str(&text).with_context(|| format!("{place} holds no JSON"))?;
                return Ok(Some(Constraint::JsonSchema(schema)));
            }
            let Some(path) = &self.grammar else { return Ok(None) };
            let grammar = text(path)?;
            ensure!(!grammar.trim().is_empty(), "'{}' is empty", path.display());
            let lark = grammar.trim_start().starts_with("%llguidance");
            Ok(Some(if lark { Constraint::Lark(grammar) } else { Constraint::Gbnf(grammar) }))
        }

        /// Whether what is asked for can be followed.
        ///
        /// # Errors
        /// A file that cannot be read, what of it cannot be followed.
        pub fn check(&self) -> Result<()> {
            self.read()?.map_or(Ok(()), |constraint| Ok(grammar::check(&constraint)?))
        }

        /// What the texts of a session have to be.
        ///
        /// # Errors
        /// As [`Self::check`].
        pub fn of(&self, session: &Session) -> Result<Constrained> {
            let grammars = || {
                let vocab = session.spec().vocab_size;
                Grammars::new(session.shared_tokenizer(), session.eos(), vocab)
            };
            Ok(Constrained { wanted: self.read()?.map(|constraint| (constraint, grammars())) })
        }
    }

    impl Constrained {
        /// For the next text.
        ///
        /// # Errors
        /// What cannot be followed.
        pub fn rule(&self, reasoning: Option<ReasoningStart>) -> Result<Option<Arc<dyn Rule>>> {
            let rule = |(constraint, grammars): &(Constraint, Grammars)| {
                grammars.rule(constraint, reasoning.clone())
            };
            Ok(self.wanted.as_ref().map(rule).transpose()?)
        }
    }

    fn text(path: &Path) -> Result<String> {
        std::fs::read_to_string(path).with_context(|| format!("cannot read '{}'", path.display()))
    }
}

#[cfg(not(feature = "structured"))]
impl ConstraintArgs {
    /// There is nothing to check.
    pub fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Any text.
    pub fn of(&self, _session: &Session) -> Result<Constrained> {
        Ok(Constrained {})
    }
}

#[cfg(not(feature = "structured"))]
impl Constrained {
    /// Any text.
    pub fn rule(&self, _reasoning: Option<ReasoningStart>) -> Result<Option<Arc<dyn Rule>>> {
        Ok(None)
    }
}
