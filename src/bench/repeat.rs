//! Repeating a call until its time is known.

use std::time::{Duration, Instant};

/// How long to measure one thing.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Time to spend.
    pub time: Duration,
    /// Measurements to make even if that takes longer; at least 1 is made.
    pub least: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { time: Duration::from_millis(300), least: 5 }
    }
}

/// A call shorter than this is repeated within one measurement, so that reading the clock does not count.
const WORTH_TIMING: Duration = Duration::from_micros(50);

/// The most measurements of one thing: more would only take memory.
const MOST: usize = 10_000;

/// Measures `work`, which repeats a call the given number of times, and gives the seconds that one takes, of each
/// measurement in order. The first two calls wake caches and threads and do not count.
///
/// # Errors
/// The first one of `work`.
pub fn repeat<E>(budget: Budget, work: &mut dyn FnMut(usize) -> Result<(), E>) -> Result<Vec<f64>, E> {
    work(1)?;
    let start = Instant::now();
    work(1)?;
    let once = start.elapsed().max(Duration::from_nanos(10));
    let count = WORTH_TIMING.as_nanos().div_ceil(once.as_nanos()).max(1) as usize;
    let begin = Instant::now();
    let mut samples = Vec::new();
    while samples.len() < budget.least.clamp(1, MOST)
        || (begin.elapsed() < budget.time && samples.len() < MOST)
    {
        let start = Instant::now();
        work(count)?;
        samples.push(start.elapsed().as_secs_f64() / count as f64);
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_calls_are_made_once_each_and_as_often_as_asked_for() {
        let mut calls = Vec::new();
        let samples = repeat::<()>(Budget { time: Duration::ZERO, least: 3 }, &mut |n| {
            calls.push(n);
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        })
        .unwrap();
        assert_eq!(calls, [1; 5]);
        assert_eq!(samples.len(), 3);
        assert!(samples.iter().all(|&s| s >= 0.002), "{samples:?}");
    }

    #[test]
    fn short_calls_are_repeated_within_a_measurement() {
        let mut largest = 0;
        // An empty call takes no 50 us, unless the machine turns to something else within it: not every time.
        while largest <= 1 {
            repeat::<()>(Budget { time: Duration::ZERO, least: 1 }, &mut |n| {
                largest = largest.max(n);
                Ok(())
            })
            .unwrap();
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut calls = 0;
        let outcome = repeat(Budget::default(), &mut |_| {
            calls += 1;
            if calls == 4 { Err("broken") } else { Ok(()) }
        });
        assert_eq!((outcome.unwrap_err(), calls), ("broken", 4));
    }
}
