//! What a text has to be, as the tokens that it may go on with: JSON schemas and grammars over a model's tokenizer.
//!
//! The crate `llguidance` follows grammars. Here is what is asked of it, in which form, and within which limits: schemas are
//! checked first (`schema`), GBNF becomes Lark (`gbnf`), everything is compiled on a thread of its own, and each text gets a
//! copy of what came of it, which computes the next set of tokens beside the model.

mod after_reasoning;
mod error;
mod gbnf;
mod lark;
mod schema;
#[cfg(test)]
mod tests;
mod text_mask;
mod vocabulary;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::{Matcher, ParserFactory};
use serde_json::json;

use self::after_reasoning::AfterReasoning;
pub use self::error::GrammarError;
use self::gbnf::{Gbnf, Shape};
use self::text_mask::TextMask;
use crate::chat::ReasoningStart;
use crate::sampling::{Constraint, Mask, MaskError, Rule};
use crate::tokenizer::Tokenizer;

/// How many compiled constraints are kept for the next texts with the same.
const KEPT: usize = 16;

/// The stack of the thread that compiles: its recursion is as deep as a constraint has parts.
const STACK: usize = 256 << 20;

/// The constraints of a model's texts.
pub struct Grammars {
    tokenizer: Arc<Tokenizer>,
    eos: Arc<[u32]>,
    vocab: usize,
    /// Made for the first constraint.
    factory: OnceLock<Result<ParserFactory, GrammarError>>,
    kept: Mutex<VecDeque<(Constraint, Compiled)>>,
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").field("vocab", &self.vocab).finish_non_exhaustive()
    }
}

/// A constraint that is ready for texts.
type Compiled = Arc<Mutex<Matcher>>;

/// Whether a constraint can be followed, without a model.
///
/// # Errors
/// What of it cannot.
pub fn check(constraint: &Constraint) -> Result<(), GrammarError> {
    Grammars::of_bytes()?.matcher(constraint).map(|_| ())
}

/// What of time and memory a constraint may take. A set of tokens takes some 20 ms at most.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 400_000,
        max_lexer_states: 100_000,
        max_grammar_size: 300_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

impl Grammars {
    /// For a model of `vocab` tokens, of which `eos` end a text. Nothing is computed before the first constraint.
    pub fn new(tokenizer: Arc<Tokenizer>, eos: &[u32], vocab: usize) -> Self {
        Self { tokenizer, eos: eos.into(), vocab, factory: OnceLock::new(), kept: Mutex::default() }
    }

    /// Over single bytes: token `b` is the byte `b`.
    fn of_bytes() -> Result<Self, GrammarError> {
        let bad = |error: String| GrammarError(format!("grammars cannot be followed: {error}"));
        let factory = vocabulary::factory_of_bytes(limits())?;
        let none = r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}}"#;
        let tokenizer =
            Tokenizer::from_bytes(none.as_bytes(), "no tokenizer").map_err(|error| bad(error.to_string()))?;
        let this = Self::new(Arc::new(tokenizer), &[], 256);
        let _ = this.factory.set(Ok(factory));
        Ok(this)
    }

    /// What a text has to be; of one with reasoning what comes after it.
    ///
    /// # Errors
    /// What of it cannot be followed.
    pub fn rule(
        &self,
        constraint: &Constraint,
        reasoning: Option<ReasoningStart>,
    ) -> Result<Arc<dyn Rule>, GrammarError> {
        let compiled = self.compiled(constraint)?;
        Ok(Arc::new(Ready {
            compiled,
            reasoning,
            tokenizer: Arc::clone(&self.tokenizer),
            eos: Arc::clone(&self.eos),
            vocab: self.vocab,
        }))
    }

    fn compiled(&self, constraint: &Constraint) -> Result<Compiled, GrammarError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(known, _)| known == constraint) {
            let found = kept.remove(at);
            kept.extend(found);
            return kept
                .back()
                .map(|(_, compiled)| Arc::clone(compiled))
                .ok_or_else(|| GrammarError::new("none"));
        }
        drop(kept);
        let compiled = Arc::new(Mutex::new(self.matcher(constraint)?));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((constraint.clone(), Arc::clone(&compiled)));
        Ok(compiled)
    }

    /// At the beginning of the constraint.
    fn matcher(&self, constraint: &Constraint) -> Result<Matcher, GrammarError> {
        // Whatever is asked for costs no more than its own stack.
        thread::scope(|scope| {
            let compile = || self.compile(constraint);
            let thread = thread::Builder::new().name("compile".into()).stack_size(STACK);
            let thread = thread.spawn_scoped(scope, compile);
            let thread =
                thread.map_err(|error| GrammarError(format!("the grammar cannot be compiled: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(GrammarError::new("the grammar cannot be compiled")))
        })
    }

    fn compile(&self, constraint: &Constraint) -> Result<Matcher, GrammarError> {
        const SCHEMA: &str = "the schema cannot be followed";
        const GRAMMAR: &str = "the grammar cannot be followed";
        match constraint {
            Constraint::JsonSchema(schema) => {
                let checked = schema::check(schema)?;
                self.build(SCHEMA, TopLevelGrammar::from_json_schema(checked))
            }
            Constraint::JsonObject => {
                let checked = schema::check(&json!({ "type": "object" }))?;
                self.build(SCHEMA, TopLevelGrammar::from_json_schema(checked))
            }
            Constraint::Lark(grammar) => {
                let checked = lark::check(grammar)?;
                self.build(GRAMMAR, TopLevelGrammar::from_lark(checked))
            }
            Constraint::Gbnf(grammar) => {
                lark::size(grammar)?;
                let grammar = Gbnf::read(grammar)?;
                let whole = |shape| TopLevelGrammar::from_lark(grammar.to_lark(shape));
                if grammar.is_regular()
                    && let Ok(matcher) = self.build(GRAMMAR, whole(Shape::OneTerminal))
                {
                    return Ok(matcher);
                }
                if let Some(folded) = grammar.folded()
                    && let Ok(matcher) =
                        self.build(GRAMMAR, TopLevelGrammar::from_lark(folded.to_lark(Shape::Characters)))
                {
                    return Ok(matcher);
                }
                self.build(GRAMMAR, whole(Shape::Characters))
            }
            Constraint::Regex(regex) => {
                lark::size(regex)?;
                self.build("the regular expression cannot be followed", TopLevelGrammar::from_regex(regex))
            }
        }
    }

    fn build(&self, what: &str, grammar: TopLevelGrammar) -> Result<Matcher, GrammarError> {
        let factory = self.factory()?;
        let parser = factory.create_parser(grammar);
        let parser = parser.map_err(|error| GrammarError::of_library(what, &error.to_string()))?;
        let mut matcher = Matcher::new(Ok(parser));
        // What cannot even begin is known now, and what was computed for it is there for every text.
        match matcher.compute_mask_or_eos() {
            Ok(_) => Ok(matcher),
            Err(error) => Err(GrammarError::of_library(what, &error.to_string())),
        }
    }

    fn factory(&self) -> Result<&ParserFactory, GrammarError> {
        let make = || vocabulary::factory(&self.tokenizer, &self.eos, self.vocab, limits());
        self.factory.get_or_init(make).as_ref().map_err(Clone::clone)
    }
}

/// A constraint for texts of a model.
struct Ready {
    compiled: Compiled,
    reasoning: Option<ReasoningStart>,
    tokenizer: Arc<Tokenizer>,
    eos: Arc<[u32]>,
    vocab: usize,
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("reasoning", &self.reasoning).finish_non_exhaustive()
    }
}

impl Rule for Ready {
    fn begin(&self) -> Result<Box<dyn Mask>, MaskError> {
        // A copy of its own: what one text costs does not depend on others.
        let matcher = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).deep_clone();
        let text = TextMask::new(matcher);
        Ok(match &self.reasoning {
            None => Box::new(text),
            Some(reasoning) => {
                Box::new(AfterReasoning::new(text, reasoning, &self.tokenizer, &self.eos, self.vocab))
            }
        })
    }
}
