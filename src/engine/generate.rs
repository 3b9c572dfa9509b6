//! The token loop.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::EngineError;
use super::partner::{MoveStats, Wanted};
use super::session::Session;
use super::speculative::{Lookup, LookupStats};
use super::stop::StopMatcher;
use crate::core::{Backend, Largest, Top};
use crate::kv::EvictionStats;
use crate::models::llama::NonFinite;
use crate::sampling::{Chain, Need, SamplingParams, SeededRng};
use crate::tokenizer::StreamDecoder;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt, special tokens included.
    pub prompt: Vec<u32>,
    /// The most tokens to generate; `None`: until the model ends the text or the context is full.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Texts that end the generation; they are not part of the output.
    pub stop: Vec<String>,
    /// Go on after the model's end-of-text token, which is then among the ids but prints nothing.
    pub ignore_eos: bool,
    /// How many random numbers of the seed belong to earlier texts: this one begins with the next. 0 for a text by
    /// itself.
    pub draws: u64,
    /// Tokens of the answer for which room is made before the prompt goes in, as far as an eviction can make it: so that
    /// it falls between the turns of a conversation and not into one. 0 evicts nothing early.
    pub room: usize,
}

/// Follows a generation as it runs.
pub trait Observer {
    /// `done` of `total` prompt tokens are taken in; those in common with the text before are so from the start.
    fn prefill(&mut self, done: usize, total: usize);

    /// More text, in order; whole characters, and nothing that belongs to a stop string. `Break` ends the
    /// generation (the reader has gone).
    fn text(&mut self, piece: &str) -> ControlFlow<()>;

    /// Something in the model's arithmetic is not finite, and what follows from it has no meaning. Reported once, and
    /// only if the session looks for it.
    fn non_finite(&mut self, _found: &NonFinite) {}

    /// The text has become longer than the `trained` positions that the model was trained for, which only a cache
    /// that evicts lets it. Reported once.
    fn beyond_training(&mut self, _trained: usize) {}

    /// The model has computed for `busy` since the last such call, and will go on when this returns: the moment to let
    /// the machine rest. Reported after every chunk of the prompt and every token.
    fn rest(&mut self, _busy: Duration) {}

    /// Whether to stop now. Asked before every chunk of the prompt and every token.
    fn cancelled(&self) -> bool;
}

/// No observer.
impl Observer for () {
    fn prefill(&mut self, _: usize, _: usize) {}

    fn text(&mut self, _: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn cancelled(&self) -> bool {
        false
    }
}

/// Why a generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended the text.
    EndOfText,
    /// This stop string came up.
    Stop(String),
    /// As many tokens as asked for.
    Length,
    /// `--max-seq-len` tokens.
    ContextFull,
    /// [`Observer::cancelled`] said so.
    Cancelled,
    /// [`Observer::text`] broke off.
    OutputClosed,
}

impl Finish {
    /// One word for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Finish::EndOfText => "eos",
            Finish::Stop(_) => "stop",
            Finish::Length => "length",
            Finish::ContextFull => "context",
            Finish::Cancelled => "cancelled",
            Finish::OutputClosed => "closed",
        }
    }
}

/// How long each part took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Taking in the prompt, up to its last logits.
    pub prefill: Duration,
    /// From the start of prefill until the first token was chosen; zero if none was.
    pub first_token: Duration,
    /// All tokens after the first one.
    pub decode: Duration,
}

/// What was generated.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The text, without prompt and stop string.
    pub text: String,
    /// The ids after the prompt, in order; the end-of-text token is not among them unless it was ignored.
    pub ids: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that did not go through the model, since the text before began with them.
    pub reused_tokens: usize,
    /// Tokens taken in after the prompt, which [`Timings::decode`] covers. Each is a forward pass of its own,
    /// but for those that were drafted and accepted.
    pub decode_steps: usize,
    /// What prompt lookup did.
    pub lookup: LookupStats,
    /// What was evicted from the cache.
    pub eviction: EvictionStats,
    /// What was moved between two backends.
    pub moved: MoveStats,
    /// Tokens that the cache holds at the end.
    pub held: usize,
    /// Tokens that went through the model: the position of the next one.
    pub positions: usize,
    /// Random numbers of the seed that are used up, those before this text included.
    pub draws: u64,
    /// Why it ended.
    pub finish: Finish,
    /// Durations.
    pub timings: Timings,
}

impl<B: Backend> Session<B> {
    /// Takes in the prompt and generates until one of the [`Finish`] reasons.
    ///
    /// A prompt that begins as the text before (its prompt and what was generated) goes through the model only from
    /// where they part; [`Self::forget`] prevents it. The same request gives the same ids on every machine, for any
    /// number of threads, any prefill chunk, any [`SessionOptions::lookup`](super::SessionOptions::lookup) and any text
    /// before (CPU backend).
    ///
    /// # Errors
    /// An empty prompt, one that leaves no room in the context, ids outside of the vocabulary, logits that
    /// are not numbers, and whatever the backend reports.
    pub fn generate(
        &mut self,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, EngineError> {
        self.check_prompt(&request.prompt)?;
        let mut run = Run::new(request, self.lookup)?;
        run.stop_tokens = self.stop_tokens(&request.stop);
        run.decoder = run.decoder.showing(&self.shown);
        run.taken_in = self.keep_common(&request.prompt);
        if self.set_span(request.prompt.len()) {
            self.forget();
            run.taken_in = 0;
        }
        let reused = run.taken_in;
        if request.room > 0 {
            self.make_room_for((request.prompt.len() - reused).saturating_add(request.room))?;
        }
        // An error on the way leaves nothing to go by.
        self.seen.clear();
        // The text goes on where the prompt ends: a word's leading space is not the start of a text.
        for &id in &request.prompt {
            run.decoder.push(&self.tokenizer, id)?;
        }
        let start = Instant::now();
        run.beyond_training = self.cache.position() > self.model.spec().max_positions;
        let finish = match self.take_in(&request.prompt, &mut run, observer)? {
            ControlFlow::Break(finish) => {
                run.timings.prefill = start.elapsed();
                finish
            }
            ControlFlow::Continue(()) => {
                run.timings.prefill = start.elapsed();
                self.decode_loop(request, &mut run, observer, start)?
            }
        };
        // What was drafted beyond the end of the text does not count.
        self.cache.rewind(run.taken_in);
        self.seen.extend_from_slice(&run.history[..run.taken_in]);
        Ok(Outcome { reused_tokens: reused, ..run.end(self, finish, observer, request.prompt.len())? })
    }

    /// The stop texts that are exactly one special token: such a token has no text to be found in.
    fn stop_tokens(&self, stop: &[String]) -> Vec<(u32, String)> {
        let token =
            |text: &String| self.tokenizer.token_to_id(text).filter(|&id| self.tokenizer.is_special(id));
        stop.iter().filter_map(|text| Some((token(text)?, text.clone()))).collect()
    }

    /// Prefill in chunks; the last one leaves its logits.
    fn take_in(
        &mut self,
        prompt: &[u32],
        run: &mut Run,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<Finish>, EngineError> {
        // At once what the prompt takes: growing step by step would hold an old cache beside each new one. But where
        // memory is watched, step by step.
        let mut done = run.taken_in;
        if self.memory.is_none() {
            let more = (prompt.len() - done).min(self.cache.max_len() - self.cache.len());
            self.cache.reserve_text(&self.backend, more)?;
        }
        let turn = self.turn_of_prompt(prompt.len() - done);
        while done < prompt.len() {
            if observer.cancelled() {
                return Ok(ControlFlow::Break(Finish::Cancelled));
            }
            let room = self.make_room()?;
            let chunk = &prompt[done..prompt.len().min(done + self.chunk.min(room))];
            done += chunk.len();
            let wanted = if done == prompt.len() { Wanted::Last } else { Wanted::Nothing };
            self.pass(turn, chunk, wanted)?;
            if wanted == Wanted::Last {
                self.look_at(0, run)?;
            }
            run.taken_in = done;
            self.report(run, observer);
            observer.prefill(done, prompt.len());
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What an observer gets after every pass.
    fn report(&mut self, run: &mut Run, observer: &mut dyn Observer) {
        let trained = self.model.spec().max_positions;
        if self.evictor.is_some() && self.positions_in_force() > trained && !run.beyond_training {
            run.beyond_training = true;
            observer.beyond_training(trained);
        }
        if let Some(found) = self.non_finite() {
            observer.non_finite(&found);
        }
        observer.rest(run.rested.elapsed());
        run.rested = Instant::now();
    }

    fn decode_loop(
        &mut self,
        request: &Request,
        run: &mut Run,
        observer: &mut dyn Observer,
        start: Instant,
    ) -> Result<Finish, EngineError> {
        let limit = request.max_tokens.unwrap_or(usize::MAX);
        if limit == 0 {
            return Ok(Finish::Length);
        }
        loop {
            if observer.cancelled() {
                return Ok(Finish::Cancelled);
            }
            let id = match run.need {
                Need::Largest => Chain::argmax(run.largest, self.logits.len())?,
                Need::Top(_) => run.chain.sample_top(&run.top, self.logits.len(), &mut run.rng)?,
                Need::All => run.chain.sample(&mut self.logits, &run.history, &mut run.rng)?,
            };
            if run.timings.first_token.is_zero() {
                run.timings.first_token = start.elapsed();
                run.first = Some(Instant::now());
            }
            if let Some((_, stop)) = run.stop_tokens.iter().find(|(token, _)| *token == id) {
                return Ok(Finish::Stop(stop.clone()));
            }
            if self.eos.contains(&id) && !request.ignore_eos {
                return Ok(Finish::EndOfText);
            }
            run.history.push(id);
            let piece = run.decoder.push(&self.tokenizer, id)?;
            if run.emit(&piece, observer).is_break() {
                return Ok(Finish::OutputClosed);
            }
            if let Some(stop) = run.stop.matched() {
                return Ok(Finish::Stop(stop.to_owned()));
            }
            if run.history.len() >= self.end_of_context() {
                return Ok(Finish::ContextFull);
            }
            let left = limit - (run.history.len() - request.prompt.len());
            if left == 0 {
                return Ok(Finish::Length);
            }
            self.next_logits(run, left)?;
            self.report(run, observer);
            run.steps += 1;
        }
    }

    /// The logits after the last token chosen, of which `left` more are wanted at most: from the pass that has
    /// verified a draft, or from a new one.
    fn next_logits(&mut self, run: &mut Run, left: usize) -> Result<(), EngineError> {
        run.taken_in = run.history.len();
        if let Some(row) = run.lookup.chosen(&run.history) {
            return self.look_at(row, run);
        }
        // All but the last token are certain; what was drafted beyond them is not what was chosen.
        self.cache.rewind(run.history.len() - 1);
        let left = left.min(self.end_of_context() - run.history.len());
        // A draft never reaches beyond the window: evictions come where they would come without it.
        let turn = self.turn_of_decode();
        self.outgrow(turn, &run.history)?;
        let room = self.make_room()?.min(self.room_in_span(run.history.len() - 1));
        let rows = run.lookup.rows(&run.history, left.min(room).saturating_sub(1));
        self.pass(turn, rows, Wanted::Each)?;
        self.look_at(0, run)
    }

    /// Brings to the host what the choice needs of row `row` of the workspace's logits.
    fn look_at(&mut self, row: usize, run: &mut Run) -> Result<(), EngineError> {
        match run.need {
            Need::Largest => run.largest = self.largest_of(row)?,
            Need::Top(count) => self.top_of(row, count, &mut run.top)?,
            Need::All => self.logits_of(row)?,
        }
        Ok(())
    }
}

/// State of one generation.
struct Run {
    chain: Chain,
    /// What of the next token's logits is brought to the host: into one of these two, or whole.
    need: Need,
    largest: Largest,
    top: Top,
    rng: SeededRng,
    decoder: StreamDecoder,
    stop: StopMatcher,
    /// Stop texts that are one special token, by its id.
    stop_tokens: Vec<(u32, String)>,
    /// Prompt and generated ids.
    history: Vec<u32>,
    text: String,
    timings: Timings,
    first: Option<Instant>,
    /// When [`Observer::rest`] came back.
    rested: Instant,
    steps: usize,
    lookup: Lookup,
    /// Tokens of the history that have gone through the model for certain: the cache may hold drafts beyond them.
    taken_in: usize,
    /// [`Observer::beyond_training`] was called.
    beyond_training: bool,
}

impl Run {
    fn new(request: &Request, lookup: usize) -> Result<Self, EngineError> {
        let chain = Chain::new(&request.sampling)?;
        Ok(Self {
            need: chain.need(),
            chain,
            largest: Largest { index: None, nan: None },
            top: Top::default(),
            rng: SeededRng::at(request.sampling.seed, request.draws),
            decoder: StreamDecoder::new(true),
            stop: StopMatcher::new(&request.stop),
            stop_tokens: Vec::new(),
            history: request.prompt.clone(),
            text: String::new(),
            timings: Timings::default(),
            first: None,
            rested: Instant::now(),
            steps: 0,
            lookup: Lookup::new(lookup, &request.prompt),
            taken_in: 0,
            beyond_training: false,
        })
    }

    fn emit(&mut self, piece: &str, observer: &mut dyn Observer) -> ControlFlow<()> {
        let sure = self.stop.push(piece);
        self.text.push_str(&sure);
        if sure.is_empty() { ControlFlow::Continue(()) } else { observer.text(&sure) }
    }

    fn end<B: Backend>(
        mut self,
        session: &Session<B>,
        mut finish: Finish,
        observer: &mut dyn Observer,
        prompt_tokens: usize,
    ) -> Result<Outcome, EngineError> {
        self.timings.decode = self.first.map_or(Duration::ZERO, |t| t.elapsed());
        if self.stop.matched().is_none() && finish != Finish::OutputClosed {
            let mut rest = self.decoder.finish(&session.tokenizer)?;
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
        let ids = self.history.split_off(prompt_tokens);
        Ok(Outcome {
            text: self.text,
            ids,
            prompt_tokens,
            reused_tokens: 0,
            decode_steps: self.steps,
            lookup: self.lookup.stats(),
            eviction: session.eviction_stats(),
            moved: session.moved(),
            held: session.cache.len(),
            positions: session.cache.position(),
            draws: self.rng.draws(),
            finish,
            timings: self.timings,
        })
    }
}
