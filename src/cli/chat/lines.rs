//! The lines that a person types, or that a pipe brings.

use std::io::{BufRead, IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use rustyline::config::{Behavior, Builder};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, Editor};

use crate::cli::notice::say;
use crate::cli::terminal;

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
}

/// Where lines come from.
pub enum Lines {
    /// A terminal, where they are edited.
    Terminal(Box<Terminal>),
    /// Anything else: one after the other, unseen.
    Plain,
}

impl Lines {
    /// From standard input. `history`: lines are kept for the next conversation.
    ///
    /// # Errors
    /// A terminal that cannot be used.
    pub fn open(colours: bool, history: bool) -> Result<Self> {
        if !stdin().is_terminal() {
            return Ok(Lines::Plain);
        }
        terminal::remember();
        Ok(Lines::Terminal(Box::new(Terminal::open(colours, history)?)))
    }

    /// Whether a person types.
    pub fn are_typed(&self) -> bool {
        matches!(self, Lines::Terminal(_))
    }

    /// The next line.
    ///
    /// # Errors
    /// What the system answers, and text that is not UTF-8.
    pub fn next(&mut self) -> Result<Line> {
        let mut text = String::new();
        loop {
            let more = match self {
                Lines::Terminal(terminal) => terminal.line(text.is_empty())?,
                Lines::Plain => plain(&mut stdin().lock())?,
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
        if let Lines::Terminal(terminal) = self {
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

/// Where typed lines are kept: with a person's other state, as of the XDG base directories.
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
