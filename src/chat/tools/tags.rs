//! Calls in tags: `<function=NAME><parameter=NAME>VALUE</parameter></function>`.

use serde_json::Value;

use super::Tool;
use super::sink::{Sink, Status, is_name};

const FUNCTION: &str = "<function=";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";
const FUNCTION_END: &str = "</function>";
/// The most bytes of a name in a tag.
const LONGEST: usize = 512;

/// Reads what follows a marker. A parameter is given on when it has come as a whole.
#[derive(Clone, Debug)]
pub struct TagCalls {
    place: Place,
    function: String,
    /// Parameters that have come.
    count: usize,
    any: bool,
}

#[derive(Clone, Debug)]
enum Place {
    /// Before a function's tag.
    Start,
    /// In a function's name.
    Name,
    /// Before a parameter, or the end.
    Parameters,
    /// In a parameter's name.
    Key,
    /// In the value of a parameter; so many bytes of it hold no end.
    Value(String, usize),
}

/// What comes next.
enum Next {
    This(usize),
    Wait,
    Other,
}

/// Whether `tag` comes next after white space, and where it ends.
fn next(text: &str, tag: &str) -> Next {
    let start = text.trim_start();
    if start.starts_with(tag) {
        Next::This(text.len() - start.len() + tag.len())
    } else if tag.starts_with(start) {
        Next::Wait
    } else {
        Next::Other
    }
}

impl TagCalls {
    /// `marker` is what came before.
    pub fn new(marker: &str) -> Self {
        let place = if marker == FUNCTION { Place::Name } else { Place::Start };
        Self { place, function: String::new(), count: 0, any: false }
    }

    /// Whether a text may end here.
    pub fn is_between(&self) -> bool {
        self.any && matches!(self.place, Place::Start)
    }

    pub fn feed(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        let mut at = 0;
        loop {
            let (used, status) = self.step(&text[at..], sink);
            at += used;
            if let Some(status) = status {
                return (at, status);
            }
        }
    }

    /// One step; no status means that there may be another.
    fn step(&mut self, text: &str, sink: &mut Sink) -> (usize, Option<Status>) {
        match &mut self.place {
            Place::Start => match next(text, FUNCTION) {
                Next::This(end) => {
                    self.place = Place::Name;
                    (end, None)
                }
                Next::Wait => (0, Some(Status::More)),
                Next::Other => (0, Some(if self.any { Status::Done } else { Status::Bad })),
            },
            Place::Name => match name(text) {
                Ok(Some((name, end))) => {
                    name.clone_into(&mut self.function);
                    sink.begin(name, None);
                    (self.place, self.count) = (Place::Parameters, 0);
                    (end, None)
                }
                Ok(None) => (0, Some(Status::More)),
                Err(()) => (0, Some(Status::Bad)),
            },
            Place::Parameters => match (next(text, PARAMETER), next(text, FUNCTION_END)) {
                (Next::This(end), _) => {
                    self.place = Place::Key;
                    (end, None)
                }
                (_, Next::This(end)) => {
                    sink.arguments(if self.count == 0 { "{}" } else { "}" });
                    (self.place, self.any) = (Place::Start, true);
                    let status = if sink.end() { Status::CallEnd } else { Status::Bad };
                    (end, Some(status))
                }
                (Next::Wait, _) | (_, Next::Wait) => (0, Some(Status::More)),
                _ => (0, Some(Status::Bad)),
            },
            Place::Key => match name(text) {
                Ok(Some((key, end))) => {
                    self.place = Place::Value(key.to_owned(), 0);
                    (end, None)
                }
                Ok(None) => (0, Some(Status::More)),
                Err(()) => (0, Some(Status::Bad)),
            },
            Place::Value(key, searched) => {
                let Some(at) = text[*searched..].find(PARAMETER_END).map(|at| *searched + at) else {
                    let mut far = text.len().saturating_sub(PARAMETER_END.len());
                    while !text.is_char_boundary(far) {
                        far -= 1;
                    }
                    *searched = far.max(*searched);
                    return (0, Some(Status::More));
                };
                let end = at + PARAMETER_END.len();
                // A value may contain what looks like its end.
                match (next(&text[end..], PARAMETER), next(&text[end..], FUNCTION_END)) {
                    (Next::This(_), _) | (_, Next::This(_)) => {}
                    (Next::Wait, _) | (_, Next::Wait) => {
                        *searched = at;
                        return (0, Some(Status::More));
                    }
                    _ => {
                        *searched = end;
                        return (0, None);
                    }
                }
                let (value, key) =
                    (value(&text[..at], sink.tool(&self.function), key), Value::from(key.as_str()));
                let before = if self.count == 0 { "{" } else { ", " };
                sink.arguments(&format!("{before}{key}: {value}"));
                self.count += 1;
                self.place = Place::Parameters;
                (end, None)
            }
        }
    }
}

/// A name up to the end of its tag, and where that is.
fn name(text: &str) -> Result<Option<(&str, usize)>, ()> {
    match text.find('>') {
        Some(at) => {
            let name = text[..at].trim().trim_matches(['"', '\'']);
            if is_name(name) { Ok(Some((name, at + 1))) } else { Err(()) }
        }
        None if text.len() > LONGEST || text.contains('\n') => Err(()),
        None => Ok(None),
    }
}

/// A value by its schema: a text as it stands, all else as the JSON that it is.
fn value(text: &str, tool: Option<&Tool>, key: &str) -> Value {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    if tool.is_some_and(|tool| tool.is_text(key)) {
        return text.into();
    }
    match text.trim() {
        "True" => true.into(),
        "False" => false.into(),
        "None" => Value::Null,
        trimmed => serde_json::from_str(trimmed).unwrap_or_else(|_| text.into()),
    }
}
