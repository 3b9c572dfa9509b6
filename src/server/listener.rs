//! What the model's thread sends to HTTP about a text.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;

use super::answer::Event;
use super::log::Record;
use super::refusal::Refusal;
use super::state::Shared;
use crate::engine::{ChosenToken, EngineError, Observer, Outcome, Reader};

/// Sends what happens to a text, and measures it.
pub(super) struct Listener {
    pub events: UnboundedSender<Event>,
    pub shared: Arc<Shared>,
    /// Of the request, for the log.
    pub id: Arc<str>,
    pub asked: Instant,
    /// Whether a text comes, and no vector.
    pub is_text: bool,
    begun: Option<Instant>,
    /// When the last token came.
    last: Option<Instant>,
}

impl Listener {
    pub fn new(events: UnboundedSender<Event>, shared: Arc<Shared>, id: Arc<str>) -> Self {
        Self { events, shared, id, asked: Instant::now(), is_text: true, begun: None, last: None }
    }

    /// The text has no model any longer.
    pub fn refuse(&self, refusal: Refusal) {
        let _ = self.events.send(Event::Refused(refusal));
    }

    fn log(&self, outcome: &Result<Outcome, EngineError>) {
        let seconds = |time: Duration| json!((time.as_secs_f64() * 1e3).round() / 1e3);
        let mut fields = vec![("id", json!(*self.id))];
        match outcome {
            Ok(outcome) => {
                fields.extend([
                    ("prompt_tokens", json!(outcome.prompt_tokens)),
                    ("cached_tokens", json!(outcome.reused_tokens)),
                    ("generated_tokens", json!(outcome.ids.len())),
                    ("finish", json!(outcome.finish.name())),
                ]);
            }
            Err(error) => fields.push(("error", json!(error.to_string()))),
        }
        let begun = self.begun.unwrap_or_else(Instant::now);
        fields.push(("waited_s", seconds(begun - self.asked)));
        fields.push(("took_s", seconds(begun.elapsed())));
        self.shared.log(&Record { what: "text", fields });
    }
}

impl Observer for Listener {
    fn prefill(&mut self, done: usize, total: usize) {
        let _ = self.events.send(Event::Progress { done });
        // The first token is chosen next.
        if done == total && self.is_text {
            self.shared.metrics.first_token.observe(self.asked.elapsed().as_secs_f64());
            self.last = Some(Instant::now());
        }
    }

    fn prompt_token(&mut self, token: ChosenToken) {
        let _ = self.events.send(Event::PromptToken(token));
    }

    fn id(&mut self, id: u32) {
        let _ = self.events.send(Event::Id(id));
    }

    fn token(&mut self, token: ChosenToken) {
        let _ = self.events.send(Event::Token(token));
    }

    fn text(&mut self, piece: &str) -> ControlFlow<()> {
        match self.events.send(Event::Text(piece.to_owned())) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// After every pass: after the prompt each gives a token.
    fn rest(&mut self, _busy: Duration) {
        let Some(last) = self.last else { return };
        let now = Instant::now();
        self.shared.metrics.between_tokens.observe((now - last).as_secs_f64());
        self.last = Some(now);
    }

    fn cancelled(&self) -> bool {
        self.events.is_closed() || self.shared.is_over.load(Ordering::Relaxed)
    }
}

impl Reader for Listener {
    fn begun(&mut self, prompt: usize, cached: usize) {
        self.begun = Some(Instant::now());
        self.shared.metrics.waited.observe(self.asked.elapsed().as_secs_f64());
        let _ = self.events.send(Event::Begun { prompt, cached });
    }

    fn ended(&mut self, outcome: Result<Outcome, EngineError>) {
        self.log(&outcome);
        self.shared.metrics.ended(&outcome);
        self.shared.note_duration(self.asked.elapsed());
        let _ = self.events.send(Event::Ended(Box::new(outcome)));
    }
}
