//! `--throttle-to`: rests between tokens while the machine is too hot, and says so.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::interrupt;
use super::notice::say;
use crate::host::Thermal;

/// Degrees above the limit at which the least duty is reached.
const RANGE: f64 = 10.0;

/// The least share of time that is spent computing, however hot it is: a text still ends.
const LEAST_DUTY: f64 = 0.1;

/// Degrees below the limit at which the machine counts as cool again.
const COOL: f64 = 2.0;

/// The longest rest at a time: a chunk of a prompt may take seconds.
const LONGEST: Duration = Duration::from_secs(5);

/// How often the zones are read; each reading may ask a driver.
const EVERY: Duration = Duration::from_millis(500);

/// Watches the thermal zones and returns how long to rest.
pub struct Throttle {
    thermal: Thermal,
    limit: f64,
    every: Duration,
    looked: Option<Instant>,
    duty: f64,
    hot: bool,
    stats: ThrottleStats,
}

/// What was done about the heat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ThrottleStats {
    /// Rests.
    pub pauses: u64,
    /// All of them together.
    pub rested: Duration,
    /// The highest temperature seen, in degrees Celsius.
    pub hottest: Option<f64>,
}

impl Throttle {
    /// Keeps the zones under `root` near `limit` degrees Celsius.
    ///
    /// # Errors
    /// A limit that no machine is run at, or no zone that can be read.
    pub fn new(limit: f64, root: &Path) -> Result<Self> {
        ensure!(
            (20.0..=110.0).contains(&limit),
            "--throttle-to {limit} is not a temperature for a processor; give degrees Celsius from 20 to 110"
        );
        let thermal = Thermal::find(root);
        ensure!(
            !thermal.is_empty(),
            "--throttle-to needs a temperature, and {} has no zone of the processor that can be read; leave it out",
            root.display()
        );
        let stats = ThrottleStats::default();
        Ok(Self { thermal, limit, every: EVERY, looked: None, duty: 1.0, hot: false, stats })
    }

    /// Rests after `busy` of work, if it is too hot.
    pub fn rest(&mut self, busy: Duration) {
        let end = Instant::now() + self.due(busy);
        // In short pieces, so that Ctrl-C is heard.
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
            if interrupt::requested() {
                break;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> ThrottleStats {
        self.stats
    }

    /// How long to rest after `busy` of work; counted as done.
    fn due(&mut self, busy: Duration) -> Duration {
        if self.looked.is_none_or(|at| at.elapsed() >= self.every) {
            self.look();
        }
        if self.duty >= 1.0 {
            return Duration::ZERO;
        }
        let rest = busy.mul_f64(1.0 / self.duty - 1.0).min(LONGEST);
        self.stats.pauses += 1;
        self.stats.rested += rest;
        rest
    }

    fn look(&mut self) {
        self.looked = Some(Instant::now());
        // Zones that were there and cannot be read any more are no reason to stop, nor to go on as if it were cool.
        let Some((zone, celsius)) = self.thermal.hottest() else { return };
        self.stats.hottest = Some(self.stats.hottest.map_or(celsius, |h| h.max(celsius)));
        self.duty = (1.0 - (celsius - self.limit) / RANGE).clamp(LEAST_DUTY, 1.0);
        let limit = self.limit;
        if celsius > limit && !self.hot {
            self.hot = true;
            say(&format!(
                "warning: {zone} is at {celsius:.1} degrees, above --throttle-to {limit}: resting between tokens, {:.0} % \
                 of the time",
                100.0 * (1.0 - self.duty)
            ));
        } else if celsius <= limit - COOL && self.hot {
            self.hot = false;
            say(&format!("note: {zone} is down to {celsius:.1} degrees: full speed again"));
        }
    }
}

impl ThrottleStats {
    /// A part of the line of figures; `None` if nothing was done.
    pub fn part(&self) -> Option<String> {
        let Self { pauses, rested, hottest } = *self;
        let hottest = hottest.map(|h| format!(", hottest {h:.1} degrees")).unwrap_or_default();
        (pauses > 0)
            .then(|| format!("throttled {pauses} times, {:.1} s in all{hottest}", rested.as_secs_f64()))
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "pauses": self.pauses,
            "rested_s": self.rested.as_secs_f64(),
            "hottest_celsius": self.hottest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn set(root: &Path, celsius: f64) {
        let zone = root.join("thermal_zone0");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("type"), "cpu-0-0\n").unwrap();
        fs::write(zone.join("temp"), format!("{}\n", (celsius * 1000.0) as i64)).unwrap();
    }

    #[test]
    fn duty_goes_down_with_every_degree_above_the_limit_and_up_again() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), 50.0);
        let mut throttle = Throttle::new(70.0, dir.path()).unwrap();
        throttle.every = Duration::ZERO;
        let busy = Duration::from_millis(100);
        let mut at = |celsius, expected_ms: u128| {
            set(dir.path(), celsius);
            assert_eq!(throttle.due(busy).as_millis(), expected_ms, "{celsius}");
        };
        at(69.0, 0);
        at(70.0, 0);
        at(75.0, 100); // half of the time
        at(78.0, 400); // a fifth
        at(95.0, 900); // a tenth, and no less
        at(69.5, 0);
        at(60.0, 0);
        assert_eq!(throttle.due(Duration::from_secs(100)), Duration::ZERO);
        let stats = throttle.stats();
        assert_eq!((stats.pauses, stats.rested.as_millis(), stats.hottest), (3, 1400, Some(95.0)));
        assert_eq!(stats.part().unwrap(), "throttled 3 times, 1.4 s in all, hottest 95.0 degrees");
        assert_eq!(ThrottleStats::default().part(), None);
        // A zone that is gone leaves the last word.
        set(dir.path(), 75.0);
        assert_eq!(throttle.due(busy), busy);
        fs::remove_dir_all(dir.path().join("thermal_zone0")).unwrap();
        assert_eq!(throttle.due(busy), busy);
        assert_eq!(throttle.due(Duration::from_secs(100)), LONGEST);
    }

    #[test]
    fn zones_are_not_read_more_often_than_need_be() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), 80.0);
        let mut throttle = Throttle::new(70.0, dir.path()).unwrap();
        throttle.every = Duration::from_secs(3600);
        let busy = Duration::from_millis(1);
        assert!(!throttle.due(busy).is_zero());
        set(dir.path(), 20.0);
        assert!(!throttle.due(busy).is_zero(), "as it was an instant ago");
    }

    #[test]
    fn limits_without_sense_and_machines_without_zones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), 50.0);
        for limit in [0.0, -5.0, 200.0, f64::NAN] {
            let error = Throttle::new(limit, dir.path()).err().unwrap().to_string();
            assert!(error.contains("--throttle-to") && error.contains("20 to 110"), "{error}");
        }
        let error = Throttle::new(70.0, &dir.path().join("none")).err().unwrap().to_string();
        assert!(error.contains("no zone of the processor"), "{error}");
    }
}
