//! Calls in an answer, found as it comes.

use std::sync::Arc;

use super::form::Writing;
use super::gemma::GemmaCall;
use super::harmony::Messages;
use super::json_calls::JsonCalls;
use super::named::NamedCall;
use super::python::PythonCalls;
use super::sink::{Sink, Status};
use super::tags::TagCalls;
use super::{Form, Tool, ToolEvent};
use crate::core::overlap;

/// Takes an answer apart into text and calls, wherever it is cut: the events say the same for all pieces.
///
/// What could be the beginning of a call is held back until it is one, and comes out as text if it is none. White space
/// around calls is left out.
#[derive(Clone, Debug)]
pub struct ToolParser {
    form: &'static Form,
    place: Place,
    held: String,
    /// What the model wrote since the last thing that was certain: white space, marker, a part of a call.
    raw: String,
    /// How much of that is the marker, and white space before it.
    marked: usize,
    sink: Sink,
    /// Calls that may still come.
    left: usize,
    messages: Messages,
}

#[derive(Clone, Debug)]
enum Place {
    /// Nothing but white space came.
    Start,
    Text,
    Call(Body),
    /// After calls, and white space.
    After,
    /// After the last call that is wanted.
    Over,
}

/// What stands between the markers.
#[derive(Clone, Debug)]
enum Body {
    Json(JsonCalls),
    Named(NamedCall),
    Tags(TagCalls),
    Gemma(GemmaCall),
    Python(PythonCalls),
}

impl Body {
    fn new(writing: Writing, marker: &str) -> Self {
        match writing {
            Writing::Json | Writing::BareJson | Writing::Harmony => {
                Self::Json(JsonCalls::new(marker.is_empty()))
            }
            Writing::Named => Self::Named(NamedCall::Head),
            Writing::Tags => Self::Tags(TagCalls::new(marker)),
            Writing::Gemma => Self::Gemma(GemmaCall::default()),
            Writing::Python => Self::Python(PythonCalls::default()),
        }
    }

    fn feed(&mut self, text: &str, sink: &mut Sink) -> (usize, Status) {
        match self {
            Self::Json(body) => body.feed(text, sink),
            Self::Named(body) => body.feed(text, sink),
            Self::Tags(body) => body.feed(text, sink),
            Self::Gemma(body) => body.feed(text, sink),
            Self::Python(body) => body.feed(text, sink),
        }
    }

    fn is_between(&self) -> bool {
        match self {
            Self::Json(body) => body.is_between(),
            Self::Named(body) => body.is_between(),
            Self::Tags(body) => body.is_between(),
            Self::Gemma(body) => body.is_between(),
            Self::Python(body) => body.is_between(),
        }
    }
}

impl ToolParser {
    /// Reads calls of `tools`, `most` of them at most; what comes after those is left out. Ids of calls depend on `seed`.
    pub fn new(form: &'static Form, tools: Arc<[Tool]>, most: usize, seed: u64) -> Self {
        Self {
            form,
            place: Place::Start,
            held: String::new(),
            raw: String::new(),
            marked: 0,
            sink: Sink::new(tools, seed, form.short_ids),
            left: most,
            messages: Messages::new(),
        }
    }

    /// Takes the next piece, and gives what is now certain.
    pub fn push(&mut self, piece: &str) -> Vec<ToolEvent> {
        if self.form.writing == Writing::Harmony {
            let mut piece = piece;
            while self.left > 0 && self.messages.push(piece, &mut self.sink) {
                self.left -= 1;
                piece = "";
            }
        } else {
            self.held.push_str(piece);
            while self.step() {}
        }
        self.sink.take()
    }

    /// What was held back, when no more text comes.
    pub fn finish(&mut self) -> Vec<ToolEvent> {
        if self.form.writing == Writing::Harmony {
            if self.left > 0 {
                self.messages.finish(&mut self.sink);
            }
            return self.sink.take();
        }
        let held = std::mem::take(&mut self.held);
        let raw = std::mem::take(&mut self.raw) + &held;
        match std::mem::replace(&mut self.place, Place::Over) {
            Place::Start | Place::Text => self.sink.text(&held),
            Place::Call(_) if self.sink.is_open() => self.sink.broken(raw),
            Place::Call(body) if body.is_between() && raw.trim().is_empty() => {}
            Place::Call(_) => self.sink.text(&raw),
            // The end of a marker may be missing.
            Place::After if self.form.close.starts_with(&held) => {}
            Place::After => self.sink.text(&held),
            Place::Over => {}
        }
        self.sink.take()
    }

    /// One step from place to place; false where it has to wait for more.
    fn step(&mut self) -> bool {
        match &mut self.place {
            Place::Start => {
                let text = self.held.trim_start();
                if text.is_empty() {
                    return false;
                }
                if self.form.is_bare() && text.starts_with('{') {
                    let space = self.held.len() - text.len();
                    self.begin(0..space, "");
                } else {
                    self.place = Place::Text;
                }
            }
            Place::Text => return self.look_for_marker(),
            Place::Call(body) => {
                let (used, status) = body.feed(&self.held, &mut self.sink);
                self.raw.extend(self.held.drain(..used));
                match status {
                    Status::More => return false,
                    Status::CallEnd => {
                        self.raw.clear();
                        self.marked = 0;
                        self.left = self.left.saturating_sub(1);
                        if self.left == 0 {
                            self.place = Place::Over;
                        }
                    }
                    Status::Done => {
                        self.raw.clear();
                        self.place = Place::After;
                    }
                    Status::Bad => self.fail(),
                }
            }
            Place::After => return self.after(),
            Place::Over => {
                self.held.clear();
                return false;
            }
        }
        true
    }

    /// A call may begin: what stands in `marker` begins it, with white space before.
    fn begin(&mut self, range: std::ops::Range<usize>, marker: &'static str) {
        self.raw = self.held.drain(range).collect();
        self.marked = if marker.is_empty() { 0 } else { self.raw.len() };
        self.place = Place::Call(Body::new(self.form.writing, marker));
    }

    fn look_for_marker(&mut self) -> bool {
        let open = self.form.open;
        let found = open.iter().filter_map(|marker| Some((self.held.find(marker)?, *marker))).min();
        let end = match found {
            Some((at, _)) => at,
            None => {
                let keep = open.iter().map(|marker| overlap(&self.held, marker)).max();
                self.held.len() - keep.unwrap_or(0)
            }
        };
        let certain = self.held[..end].trim_end().len();
        let text: String = self.held.drain(..certain).collect();
        self.sink.text(&text);
        let Some((at, marker)) = found else { return false };
        self.begin(0..at - certain + marker.len(), marker);
        true
    }

    fn after(&mut self) -> bool {
        let space = self.held.len() - self.held.trim_start().len();
        self.held.drain(..space);
        let close = self.form.close;
        let held = self.held.as_str();
        if held.is_empty() {
            return false;
        }
        if !close.is_empty() && held.starts_with(close) {
            self.held.drain(..close.len());
            return true;
        }
        let is_open = self.form.open.iter().any(|marker| held.starts_with(marker));
        let may = |marker: &&str| marker.starts_with(held);
        if !is_open && (may(&close) || self.form.open.iter().any(may)) {
            return false;
        }
        self.place = Place::Text;
        true
    }

    /// What had begun is no call.
    fn fail(&mut self) {
        let raw = std::mem::take(&mut self.raw);
        self.place = Place::Text;
        if self.sink.is_open() {
            self.sink.broken(raw);
        } else {
            // The marker is text. After it there may be another one.
            self.sink.text(&raw[..self.marked]);
            self.held.insert_str(0, &raw[self.marked..]);
        }
        self.marked = 0;
    }
}
