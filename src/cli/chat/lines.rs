//! The lines that a user types, or that a pipe brings.

use std::io::{BufRead, IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail};
use rustyline::config::{Behavior, Builder};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, Editor};

use crate::cli::notice::say;
use crate::cli::{interrupt, terminal};

/// A longer line than this is a mistake (some other file).
const LIMIT: u64 = 16 << 20;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, or several that `\` joins; without the last newline.
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of a file.
    End,
    /// A signal that ends the program, or a terminal that is gone.
    Ending,
}

/// Where lines come from: a thread that reads them, so that a signal can end the wait for one.
pub struct Lines {
    wanted: Sender<()>,
    events: Receiver<Event>,
    /// For whoever wakes [`Self::next`].
    event: Sender<Event>,
    are_typed: bool,
}

enum Event {
    Line(Result<Line>),
    Signal,
}

impl Lines {
    /// From standard input. `history`: lines are kept for the next conversation.
    ///
    /// # Errors
    /// A terminal that cannot be used.
    pub fn open(colours: bool, history: bool) -> Result<Self> {
        let are_typed = stdin().is_terminal();
        if are_typed {
            terminal::remember();
        }
        let (wanted, requests) = channel();
        let (event, events) = channel();
        let (opened, result) = channel();
        let answers = event.clone();
        // The editor stays on the thread that has made it.
        let read = move || {
            let source = match are_typed {
                true => Terminal::open(colours, history).map(|t| Source::Terminal(Box::new(t))),
                false => Ok(Source::Plain),
            };
            let mut source = match source {
                Ok(source) => source,
                Err(e) => return drop(opened.send(Err(e))),
            };
            let _ = opened.send(Ok(()));
            while requests.recv().is_ok() && answers.send(Event::Line(source.next())).is_ok() {}
        };
        thread::Builder::new().name("lines".into()).spawn(read).context("cannot start a thread")?;
        result.recv().context("the thread that reads lines has ended")??;
        Ok(Self { wanted, events, event, are_typed })
    }

    /// Whether somebody types.
    pub fn are_typed(&self) -> bool {
        self.are_typed
    }

    /// The next line.
    ///
    /// # Errors
    /// What the system answers, and text that is not UTF-8.
    pub fn next(&mut self) -> Result<Line> {
        let event = self.event.clone();
        interrupt::wait_for_signal(Box::new(move || drop(event.send(Event::Signal))));
        let _ = self.wanted.send(());
        let came = self.events.recv();
        interrupt::wait_no_longer();
        let line = match came {
            Ok(Event::Line(line)) => line,
            Ok(Event::Signal) => Ok(Line::Ending),
            Err(_) => bail!("the thread that reads lines has ended"),
        };
        if self.are_typed && matches!(line, Ok(Line::End) | Err(_)) && terminal::is_gone() {
            interrupt::hung_up();
        }
        if interrupt::ending().is_some() {
            // The other thread may be in the middle of a line.
            terminal::restore();
            return Ok(Line::Ending);
        }
        line
    }
}

/// What lines are read from.
enum Source {
    /// A terminal, where they are edited.
    Terminal(Box<Terminal>),
    /// Anything else: one after the other, unseen.
    Plain,
}

impl Source {
    fn next(&mut self) -> Result<Line> {
        let mut text = String::new();
        loop {
            let more = match self {
                Source::Terminal(terminal) => terminal.line(text.is_empty())?,
                Source::Plain => plain(&mut stdin().lock())?,
            };
            match more {
                Line::Text(line) => text.push_str(&line),
                Line::End if !text.is_empty() => break,
                other => return Ok(other),
            }
            if !text.ends_with('\\') {
                break;
            }
            text.pop();
            text.push('\n');
        }
        if let Source::Terminal(terminal) = self {
            terminal.keep(&text);
        }
        Ok(Line::Text(text))
    }
}

/// A line of a pipe or a file.
fn plain(input: &mut impl BufRead) -> Result<Line> {
    let mut bytes = Vec::new();
    input.take(LIMIT + 1).read_until(b'\n', &mut bytes).context("cannot read standard input")?;
    if bytes.len() as u64 > LIMIT {
        bail!("a line of standard input is longer than {} MB, the most that is taken in", LIMIT >> 20);
    }
    if bytes.is_empty() {
        return Ok(Line::End);
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        anyhow::anyhow!("standard input is not UTF-8 text (byte {} of a line)", e.utf8_error().valid_up_to())
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Line::Text(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

/// A terminal on which lines are edited. It is opened by itself: standard output is for answers.
pub struct Terminal {
    editor: Editor<(), FileHistory>,
    colours: bool,
    history: Option<PathBuf>,
}

impl Terminal {
    fn open(colours: bool, history: bool) -> Result<Self> {
        let failed = "cannot edit lines on this terminal";
        let colour = if colours { ColorMode::Enabled } else { ColorMode::Disabled };
        let config = Builder::new()
            .behavior(Behavior::PreferTerm)
            .color_mode(colour)
            .history_ignore_space(true)
            .build();
        let mut editor = Editor::with_config(config).context(failed)?;
        let history = if history { history_file() } else { None };
        if let Some(path) = &history {
            // There is none before the first conversation.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, colours, history })
    }

    fn line(&mut self, first: bool) -> Result<Line> {
        let prompt = if first { "> " } else { ". " };
        let styled = if self.colours { format!("\x1b[1;32m{prompt}\x1b[0m") } else { prompt.to_owned() };
        match self.editor.readline(&(prompt, styled.as_str())) {
            Ok(line) => Ok(Line::Text(line)),
            Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(e) => Err(e).context("cannot read a line from the terminal"),
        }
    }

    /// Keeps a line for the arrow keys, now and in later conversations.
    fn keep(&mut self, line: &str) {
        let known = self.editor.add_history_entry(line);
        let Some(path) = self.history.clone() else { return };
        if !known.unwrap_or(false) {
            return;
        }
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        let kept = folder.map_err(ReadlineError::from).and_then(|()| self.editor.append_history(&path));
        if let Err(e) = kept {
            say(&format!(
                "note: what you type is not kept for later conversations: '{}' cannot be written ({e}); --no-history \
                 leaves it out",
                path.display()
            ));
            self.history = None;
        }
    }
}

/// Where typed lines are kept: with a user's other state, as of the XDG base directories.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|p: &PathBuf| p.is_absolute());
    let home = || absolute("HOME").filter(|home| home != Path::new("/"));
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state")));
    state.map(|dir| dir.join("llm_rs2/chat_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_lose_their_ends_and_bad_ones_are_named() {
        let mut input = &b"one\r\ntwo\n\nlast"[..];
        let mut next = || plain(&mut input).unwrap();
        let text = |text: &str| Line::Text(text.to_owned());
        assert_eq!([next(), next(), next(), next()], [text("one"), text("two"), text(""), text("last")]);
        assert_eq!(next(), Line::End);
        let message = plain(&mut &b"ab\xff\n"[..]).unwrap_err().to_string();
        assert_eq!(message, "standard input is not UTF-8 text (byte 2 of a line)");
    }
}
