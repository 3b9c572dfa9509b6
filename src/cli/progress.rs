//! Progress bars on standard error, where it is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that appears only if the work takes a noticeable time.
pub struct Progress {
    bar: ProgressBar,
    shown: bool,
    begun: std::time::Instant,
}

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(400);

impl Progress {
    /// A hidden bar called `what`; `quiet` ones stay hidden.
    pub fn new(what: &'static str, quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:32} {percent:>3} %  {elapsed}") {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        Self { bar, shown: quiet, begun: std::time::Instant::now() }
    }

    /// Moves to `done` of `total`.
    pub fn set(&mut self, done: u64, total: u64) {
        if !self.shown && self.begun.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            self.shown = true;
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Wipes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
