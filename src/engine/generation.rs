//! One text in progress.

mod chances;
mod interruption;

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use super::EngineError;
use super::drafter::{DraftStats, Drafter};
use super::lookup::Lookup;
use super::prompt_rows::{PromptRows, RowReader, SCORED_ROWS};
use super::request::{CacheSalt, ChosenToken, Finish, Observer, Outcome, Request, Timings};
use super::runner::{Part, Runner, SequenceId, Stage};
use super::sequence::Sequence;
use super::stop::StopMatcher;
use super::switch::MoveStats;
use super::text_rules::TextRules;
use crate::core::{Largest, Result, Top};
use crate::sampling::{Chain, Mask, Need, SeededRng, exclude, keep_only};
use crate::tokenizer::StreamDecoder;

/// What all texts in progress share.
pub(super) struct Shared<'a> {
    pub runner: &'a mut dyn Runner,
    pub rules: &'a TextRules,
    /// As many as the vocabulary has tokens.
    pub logits: &'a mut [f32],
}

/// What was asked for, and how far it has come: passes are [prepared](Self::prepare), made, and
/// [chosen from](Self::proceed) until there is a reason to [end](Self::end).
pub(super) struct Generation<'r> {
    request: Cow<'r, Request>,
    chain: Chain,
    /// What of the next token's logits is brought to the host: into one of these two, or whole.
    need: Need,
    largest: Largest,
    top: Top,
    rng: SeededRng,
    /// What may come next, if not everything.
    mask: Option<Box<dyn Mask>>,
    decoder: StreamDecoder,
    stop: StopMatcher,
    /// Stop texts that are one special token, by its id.
    stop_tokens: Vec<(u32, String)>,
    /// Prompt and generated ids.
    history: Vec<u32>,
    text: String,
    drafter: Option<Box<dyn Drafter>>,
    drafts: DraftStats,
    /// Tokens that the last pass of what is generated took in: the last one chosen, then a draft.
    rows: Vec<u32>,
    /// The one of them whose logits are in use.
    at: usize,
    /// Tokens of the history that have gone through the model for certain: the sequence may hold drafts beyond them.
    taken_in: usize,
    /// Tokens of the history that go through the model before one is chosen: those of the prompt, or after an
    /// [interruption](Self::interrupt) all.
    intake: usize,
    /// Those of the prompt that did not have to.
    reused: usize,
    /// Those of them that the next pass takes in; empty afterwards.
    chunk: Range<usize>,
    /// A pass is prepared.
    is_pending: bool,
    /// What the prompt's rows give besides.
    reader: RowReader,
    /// All of the text goes through at once.
    at_once: bool,
    finish: Option<Finish>,
    timings: Timings,
    start: Instant,
    first: Option<Instant>,
    /// When [`Observer::rest`] came back.
    rested: Instant,
    steps: usize,
    /// [`Observer::beyond_training`] was called.
    beyond_training: bool,
}

impl<'r> Generation<'r> {
    /// Begins a text in a sequence: what it has in common with the one before stays. `lookup` is the most tokens that are
    /// drafted.
    ///
    /// # Errors
    /// Sampling parameters that cannot be, no memory.
    pub fn start(
        request: Cow<'r, Request>,
        shared: &mut Shared<'_>,
        sequence: &mut Sequence,
        lookup: usize,
    ) -> Result<Self, EngineError> {
        let Shared { runner, rules, .. } = shared;
        let prompt = &request.prompt;
        let chain = Chain::new(&request.sampling)?.biased(&request.bias);
        let at_once = !runner.spec().is_causal();
        if at_once && !request.prompt_rows.are_hidden() {
            return Err(EngineError::NotCausal);
        }
        if at_once && prompt.len() > sequence.chunk {
            return Err(EngineError::TextTooLong { tokens: prompt.len(), max: sequence.chunk });
        }
        if request.prompt_rows.need_all() {
            sequence.forget(*runner);
        }
        if let PromptRows::Logprobs(_) = request.prompt_rows {
            runner.widen_logits(SCORED_ROWS)?;
        }
        let mask = request.rule.as_ref().map(|rule| rule.begin()).transpose()?;
        let mut taken_in = sequence.keep_common(*runner, prompt)?;
        if sequence.set_span(*runner, prompt.len())? {
            sequence.forget(*runner);
            taken_in = 0;
        }
        if request.room > 0 {
            sequence.make_room(*runner, (prompt.len() - taken_in).saturating_add(request.room))?;
        }
        // An error on the way leaves nothing to go by.
        sequence.seen.clear();
        let shown = [rules.shown.as_slice(), &request.shown].concat();
        let mut decoder = StreamDecoder::new(true).showing(&shown);
        // The text goes on where the prompt ends: a word's leading space is not the start of a text.
        for &id in prompt {
            decoder.push(&rules.tokenizer, id)?;
        }
        decoder.begin_after(&rules.tokenizer)?;
        let start = Instant::now();
        // At once what the prompt takes: growing step by step would hold an old cache beside each new one. But where
        // memory is watched, step by step.
        let (len, position) = sequence.counts(*runner);
        if sequence.memory.is_none() {
            runner.reserve_text(sequence.id, (prompt.len() - taken_in).min(sequence.max_len() - len))?;
        }
        let drafter = || -> Box<dyn Drafter> { Box::new(Lookup::new(lookup, prompt)) };
        Ok(Self {
            need: if request.logprobs.is_some() || mask.is_some() { Need::All } else { chain.need() },
            chain,
            largest: Largest { index: None, nan: None },
            top: Top::default(),
            rng: SeededRng::at(request.sampling.seed, request.draws),
            mask,
            decoder,
            stop: StopMatcher::new(&request.stop),
            stop_tokens: rules.stop_tokens(&request.stop),
            history: prompt.clone(),
            text: String::new(),
            drafter: (lookup > 0).then(drafter),
            drafts: DraftStats::default(),
            rows: Vec::with_capacity(lookup + 1),
            at: 0,
            taken_in,
            intake: prompt.len(),
            reused: taken_in,
            chunk: 0..0,
            is_pending: false,
            reader: RowReader::new(request.prompt_rows, prompt.len(), runner.spec().hidden_size),
            at_once,
            finish: None,
            timings: Timings::default(),
            start,
            first: None,
            rested: start,
            steps: 0,
            beyond_training: position > runner.spec().max_positions,
            request,
        })
    }

    /// Why it ended, if it has.
    pub fn finish(&self) -> Option<&Finish> {
        self.finish.as_ref()
    }

    /// Whether tokens of the prompt, or after an interruption of the text, are still to be taken in.
    pub fn is_in_prompt(&self) -> bool {
        self.taken_in < self.intake
    }

    /// How many of them; 0 afterwards.
    pub fn to_take_in(&self) -> usize {
        self.intake.saturating_sub(self.taken_in)
    }

    /// The text so far, prompt included, and how many of its tokens have gone through the model between two passes.
    pub fn so_far(&self) -> (&[u32], usize) {
        let done = if self.is_in_prompt() { self.taken_in } else { self.history.len() - 1 };
        (&self.history, done)
    }

    /// Which texts may share its keys and values.
    pub fn cache_salt(&self) -> Option<CacheSalt> {
        self.request.cache_salt
    }

    /// Tokens of the prompt that did not go through the model.
    pub fn reused(&self) -> usize {
        self.reused
    }

    /// Tokens that the next pass takes in, if one is prepared.
    pub fn pending(&self) -> usize {
        if self.is_pending { self.ids().len() } else { 0 }
    }

    fn ids(&self) -> &[u32] {
        if self.is_in_prompt() { &self.history[self.chunk.clone()] } else { &self.rows }
    }

    /// How many of the last of them are wanted.
    fn wanted(&self) -> usize {
        match self.is_in_prompt() {
            true => self.reader.wanted(&self.chunk).max(usize::from(self.is_chosen_from())),
            false => self.rows.len(),
        }
    }

    /// Whether a token is chosen after this part of the text.
    fn is_chosen_from(&self) -> bool {
        self.chunk.end == self.intake && !self.reader.what().are_hidden()
    }

    /// Its place in a pass: what needs no logits goes first, and what needs all of them last.
    pub fn order(&self) -> usize {
        let logits = self.wanted() > 0 && !self.reader.what().are_hidden();
        usize::from(self.wanted() > 0) + usize::from(logits) + usize::from(!self.is_in_prompt())
    }

    /// What of the prompt's rows is wanted.
    pub fn prompt_rows(&self) -> PromptRows {
        self.reader.what()
    }

    /// The part of the next pass that was [prepared](Self::prepare).
    pub fn part(&self, sequence: SequenceId) -> Option<Part<'_>> {
        let stage = match self.is_in_prompt() {
            true if self.reader.what().are_hidden() => Stage::Embed,
            true => Stage::Prompt { tokens: self.intake - self.reused },
            false => Stage::Decode,
        };
        self.is_pending.then(|| Part { sequence, ids: self.ids(), wanted: self.wanted(), stage })
    }

    /// Decides what of the text goes through the model next, `most` tokens at most.
    ///
    /// # Errors
    /// What an eviction may answer.
    pub fn prepare(
        &mut self,
        shared: &mut Shared<'_>,
        sequence: &mut Sequence,
        observer: &mut dyn Observer,
        most: usize,
    ) -> Result<(), EngineError> {
        if self.is_pending || self.finish.is_some() || most == 0 {
            return Ok(());
        }
        let runner = &mut *shared.runner;
        if self.is_in_prompt() {
            if observer.cancelled() {
                self.timings.prefill = self.start.elapsed();
                self.finish = Some(Finish::Cancelled);
                return Ok(());
            }
            let room = sequence.make_room(runner, 0)?.min(sequence.chunk).min(most);
            if self.at_once && room < self.to_take_in() {
                return Ok(());
            }
            self.chunk = self.taken_in..self.intake.min(self.taken_in + room);
        } else {
            // All but the last token are certain; what was drafted beyond them is not what was chosen.
            runner.rewind(sequence.id, self.history.len() - 1)?;
            let left = self.left().min(sequence.end_of_context() - self.history.len());
            sequence.outgrow(runner, &self.history)?;
            // A draft never reaches beyond the window: evictions come where they would come without it.
            let room = sequence.make_room(runner, 0)?;
            let room = room.min(sequence.room_in_span(runner, self.history.len() - 1)?).min(most);
            self.draft(left.min(room).saturating_sub(1));
        }
        self.is_pending = true;
        Ok(())
    }

    /// The rows of the next pass: the last token, and a draft of up to `room` tokens after it.
    fn draft(&mut self, room: usize) {
        self.rows.clear();
        self.at = 0;
        if let Some(drafter) = &mut self.drafter {
            drafter.propose(&self.history, room, &mut self.rows);
            self.drafts.passes += usize::from(!self.rows.is_empty());
            self.drafts.drafted += self.rows.len();
        }
        let last = self.history.last().copied().unwrap_or_default();
        self.rows.insert(0, last);
    }

    /// Tokens that may still be generated.
    fn left(&self) -> usize {
        let limit = self.request.max_tokens.unwrap_or(usize::MAX);
        limit - (self.history.len() - self.request.prompt.len())
    }

    /// Goes on after the pass that was prepared, whose first wanted row is `row`: chooses tokens as long as their logits are
    /// there.
    ///
    /// # Errors
    /// Logits that are not numbers, what the backend reports.
    pub fn proceed(
        &mut self,
        shared: &mut Shared<'_>,
        sequence: &Sequence,
        observer: &mut dyn Observer,
        row: usize,
    ) -> Result<(), EngineError> {
        self.is_pending = false;
        if self.is_in_prompt() {
            let total = self.intake;
            let is_last = self.chunk.end == total;
            let first = self.chunk.end - self.wanted();
            self.reader.read(shared, &self.history, &self.chunk, (row, first), observer)?;
            if self.is_chosen_from() {
                self.look_at(shared, row + total - 1 - first)?;
            }
            self.taken_in = self.chunk.end;
            self.rows.clear();
            self.report(shared.runner, sequence, observer);
            if total == self.request.prompt.len() {
                observer.prefill(self.taken_in, total);
                self.timings.prefill = self.start.elapsed();
            } else {
                self.steps += usize::from(is_last);
            }
            if !is_last {
                return Ok(());
            }
            if self.left() == 0 || self.reader.what().are_hidden() {
                self.finish = Some(Finish::Length);
                return Ok(());
            }
        } else {
            self.look_at(shared, row)?;
            self.report(shared.runner, sequence, observer);
            self.steps += 1;
        }
        loop {
            if let ControlFlow::Break(finish) = self.choose(shared, sequence, observer)? {
                self.finish = Some(finish);
                return Ok(());
            }
            self.taken_in = self.history.len();
            if let Some(drafter) = &mut self.drafter {
                drafter.chosen(&self.history);
            }
            if self.rows.get(self.at + 1) != self.history.last() {
                return Ok(());
            }
            // A draft that has come true: the pass that verified it has the logits that follow.
            self.at += 1;
            self.drafts.accepted += 1;
            self.look_at(shared, row + self.at)?;
            self.report(shared.runner, sequence, observer);
            self.steps += 1;
        }
    }

    /// Brings to the host what the choice needs of row `row` of the pass's logits.
    fn look_at(&mut self, shared: &mut Shared<'_>, row: usize) -> Result<()> {
        let Shared { runner, logits, .. } = shared;
        match self.need {
            Need::Largest => self.largest = runner.largest(row, logits)?,
            Need::Top(count) => runner.top(row, count, logits, &mut self.top)?,
            Need::All => runner.logits(row, logits)?,
        }
        Ok(())
    }

    /// Chooses the next token from the logits that were [looked at](Self::look_at).
    fn choose(
        &mut self,
        shared: &mut Shared<'_>,
        sequence: &Sequence,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<Finish>, EngineError> {
        let Shared { rules, logits, .. } = shared;
        if observer.cancelled() {
            return Ok(ControlFlow::Break(Finish::Cancelled));
        }
        let before = self.likelihood(logits);
        if let Some(set) = self.mask.as_mut().map(|mask| mask.allowed()).transpose()?.flatten() {
            keep_only(logits, set);
            if self.request.ignore_eos {
                exclude(logits, &rules.eos);
            }
        }
        let id = match self.need {
            Need::Largest => Chain::argmax(self.largest, logits.len())?,
            Need::Top(_) => self.chain.sample_top(&self.top, logits.len(), &mut self.rng)?,
            Need::All => self.chain.sample(logits, &self.history, &mut self.rng)?,
        };
        if self.timings.first_token.is_zero() {
            self.timings.first_token = self.start.elapsed();
            self.first = Some(Instant::now());
        }
        if let Some((_, stop)) = self.stop_tokens.iter().find(|(token, _)| *token == id) {
            return Ok(ControlFlow::Break(Finish::Stop(stop.clone())));
        }
        if rules.eos.contains(&id) && !self.request.ignore_eos {
            // Who gets the text token by token from its first one on gets this one too.
            if let (Some(token), PromptRows::Logprobs(_)) = (self.chosen(id, before), self.reader.what()) {
                observer.token(token);
            }
            return Ok(ControlFlow::Break(Finish::EndOfText));
        }
        self.history.push(id);
        if let Some(mask) = &mut self.mask {
            mask.accept(id)?;
        }
        observer.id(id);
        if let Some(token) = self.chosen(id, before) {
            observer.token(token);
        }
        let piece = self.decoder.push(&rules.tokenizer, id)?;
        if self.emit(&piece, observer).is_break() {
            return Ok(ControlFlow::Break(Finish::OutputClosed));
        }
        if let Some(stop) = self.stop.matched() {
            return Ok(ControlFlow::Break(Finish::Stop(stop.to_owned())));
        }
        if self.mask.as_ref().is_some_and(|mask| mask.is_finished()) {
            return Ok(ControlFlow::Break(Finish::EndOfText));
        }
        if self.history.len() >= sequence.end_of_context() {
            return Ok(ControlFlow::Break(Finish::ContextFull));
        }
        if self.left() == 0 {
            return Ok(ControlFlow::Break(Finish::Length));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What an observer gets after every pass and every token.
    fn report(&mut self, runner: &mut dyn Runner, sequence: &Sequence, observer: &mut dyn Observer) {
        let trained = runner.spec().max_positions;
        let evicts = sequence.evictor.is_some();
        if evicts && !self.beyond_training && sequence.positions_in_force(runner) > trained {
            self.beyond_training = true;
            observer.beyond_training(trained);
        }
        if let Some(found) = runner.non_finite() {
            observer.non_finite(&found);
        }
        observer.rest(self.rested.elapsed());
        self.rested = Instant::now();
    }

    fn emit(&mut self, piece: &str, observer: &mut dyn Observer) -> ControlFlow<()> {
        let sure = self.stop.push(piece);
        self.text.push_str(&sure);
        if sure.is_empty() { ControlFlow::Continue(()) } else { observer.text(&sure) }
    }

    /// What came of it. The sequence keeps what went through the model for certain.
    ///
    /// # Errors
    /// A token without a text.
    pub fn end(
        mut self,
        shared: &mut Shared<'_>,
        sequence: &mut Sequence,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, EngineError> {
        let Shared { runner, rules, .. } = shared;
        // What was drafted beyond the end of the text does not count.
        runner.rewind(sequence.id, self.taken_in)?;
        sequence.seen.extend_from_slice(&self.history[..self.taken_in]);
        self.timings.decode = self.first.map_or(Duration::ZERO, |t| t.elapsed());
        let mut finish = self.finish.take().unwrap_or(Finish::Cancelled);
        if self.stop.matched().is_none() && finish != Finish::OutputClosed {
            let mut rest = self.decoder.finish(&rules.tokenizer)?;
            rest = self.stop.push(&rest);
            if let Some(stop) = self.stop.matched() {
                finish = Finish::Stop(stop.to_owned());
            }
            rest += &self.stop.finish();
            self.text.push_str(&rest);
            if !rest.is_empty() && observer.text(&rest).is_break() {
                finish = Finish::OutputClosed;
            }
        }
        let ids = self.history.split_off(self.request.prompt.len());
        let (held, positions) = sequence.counts(*runner);
        let hidden = self.reader.finish(&rules.head);
        Ok(Outcome {
            hidden,
            text: self.text,
            ids,
            prompt_tokens: self.request.prompt.len(),
            reused_tokens: self.reused,
            decode_steps: self.steps,
            lookup: self.drafts,
            eviction: sequence.eviction_stats(),
            moved: MoveStats::default(),
            held,
            positions,
            draws: self.rng.draws(),
            finish,
            timings: self.timings,
        })
    }
}
