//! `generate --chat` without a prompt: a conversation.
//!
//! Standard output carries the answers and nothing else.

mod command;
pub mod format;
mod lines;

use std::io::{IsTerminal, stdout};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::command::{Command, HELP, Input};
use self::lines::{Line, Lines};
use super::args::Args;
use super::constraint::Constrained;
use super::interrupt;
use super::notice::{say, sentence};
use super::output::Stream;
use super::reasoning::{self, Screen};
use super::session::SessionFile;
use super::settings::Settings;
use super::terminal;
use super::throttle::Throttle;
use crate::chat::Message;
use crate::engine::{
    ChatFormat, Conversation, EngineError, Finish, Origin, Outcome, Request, Session, Text,
    saved_conversation,
};
use crate::host::{human_bytes, peak_resident_bytes};

/// Room that is made for an answer before it begins, in tokens, where `-n` does not say how long it may become.
const ANSWER: usize = 256;

/// Whether the arguments ask for a conversation: no message is given.
pub fn is_wanted(args: &Args) -> bool {
    args.chat && args.prompt.is_none() && args.prompt_file.is_none() && args.messages.is_none()
}

/// Talks with a user until they leave.
///
/// # Errors
/// Standard output that cannot be written, a terminal that cannot be read; on a pipe, whatever goes wrong.
pub fn converse(
    session: &mut Session,
    args: &Args,
    settings: &Settings,
    format: ChatFormat,
    origin: &Origin,
    kept: Option<SessionFile>,
    throttle: Option<Throttle>,
) -> Result<ExitCode> {
    let colours = terminal::colours(args.no_color);
    let constrained = args.constraint.of(session)?;
    let mut lines = Lines::open(colours, !args.no_history)?;
    let conversation = Conversation::new(format, args.system.as_deref());
    let mut chat = Chat {
        session,
        args,
        settings,
        conversation,
        origin,
        colours,
        draws: 0,
        answers: 0,
        last: None,
        failed: false,
        throttle,
        constrained,
    };
    interrupt::conversation_starts();
    let mut kept = kept;
    if let Some(kept) = &mut kept {
        chat.resume(kept)?;
    }
    let talked = chat.talk(&mut lines);
    let failed = chat.failed;
    // What was said is worth as much after a failure.
    let saved = kept.map_or(Ok(()), |kept| kept.save(chat.session, origin, &chat.text()));
    match interrupt::ending_code() {
        Some(code) => {
            if let Err(error) = saved {
                say(&format!("error: {}", sentence(&error)));
            }
            Ok(code)
        }
        None => talked.and(saved).map(|()| if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
    }
}

/// Whether the conversation goes on, or how it ends.
type Next = ControlFlow<Result<()>>;

struct Chat<'a> {
    session: &'a mut Session,
    args: &'a Args,
    settings: &'a Settings,
    conversation: Conversation,
    origin: &'a Origin,
    colours: bool,
    /// Random numbers used so far.
    draws: u64,
    /// Answers given so far.
    answers: usize,
    last: Option<Outcome>,
    /// Something went wrong that did not end the conversation.
    failed: bool,
    /// Watches the heat.
    throttle: Option<Throttle>,
    /// What each answer has to be.
    constrained: Constrained,
}

impl Chat<'_> {
    fn talk(&mut self, lines: &mut Lines) -> Result<()> {
        if lines.are_typed() {
            self.note("type a message and Enter; /help lists what else there is, Ctrl-D leaves");
        }
        let mut interrupted = false;
        loop {
            let input = match lines.next()? {
                Line::End | Line::Ending => break,
                Line::Interrupted if interrupted => break,
                Line::Interrupted => {
                    interrupted = true;
                    self.note("Ctrl-C once more leaves, and so do Ctrl-D and /quit");
                    continue;
                }
                Line::Text(line) => Input::parse(&line).map_err(anyhow::Error::msg),
            };
            interrupted = false;
            match input.and_then(|input| self.take(input)) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(result)) => return result,
                // A user reads what is wrong and goes on. On a pipe nothing does.
                Err(error) if lines.are_typed() => say(&format!("error: {}", sentence(&error))),
                Err(error) => return Err(error),
            }
            if interrupt::ending().is_some() {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, input: Input) -> Result<Next> {
        match input {
            Input::Nothing => {}
            Input::Message(text) => {
                self.conversation.ask(&text);
                return self.answer().inspect_err(|_| self.conversation.unask());
            }
            Input::Command(Command::Help) => say(HELP),
            Input::Command(Command::Stats) => self.stats(),
            Input::Command(Command::Think(None)) => say(match self.conversation.format().thinking() {
                Some(true) => "the model reasons before it answers",
                Some(false) => "the model answers without reasoning",
                None => "the model's chat template decides whether it reasons",
            }),
            Input::Command(Command::Think(Some(on))) => self.set_thinking(on)?,
            Input::Command(Command::Quit) => return Ok(Next::Break(Ok(()))),
            Input::Command(Command::Reset) => {
                let system = self.conversation.system().map(str::to_owned);
                self.restart(system.as_deref())?;
                self.note("what was said is forgotten");
            }
            Input::Command(Command::System(None)) => match self.conversation.system() {
                Some(text) => say(text),
                None => say("there is no system message"),
            },
            Input::Command(Command::System(Some(text))) => {
                self.restart(Some(&text))?;
                self.note("a new conversation begins with this system message");
            }
            Input::Command(Command::Save(path)) => {
                let saved = self.session.save(&path, self.origin, &self.text());
                match saved.context("the conversation is not saved") {
                    Ok(_) => self.note(&format!("saved as '{}'", path.display())),
                    // It goes on, and may be saved elsewhere.
                    Err(error) => {
                        self.failed = true;
                        say(&format!("error: {}", sentence(&error)));
                    }
                }
            }
            Input::Command(Command::Load(path)) => self.load(&path)?,
            Input::Command(Command::Regen) => {
                return self.regenerate().inspect_err(|_| self.conversation.unask());
            }
        }
        Ok(Next::Continue(()))
    }

    /// Another conversation, as if the program had just started.
    fn restart(&mut self, system: Option<&str>) -> Result<()> {
        self.protect(system)?;
        self.conversation.restart(system);
        (self.draws, self.last) = (0, None);
        Ok(())
    }

    /// `/think`.
    fn set_thinking(&mut self, on: bool) -> Result<()> {
        let system = self.conversation.system().map(str::to_owned);
        let first = |chat: &Self| {
            chat.conversation.format().first_tokens(chat.session.tokenizer(), system.as_deref())
        };
        let before = first(self)?;
        self.conversation.set_thinking(on)?;
        // Some templates have another system message then.
        if first(self)? != before {
            self.protect(system.as_deref())?;
        }
        self.note(if on {
            "the model reasons before it answers from now on"
        } else {
            "the model answers without reasoning from now on"
        });
        Ok(())
    }

    /// Forgets the cache. What comes before the first words after this system message will not be evicted.
    fn protect(&mut self, system: Option<&str>) -> Result<()> {
        if self.args.eviction.protected_prefix.is_none() {
            let first = self.conversation.format().first_tokens(self.session.tokenizer(), system)?;
            self.session.protect(first)?;
        }
        Ok(())
    }

    /// What was said, for a file.
    fn text(&self) -> Text {
        self.conversation.to_text(self.settings.sampling.seed, self.draws)
    }

    /// Goes on with the conversation of `--session`.
    fn resume(&mut self, kept: &mut SessionFile) -> Result<()> {
        let messages = saved_conversation(kept.path()).unwrap_or_default().messages;
        let system = system(&messages).or(self.args.system.as_deref());
        check_system(self.args, system, kept.path())?;
        self.protect(system)?;
        if let Some(text) = kept.restore(self.session, self.origin)? {
            self.go_on(text)?;
        }
        Ok(())
    }

    /// `/load`.
    fn load(&mut self, path: &Path) -> Result<()> {
        let messages = saved_conversation(path).unwrap_or_default().messages;
        self.protect(system(&messages))?;
        let restored = self.session.restore(path, self.origin)?;
        match restored.text {
            Some(text) if !text.messages.is_empty() => {
                if let Some(why) = restored.refused {
                    say(&format!("warning: {why}; the conversation goes through the model anew"));
                }
                self.go_on(text)
            }
            text => {
                // The conversation of before goes on.
                let system = self.conversation.system().map(str::to_owned);
                self.protect(system.as_deref())?;
                bail!(match (restored.refused, text) {
                    (Some(why), _) => why,
                    (None, Some(_)) => format!("'{}' holds no conversation", path.display()),
                    (None, None) => format!("there is no session in '{}'", path.display()),
                })
            }
        }
    }

    fn go_on(&mut self, mut text: Text) -> Result<()> {
        if text.messages.is_empty() {
            return Ok(());
        }
        text.date = self.args.date.or(text.date);
        text.thinking = reasoning::wanted(self.args).or(text.thinking);
        self.draws = if text.seed == self.settings.sampling.seed { text.draws } else { 0 };
        self.last = None;
        self.conversation.resume(text)?;
        let answers = self.conversation.messages().iter().filter(|m| m.role == "assistant").count();
        self.note(&format!("the conversation goes on after {answers} answers; /reset begins a new one"));
        Ok(())
    }

    fn regenerate(&mut self) -> Result<Next> {
        if !self.conversation.unanswer() {
            say("there is no answer yet that could be given again");
            return Ok(Next::Continue(()));
        }
        if self.settings.sampling.is_greedy() {
            self.note(
                "it will be the same answer, since the likeliest token is chosen always (--temperature 0)",
            );
        }
        self.answer()
    }

    /// Answers what was asked last.
    fn answer(&mut self) -> Result<Next> {
        let prompt = self.conversation.prompt(self.session.tokenizer())?;
        let request = Request {
            prompt: prompt.ids.clone(),
            max_tokens: self.args.num_tokens,
            sampling: self.settings.sampling,
            stop: self.args.stop.clone(),
            ignore_eos: self.args.ignore_eos,
            draws: self.draws,
            room: self.args.num_tokens.unwrap_or(ANSWER),
            rule: self.constrained.rule(self.conversation.format().reasoning(prompt.text()))?,
            ..Request::default()
        };
        let to_terminal = stdout().is_terminal();
        let mut out = Stream::to_stdout(self.args.quiet)
            .throttled(self.throttle.take())
            .splitting(self.conversation.format().splitter(prompt.text()), Screen::new(self.args));
        if self.answers > 0 && !to_terminal {
            // Answers may have several lines: an empty one parts them.
            let _ = out.write("\n");
        }
        let outcome = {
            let _answering = interrupt::answer_starts();
            self.session.generate(&request, &mut out)
        };
        self.throttle = out.take_throttle();
        let outcome = outcome.map_err(|e| self.explain(e))?;
        let unanswered = out.settle();
        if to_terminal {
            let _ = out.write(if outcome.text.ends_with('\n') { "\n" } else { "\n\n" });
        }
        let written = out.finish().context("cannot write the answer to standard output");
        match &outcome.finish {
            Finish::Cancelled => self.note("stopped"),
            Finish::ContextFull => say(&format!("note: {}", self.full(outcome.positions + 1))),
            _ => {}
        }
        let closed = outcome.finish == Finish::OutputClosed;
        if unanswered && !closed && outcome.finish != Finish::Cancelled {
            say(&format!("note: {}", reasoning::UNANSWERED));
        }
        if outcome.finish == Finish::Cancelled && outcome.ids.is_empty() {
            // Nothing was answered: it is as if nothing had been asked.
            self.conversation.unask();
            self.session.cut_back(self.conversation.ids())?;
        } else {
            self.draws = outcome.draws;
            self.answers += 1;
            self.conversation.answer(prompt, &outcome);
            self.last = Some(outcome);
        }
        Ok(match written {
            Err(e) => Next::Break(Err(e)),
            Ok(()) if closed => Next::Break(Ok(())),
            Ok(()) => Next::Continue(()),
        })
    }

    fn explain(&self, error: EngineError) -> anyhow::Error {
        match error {
            EngineError::PromptTooLong { tokens, .. } => anyhow::Error::msg(self.full(tokens)),
            other => other.into(),
        }
    }

    fn full(&self, tokens: usize) -> String {
        format!(
            "the conversation has come to {tokens} tokens, and the context of {} is full: /reset begins anew; with \
             --eviction-policy sliding it would go on, and with a larger --max-seq-len last longer",
            self.settings.session.max_seq_len
        )
    }

    fn stats(&self) {
        let (held, seen) = self.session.tokens();
        let evictions = self.session.eviction_stats().evictions;
        say(&format!(
            "conversation: {} messages, {seen} tokens, {held} of them held, evicted {} times",
            self.conversation.messages().len(),
            evictions
        ));
        if let Some(o) = &self.last {
            let new = o.prompt_tokens - o.reused_tokens;
            let rate = o.decode_steps as f64 / o.timings.decode.as_secs_f64().max(1e-9);
            say(&format!(
                "last answer: {new} new tokens after {} known, first token {:.2} s, {} tokens, {rate:.1} tok/s, ended \
                 by {}",
                o.reused_tokens,
                o.timings.first_token.as_secs_f64(),
                o.ids.len(),
                o.finish.name()
            ));
        }
        let peak =
            peak_resident_bytes().map_or_else(String::new, |b| format!(", peak memory {}", human_bytes(b)));
        say(&format!(
            "memory: keys and values {}{peak} | seed {}, {} random numbers used",
            human_bytes(self.session.cache_bytes() as u64),
            self.settings.sampling.seed,
            self.draws
        ));
    }

    /// A line that helps, and that no command has asked for.
    fn note(&self, text: &str) {
        if !self.args.quiet {
            say(&terminal::dimmed(&format!("note: {text}"), self.colours));
        }
    }
}

/// Refuses a system message other than that of the conversation that goes on.
///
/// # Errors
/// A sentence that names the session's file.
pub fn check_system(args: &Args, system: Option<&str>, file: &Path) -> Result<()> {
    if args.system.is_some() && system != args.system.as_deref() {
        bail!(
            "'{}' goes on with a conversation that has another system message; leave out --system, or name another \
             file",
            file.display()
        );
    }
    Ok(())
}

/// The system message that a conversation begins with.
pub fn system(messages: &[Message]) -> Option<&str> {
    messages.first().filter(|m| m.role == "system").map(|m| m.content.as_str())
}
