//! A model's reasoning on the screen: dimmed, on standard error, so that standard output carries answers alone.

use std::io::{IsTerminal, Stderr, Write, stderr};
use std::ops::ControlFlow;

use anyhow::{Result, anyhow};

use super::args::Args;
use super::{interrupt, terminal};
use crate::chat::ChatError;
use crate::engine::{ChatFormat, EngineError};

/// Where reasoning is shown.
pub struct Screen<W = Stderr> {
    out: W,
    colours: bool,
    /// Reasoning is shown, and its last line is not ended.
    open: bool,
}

impl Screen {
    /// A terminal on standard error; `None` where there is none, or where nothing but the text is wanted.
    pub fn new(args: &Args) -> Option<Self> {
        let wanted = !args.quiet && !args.json && stderr().is_terminal();
        wanted.then(|| Self { out: stderr(), colours: terminal::colours(args.no_color), open: false })
    }
}

impl<W: Write> Screen<W> {
    /// Shows more reasoning; where `answer` follows, ends it. `Break`: a signal ends the program, and the terminal takes
    /// nothing.
    pub fn show(&mut self, reasoning: &str, answer: &str) -> ControlFlow<()> {
        if !reasoning.is_empty() {
            if !interrupt::wait_for_room(libc::STDERR_FILENO) {
                return ControlFlow::Break(());
            }
            let _ = write!(self.out, "{}", terminal::dimmed(reasoning, self.colours));
            self.open = true;
        }
        if self.open && !answer.is_empty() {
            let _ = write!(self.out, "\n\n");
            self.open = false;
        }
        let _ = self.out.flush();
        ControlFlow::Continue(())
    }

    /// Ends the last line, where no answer follows.
    pub fn end(&mut self) {
        if self.open {
            let _ = writeln!(self.out);
            self.open = false;
        }
    }
}

/// What `--think` and `--no-think` say.
pub fn wanted(args: &Args) -> Option<bool> {
    match (args.think, args.no_think) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// Sets the switch of the model's template by the flags, or else as in the conversation that goes on.
///
/// # Errors
/// A flag where the template has no switch.
pub fn set(args: &Args, saved: Option<bool>, format: &mut ChatFormat) -> Result<()> {
    match (wanted(args), saved) {
        (Some(on), _) => format.set_thinking(on).map_err(|error| {
            let flag = if on { "--think" } else { "--no-think" };
            match error {
                EngineError::Chat(ChatError::NoSwitch) => anyhow!("{error}; leave out {flag}"),
                other => other.into(),
            }
        }),
        // Another template than that of the conversation may have none.
        (None, Some(on)) => {
            let _ = format.set_thinking(on);
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

/// What is said of an answer that has not begun when the text ends.
pub const UNANSWERED: &str = "the text ended in the model's reasoning, before its answer; a larger -n or --max-seq-len \
                              gives it room, and --no-think (or /think off) leaves the reasoning out, if the model's \
                              chat template has a switch for it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_dimmed_and_set_apart() {
        let mut screen = Screen { out: Vec::new(), colours: true, open: false };
        assert!(screen.show("", "plain").is_continue());
        assert!(screen.out.is_empty());
        for (reasoning, answer) in [("I th", ""), ("ink.", ""), ("", ""), ("", "So"), ("", " be it")] {
            assert!(screen.show(reasoning, answer).is_continue());
        }
        screen.end();
        let shown = String::from_utf8(screen.out).unwrap();
        assert_eq!(shown, "\x1b[2mI th\x1b[0m\x1b[2mink.\x1b[0m\n\n");
        let mut screen = Screen { out: Vec::new(), colours: false, open: false };
        assert!(screen.show("I think", "").is_continue());
        screen.end();
        screen.end();
        assert_eq!(screen.out, b"I think\n");
    }
}
