//! Values as Python writes them.

use serde_json::{Map, Number, Value};

use super::sink::is_name;

/// The most levels of a value.
const DEEPEST: usize = 64;

/// `name(argument=value, ...)`. Arguments without names are none that a schema knows.
pub fn call(text: &str) -> Option<(String, Map<String, Value>)> {
    let (name, rest) = text.split_once('(')?;
    let name = name.trim();
    let mut reader = Reader { rest };
    let mut arguments = Map::new();
    while !reader.take(")") {
        let (key, rest) = reader.rest.split_once('=')?;
        let key = key.trim();
        if !key.chars().all(|c| c.is_alphanumeric() || c == '_') || key.is_empty() {
            return None;
        }
        reader.rest = rest;
        arguments.insert(key.to_owned(), reader.value(0)?);
        if !reader.take(",") && !reader.is_next(')') {
            return None;
        }
    }
    (reader.rest.trim().is_empty() && is_name(name)).then(|| (name.to_owned(), arguments))
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn is_next(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.starts_with(c)
    }

    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '[' => self.list("[", "]", depth),
            '(' => self.list("(", ")", depth),
            '{' => self.dict(depth),
            '"' | '\'' => self.text().map(Value::from),
            _ => self.word(),
        }
    }

    fn list(&mut self, open: &str, close: &str, depth: usize) -> Option<Value> {
        self.take(open);
        let mut list = Vec::new();
        while !self.take(close) {
            list.push(self.value(depth + 1)?);
            if !self.take(",") && !self.rest.trim_start().starts_with(close) {
                return None;
            }
        }
        Some(list.into())
    }

    fn dict(&mut self, depth: usize) -> Option<Value> {
        self.take("{");
        let mut map = Map::new();
        while !self.take("}") {
            self.rest = self.rest.trim_start();
            let key = self.text()?;
            if !self.take(":") {
                return None;
            }
            map.insert(key, self.value(depth + 1)?);
            if !self.take(",") && !self.is_next('}') {
                return None;
            }
        }
        Some(map.into())
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find([',', ')', ']', '}']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word.trim() {
            "True" | "true" => Some(true.into()),
            "False" | "false" => Some(false.into()),
            "None" | "null" => Some(Value::Null),
            word => {
                let digits = word.strip_prefix('+').unwrap_or(word).replace('_', "");
                let number: Option<Number> = serde_json::from_str(&digits).ok();
                let float =
                    || digits.parse::<f64>().ok().filter(|_| digits.contains(|c: char| c.is_ascii_digit()));
                number.or_else(|| Number::from_f64(float()?)).map(Value::Number)
            }
        }
    }

    /// A text in quotes of either kind.
    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let mut text = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Some(text);
                }
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    'u' => {
                        let mut code = 0;
                        for _ in 0..4 {
                            code = code * 16 + chars.next()?.1.to_digit(16)?;
                        }
                        text.push(char::from_u32(code)?);
                    }
                    '\n' => {}
                    c @ ('\\' | '\'' | '"' | '/') => text.push(c),
                    other => text.extend(['\\', other]),
                },
                c => text.push(c),
            }
        }
        None
    }
}
