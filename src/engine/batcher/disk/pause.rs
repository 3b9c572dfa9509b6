//! How long a disk is left alone after a file could not be written: one that is full is seldom empty a moment later.

use std::time::{Duration, Instant};

/// After the first failure; after each further one it is twice as long.
const FIRST: Duration = Duration::from_secs(5);

const MOST: Duration = Duration::from_secs(600);

/// Since when, and how long; nothing as long as files can be written.
#[derive(Debug, Default)]
pub(super) struct Pause(Option<(Instant, Duration)>);

impl Pause {
    /// Whether nothing is to be tried yet.
    pub fn lasts(&self, now: Instant) -> bool {
        self.0.is_some_and(|(since, length)| now.saturating_duration_since(since) < length)
    }

    /// A file could not be written. Whether that is new.
    pub fn fail(&mut self, now: Instant) -> bool {
        let before = self.0.replace((now, FIRST));
        if let (Some((_, before)), Some((_, length))) = (before, &mut self.0) {
            *length = before.saturating_mul(2).min(MOST);
        }
        before.is_none()
    }

    /// A file has been written. Whether that is new.
    pub fn end(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_until_a_file_is_written() {
        let (mut pause, start) = (Pause::default(), Instant::now());
        assert!(!pause.lasts(start) && !pause.end());
        assert!(pause.fail(start));
        assert!(pause.lasts(start + Duration::from_secs(4)) && !pause.lasts(start + Duration::from_secs(5)));
        assert!(!pause.fail(start));
        assert!(pause.lasts(start + Duration::from_secs(9)) && !pause.lasts(start + Duration::from_secs(10)));
        for _ in 0..100 {
            assert!(!pause.fail(start));
        }
        assert!(pause.lasts(start + Duration::from_secs(599)) && !pause.lasts(start + MOST));
        assert!(pause.end() && !pause.end() && !pause.lasts(start) && pause.fail(start));
    }
}
