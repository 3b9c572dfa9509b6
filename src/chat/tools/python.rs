//! Calls as Python writes them: `[name(argument="value", other=3), name()]`.

use super::json_calls::JsonCalls;
use super::python_literal::call;
use super::sink::{Sink, Status, is_name};

/// The most bytes before the arguments.
const LONGEST_NAME: usize = 256;

/// Reads what follows a marker. A call is given on as a whole.
#[derive(Clone, Debug, Default)]
pub struct PythonCalls {
    /// A list of JSON, which such models can be asked for.
    json: Option<JsonCalls>,
    begun: bool,
    any: bool,
    ended: bool,
    /// Bytes of the call in progress that were looked at.
    at: usize,
    depth: usize,
    quote: Option<char>,
    escaped: bool,
}

impl PythonCalls {
    /// Whether a text may end here.
    pub fn is_between(&self) -> bool {
        self.json.as_ref().map_or(self.any && self.at == 0, JsonCalls::is_between)
    }

    pub fn feed(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        let start = text.len() - text.trim_start().len();
        if self.json.is_none() && !self.begun {
            let rest = &text[start..];
            let inner = rest.strip_prefix('[');
            match inner.unwrap_or(rest).trim_start().chars().next() {
                None => return (0, Status::More),
                Some('{') => self.json = Some(JsonCalls::new(false)),
                Some(_) if inner.is_none() => return (0, Status::Bad),
                Some(_) => {
                    self.begun = true;
                    let (used, status) = self.item(&rest[1..], sink);
                    return (start + 1 + used, status);
                }
            }
        }
        match &mut self.json {
            Some(json) => json.feed(text, sink),
            None if self.ended => (0, Status::Done),
            None => self.item(text, sink),
        }
    }

    /// A call, what parts it from others, or the end of the list.
    fn item(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        if self.at > 0 {
            return self.call(text, sink);
        }
        let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == ',' && self.any);
        let skip = text.len() - start.len();
        if start.starts_with(']') {
            self.ended = self.any;
            return if self.any { (skip + 1, Status::Done) } else { (skip, Status::Bad) };
        }
        let (used, status) = self.call(start, sink);
        (skip + used, status)
    }

    /// A call that begins with `text`; nothing of it is taken before it is whole.
    fn call(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        while let Some(c) = text[self.at..].chars().next() {
            self.at += c.len_utf8();
            if let Some(quote) = self.quote {
                match c {
                    _ if self.escaped => self.escaped = false,
                    '\\' => self.escaped = true,
                    c if c == quote => self.quote = None,
                    _ => {}
                }
                continue;
            }
            match c {
                '"' | '\'' if self.depth > 0 => self.quote = Some(c),
                '(' | '[' | '{' => self.depth += 1,
                ')' | ']' | '}' if self.depth == 0 => return (0, Status::Bad),
                ')' if self.depth == 1 => {
                    let end = std::mem::take(&mut self.at);
                    self.depth = 0;
                    let Some((name, arguments)) = call(&text[..end]) else { return (0, Status::Bad) };
                    self.any = true;
                    sink.call(&name, None, &arguments);
                    return (end, Status::CallEnd);
                }
                ')' | ']' | '}' => self.depth -= 1,
                _ if self.depth == 0 && (self.at > LONGEST_NAME || !is_name(text[..self.at].trim_end())) => {
                    return (0, Status::Bad);
                }
                _ => {}
            }
        }
        (0, Status::More)
    }
}
