//! The source of a template as tokens, by the rules of Jinja's own lexer: newlines are `\n`, one final newline is
//! dropped, a block takes the newline after it along (`trim_blocks`) and the spaces before it (`lstrip_blocks`).

use std::sync::Arc;

use super::fault::{Fault, Result};

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Text between tags.
    Data(Arc<str>),
    BlockBegin,
    BlockEnd,
    PrintBegin,
    PrintEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i128),
    Float(f64),
    /// An operator, as it is written.
    Op(&'static str),
    End,
}

/// A token and its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub kind: Kind,
    pub line: u32,
}

/// Longer ones first.
const OPERATORS: [&str; 25] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
    "=", ".", ":", "|", ",",
];

/// What Python counts among spaces.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Reads all of `source`.
///
/// # Errors
/// What is no token, and tags without an end.
pub fn tokens(source: &str) -> Result<Vec<Token>> {
    let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
    if source.ends_with('\n') {
        source.pop();
    }
    let mut lexer = Lexer { rest: &source, line: 1, line_starts: true, tokens: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.root()?;
    }
    lexer.push(Kind::End);
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    rest: &'s str,
    line: u32,
    /// What was read last ended a line.
    line_starts: bool,
    tokens: Vec<Token>,
}

/// The text after `prefix` and the spaces after that, in `text`.
fn after_spaces<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    text.strip_prefix(prefix).map(|rest| rest.trim_start_matches(is_space))
}

/// The text after a sign of whitespace control.
fn after_sign(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

impl<'s> Lexer<'s> {
    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, line: self.line });
    }

    /// Goes on where `rest`, an end of what is left, begins.
    fn advance(&mut self, rest: &'s str) {
        let read = &self.rest[..self.rest.len() - rest.len()];
        self.line += read.matches('\n').count() as u32;
        if !read.is_empty() {
            self.line_starts = read.ends_with('\n');
        }
        self.rest = rest;
    }

    fn fail<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Fault::syntax(self.line, what))
    }

    /// Text up to a tag, and the tag.
    fn root(&mut self) -> Result<()> {
        let begin =
            self.rest.match_indices('{').find(|(i, _)| self.rest[i + 1..].starts_with(['{', '%', '#']));
        let Some((at, _)) = begin else {
            let all = self.rest;
            self.push(Kind::Data(all.into()));
            self.advance("");
            return Ok(());
        };
        let (text, tag) = self.rest.split_at(at);
        let (kind, inner) = (tag.as_bytes()[1], &tag[2..]);
        let sign = inner.chars().next().filter(|c| matches!(c, '-' | '+'));
        self.data(text, sign, kind != b'{');
        self.advance(tag);
        let inner = after_sign(inner);
        match kind {
            b'#' => self.comment(inner),
            b'%' => match self.raw(inner) {
                Some(rest) => self.raw_text(rest),
                None => {
                    self.push(Kind::BlockBegin);
                    self.advance(inner);
                    self.code(true)
                }
            },
            _ => {
                self.push(Kind::PrintBegin);
                self.advance(inner);
                self.code(false)
            }
        }
    }

    /// Text before a tag with `sign`; `strips`: spaces at the start of its line belong to the tag.
    fn data(&mut self, text: &str, sign: Option<char>, strips: bool) {
        let kept = match sign {
            Some('-') => text.trim_end_matches(is_space),
            Some(_) => text,
            None if strips => {
                let start = text.rfind('\n').map_or(0, |i| i + 1);
                let alone = (start > 0 || self.line_starts) && text[start..].chars().all(is_space);
                if alone { &text[..start] } else { text }
            }
            None => text,
        };
        if !kept.is_empty() {
            self.push(Kind::Data(kept.into()));
        }
    }

    fn comment(&mut self, inner: &'s str) -> Result<()> {
        let Some(end) = inner.find("#}") else { return self.fail("a comment has no end ('#}' is missing)") };
        let (text, rest) = (&inner[..end], &inner[end + 2..]);
        let rest = if text.ends_with('-') {
            rest.trim_start_matches(is_space)
        } else if text.ends_with('+') {
            rest
        } else {
            rest.strip_prefix('\n').unwrap_or(rest)
        };
        self.advance(rest);
        Ok(())
    }

    /// What comes after `{% raw %}`, if `inner` is within that.
    fn raw(&self, inner: &'s str) -> Option<&'s str> {
        let rest = after_spaces(inner.trim_start_matches(is_space), "raw")?;
        match rest.strip_prefix("-%}") {
            Some(rest) => Some(rest.trim_start_matches(is_space)),
            None => rest.strip_prefix("%}"),
        }
    }

    fn raw_text(&mut self, rest: &'s str) -> Result<()> {
        self.advance(rest);
        for (at, _) in rest.match_indices("{%") {
            let inner = &rest[at + 2..];
            let sign = inner.chars().next().filter(|c| matches!(c, '-' | '+'));
            let name = after_sign(inner).trim_start_matches(is_space);
            let Some(end) = after_spaces(name, "endraw") else { continue };
            let Some(after) = block_end(end) else { continue };
            self.data(&rest[..at], sign, true);
            self.advance(after);
            return Ok(());
        }
        self.fail("a raw block has no end ('{% endraw %}' is missing)")
    }

    /// The tokens of a tag, up to its end.
    fn code(&mut self, block: bool) -> Result<()> {
        let mut open: Vec<&str> = Vec::new();
        loop {
            if open.is_empty() {
                let end = if block {
                    block_end(self.rest)
                } else {
                    after_spaces(self.rest, "-}}").or_else(|| self.rest.strip_prefix("}}"))
                };
                if let Some(rest) = end {
                    self.push(if block { Kind::BlockEnd } else { Kind::PrintEnd });
                    self.advance(rest);
                    return Ok(());
                }
            }
            let Some(first) = self.rest.chars().next() else {
                let end = if block { "%}" } else { "}}" };
                return self.fail(format!("a tag has no end ('{end}' is missing)"));
            };
            if is_space(first) {
                self.advance(self.rest.trim_start_matches(is_space));
            } else if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphanumeric() {
                let end = self.rest.find(|c: char| c != '_' && !c.is_alphanumeric());
                let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.push(Kind::Name(name.into()));
                self.advance(rest);
            } else if first == '\'' || first == '"' {
                self.string(first)?;
            } else {
                let Some(op) = OPERATORS.into_iter().find(|op| self.rest.starts_with(op)) else {
                    return self.fail(format!("unexpected character '{}'", first.escape_default()));
                };
                match op {
                    "(" => open.push(")"),
                    "[" => open.push("]"),
                    "{" => open.push("}"),
                    ")" | "]" | "}" => match open.pop() {
                        Some(wanted) if wanted == op => {}
                        Some(wanted) => return self.fail(format!("unexpected '{op}', expected '{wanted}'")),
                        None => return self.fail(format!("unexpected '{op}'")),
                    },
                    _ => {}
                }
                self.push(Kind::Op(op));
                self.advance(&self.rest[op.len()..]);
            }
        }
    }

    fn number(&mut self) -> Result<()> {
        let (token, len) = number(self.rest).map_or_else(|what| self.fail(what), Ok)?;
        self.push(token);
        self.advance(&self.rest[len..]);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<()> {
        let inner = &self.rest[1..];
        let mut escaped = false;
        let end = inner.char_indices().find(|&(_, c)| {
            let ends = !escaped && c == quote;
            escaped = !escaped && c == '\\';
            ends
        });
        let Some((end, _)) = end else { return self.fail("a string has no end") };
        let text = unescape(&inner[..end]).map_or_else(|what| self.fail(what), Ok)?;
        self.push(Kind::Str(text.into()));
        self.advance(&inner[end + 1..]);
        Ok(())
    }
}

/// What comes after the end of a block, if `rest` begins with one.
fn block_end(rest: &str) -> Option<&str> {
    if let Some(rest) = after_spaces(rest, "-%}") {
        return Some(rest);
    }
    if let Some(rest) = rest.strip_prefix("+%}") {
        return Some(rest);
    }
    rest.strip_prefix("%}").map(|rest| rest.strip_prefix('\n').unwrap_or(rest))
}

/// A number at the start of `text`, and its length.
fn number(text: &str) -> Result<(Kind, usize), String> {
    let bytes = text.as_bytes();
    let too_large = || "a number is too large".to_owned();
    let radix = match bytes.get(1) {
        Some(b'x' | b'X') if bytes[0] == b'0' => 16,
        Some(b'o' | b'O') if bytes[0] == b'0' => 8,
        Some(b'b' | b'B') if bytes[0] == b'0' => 2,
        _ => 10,
    };
    if radix != 10 {
        let len = 2 + text[2..].find(|c: char| c != '_' && !c.is_digit(radix)).unwrap_or(text.len() - 2);
        let digits = text[2..len].replace('_', "");
        if !digits.is_empty() {
            return Ok((Kind::Int(i128::from_str_radix(&digits, radix).map_err(|_| too_large())?), len));
        }
    }
    let digits = |from: usize| {
        let more = bytes[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
        from + bytes[from..from + more].iter().rposition(|b| *b != b'_').map_or(0, |last| last + 1)
    };
    let whole = digits(0);
    let mut len = whole;
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    if bytes.get(len) == Some(&b'.') && is_digit(len + 1) {
        len = digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        if is_digit(len + 1 + sign) {
            len = digits(len + 1 + sign);
        }
    }
    let plain = text[..len].replace('_', "");
    if len == whole {
        return plain.parse().map(|int| (Kind::Int(int), len)).map_err(|_| too_large());
    }
    plain.parse().map(|float| (Kind::Float(float), len)).map_err(|_| format!("'{plain}' is no number"))
}

/// A string without its quotes, as Python reads it.
fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(c) = chars.next() else { break };
        let mut digits = |count: usize| -> Result<u32, String> {
            let digits: String = (0..count).filter_map(|_| chars.next_if(char::is_ascii_hexdigit)).collect();
            match digits.len() == count {
                true => u32::from_str_radix(&digits, 16).map_err(|e| e.to_string()),
                false => Err(format!("a string has '\\{c}' without {count} hexadecimal digits")),
            }
        };
        let code = match c {
            '\n' => continue,
            'n' => 10,
            't' => 9,
            'r' => 13,
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'v' => 11,
            '\\' | '\'' | '"' => u32::from(c),
            'x' => digits(2)?,
            'u' => {
                let code = digits(4)?;
                // Two halves make one character.
                let rest: String = chars.clone().take(6).collect();
                match rest.strip_prefix("\\u").and_then(|low| u32::from_str_radix(low, 16).ok()) {
                    Some(low @ 0xdc00..=0xdfff) if (0xd800..0xdc00).contains(&code) => {
                        chars.nth(5);
                        0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => code,
                }
            }
            'U' => digits(8)?,
            'N' => return Err("a string names a character by '\\N', which is not supported".into()),
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = chars.next_if(|c| c.is_digit(8)) else { break };
                    code = code * 8 + digit.to_digit(8).unwrap_or(0);
                }
                code
            }
            other => {
                out.push('\\');
                u32::from(other)
            }
        };
        out.push(
            char::from_u32(code)
                .ok_or_else(|| format!("a string has U+{code:04X}, which is no character"))?,
        );
    }
    Ok(out)
}
