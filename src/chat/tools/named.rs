//! Mistral's calls: `NAME[ARGS]{...}`, with `[CALL_ID]ID` in between in some; in older models a list of JSON.

use super::json_calls::{JsonCalls, push};
use super::json_scanner::{JsonScanner, Step};
use super::sink::{Sink, Status, is_name};

/// Before the arguments.
const ARGS: &str = "[ARGS]";
/// Before the id.
const CALL_ID: &str = "[CALL_ID]";
/// The most bytes before the arguments.
const LONGEST_HEAD: usize = 512;

/// Reads what follows a marker.
#[derive(Clone, Debug)]
pub enum NamedCall {
    /// Nothing or a part of the name has come.
    Head,
    /// In older models' form.
    Json(JsonCalls),
    Arguments(JsonScanner),
    Ended,
}

impl NamedCall {
    pub fn feed(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        match self {
            Self::Head => {
                let (used, status) = self.head(text, sink);
                if matches!(self, Self::Head) {
                    return (used, status);
                }
                let (more, status) = self.feed(&text[used..], sink);
                (used + more, status)
            }
            Self::Json(calls) => calls.feed(text, sink),
            Self::Arguments(scanner) => {
                let mut good = String::new();
                for (at, c) in text.char_indices() {
                    match push(scanner, c, &mut good) {
                        Step::More => {}
                        Step::End => {
                            sink.arguments(&good);
                            *self = Self::Ended;
                            let status = if sink.end() { Status::CallEnd } else { Status::Bad };
                            return (at + c.len_utf8(), status);
                        }
                        Step::Over | Step::Bad => {
                            sink.arguments(&good);
                            return (at, Status::Bad);
                        }
                    }
                }
                sink.arguments(&good);
                (text.len(), Status::More)
            }
            Self::Ended => (0, Status::Done),
        }
    }

    /// Whether a text may end here.
    pub fn is_between(&self) -> bool {
        match self {
            Self::Json(calls) => calls.is_between(),
            other => matches!(other, Self::Ended),
        }
    }

    fn head(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        let start = text.trim_start();
        if start.starts_with(['[', '{']) {
            *self = Self::Json(JsonCalls::new(false));
            return (text.len() - start.len(), Status::More);
        }
        let Some(at) = start.find(['[', '{']) else {
            let name = start.trim_end();
            let bad = !name.is_empty() && !is_name(name) || start.len() > LONGEST_HEAD;
            return (0, if bad { Status::Bad } else { Status::More });
        };
        let (name, rest) = (start[..at].trim(), &start[at..]);
        if !is_name(name) {
            return (0, Status::Bad);
        }
        let (id, rest) = match rest.strip_prefix(CALL_ID) {
            Some(rest) => match rest.split_once(ARGS) {
                Some((id, rest)) => (Some(id.trim()), rest),
                None if rest.len() > LONGEST_HEAD => return (0, Status::Bad),
                None => return (0, Status::More),
            },
            None if rest.starts_with('{') => (None, rest),
            None => match rest.strip_prefix(ARGS) {
                Some(rest) => (None, rest),
                None if ARGS.starts_with(rest) || CALL_ID.starts_with(rest) => return (0, Status::More),
                None => return (0, Status::Bad),
            },
        };
        let arguments = rest.trim_start();
        match arguments.chars().next() {
            None => (0, Status::More),
            Some('{') => {
                sink.begin(name, id);
                *self = Self::Arguments(JsonScanner::new());
                (text.len() - arguments.len(), Status::More)
            }
            Some(_) => (0, Status::Bad),
        }
    }
}
