//! GPT-OSS's messages: `<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}<|call|>`.

use super::json_calls::push;
use super::json_scanner::{JsonScanner, Step};
use super::sink::{Sink, Status, is_name};
use crate::core::overlap;

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
/// What ends a message.
const ENDS: [&str; 3] = ["<|end|>", "<|call|>", "<|return|>"];
/// The most bytes of a message's head.
const LONGEST_HEAD: usize = 512;

/// Takes messages apart, after a first one of reasoning.
#[derive(Clone, Debug)]
pub struct Messages {
    place: Place,
    held: String,
    /// What the model wrote of a call, or of a message's head.
    raw: String,
}

#[derive(Clone, Debug)]
enum Place {
    /// Nothing has come.
    Start,
    /// In what is said to the user, or to itself.
    Say { reasoning: bool },
    /// Before the text of a message.
    Head,
    /// In a call's arguments; before them there is the function's name.
    Arguments(Option<String>, JsonScanner),
}

impl Messages {
    pub fn new() -> Self {
        Self { place: Place::Start, held: String::new(), raw: String::new() }
    }

    /// Takes more text; true when a call has ended, and there may be more to do.
    pub fn push(&mut self, piece: &str, sink: &mut Sink) -> bool {
        self.held.push_str(piece);
        loop {
            match self.step(sink) {
                Status::More => return false,
                Status::CallEnd => return true,
                Status::Done | Status::Bad => {}
            }
        }
    }

    pub fn finish(&mut self, sink: &mut Sink) {
        let held = std::mem::take(&mut self.held);
        let raw = std::mem::take(&mut self.raw) + &held;
        match std::mem::replace(&mut self.place, Place::Say { reasoning: false }) {
            Place::Say { reasoning: true } => sink.reasoning(&held),
            Place::Start | Place::Say { .. } => sink.text(&held),
            // The token that ends a call ends the text.
            Place::Arguments(Some(name), _) if held.trim().is_empty() => {
                sink.begin(&name, None);
                sink.arguments("{}");
                sink.end();
            }
            Place::Arguments(None, _) => sink.broken(raw),
            Place::Head | Place::Arguments(..) => sink.text(&raw),
        }
    }

    /// One step; `More` where it has to wait, `Done` where there is more to do.
    fn step(&mut self, sink: &mut Sink) -> Status {
        match &mut self.place {
            Place::Start => {
                let text = self.held.trim_start();
                if "to=".starts_with(text) {
                    return Status::More;
                }
                self.place =
                    if text.starts_with("to=") { Place::Head } else { Place::Say { reasoning: false } };
            }
            Place::Say { reasoning } => {
                let reasoning = *reasoning;
                let markers = || [START, CHANNEL].into_iter().chain(ENDS);
                let found = markers().filter_map(|marker| Some((self.held.find(marker)?, marker))).min();
                let end = match found {
                    Some((at, _)) => at,
                    None => {
                        let keep = markers().map(|marker| overlap(&self.held, marker)).max();
                        self.held.len() - keep.unwrap_or(0)
                    }
                };
                let text: String = self.held.drain(..end).collect();
                if reasoning {
                    sink.reasoning(&text);
                } else {
                    sink.text(&text);
                }
                match found {
                    None => return Status::More,
                    Some((_, marker)) if ENDS.contains(&marker) => {
                        self.held.drain(..marker.len());
                        self.place = Place::Say { reasoning: false };
                    }
                    Some(_) => self.place = Place::Head,
                }
            }
            Place::Head => {
                let Some(at) = self.held.find(MESSAGE) else {
                    if self.held.len() <= LONGEST_HEAD {
                        return Status::More;
                    }
                    return self.give_up(sink);
                };
                let head = self.held[..at].to_owned();
                let place = match head.split_once("to=functions.") {
                    Some((_, rest)) => {
                        let end = rest.find(|c: char| c.is_whitespace() || c == '<').unwrap_or(rest.len());
                        let name = &rest[..end];
                        if !is_name(name) {
                            return self.give_up(sink);
                        }
                        Place::Arguments(Some(name.to_owned()), JsonScanner::new())
                    }
                    None if head.contains("to=") || head.len() > LONGEST_HEAD => return self.give_up(sink),
                    None => Place::Say { reasoning: head.contains("<|channel|>analysis") },
                };
                self.raw = self.held.drain(..at + MESSAGE.len()).collect();
                self.place = place;
            }
            Place::Arguments(name, scanner) => {
                if let Some(waiting) = name {
                    let text = self.held.trim_start();
                    let is_empty = ENDS.iter().any(|end| text.starts_with(end));
                    if !is_empty && ENDS.iter().any(|end| end.starts_with(text)) {
                        return Status::More;
                    }
                    if !is_empty && !text.starts_with('{') {
                        self.held.insert_str(0, &std::mem::take(&mut self.raw));
                        return self.give_up(sink);
                    }
                    sink.begin(&std::mem::take(waiting), None);
                    *name = None;
                    if is_empty {
                        sink.arguments("{}");
                        sink.end();
                        self.place = Place::Say { reasoning: false };
                        return Status::CallEnd;
                    }
                }
                let mut good = String::new();
                for (at, c) in self.held.char_indices() {
                    let step = push(scanner, c, &mut good);
                    if step == Step::More {
                        continue;
                    }
                    let end = if step == Step::End { at + c.len_utf8() } else { at };
                    sink.arguments(good.trim_start());
                    self.raw.extend(self.held.drain(..end));
                    self.place = Place::Say { reasoning: false };
                    let raw = std::mem::take(&mut self.raw);
                    if step == Step::End && sink.end() {
                        return Status::CallEnd;
                    }
                    sink.broken(raw);
                    return Status::Bad;
                }
                sink.arguments(good.trim_start());
                self.raw.push_str(&self.held);
                self.held.clear();
                return Status::More;
            }
        }
        Status::Done
    }

    /// What began like a message is text; it may hold others after its first marker.
    fn give_up(&mut self, sink: &mut Sink) -> Status {
        let space = self.held.len() - self.held.trim_start().len();
        let text = &self.held[space..];
        let marker = [START, CHANNEL].into_iter().find(|marker| text.starts_with(marker));
        let end = space + marker.map_or_else(|| text.chars().next().map_or(0, char::len_utf8), str::len);
        sink.text(&self.held[..end]);
        self.held.drain(..end);
        self.place = Place::Say { reasoning: false };
        Status::Bad
    }
}
