//! Reads GBNF: `root ::= "yes" | [0-9]{1,3} other*`.

use std::collections::HashMap;

use super::{Gbnf, Item, Rule, What};
use crate::grammar::error::GrammarError;

type Result<T> = std::result::Result<T, GrammarError>;

/// The most rules and groups.
const MOST_RULES: usize = 8192;
/// The deepest groups in groups.
const MOST_DEPTH: usize = 200;
/// The largest number of a repetition.
const MOST_REPEATS: u32 = 10_000;

/// Reads a whole grammar.
///
/// # Errors
/// What is wrong with it, with line and column.
pub(super) fn read(source: &str) -> Result<Gbnf> {
    let mut reader = Reader { source, at: 0, rules: Vec::new(), names: HashMap::new(), depth: 0 };
    reader.space(true);
    while !reader.is_at_end() {
        reader.rule()?;
        reader.space(true);
    }
    let Reader { rules, names, .. } = reader;
    if let Some(rule) = rules.iter().find(|rule| rule.alternatives.is_none()) {
        return Err(GrammarError(format!(
            "the grammar uses the rule '{}' and does not define it",
            rule.name
        )));
    }
    let root = names.get("root").copied();
    let root =
        root.ok_or_else(|| GrammarError::new("the grammar has no rule 'root', with which a text begins"))?;
    Ok(Gbnf { rules, root })
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    rules: Vec<Rule>,
    names: HashMap<&'a str, usize>,
    depth: usize,
}

/// Whether a name may have this character.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn is_at_end(&self) -> bool {
        self.at == self.source.len()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes `text` if it comes.
    fn take(&mut self, text: &str) -> bool {
        let comes = self.rest().starts_with(text);
        self.at += if comes { text.len() } else { 0 };
        comes
    }

    /// Passes over white space and comments; over ends of lines where they mean nothing.
    fn space(&mut self, lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => self.at += 1,
                '\r' | '\n' if lines => self.at += 1,
                '#' => self.at += self.rest().find(['\r', '\n']).unwrap_or(self.rest().len()),
                _ => return,
            }
        }
    }

    fn error<T>(&self, why: impl Into<String>) -> Result<T> {
        let before = &self.source[..self.at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Err(GrammarError(format!("the grammar, line {line}, column {column}: {}", why.into())))
    }

    fn name(&mut self) -> Result<&'a str> {
        let end = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        if end == 0 {
            return match self.peek() {
                Some(c) => self.error(format!("'{}' is not the name of a rule", c.escape_debug())),
                None => self.error("the name of a rule is missing"),
            };
        }
        let name = &self.rest()[..end];
        self.at += end;
        Ok(name)
    }

    /// The number of the rule with this name, which may be defined later.
    fn id(&mut self, name: &'a str) -> Result<usize> {
        if let Some(&id) = self.names.get(name) {
            return Ok(id);
        }
        let id = self.add(name)?;
        self.names.insert(name, id);
        Ok(id)
    }

    fn add(&mut self, name: &str) -> Result<usize> {
        if self.rules.len() == MOST_RULES {
            return self.error(format!("it has more than {MOST_RULES} rules and groups"));
        }
        self.rules.push(Rule { name: name.to_owned(), alternatives: None });
        Ok(self.rules.len() - 1)
    }

    /// `name ::= alternatives`, to the end of the line.
    fn rule(&mut self) -> Result<()> {
        let name = self.name()?;
        self.space(false);
        if !self.take("::=") {
            return self.error(format!("'::=' is missing after '{name}'"));
        }
        self.space(true);
        let id = self.id(name)?;
        if self.rules[id].alternatives.is_some() {
            return self.error(format!("the rule '{name}' is there twice"));
        }
        let alternatives = self.alternatives(name, false)?;
        self.rules[id].alternatives = Some(alternatives);
        match self.peek() {
            None | Some('\r' | '\n') => Ok(()),
            Some(c) => self.error(format!("'{}' is not expected in '{name}'", c.escape_debug())),
        }
    }

    fn alternatives(&mut self, rule: &str, nested: bool) -> Result<Vec<Vec<Item>>> {
        let mut all = vec![self.sequence(rule, nested)?];
        loop {
            // A line that begins with another alternative belongs to the rule.
            let end = self.at;
            self.space(true);
            if !self.take("|") {
                self.at = if nested { self.at } else { end };
                return Ok(all);
            }
            self.space(true);
            all.push(self.sequence(rule, nested)?);
        }
    }

    fn sequence(&mut self, rule: &str, nested: bool) -> Result<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        while let Some(c) = self.peek() {
            let what = match c {
                '"' => What::Text(self.text()?),
                '[' => self.chars()?,
                '.' => {
                    self.at += 1;
                    What::Chars { not: true, ranges: Vec::new() }
                }
                '(' => self.group(rule)?,
                '<' | '!' => {
                    let end = self.rest().find(['>', '\n', ' ']).map_or(self.rest().len(), |end| end + 1);
                    let token: String = self.rest()[..end].trim_end().chars().take(60).collect();
                    return self.error(format!("tokens such as '{token}' are not supported; write its text"));
                }
                c if is_word(c) => {
                    let name = self.name()?;
                    What::Rule(self.id(name)?)
                }
                _ => break,
            };
            self.space(nested);
            let (least, most) = self.repetition()?;
            self.space(nested);
            items.push(Item { what, least, most });
        }
        Ok(items)
    }

    fn group(&mut self, rule: &str) -> Result<What> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return self.error(format!("groups are nested more than {MOST_DEPTH} deep"));
        }
        let id = self.add(rule)?;
        self.space(true);
        let alternatives = self.alternatives(rule, true)?;
        self.rules[id].alternatives = Some(alternatives);
        self.space(true);
        if !self.take(")") {
            return self.error(format!("a ')' is missing in '{rule}'"));
        }
        self.depth -= 1;
        Ok(What::Rule(id))
    }

    /// `*`, `+`, `?`, `{2}`, `{2,}`, `{2,3}`, several of them one after the other, or none.
    fn repetition(&mut self) -> Result<(u32, Option<u32>)> {
        let found = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.braces(),
            _ => return Ok((1, Some(1))),
        };
        self.at += 1;
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) {
            return self.error("two repetitions one after the other; put the first into a group");
        }
        Ok(found)
    }

    fn braces(&mut self) -> Result<(u32, Option<u32>)> {
        self.at += 1;
        self.space(false);
        let least = self.number()?;
        self.space(false);
        let mut most = Some(least);
        if self.take(",") {
            self.space(false);
            most = if self.peek() == Some('}') { None } else { Some(self.number()?) };
            self.space(false);
        }
        if !self.take("}") {
            return self.error("a '}' is missing");
        }
        if most.is_some_and(|most| most < least) {
            return self.error("a repetition whose second number is less than its first");
        }
        Ok((least, most))
    }

    fn number(&mut self) -> Result<u32> {
        let end = self.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest().len());
        let digits = &self.rest()[..end];
        match digits.parse() {
            Ok(number) if number <= MOST_REPEATS => {
                self.at += end;
                Ok(number)
            }
            Ok(_) => {
                self.error(format!("{digits} repetitions are more than the {MOST_REPEATS} that there may be"))
            }
            Err(_) if end == 0 => self.error("a number is missing"),
            Err(_) => self.error(format!("{digits} repetitions are too many")),
        }
    }

    /// `"..."`.
    fn text(&mut self) -> Result<String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                None | Some('\r' | '\n') => return self.error("a '\"' is missing at the end of a text"),
                Some(_) => text.push(self.character()?),
            }
        }
    }

    /// `[...]` or `[^...]`.
    fn chars(&mut self) -> Result<What> {
        self.at += 1;
        let not = self.take("^");
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                Some(']') => break self.at += 1,
                None | Some('\r' | '\n') => {
                    return self.error("a ']' is missing at the end of a set of characters");
                }
                Some(_) => {}
            }
            let first = self.character()?;
            let mut last = first;
            if self.rest().starts_with('-') && !self.rest().starts_with("-]") {
                self.at += 1;
                last = self.character()?;
            }
            if last < first {
                return self.error(format!(
                    "the range {} to {} goes backwards",
                    first.escape_debug(),
                    last.escape_debug()
                ));
            }
            ranges.push((first, last));
        }
        if ranges.is_empty() && !not {
            return self.error("a set of no characters, which no text has");
        }
        Ok(What::Chars { not, ranges })
    }

    /// A character, or an escape for one.
    fn character(&mut self) -> Result<char> {
        let start = self.at;
        let c = self.next();
        if c != Some('\\') {
            return c.map_or_else(|| self.error("it ends in the middle of a text"), Ok);
        }
        let digits = match self.next() {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some('n') => return Ok('\n'),
            Some(c @ ('\\' | '"' | '[' | ']' | '-' | '^' | '/')) => return Ok(c),
            other => {
                self.at = start;
                let other = other.map_or(String::new(), |c| c.escape_debug().to_string());
                return self.error(format!("there is no escape '\\{other}'"));
            }
        };
        let hex = self.rest().get(..digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(hex) = hex else {
            return self.error(format!("an escape needs {digits} hexadecimal digits here"));
        };
        let Some(c) = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32) else {
            return self.error(format!("there is no character {hex}"));
        };
        self.at += digits;
        Ok(c)
    }
}
