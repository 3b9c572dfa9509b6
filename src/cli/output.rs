//! The text on its way to standard output.

use std::io::{self, ErrorKind, Stdout, Write, stdout};
use std::ops::ControlFlow;
use std::time::Duration;

use super::interrupt;
use super::notice::say;
use super::progress::Progress;
use super::reasoning::Screen;
use super::throttle::{Throttle, ThrottleStats};
use crate::chat::{ReasoningSplitter, Split};
use crate::engine::Observer;
use crate::models::llama::NonFinite;

/// Streams text to `out`, and shows how far the prompt is taken in.
pub struct Stream<W> {
    /// `None` where the text is not streamed (`--json`).
    out: Option<W>,
    /// The text so far, where it is not streamed.
    kept: Split,
    /// Takes a model's reasoning out of the text.
    splitter: Option<ReasoningSplitter>,
    /// Shows the reasoning.
    screen: Option<Screen>,
    prefill: Progress,
    error: Option<io::Error>,
    /// There is no line to end: nothing was written, or a newline last.
    ends_with_newline: bool,
    throttle: Option<Throttle>,
    /// Who reads may be slow: a signal that ends the program does not wait for them.
    waits: bool,
}

impl Stream<Stdout> {
    /// Writes to standard output as it is generated.
    pub fn to_stdout(quiet: bool) -> Self {
        Self { waits: true, ..Self::new(Some(stdout()), quiet) }
    }
}

impl<W: Write> Stream<W> {
    /// Writes to `out`, if there is one.
    pub fn new(out: Option<W>, quiet: bool) -> Self {
        Self {
            out,
            kept: Split::default(),
            splitter: None,
            screen: None,
            prefill: Progress::new("Reading the prompt", quiet),
            error: None,
            ends_with_newline: true,
            throttle: None,
            waits: false,
        }
    }

    /// Rests where `throttle` says so.
    pub fn throttled(self, throttle: Option<Throttle>) -> Self {
        Self { throttle, ..self }
    }

    /// Takes the model's reasoning out of the text, and shows it on `screen`.
    pub fn splitting(self, splitter: ReasoningSplitter, screen: Option<Screen>) -> Self {
        Self { splitter: Some(splitter), screen, ..self }
    }

    /// What watches the heat, for the next stream.
    pub fn take_throttle(&mut self) -> Option<Throttle> {
        self.throttle.take()
    }

    /// What was done about heat; `None` if it is not watched.
    pub fn throttle_stats(&self) -> Option<ThrottleStats> {
        self.throttle.as_ref().map(Throttle::stats)
    }

    /// Writes `piece` at once.
    pub fn write(&mut self, piece: &str) -> ControlFlow<()> {
        let Some(out) = &mut self.out else { return ControlFlow::Continue(()) };
        if self.waits && !interrupt::wait_for_room(libc::STDOUT_FILENO) {
            self.error = Some(ErrorKind::BrokenPipe.into());
            return ControlFlow::Break(());
        }
        self.ends_with_newline = piece.ends_with('\n');
        match out.write_all(piece.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                self.error = Some(e);
                ControlFlow::Break(())
            }
        }
    }

    /// The text so far, where it is not streamed.
    pub fn kept(&self) -> &Split {
        &self.kept
    }

    /// Writes what was held back, since no more text comes, and gives whether the text ended in its reasoning.
    pub fn settle(&mut self) -> bool {
        let Some(mut splitter) = self.splitter.take() else { return false };
        let unanswered = !splitter.answers();
        let _ = self.put(splitter.finish());
        if let Some(screen) = &mut self.screen {
            screen.end();
        }
        unanswered
    }

    /// The answer where it belongs, its reasoning beside it.
    fn put(&mut self, split: Split) -> ControlFlow<()> {
        let Split { reasoning, answer } = split;
        if let Some(screen) = &mut self.screen {
            screen.show(&reasoning, &answer)?;
        }
        if self.out.is_none() {
            self.kept.reasoning.push_str(&reasoning);
            self.kept.answer.push_str(&answer);
        }
        if answer.is_empty() { ControlFlow::Continue(()) } else { self.write(&answer) }
    }

    /// Ends the last line. A reader that has gone (a closed pipe) is no error: it has what it wanted.
    ///
    /// # Errors
    /// Whatever else kept the text from being written, such as a full disk.
    pub fn finish(mut self) -> io::Result<()> {
        self.prefill.finish();
        self.settle();
        if self.error.is_none() && self.out.is_some() && !self.ends_with_newline {
            let _ = self.write("\n");
        }
        match self.error {
            Some(e) if e.kind() != ErrorKind::BrokenPipe => Err(e),
            _ => Ok(()),
        }
    }
}

impl<W: Write> Observer for Stream<W> {
    fn prefill(&mut self, done: usize, total: usize) {
        self.prefill.set(done as u64, total as u64);
        if done == total {
            self.prefill.finish();
        }
    }

    fn text(&mut self, piece: &str) -> ControlFlow<()> {
        let split = match &mut self.splitter {
            Some(splitter) => splitter.push(piece),
            None => Split { answer: piece.to_owned(), ..Split::default() },
        };
        self.put(split)
    }

    fn non_finite(&mut self, found: &NonFinite) {
        say(&format!("warning: {found}: what follows from it has no meaning"));
    }

    fn beyond_training(&mut self, trained: usize) {
        say(&format!(
            "warning: the text is now longer than the {trained} tokens that the model was trained for; expect nonsense \
             from here on"
        ));
    }

    fn rest(&mut self, busy: Duration) {
        if let Some(throttle) = &mut self.throttle {
            throttle.rest(busy);
        }
    }

    fn cancelled(&self) -> bool {
        interrupt::requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_line_is_ended_once() {
        let mut text = Vec::new();
        let mut s = Stream::new(Some(&mut text), true);
        assert!(s.write("a\nb").is_continue());
        s.finish().unwrap();
        assert_eq!(text, b"a\nb\n");
        let mut text = Vec::new();
        let mut s = Stream::new(Some(&mut text), true);
        assert!(s.write("a\n").is_continue());
        s.finish().unwrap();
        assert_eq!(text, b"a\n");
    }

    #[test]
    fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
        let mut s = Stream::new(Some(Broken(ErrorKind::BrokenPipe)), true);
        assert!(s.write("a").is_break());
        assert!(s.finish().is_ok());
        let mut s = Stream::new(Some(Broken(ErrorKind::StorageFull)), true);
        assert!(s.write("a").is_break());
        assert_eq!(s.finish().unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
