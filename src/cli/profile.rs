//! `--profile`: what the device did, and how long each kernel took.

use std::cell::Cell;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;

use super::output::Stream;
use crate::backend::opencl::{Counters, Monitor};
use crate::engine::Observer;
use crate::models::llama::NonFinite;

/// A stream of text that also looks at the device when the prompt is taken in.
pub struct Watched<'a, W> {
    /// Where the text goes.
    pub stream: Stream<W>,
    monitor: Option<&'a Monitor>,
    begin: Cell<Option<Counters>>,
}

impl<'a, W: Write> Watched<'a, W> {
    /// Watches nothing without a monitor.
    pub fn new(stream: Stream<W>, monitor: Option<&'a Monitor>) -> Self {
        Self { stream, monitor, begin: Cell::new(None) }
    }

    /// What was done after the prompt.
    pub fn decode(&self) -> Option<Counters> {
        Some(self.monitor?.counters() - self.begin.get()?)
    }
}

impl<W: Write> Observer for Watched<'_, W> {
    fn prefill(&mut self, done: usize, total: usize) {
        if done == total {
            self.begin.set(self.monitor.map(Monitor::counters));
        }
        self.stream.prefill(done, total);
    }

    fn text(&mut self, piece: &str) -> ControlFlow<()> {
        self.stream.text(piece)
    }

    fn non_finite(&mut self, found: &NonFinite) {
        self.stream.non_finite(found);
    }

    fn beyond_training(&mut self, trained: usize) {
        self.stream.beyond_training(trained);
    }

    fn rest(&mut self, busy: Duration) {
        self.stream.rest(busy);
    }

    fn cancelled(&self) -> bool {
        self.stream.cancelled()
    }
}

/// The lines of `--profile`.
pub fn lines(monitor: &Monitor, decode: Option<Counters>, steps: usize) -> Result<Vec<String>> {
    let times = monitor.times()?;
    let total: u64 = times.iter().map(|(_, t)| t.nanoseconds).sum();
    let mut lines = vec![
        "time on the device, by its own clock; taking it costs some microseconds a launch, so that the whole run is \
         slower than without --profile"
            .to_owned(),
        format!("{:<24} {:>9} {:>10} {:>8} {:>7}", "kernel", "launches", "ms", "us each", "share"),
    ];
    for (name, t) in &times {
        lines.push(format!(
            "{name:<24} {:>9} {:>10.2} {:>8.1} {:>6.1}%",
            t.launches,
            t.nanoseconds as f64 / 1e6,
            t.nanoseconds as f64 / 1e3 / t.launches.max(1) as f64,
            100.0 * t.nanoseconds as f64 / total.max(1) as f64
        ));
    }
    if let (Some(c), 1..) = (decode, steps) {
        let each = |n: u64| n as f64 / steps as f64;
        lines.push(format!(
            "a token: {:.1} launches, {:.0} bytes to the device, {:.0} bytes back, {:.2} waits",
            each(c.launches),
            each(c.written),
            each(c.read),
            each(c.blocking)
        ));
    }
    Ok(lines)
}
