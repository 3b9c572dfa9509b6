//! Whether memory is short, asked now and then while a text grows.

use std::path::PathBuf;

use crate::host::Memory;

/// Where the system reports how much memory is left: the trees of Linux, unless they are said to be elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemorySource {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys/fs/cgroup`.
    pub cgroup: PathBuf,
}

impl Default for MemorySource {
    fn default() -> Self {
        Self { proc: "/proc".into(), cgroup: "/sys/fs/cgroup".into() }
    }
}

/// Asks now and then whether memory is short.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    threshold: u64,
    source: MemorySource,
    /// Where in the text it was asked last.
    asked: Option<usize>,
}

impl MemoryWatch {
    /// Tokens between two questions: reading the system's files takes some 50 microseconds.
    const EVERY: usize = 16;

    /// Memory is short below `threshold` bytes.
    pub fn new(threshold: u64, source: MemorySource) -> Self {
        Self { threshold, source, asked: None }
    }

    /// Whether memory is short now; `None` where it was asked not long before `position`. What cannot be read is not
    /// short.
    pub fn is_short(&mut self, position: usize) -> Option<bool> {
        if self.asked.is_some_and(|asked| (asked..asked + Self::EVERY).contains(&position)) {
            return None;
        }
        self.asked = Some(position);
        let free = Memory::read(&self.source.proc, &self.source.cgroup).free();
        Some(free.is_some_and(|free| free < self.threshold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_watch_asks_every_few_tokens() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("meminfo"), "MemAvailable: 10 kB\n").unwrap();
        let source = MemorySource { proc: dir.path().into(), cgroup: dir.path().join("none") };
        let mut watch = MemoryWatch::new(11 * 1024, source.clone());
        assert_eq!(
            [0, 1, 15, 16, 17, 60].map(|at| watch.is_short(at)),
            [Some(true), None, None, Some(true), None, Some(true)]
        );
        assert_eq!(watch.is_short(0), Some(true), "another text");
        assert_eq!(MemoryWatch::new(10 * 1024, source.clone()).is_short(0), Some(false));
        fs::remove_file(dir.path().join("meminfo")).unwrap();
        assert_eq!(MemoryWatch::new(u64::MAX, source).is_short(0), Some(false), "it is not known");
    }
}
