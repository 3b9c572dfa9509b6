//! What comes of a request, step by step.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::refusal::{Kind, Refusal};
use crate::chat::tools::{ToolEvent, ToolParser};
use crate::chat::{ReasoningSplitter, Split};
use crate::engine::{ChosenToken, EngineError, Finish, Outcome, Timings};
use crate::sampling::SamplingParams;

/// What the thread of the model says of a text.
#[derive(Debug)]
pub(super) enum Event {
    /// It has its turn.
    Begun { prompt: usize, cached: usize },
    /// So many tokens of its prompt are taken in.
    Progress { done: usize },
    /// A token of the prompt, from the second one on.
    PromptToken(ChosenToken),
    /// A token, before its text.
    Id(u32),
    /// How likely that one was.
    Token(ChosenToken),
    /// More text.
    Text(String),
    /// There will be nothing.
    Refused(Refusal),
    /// The end.
    Ended(Box<Result<Outcome, EngineError>>),
}

/// More of a call of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CallPart {
    /// Which call of the answer.
    pub index: usize,
    /// At its beginning, its id and the function's name.
    pub begins: Option<(String, String)>,
    /// More of its arguments, which are an object of JSON in the end.
    pub arguments: String,
    /// It is none after all: all that the model wrote of it.
    pub broken: Option<String>,
}

/// More of an answer. In the parts of one that come one after the other, a part has either text or calls; in a whole one
/// each call is there once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Piece {
    /// What the model says to itself.
    pub reasoning: String,
    /// What it answers.
    pub text: String,
    /// Functions that it calls.
    pub calls: Vec<CallPart>,
    /// The tokens of both.
    pub ids: Vec<u32>,
    /// How likely each of them was, if that was asked for.
    pub tokens: Vec<ChosenToken>,
    /// Those of the prompt from the second one on, likewise; they come with the first piece.
    pub prompt: Vec<ChosenToken>,
}

impl Piece {
    fn is_empty(&self) -> bool {
        self.reasoning.is_empty() && self.text.is_empty() && self.calls.is_empty()
    }

    /// With more after it.
    pub fn add(&mut self, more: Self) {
        self.reasoning.push_str(&more.reasoning);
        self.text.push_str(&more.text);
        self.ids.extend(more.ids);
        self.tokens.extend(more.tokens);
        self.prompt.extend(more.prompt);
        for part in more.calls {
            let place = self.calls.iter().position(|call| call.index == part.index);
            match (place, part.broken) {
                (place, Some(raw)) => {
                    place.map(|place| self.calls.remove(place));
                    self.text.push_str(&raw);
                }
                (Some(place), None) => self.calls[place].arguments.push_str(&part.arguments),
                (None, broken) => self.calls.push(CallPart { broken, ..part }),
            }
        }
    }
}

impl CallPart {
    /// The id of the call, where it begins.
    pub fn id(&self) -> &str {
        self.begins.as_ref().map_or("", |(id, _)| id)
    }

    /// The name of the function, where the call begins.
    pub fn name(&self) -> &str {
        self.begins.as_ref().map_or("", |(_, name)| name)
    }

    /// The arguments of a whole call.
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.arguments).unwrap_or_else(|_| json!({}))
    }
}

/// How an answer ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub finish: Finish,
    pub prompt_tokens: usize,
    /// Those of them that were computed for an earlier text.
    pub cached_tokens: usize,
    pub generated_tokens: usize,
    /// All tokens.
    pub ids: Vec<u32>,
    /// Those at the end that have no text.
    pub unsaid: Vec<u32>,
    /// Hidden states of the prompt, if they were asked for.
    pub hidden: Vec<Vec<f32>>,
    /// Functions that were called.
    pub calls: usize,
    /// Whether the text has given up tokens of its beginning to go on.
    pub has_evicted: bool,
    pub timings: Timings,
}

impl End {
    /// Whether the answer ended with calls of functions, whose results are to come next.
    pub fn is_calls(&self) -> bool {
        self.calls > 0 && matches!(self.finish, Finish::EndOfText | Finish::Stop(_))
    }
}

/// What happens to an answer.
#[derive(Debug)]
pub(super) enum Step {
    /// The model begins with the prompt.
    Begun {
        prompt: usize,
        cached: usize,
    },
    /// So many tokens of the prompt are taken in.
    Progress {
        done: usize,
    },
    Piece(Piece),
    End(Box<End>),
    Failed(Refusal),
}

/// One of the places of a queue; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    /// A place among `most`, if one is free.
    pub fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The settings of an answer, with what the request left open.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    /// What goes to the model.
    pub prompt: Vec<u32>,
    pub sampling: SamplingParams,
    pub max_tokens: Option<usize>,
    pub stop: Vec<String>,
    pub ignore_eos: bool,
    pub bias: Vec<(u32, f32)>,
}

/// An answer on its way. When it is dropped the model stops with it, before the next pass.
#[derive(Debug)]
pub(super) struct Answer {
    pub events: UnboundedReceiver<Event>,
    /// Takes reasoning apart from the answer, where there may be any.
    pub splitter: Option<ReasoningSplitter>,
    /// Takes calls out of the answer, where there may be any.
    pub parser: Option<ToolParser>,
    /// Calls that have come.
    calls: usize,
    /// What was settled for it.
    pub settings: Arc<Settled>,
    /// Tokens whose text has not come.
    ids: Vec<u32>,
    /// How likely those were.
    tokens: Vec<ChosenToken>,
    /// Tokens of the prompt that go with the first piece.
    prompt: Vec<ChosenToken>,
    ready: VecDeque<Step>,
    ended: bool,
    _place: Place,
}

impl Answer {
    pub fn new(
        events: UnboundedReceiver<Event>,
        splitter: Option<ReasoningSplitter>,
        parser: Option<ToolParser>,
        settings: Settled,
        place: Place,
    ) -> Self {
        let settings = Arc::new(settings);
        Self {
            events,
            splitter,
            parser,
            calls: 0,
            settings,
            ids: Vec::new(),
            tokens: Vec::new(),
            prompt: Vec::new(),
            ready: VecDeque::new(),
            ended: false,
            _place: place,
        }
    }

    /// What comes next; `None` after the end.
    pub async fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Some(step);
            }
            if self.ended {
                return None;
            }
            let event = self.events.recv().await;
            self.take(event);
        }
    }

    fn take(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Begun { prompt, cached }) => self.ready.push_back(Step::Begun { prompt, cached }),
            Some(Event::Progress { done }) => self.ready.push_back(Step::Progress { done }),
            Some(Event::PromptToken(token)) => self.prompt.push(token),
            Some(Event::Id(id)) => self.ids.push(id),
            Some(Event::Token(token)) => self.tokens.push(token),
            Some(Event::Text(text)) => {
                let split = match &mut self.splitter {
                    Some(splitter) => splitter.push(&text),
                    None => Split { answer: text, ..Split::default() },
                };
                self.give(split);
            }
            Some(Event::Ended(outcome)) => {
                self.ended = true;
                match *outcome {
                    Ok(outcome) => self.end(outcome),
                    Err(error) => self.ready.push_back(Step::Failed(error.into())),
                }
            }
            Some(Event::Refused(refusal)) => {
                self.ended = true;
                self.ready.push_back(Step::Failed(refusal));
            }
            None => {
                self.ended = true;
                let why = "the thread that has the model has ended; start the server again";
                self.ready.push_back(Step::Failed(Refusal::new(Kind::Failed, why)));
            }
        }
    }

    fn give(&mut self, split: Split) {
        let Split { reasoning, answer: text } = split;
        let mut piece = Piece { reasoning, ..Piece::default() };
        match &mut self.parser {
            None => piece.text = text,
            Some(parser) => {
                let found = parser.push(&text);
                piece = self.found(piece, found);
            }
        }
        self.queue(piece);
    }

    /// Adds what was found to a piece; what cannot be in the same one comes after it.
    fn found(&mut self, mut piece: Piece, found: Vec<ToolEvent>) -> Piece {
        for event in found {
            let is_said = matches!(event, ToolEvent::Text(_) | ToolEvent::Reasoning(_));
            let begun = !piece.text.is_empty() || !piece.reasoning.is_empty();
            let fits = match &event {
                ToolEvent::Reasoning(_) => piece.text.is_empty() && piece.calls.is_empty(),
                _ if is_said => piece.calls.is_empty(),
                _ => !begun,
            };
            if !fits {
                self.queue(std::mem::take(&mut piece));
            }
            match event {
                ToolEvent::Text(text) => piece.text.push_str(&text),
                ToolEvent::Reasoning(text) => piece.reasoning.push_str(&text),
                ToolEvent::Begun { index, id, name } => {
                    self.calls += 1;
                    piece.calls.push(CallPart { index, begins: Some((id, name)), ..CallPart::default() });
                }
                ToolEvent::Arguments { index, delta } => match piece.calls.last_mut() {
                    Some(call) if call.index == index => call.arguments.push_str(&delta),
                    _ => piece.calls.push(CallPart { index, arguments: delta, ..CallPart::default() }),
                },
                ToolEvent::Broken { index, raw } => {
                    self.calls -= 1;
                    match piece.calls.pop_if(|call| call.index == index && call.begins.is_some()) {
                        // Nothing of it has been sent.
                        Some(_) => {
                            self.queue(std::mem::take(&mut piece));
                            piece.text = raw;
                        }
                        None => {
                            piece.calls.push(CallPart { index, broken: Some(raw), ..CallPart::default() })
                        }
                    }
                }
            }
        }
        piece
    }

    fn queue(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.send(piece);
        }
    }

    /// With the tokens that have come.
    fn send(&mut self, mut piece: Piece) {
        piece.ids = std::mem::take(&mut self.ids);
        piece.tokens = std::mem::take(&mut self.tokens);
        piece.prompt = std::mem::take(&mut self.prompt);
        self.ready.push_back(Step::Piece(piece));
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(splitter) = &mut self.splitter {
            let rest = splitter.finish();
            self.give(rest);
        }
        if let Some(mut parser) = self.parser.take() {
            let rest = self.found(Piece::default(), parser.finish());
            self.queue(rest);
        }
        // The tokens of a stop string are not part of the answer; those that have no text are.
        if matches!(outcome.finish, Finish::Stop(_)) {
            self.tokens.clear();
            self.ids.clear();
        }
        if !self.tokens.is_empty() || !self.prompt.is_empty() {
            self.send(Piece::default());
        }
        // Readers that go hear nothing: it is the server that ends.
        if matches!(outcome.finish, Finish::Cancelled | Finish::OutputClosed) {
            let why = "the server has ended before the answer did";
            self.ready.push_back(Step::Failed(Refusal::new(Kind::Unavailable, why)));
            return;
        }
        self.ready.push_back(Step::End(Box::new(End {
            finish: outcome.finish,
            prompt_tokens: outcome.prompt_tokens,
            cached_tokens: outcome.reused_tokens,
            generated_tokens: outcome.ids.len(),
            ids: outcome.ids,
            unsaid: std::mem::take(&mut self.ids),
            hidden: outcome.hidden,
            calls: self.calls,
            has_evicted: outcome.eviction.evictions > 0,
            timings: outcome.timings,
        })));
    }

    /// All of it.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn whole(&mut self) -> Result<(Piece, End), Refusal> {
        let mut whole = Piece::default();
        while let Some(step) = self.next().await {
            match step {
                Step::Begun { .. } | Step::Progress { .. } => {}
                Step::Piece(piece) => whole.add(piece),
                Step::End(end) => return Ok((whole, *end)),
                Step::Failed(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::new(Kind::Failed, "the answer has no end"))
    }
}

/// Several answers to one request.
#[derive(Debug)]
pub(super) struct Answers {
    pub all: Vec<Answer>,
}

impl Answers {
    /// What comes next, and of which answer; `None` after the end of all.
    pub async fn next(&mut self) -> Option<(usize, Step)> {
        loop {
            for (index, answer) in self.all.iter_mut().enumerate() {
                if let Some(step) = answer.ready.pop_front() {
                    return Some((index, step));
                }
            }
            let (index, event) = poll_fn(|context| {
                let mut going = false;
                for (index, answer) in self.all.iter_mut().enumerate().filter(|(_, answer)| !answer.ended) {
                    going = true;
                    if let Poll::Ready(event) = answer.events.poll_recv(context) {
                        return Poll::Ready(Some((index, event)));
                    }
                }
                if going { Poll::Pending } else { Poll::Ready(None) }
            })
            .await?;
            self.all[index].take(event);
        }
    }

    /// All of all.
    ///
    /// # Errors
    /// Why one failed.
    pub async fn whole(&mut self) -> Result<Vec<(Piece, End)>, Refusal> {
        let mut all = Vec::with_capacity(self.all.len());
        for answer in &mut self.all {
            all.push(answer.whole().await?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: usize, begins: Option<&str>, arguments: &str, broken: Option<&str>) -> Piece {
        let begins = begins.map(|name| (format!("id{index}"), name.to_owned()));
        let part = CallPart { index, begins, arguments: arguments.into(), broken: broken.map(str::to_owned) };
        Piece { calls: vec![part], ..Piece::default() }
    }

    fn text(text: &str) -> Piece {
        Piece { text: text.into(), ..Piece::default() }
    }

    #[test]
    fn a_whole_answer_has_calls_once_and_what_was_none_as_text() {
        let mut whole = Piece::default();
        for piece in [
            text("So. "),
            part(0, Some("f"), "{\"a\"", None),
            part(0, None, ": 1}", None),
            part(1, Some("g"), "{", None),
            part(1, None, "", Some("<tool_call>{x")),
            text("} end"),
            part(2, Some("h"), "{}", None),
        ] {
            whole.add(piece);
        }
        assert_eq!(whole.text, "So. <tool_call>{x} end");
        let calls: Vec<_> = whole.calls.iter().map(|call| (call.id(), call.name(), call.object())).collect();
        assert_eq!(calls, [("id0", "f", json!({"a": 1})), ("id2", "h", json!({}))]);
    }
}
