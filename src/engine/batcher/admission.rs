//! Which of the texts that wait begin.

use std::borrow::Cow;

use super::{Batcher, Beginning, Reader, Text, prefixes, shortage};
use crate::core::KvLayout;
use crate::engine::EngineError;
use crate::engine::generation::{Generation, Shared};
use crate::engine::prompt_rows::PromptRows;
use crate::engine::request::{Finish, Outcome, Request, Timings};
use crate::engine::runner::Runner;
use crate::engine::sequence::Sequence;
use crate::kv::Evictor;

/// A text that waits for its turn.
pub(super) struct Waiting {
    pub arrived: u64,
    pub state: State,
    pub reader: Box<dyn Reader>,
}

/// How far it has come.
pub(super) enum State {
    New(Box<Request>),
    /// It had to give up its memory.
    Interrupted(Box<Generation<'static>>),
}

impl State {
    /// What of the prompt's rows is wanted.
    fn prompt_rows(&self) -> PromptRows {
        match self {
            State::New(request) => request.prompt_rows,
            State::Interrupted(generation) => generation.prompt_rows(),
        }
    }

    /// What has to go through the model.
    fn wanted(&self) -> Beginning<'_> {
        match self {
            State::New(request) => Beginning { salt: request.cache_salt, ids: &request.prompt },
            State::Interrupted(generation) => {
                Beginning { salt: generation.cache_salt(), ids: generation.so_far().0 }
            }
        }
    }
}

impl Batcher {
    /// Asks for a text, which has its turn when there is room for it. The reader hears at once of what cannot be asked for.
    pub fn submit(&mut self, request: Request, mut reader: Box<dyn Reader>) {
        let checked = self.limits().check_prompt(&request.prompt, &self.rules.tokenizer);
        if let Err(error) = checked.and_then(|()| Ok(request.sampling.validate()?)) {
            reader.ended(Err(error));
            return;
        }
        self.arrivals += 1;
        let state = State::New(Box::new(request));
        self.waiting.push_back(Waiting { arrived: self.arrivals, state, reader });
    }

    /// Ends those that wait and whose readers have gone.
    pub(super) fn leave_out_the_gone(&mut self) {
        self.waiting.retain_mut(|waiting| {
            let gone = waiting.reader.cancelled();
            if gone {
                let outcome = nothing(waiting.state.wanted().ids.len());
                waiting.reader.ended(Ok(outcome));
            }
            !gone
        });
    }

    /// Begins with as many texts as there is room for, the earliest first. One whose beginning is just being computed for
    /// another text waits for that.
    pub(super) fn admit(&mut self) {
        let mut at = 0;
        while self.active.len() < self.options.texts && at < self.waiting.len() {
            if self.short && !self.active.is_empty() {
                return;
            }
            if self.is_being_computed(&self.waiting[at].state) {
                at += 1;
                continue;
            }
            let Some(waiting) = self.waiting.remove(at) else { return };
            if !self.begin(waiting, at) {
                return;
            }
        }
    }

    /// Whether a text in progress has yet to take in more of the beginning of another one than is there now: a page at
    /// least.
    fn is_being_computed(&self, state: &State) -> bool {
        if self.options.prefixes == 0 || state.prompt_rows().need_all() {
            return false;
        }
        let wanted = state.wanted();
        self.active.iter().any(|text| {
            let [done, all] = text.beginnings();
            text.generation.is_in_prompt() && all.common(wanted) >= done.ids.len() + KvLayout::PAGE
        })
    }

    /// Begins with a text. False if there is no room: it waits again then, in its place `at`.
    fn begin(&mut self, waiting: Waiting, at: usize) -> bool {
        let Waiting { arrived, mut state, mut reader } = waiting;
        loop {
            match self.start(&mut state) {
                Ok((sequence, generation)) => {
                    if matches!(state, State::New(_)) {
                        reader.begun(generation.so_far().0.len(), generation.reused());
                    }
                    self.active.push(Text {
                        arrived,
                        sequence,
                        generation,
                        reader,
                        interrupted: false,
                        fault: None,
                    });
                    return true;
                }
                Err(error) if shortage::is_one(&error) => {
                    if self.prefixes.drop_oldest(self.runner.as_mut()) {
                        continue;
                    }
                    if !self.active.is_empty() {
                        self.waiting.insert(at, Waiting { arrived, state, reader });
                        return false;
                    }
                    reader.ended(Err(error));
                    return true;
                }
                Err(error) => {
                    reader.ended(Err(error));
                    return true;
                }
            }
        }
    }

    /// A sequence and a generation for a text. On an error the text is as it was.
    fn start(&mut self, state: &mut State) -> Result<(Sequence, Generation<'static>), EngineError> {
        let mut sequence = match state.prompt_rows().need_all() {
            true => self.options.open(self.runner.as_mut())?,
            false => self.open(state.wanted())?,
        };
        let Self { runner, rules, logits, .. } = self;
        let mut shared = Shared { runner: runner.as_mut(), rules, logits };
        let started = match state {
            State::New(request) => {
                Generation::start(Cow::Owned(request.as_ref().clone()), &mut shared, &mut sequence, 0)
            }
            State::Interrupted(generation) => match generation.resume(&mut shared, &mut sequence) {
                Ok(()) => {
                    // The empty one is dropped.
                    let empty = Box::new(Request::default());
                    match std::mem::replace(state, State::New(empty)) {
                        State::Interrupted(generation) => return Ok((sequence, *generation)),
                        State::New(_) => Err(EngineError::EmptyPrompt),
                    }
                }
                Err(error) => Err(error.into()),
            },
        };
        match started {
            Ok(generation) => Ok((sequence, generation)),
            Err(error) => {
                self.runner.close(sequence.id);
                Err(error)
            }
        }
    }

    /// A sequence that holds as much of `wanted` as is there already.
    fn open(&mut self, wanted: Beginning<'_>) -> Result<Sequence, EngineError> {
        let mut kept = self.prefixes.longest(wanted).filter(|_| self.options.prefixes > 0);
        let in_progress = self.active.iter().map(|text| {
            let [done, _] = text.beginnings();
            (text.sequence.id, done.common(wanted))
        });
        let in_progress = in_progress.filter(|_| self.options.prefixes > 0).max_by_key(|(_, length)| *length);
        let known = kept.into_iter().chain(in_progress).map(|(_, length)| length).max().unwrap_or(0);
        if let Some(disk) = self.disk.as_mut().filter(|_| self.options.prefixes > 0)
            && let Some((index, _)) =
                disk.longest(wanted).filter(|(_, length)| *length >= known + KvLayout::PAGE)
        {
            let options = self.options;
            let mut open = |runner: &mut dyn Runner| options.open(runner);
            disk.take_up(index, self.runner.as_mut(), &mut self.prefixes, &mut open);
            kept = self.prefixes.longest(wanted);
        }
        let best = kept.into_iter().chain(in_progress).max_by_key(|(_, length)| *length);
        if let Some((of, length)) = best {
            let length = length.min(wanted.ids.len().saturating_sub(1));
            let runner = self.runner.as_mut();
            let fork = if length < KvLayout::PAGE { None } else { prefixes::fork(runner, of, length)? };
            if let Some(id) = fork {
                let evictor = self.options.session.eviction.map(Evictor::new);
                let (most, chunk) = (self.options.held(), self.options.session.prefill_chunk);
                return Ok(Sequence::of_fork(id, wanted.ids[..length].to_vec(), evictor, most, chunk));
            }
        }
        self.options.open(self.runner.as_mut())
    }

    /// A text that had to give up its memory waits in the order in which it came.
    pub(super) fn wait_again(&mut self, text: Text) {
        let Text { arrived, generation, reader, .. } = text;
        let at = self.waiting.iter().position(|other| other.arrived > arrived).unwrap_or(self.waiting.len());
        let state = State::Interrupted(Box::new(generation));
        self.waiting.insert(at, Waiting { arrived, state, reader });
    }
}

/// What comes of a text whose reader goes before it begins.
fn nothing(prompt_tokens: usize) -> Outcome {
    Outcome {
        text: String::new(),
        ids: Vec::new(),
        hidden: Vec::new(),
        prompt_tokens,
        reused_tokens: 0,
        decode_steps: 0,
        lookup: Default::default(),
        eviction: Default::default(),
        moved: Default::default(),
        held: 0,
        positions: 0,
        draws: 0,
        finish: Finish::Cancelled,
        timings: Timings::default(),
    }
}
