//! Grammars in llama.cpp's form (GBNF), as llguidance's form of Lark.
//!
//! A GBNF grammar is about characters, while llguidance's lexer takes the longest match of a terminal. A grammar without
//! recursion is one regular language, and becomes one terminal. In any other no terminal is a beginning of another one, so that
//! longest matches change nothing: each is one character, or what of a sequence has an end of its own ([`fold`]).

mod fold;
mod lark;
mod parse;
#[cfg(test)]
mod tests;

pub(super) use self::lark::Shape;
use super::error::GrammarError;

/// A grammar, read and checked.
#[derive(Clone, Debug)]
pub(super) struct Gbnf {
    rules: Vec<Rule>,
    /// Which of them a text is.
    root: usize,
}

/// A rule; groups are rules too.
#[derive(Clone, Debug)]
struct Rule {
    /// Its name in the grammar, for messages; of a group that of the rule that it is in.
    name: String,
    /// Sequences, one of which it is; `None` until it is defined.
    alternatives: Option<Vec<Vec<Item>>>,
}

/// A part of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    what: What,
    /// How often it comes, and at most.
    least: u32,
    most: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// One of these characters, or with `not` any other.
    Chars {
        not: bool,
        ranges: Vec<(char, char)>,
    },
    /// These characters.
    Text(String),
    Rule(usize),
    /// A regular expression.
    Pattern(String),
}

impl Gbnf {
    /// Reads a grammar.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(source: &str) -> Result<Self, GrammarError> {
        parse::read(source)
    }

    /// Whether no rule leads back to itself.
    pub fn is_regular(&self) -> bool {
        self.regular().len() == self.rules.len()
    }

    /// The rules that do not lead to one that leads back to itself.
    fn regular(&self) -> Vec<usize> {
        // Rules whose own rules are all done are done: in turns, so that no depth matters.
        let mut uses: Vec<usize> = vec![0; self.rules.len()];
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); self.rules.len()];
        for (id, rule) in self.rules.iter().enumerate() {
            for used in rule.used() {
                uses[id] += 1;
                users[used].push(id);
            }
        }
        let mut done: Vec<usize> = (0..uses.len()).filter(|&id| uses[id] == 0).collect();
        let mut at = 0;
        while let Some(&id) = done.get(at) {
            at += 1;
            for &user in &users[id] {
                uses[user] -= 1;
                if uses[user] == 0 {
                    done.push(user);
                }
            }
        }
        done
    }
}

impl Rule {
    fn items(&self) -> impl Iterator<Item = &Item> {
        self.alternatives.iter().flatten().flatten()
    }

    fn used(&self) -> impl Iterator<Item = usize> {
        self.items().filter_map(|item| match item.what {
            What::Rule(id) => Some(id),
            _ => None,
        })
    }
}
