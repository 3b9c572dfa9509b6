//! Calls as they are found, in whichever form.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Tool, ToolEvent};

/// Where a form's reader has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It needs more text.
    More,
    /// A call has ended; there may be others.
    CallEnd,
    /// There are no more calls here.
    Done,
    /// This is no call.
    Bad,
}

/// Collects what is found.
#[derive(Clone, Debug)]
pub struct Sink {
    pub tools: Arc<[Tool]>,
    events: Vec<ToolEvent>,
    /// Calls that have begun.
    count: usize,
    /// The arguments of the call in progress.
    open: Option<String>,
    seed: u64,
    short_ids: bool,
}

/// The most characters of a function's name.
const LONGEST_NAME: usize = 256;

/// Whether this may be the name of a function.
pub fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(good)
}

impl Sink {
    pub fn new(tools: Arc<[Tool]>, seed: u64, short_ids: bool) -> Self {
        Self { tools, events: Vec::new(), count: 0, open: None, seed, short_ids }
    }

    /// The function of this name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub fn begin(&mut self, name: &str, id: Option<&str>) {
        let index = self.count;
        self.count += 1;
        let id = match id.filter(|id| is_name(id) && (!self.short_ids || is_short_id(id))) {
            Some(id) => id.to_owned(),
            None => new_id(self.seed, index, self.short_ids),
        };
        self.open = Some(String::new());
        self.events.push(ToolEvent::Begun { index, id, name: name.to_owned() });
    }

    pub fn arguments(&mut self, delta: &str) {
        let Some(open) = &mut self.open else { return };
        open.push_str(delta);
        let current = self.count - 1;
        match self.events.last_mut() {
            Some(ToolEvent::Arguments { index, delta: before }) if *index == current => {
                before.push_str(delta)
            }
            _ => self.events.push(ToolEvent::Arguments { index: current, delta: delta.to_owned() }),
        }
    }

    /// The call in progress is complete; false if its arguments are no object.
    pub fn end(&mut self) -> bool {
        let Some(open) = &self.open else { return false };
        let good = serde_json::from_str::<Map<String, Value>>(open).is_ok();
        if good {
            self.open = None;
        }
        good
    }

    /// A whole call.
    pub fn call(&mut self, name: &str, id: Option<&str>, arguments: &Map<String, Value>) {
        self.begin(name, id);
        self.arguments(&Value::Object(arguments.clone()).to_string());
        self.open = None;
    }

    /// The call in progress is none.
    pub fn broken(&mut self, raw: String) {
        if self.open.take().is_some() {
            self.events.push(ToolEvent::Broken { index: self.count - 1, raw });
        }
    }

    pub fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.events.last_mut() {
            Some(ToolEvent::Text(before)) => before.push_str(text),
            _ => self.events.push(ToolEvent::Text(text.to_owned())),
        }
    }

    pub fn reasoning(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.events.last_mut() {
            Some(ToolEvent::Reasoning(before)) => before.push_str(text),
            _ => self.events.push(ToolEvent::Reasoning(text.to_owned())),
        }
    }

    pub fn take(&mut self) -> Vec<ToolEvent> {
        std::mem::take(&mut self.events)
    }
}

/// Nine letters or digits, as Mistral's templates want them.
pub fn is_short_id(id: &str) -> bool {
    id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The id of call `index` of an answer.
fn new_id(seed: u64, index: usize, short: bool) -> String {
    let letters = |salt: u64| short_id(&(seed, index, salt));
    if short { letters(0) } else { format!("call_{}{}", letters(0), letters(1)) }
}

/// Nine letters and digits that stand for something.
pub fn short_id(what: &impl Hash) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut id = String::new();
    for _ in 0..9 {
        id.push(char::from(LETTERS[(rest % 62) as usize]));
        rest /= 62;
    }
    id
}
