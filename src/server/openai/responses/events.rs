//! A response as a stream of events.

use serde_json::{Value, json};

use super::super::set;
use super::output::{Head, Kind, part, status};
use crate::server::answer::{CallPart, End, Step};
use crate::server::dialect::Dialect;
use crate::server::llama_fields::Extras;
use crate::server::refusal::Refusal;
use crate::server::stream::{Out, Writer};
use crate::server::timings::{self, Progress};

pub(super) struct Events {
    head: Head,
    progress: Progress,
    /// The times so far, which go with the next piece.
    timings: Option<Value>,
    /// Events that were sent.
    sent: u64,
    begun: bool,
    /// The item that is being written, and its text.
    open: Option<(Kind, String)>,
    /// The number of the call that it is.
    call: usize,
    /// Items that have begun.
    count: usize,
    /// Items that have ended.
    items: Vec<Value>,
}

impl Events {
    pub fn new(head: Head, wanted: &Extras) -> Self {
        let progress = Progress::new(wanted);
        Self {
            head,
            progress,
            timings: None,
            sent: 0,
            begun: false,
            open: None,
            call: 0,
            count: 0,
            items: Vec::new(),
        }
    }

    fn send(&mut self, name: &str, mut value: Value, out: &mut Out) {
        set(&mut value, "type", json!(name));
        set(&mut value, "sequence_number", json!(self.sent));
        self.sent += 1;
        out.event(name, &value);
    }

    fn begin(&mut self, out: &mut Out) {
        if !std::mem::replace(&mut self.begun, true) {
            for name in ["response.created", "response.in_progress"] {
                let response = self.head.response(&[], None);
                self.send(name, json!({ "response": response }), out);
            }
        }
    }

    /// Where the item that is being written stands.
    fn place(&self, kind: &Kind) -> Value {
        let index = self.count - 1;
        json!({ "item_id": self.head.item_id(kind, index), "output_index": index })
    }

    /// The same, of its only part of content.
    fn content(&self, kind: &Kind) -> Value {
        let mut place = self.place(kind);
        set(&mut place, "content_index", json!(0));
        place
    }

    fn open(&mut self, kind: Kind, out: &mut Out) {
        self.close("completed", out);
        let item = self.head.item(&kind, self.count, "", "in_progress");
        self.count += 1;
        self.send("response.output_item.added", json!({ "output_index": self.count - 1, "item": item }), out);
        if !matches!(kind, Kind::Call { .. }) {
            let mut value = self.content(&kind);
            set(&mut value, "part", part(&kind, ""));
            self.send("response.content_part.added", value, out);
        }
        self.open = Some((kind, String::new()));
    }

    fn add(&mut self, text: &str, out: &mut Out) {
        let Some((kind, mut all)) = self.open.take() else { return };
        all.push_str(text);
        let (name, mut value) = match kind {
            Kind::Reasoning => ("response.reasoning_text.delta", self.content(&kind)),
            Kind::Text => ("response.output_text.delta", self.content(&kind)),
            Kind::Call { .. } => ("response.function_call_arguments.delta", self.place(&kind)),
        };
        set(&mut value, "delta", json!(text));
        if kind == Kind::Text {
            set(&mut value, "logprobs", json!([]));
        }
        if let Some(timings) = self.timings.take() {
            set(&mut value, "timings", timings);
        }
        self.send(name, value, out);
        self.open = Some((kind, all));
    }

    /// Ends the item that is being written.
    fn close(&mut self, status: &str, out: &mut Out) {
        let Some((kind, text)) = self.open.take() else { return };
        let (name, mut value) = match kind {
            Kind::Reasoning => ("response.reasoning_text.done", self.content(&kind)),
            Kind::Text => ("response.output_text.done", self.content(&kind)),
            Kind::Call { .. } => ("response.function_call_arguments.done", self.place(&kind)),
        };
        match &kind {
            Kind::Call { name, .. } => {
                set(&mut value, "arguments", json!(text));
                set(&mut value, "name", json!(name));
            }
            _ => set(&mut value, "text", json!(text)),
        }
        if kind == Kind::Text {
            set(&mut value, "logprobs", json!([]));
        }
        self.send(name, value, out);
        if !matches!(kind, Kind::Call { .. }) {
            let mut value = self.content(&kind);
            set(&mut value, "part", part(&kind, &text));
            self.send("response.content_part.done", value, out);
        }
        let index = self.count - 1;
        let item = self.head.item(&kind, index, &text, status);
        self.send("response.output_item.done", json!({ "output_index": index, "item": item }), out);
        self.items.push(item);
    }

    fn say(&mut self, kind: Kind, text: &str, out: &mut Out) {
        if text.is_empty() {
            return;
        }
        if self.open.as_ref().map(|(open, _)| open) != Some(&kind) {
            self.open(kind, out);
        }
        self.add(text, out);
    }

    fn call(&mut self, part: &CallPart, out: &mut Out) {
        if part.begins.is_some() {
            self.open(Kind::of_call(part), out);
            self.call = part.index;
        }
        let is_this = matches!(self.open, Some((Kind::Call { .. }, _))) && self.call == part.index;
        if is_this && !part.arguments.is_empty() {
            self.add(&part.arguments, out);
        }
        // What has been sent of it stays as it is.
        if is_this && part.broken.is_some() {
            self.close("incomplete", out);
        }
    }

    fn last(&mut self, end: &End, out: &mut Out) {
        self.begin(out);
        if self.count == 0 {
            self.open(Kind::Text, out);
        }
        let status = status(end);
        self.close(status, out);
        let mut value = json!({ "response": self.head.response(&self.items, Some(end)) });
        set(&mut value, "timings", timings::json(end));
        self.send(&format!("response.{status}"), value, out);
    }

    fn fail(&mut self, refusal: &Refusal, out: &mut Out) {
        let error = Dialect::OpenAi.error(refusal);
        let of = |name: &str| error["error"][name].clone();
        let value = json!({ "code": of("type"), "message": of("message"), "param": of("param") });
        self.send("error", value, out);
    }
}

impl Writer for Events {
    fn write(&mut self, _index: usize, step: Step, out: &mut Out) {
        match step {
            Step::Begun { prompt, cached } => {
                self.begin(out);
                self.progress.begin(prompt, cached);
            }
            Step::Progress { done } => {
                if let Some(progress) = self.progress.at(done) {
                    let response = self.head.response(&[], None);
                    let value = json!({ "response": response, "prompt_progress": progress });
                    self.send("response.in_progress", value, out);
                }
            }
            Step::Piece(piece) => {
                self.begin(out);
                self.timings = self.progress.after(&piece);
                self.say(Kind::Reasoning, &piece.reasoning, out);
                self.say(Kind::Text, &piece.text, out);
                for part in &piece.calls {
                    self.call(part, out);
                }
            }
            Step::End(end) => self.last(&end, out),
            Step::Failed(refusal) => self.fail(&refusal, out),
        }
    }
}
