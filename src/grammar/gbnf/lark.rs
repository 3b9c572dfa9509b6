//! Writes a grammar in llguidance's form of Lark.

use std::fmt::Write;

use super::{Gbnf, Item, What};

/// What the rules of the grammar become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grammar) enum Shape {
    /// Terminals, all of which are part of one: without recursion alone.
    OneTerminal,
    /// Rules, with single characters as terminals.
    Characters,
}

impl Gbnf {
    /// The grammar's text.
    pub fn to_lark(&self, shape: Shape) -> String {
        let mut out = String::new();
        let name = |id: usize| match shape {
            Shape::OneTerminal => format!("T{id}"),
            Shape::Characters => format!("r{id}"),
        };
        // Writing to a text does not fail.
        let _ = writeln!(out, "start: {}", name(self.root));
        for (id, rule) in self.rules.iter().enumerate() {
            let _ = write!(out, "{}:", name(id));
            for (i, sequence) in rule.alternatives.iter().flatten().enumerate() {
                out.push_str(if i == 0 { " " } else { " | " });
                let before = out.len();
                for item in sequence {
                    write_item(&mut out, item, shape, &name);
                }
                if out.len() == before {
                    out.push_str("\"\"");
                }
            }
            out.push('\n');
        }
        out
    }
}

fn write_item(out: &mut String, item: &Item, shape: Shape, name: &impl Fn(usize) -> String) {
    let Item { what, least, most } = item;
    if *most == Some(0) {
        return;
    }
    let repeat = match (least, most) {
        (1, Some(1)) => String::new(),
        (0, Some(1)) => "?".into(),
        (0, None) => "*".into(),
        (1, None) => "+".into(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    };
    match what {
        What::Chars { not, ranges } => out.push_str(&set(*not, ranges)),
        What::Rule(id) => out.push_str(&name(*id)),
        What::Pattern(pattern) => {
            let _ = write!(out, "/{pattern}/");
        }
        What::Text(text) => {
            let mut chars = text.chars().map(|c| set(false, &[(c, c)]));
            let parts: Vec<String> = match shape {
                // One regular expression.
                Shape::OneTerminal if !text.is_empty() => {
                    vec![format!("/{}/", text.chars().map(code).collect::<String>())]
                }
                _ => chars.by_ref().collect(),
            };
            match parts.as_slice() {
                [] => return,
                [one] => out.push_str(one),
                many if repeat.is_empty() => out.push_str(&many.join(" ")),
                many => {
                    let _ = write!(out, "({})", many.join(" "));
                }
            }
        }
    }
    out.push_str(&repeat);
    out.push(' ');
}

/// A set of characters as a terminal.
fn set(not: bool, ranges: &[(char, char)]) -> String {
    format!("/{}/", class(not, ranges))
}

/// A set of characters as a regular expression.
pub(super) fn class(not: bool, ranges: &[(char, char)]) -> String {
    if ranges.is_empty() {
        return "(?s:.)".into();
    }
    let mut set = String::from(if not { "[^" } else { "[" });
    for &(first, last) in ranges {
        set.push_str(&code(first));
        if last != first {
            set.push('-');
            set.push_str(&code(last));
        }
    }
    set + "]"
}

/// A character by its number: so none means anything else in a regular expression.
pub(super) fn code(c: char) -> String {
    if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) }
}
