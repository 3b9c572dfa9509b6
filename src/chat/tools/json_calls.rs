//! Calls as objects of JSON: `{"name": ..., "arguments": {...}}`, alone, one after the other, or in a list.

use super::json_scanner::{JsonScanner, Step};
use super::sink::{Sink, Status, is_name};

/// Reads calls as their text comes. Arguments are given on as they come; all else is small.
#[derive(Clone, Debug)]
pub struct JsonCalls {
    /// Without a marker before it: only what can be nothing else counts as a call.
    bare: bool,
    list: bool,
    place: Place,
    call: Call,
    any: bool,
}

/// What is known of the call in progress.
#[derive(Clone, Debug, Default)]
struct Call {
    name: Option<String>,
    id: Option<String>,
    /// Arguments that came before the name, or that are a text.
    arguments: Option<String>,
    begun: bool,
}

#[derive(Clone, Debug)]
enum Place {
    /// Before the first call.
    Start,
    /// Before a call in a list.
    Item,
    /// Before the first key, or the end.
    FirstKey,
    Key,
    Colon(Field),
    Value(Field),
    /// In a key or a value that is wanted as a whole.
    Collect(Option<Field>, JsonScanner, String),
    /// In arguments that are given on.
    Arguments(JsonScanner),
    AfterValue,
    AfterCall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    Id,
    Other,
}

impl Field {
    fn of(key: &str) -> Self {
        match key {
            "name" | "tool_name" => Self::Name,
            "arguments" | "parameters" => Self::Arguments,
            "id" | "tool_call_id" => Self::Id,
            _ => Self::Other,
        }
    }
}

/// What one character does.
enum Took {
    Yes,
    /// It belongs to what comes after.
    No,
    Ended(Status),
    /// The same, and the character belongs to what comes after.
    EndedBefore(Status),
}

impl JsonCalls {
    pub fn new(bare: bool) -> Self {
        Self { bare, list: false, place: Place::Start, call: Call::default(), any: false }
    }

    /// Takes what it can of `text`, and says how many bytes that was.
    pub fn feed(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        for (at, c) in text.char_indices() {
            loop {
                match self.take(c, sink) {
                    Took::Yes => break,
                    Took::No => {}
                    Took::Ended(status) => return (at + c.len_utf8(), status),
                    Took::EndedBefore(status) => return (at, status),
                }
            }
        }
        (text.len(), Status::More)
    }

    /// Whether a text may end here.
    pub fn is_between(&self) -> bool {
        self.any && matches!(self.place, Place::AfterCall | Place::Item)
    }

    fn take(&mut self, c: char, sink: &mut Sink) -> Took {
        let space = matches!(c, ' ' | '\n' | '\r' | '\t');
        let next = match (&mut self.place, c) {
            (Place::Collect(field, scanner, text), _) => {
                let step = push(scanner, c, text);
                let field = *field;
                match step {
                    Step::More => return Took::Yes,
                    Step::Bad => return Took::Ended(Status::Bad),
                    Step::End | Step::Over => {
                        let text = std::mem::take(text);
                        match self.collected(field, text, sink) {
                            Some(place) => self.place = place,
                            None => return Took::Ended(Status::Bad),
                        }
                        return if step == Step::Over { Took::No } else { Took::Yes };
                    }
                }
            }
            (Place::Arguments(scanner), _) => {
                let mut text = String::new();
                let step = push(scanner, c, &mut text);
                if step == Step::Bad {
                    return Took::Ended(Status::Bad);
                }
                sink.arguments(&text);
                if step == Step::More {
                    return Took::Yes;
                }
                Place::AfterValue
            }
            (_, _) if space => return Took::Yes,
            (Place::Start, '[') => {
                self.list = true;
                Place::Item
            }
            (Place::Start | Place::Item, '{') => Place::FirstKey,
            (Place::Item, ']') if self.any => return Took::Ended(Status::Done),
            (Place::FirstKey | Place::Key, '"') => {
                let mut scanner = JsonScanner::new();
                let mut text = String::new();
                push(&mut scanner, c, &mut text);
                Place::Collect(None, scanner, text)
            }
            (Place::Colon(field), ':') => Place::Value(*field),
            (Place::Value(field), _) => {
                let field = *field;
                match self.value(field, c, sink) {
                    Some(place) => place,
                    None => return Took::Ended(Status::Bad),
                }
            }
            (Place::AfterValue, ',') => Place::Key,
            (Place::AfterValue, '}') => {
                if !self.end(sink) {
                    return Took::Ended(Status::Bad);
                }
                self.place = Place::AfterCall;
                return Took::Ended(Status::CallEnd);
            }
            (Place::AfterCall, ',') if self.list => Place::Item,
            (Place::AfterCall, ']') if self.list => return Took::Ended(Status::Done),
            (Place::AfterCall, ';') if self.bare && !self.list => Place::AfterCall,
            (Place::AfterCall, '{') if !self.list => Place::FirstKey,
            (Place::AfterCall, _) => return Took::EndedBefore(Status::Done),
            _ => return Took::Ended(Status::Bad),
        };
        self.place = next;
        Took::Yes
    }

    /// A value begins; `None` if it is not one that a call has.
    fn value(&mut self, field: Field, c: char, sink: &mut Sink) -> Option<Place> {
        let mut scanner = JsonScanner::new();
        let mut text = String::new();
        if push(&mut scanner, c, &mut text) == Step::Bad {
            return None;
        }
        match field {
            Field::Name if c != '"' => None,
            Field::Arguments if c == '{' && self.call.name.is_some() && !self.call.begun => {
                self.begin(sink);
                sink.arguments("{");
                Some(Place::Arguments(scanner))
            }
            Field::Arguments if self.call.begun => None,
            _ => Some(Place::Collect(Some(field), scanner, text)),
        }
    }

    /// A key or a value has come; `None` if it is not one that a call has.
    fn collected(&mut self, field: Option<Field>, text: String, sink: &Sink) -> Option<Place> {
        let string = || serde_json::from_str::<String>(&text).ok();
        match field {
            None => {
                let key = string()?;
                let field = Field::of(&key);
                if self.bare && field == Field::Other && key != "type" {
                    return None;
                }
                return Some(Place::Colon(field));
            }
            Some(Field::Name) => {
                let name = string()?;
                let known = !self.bare || sink.tool(&name).is_some();
                if self.call.name.is_some() || !is_name(&name) || !known {
                    return None;
                }
                self.call.name = Some(name);
            }
            // Ids that are numbers are left out.
            Some(Field::Id) => self.call.id = string(),
            Some(Field::Arguments) => {
                self.call.arguments = Some(match text.trim() {
                    "null" => "{}".to_owned(),
                    text if text.starts_with('{') => text.to_owned(),
                    // An object that was written as a text.
                    _ => string().filter(|text| text.trim_start().starts_with('{'))?,
                });
            }
            Some(Field::Other) => {}
        }
        Some(Place::AfterValue)
    }

    fn begin(&mut self, sink: &mut Sink) {
        self.call.begun = true;
        sink.begin(self.call.name.as_deref().unwrap_or_default(), self.call.id.as_deref());
    }

    /// The object has ended; false if it is no call.
    fn end(&mut self, sink: &mut Sink) -> bool {
        if self.call.name.is_none() {
            return false;
        }
        // A name alone may be anything's.
        if self.bare && !self.call.begun && self.call.arguments.is_none() {
            return false;
        }
        if !self.call.begun {
            self.begin(sink);
            let arguments = self.call.arguments.take();
            sink.arguments(arguments.as_deref().unwrap_or("{}"));
        }
        self.call = Call::default();
        self.any = true;
        sink.end()
    }
}

/// A character of a value, which `text` gets. Line breaks in texts, which JSON does not have, are written as it has them.
pub fn push(scanner: &mut JsonScanner, c: char, text: &mut String) -> Step {
    if scanner.is_in_text() && c < ' ' {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            _ => text.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
        return Step::More;
    }
    let step = scanner.push(c);
    if matches!(step, Step::More | Step::End) {
        text.push(c);
    }
    step
}
