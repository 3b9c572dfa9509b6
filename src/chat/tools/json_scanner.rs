//! The end of a value of JSON, and its first mistake, found as its text comes.

/// The most levels of a value, as many as its parser takes.
const DEEPEST: usize = 100;

/// Follows one value of JSON, character by character.
#[derive(Clone, Debug)]
pub struct JsonScanner {
    state: State,
    /// Open lists (false) and objects (true).
    levels: Vec<bool>,
}

/// What a character is to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value goes on.
    More,
    /// This is its last character.
    End,
    /// It has ended before this character.
    Over,
    /// No JSON.
    Bad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    /// A value, or the end of a list.
    FirstItem,
    /// A key, or the end of an object.
    FirstKey,
    Key,
    Colon,
    /// A comma, or the end of a list or object.
    After,
    Text {
        key: bool,
    },
    Escape {
        key: bool,
    },
    Code {
        key: bool,
        left: u8,
    },
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
    /// What is left of true, false or null.
    Word(&'static str),
}

impl JsonScanner {
    pub fn new() -> Self {
        Self { state: State::Value, levels: Vec::new() }
    }

    /// Whether the next character is part of a text.
    pub fn is_in_text(&self) -> bool {
        matches!(self.state, State::Text { .. })
    }

    pub fn push(&mut self, c: char) -> Step {
        use State::{
            After, Code, Colon, Digits, E, Escape, Exponent, FirstItem, FirstKey, Fraction, Key, Minus,
            Point, Sign, Text, Value, Word, Zero,
        };
        let space = matches!(c, ' ' | '\n' | '\r' | '\t');
        self.state = match (self.state, c) {
            (Value | FirstItem | FirstKey | Key | Colon | After, _) if space => return Step::More,
            (FirstItem, ']') | (FirstKey, '}') => return self.close(c),
            (Value | FirstItem, '{' | '[') => {
                if self.levels.len() == DEEPEST {
                    return Step::Bad;
                }
                self.levels.push(c == '{');
                if c == '{' { FirstKey } else { FirstItem }
            }
            (Value | FirstItem, '"') => Text { key: false },
            (Value | FirstItem, '-') => Minus,
            (Value | FirstItem | Minus, '0') => Zero,
            (Value | FirstItem | Minus, '1'..='9') => Digits,
            (Value | FirstItem, 't') => Word("rue"),
            (Value | FirstItem, 'f') => Word("alse"),
            (Value | FirstItem, 'n') => Word("ull"),
            (FirstKey | Key, '"') => Text { key: true },
            (Colon, ':') => Value,
            (After, ',') => match self.levels.last() {
                Some(true) => Key,
                Some(false) => Value,
                None => return Step::Bad,
            },
            (After, ']' | '}') => return self.close(c),
            (Text { key }, '"') => return self.ended(key),
            (Text { key }, '\\') => Escape { key },
            (Text { .. }, '\0'..='\x1f') => return Step::Bad,
            (Text { key }, _) => Text { key },
            (Escape { key }, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => Text { key },
            (Escape { key }, 'u') => Code { key, left: 4 },
            (Code { key, left: 1 }, _) if c.is_ascii_hexdigit() => Text { key },
            (Code { key, left }, _) if c.is_ascii_hexdigit() => Code { key, left: left - 1 },
            (Digits, '0'..='9') => Digits,
            (Zero | Digits, '.') => Point,
            (Point | Fraction, '0'..='9') => Fraction,
            (Zero | Digits | Fraction, 'e' | 'E') => E,
            (E, '+' | '-') => Sign,
            (E | Sign | Exponent, '0'..='9') => Exponent,
            (Zero | Digits | Fraction | Exponent, _) => {
                if self.levels.is_empty() {
                    return Step::Over;
                }
                self.state = After;
                return self.push(c);
            }
            (Word(rest), _) if rest.starts_with(c) => match &rest[1..] {
                "" => return self.ended(false),
                rest => Word(rest),
            },
            _ => return Step::Bad,
        };
        Step::More
    }

    /// A value or a key has ended.
    fn ended(&mut self, key: bool) -> Step {
        self.state = if key { State::Colon } else { State::After };
        if self.levels.is_empty() { Step::End } else { Step::More }
    }

    fn close(&mut self, c: char) -> Step {
        if self.levels.pop() == Some(c == '}') { self.ended(false) } else { Step::Bad }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// How a text is taken: all but the last character has to be more of it.
    fn takes(text: &str) -> bool {
        let mut scanner = JsonScanner::new();
        let mut ended = false;
        for c in text.chars() {
            match scanner.push(c) {
                _ if ended => return false,
                Step::More => {}
                Step::End => ended = true,
                Step::Over | Step::Bad => return false,
            }
        }
        // A number ends with what comes after it.
        ended || scanner.push(' ') == Step::Over
    }

    #[test]
    fn values_end_where_they_end() {
        for good in [
            "{}",
            "[ ]",
            r#"{"a": [1, -2.5e+3, true, null], "b\"\u00e9": {"c": ""}}"#,
            "12",
            "0",
            "\"x\"",
            "false",
        ] {
            assert!(takes(good), "{good}");
        }
        for bad in [
            "{a: 1}",
            "[1,]",
            "{,}",
            "01",
            "1.",
            "-",
            "\"a\nb\"",
            r#""\x""#,
            "nul",
            "}",
            "[}",
            "{\"a\" 1}",
            "1e",
            "{\"a\":1,}",
        ] {
            assert!(!takes(bad), "{bad}");
        }
        let mut scanner = JsonScanner::new();
        assert!((0..DEEPEST).all(|_| scanner.push('[') == Step::More));
        assert_eq!(scanner.push('['), Step::Bad);
    }

    proptest! {
        /// Against serde_json, which reads whole values.
        #[test]
        fn what_is_json_is_what_serde_says(text in r#"([\[\]{}:,"\\ 01.e+-]|true|null|"a"){0,9}"#) {
            let text = text.trim();
            let is_json = serde_json::from_str::<Value>(text).is_ok_and(|_| !text.is_empty());
            // Numbers that are too large for it.
            let large = serde_json::from_str::<Value>(text).is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert_eq!(takes(text), is_json || large, "{}", text);
        }
    }
}
