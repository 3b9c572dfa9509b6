//! Gemma 4's calls: `call:NAME{key:value}`, with `<|"|>` around texts.

use serde_json::{Map, Value};

use super::sink::{Sink, Status, is_name};

const CALL: &str = "call:";
const QUOTE: &str = "<|\"|>";
/// The most levels of a value.
const DEEPEST: usize = 64;
/// The most bytes before the arguments.
const LONGEST_HEAD: usize = 512;

/// Reads what follows a marker. A call is given on as a whole.
#[derive(Clone, Debug, Default)]
pub struct GemmaCall {
    /// Bytes that were looked at.
    at: usize,
    depth: usize,
    is_in_text: bool,
    ended: bool,
}

impl GemmaCall {
    pub fn is_between(&self) -> bool {
        self.ended
    }

    pub fn feed(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        if self.ended {
            return (0, Status::Done);
        }
        let start = text.trim_start();
        if !start.starts_with(CALL) {
            return (0, if CALL.starts_with(start) { Status::More } else { Status::Bad });
        }
        while let Some(c) = text[self.at..].chars().next() {
            let rest = &text[self.at..];
            if rest.starts_with(QUOTE) {
                self.is_in_text = !self.is_in_text;
                self.at += QUOTE.len();
                continue;
            }
            if QUOTE.starts_with(rest) {
                return (0, Status::More);
            }
            self.at += c.len_utf8();
            match c {
                _ if self.is_in_text => {}
                '{' => self.depth += 1,
                '}' if self.depth == 1 => {
                    let whole = text[..self.at].trim_start();
                    let Some((name, arguments)) = read(&whole[CALL.len()..]) else { return (0, Status::Bad) };
                    sink.call(name, None, &arguments);
                    self.ended = true;
                    return (self.at, Status::CallEnd);
                }
                '}' if self.depth == 0 => return (0, Status::Bad),
                '}' => self.depth -= 1,
                _ if self.depth == 0 && self.at > LONGEST_HEAD => return (0, Status::Bad),
                _ => {}
            }
        }
        (0, Status::More)
    }
}

/// `NAME{...}`.
fn read(text: &str) -> Option<(&str, Map<String, Value>)> {
    let (name, _) = text.split_once('{')?;
    let mut reader = Reader { rest: &text[name.len()..] };
    let arguments = reader.object(0)?;
    let name = name.trim();
    (reader.rest.is_empty() && is_name(name)).then_some((name, arguments))
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What stands before one of these characters.
    fn until(&mut self, ends: &[char]) -> Option<&'a str> {
        let at = self.rest.find(ends)?;
        let (word, rest) = self.rest.split_at(at);
        self.rest = rest;
        Some(word.trim())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        if !self.take(QUOTE) {
            return None;
        }
        let (text, rest) = self.rest.split_once(QUOTE)?;
        self.rest = rest;
        Some(text)
    }

    fn object(&mut self, depth: usize) -> Option<Map<String, Value>> {
        if depth > DEEPEST || !self.take("{") {
            return None;
        }
        let mut map = Map::new();
        if self.take("}") {
            return Some(map);
        }
        loop {
            let key = match self.quoted() {
                Some(key) => key,
                None => self.until(&[':']).filter(|key| !key.is_empty())?,
            };
            if !self.take(":") {
                return None;
            }
            let value = self.value(depth + 1)?;
            map.insert(key.trim_matches('"').to_owned(), value);
            if self.take("}") {
                return Some(map);
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        if self.rest.starts_with('{') {
            return self.object(depth).map(Value::Object);
        }
        if self.rest.starts_with('[') {
            return self.list(depth);
        }
        if let Some(text) = self.quoted() {
            return Some(text.into());
        }
        // Plain JSON, or a word without quotes.
        if self.rest.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
            let value = values.next()?.ok()?;
            self.rest = &self.rest[values.byte_offset()..];
            return Some(value);
        }
        let word = self.until(&[',', '}', ']'])?;
        match word {
            "" => None,
            "None" => Some(Value::Null),
            "True" => Some(true.into()),
            "False" => Some(false.into()),
            word => Some(serde_json::from_str(word).unwrap_or_else(|_| word.into())),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST || !self.take("[") {
            return None;
        }
        let mut list = Vec::new();
        if self.take("]") {
            return Some(list.into());
        }
        loop {
            list.push(self.value(depth + 1)?);
            if self.take("]") {
                return Some(list.into());
            }
            if !self.take(",") {
                return None;
            }
        }
    }
}
