//! Evictions for want of memory, as a file says it.

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use llm_rs2::core::DType;
use llm_rs2::engine::{MemorySource, Observer, SessionOptions};

use super::{by, cpu, exact_options, greedy, session, text};

/// Says how much memory there is, by the tokens made so far.
struct Weather {
    meminfo: PathBuf,
    tokens: Cell<usize>,
}

impl Weather {
    fn say(&self, mib: usize) {
        fs::write(&self.meminfo, format!("MemAvailable: {} kB\n", mib << 10))
            .expect("the file can be written");
    }
}

impl Observer for Weather {
    fn prefill(&mut self, _: usize, _: usize) {}

    fn text(&mut self, _: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Asked before each token.
    fn cancelled(&self) -> bool {
        self.tokens.set(self.tokens.get() + 1);
        match self.tokens.get() {
            300 => self.say(50),
            400 => self.say(500),
            _ => {}
        }
        false
    }
}

fn source(dir: &Path) -> MemorySource {
    MemorySource { proc: dir.to_path_buf(), cgroup: dir.join("none") }
}

#[test]
fn the_cache_shrinks_while_memory_is_short_and_grows_again() {
    let dir = tempfile::tempdir().expect("a directory");
    for policy in ["sliding", "streaming"] {
        let base = exact_options(Some(by(policy, 1000, 4, 0.75)), 64);
        let mut session = session(cpu(2), SessionOptions { kv_types: DType::F16.into(), ..base });
        session.watch_memory(100 << 20, source(dir.path()));
        let mut weather = Weather { meminfo: dir.path().join("meminfo"), tokens: Cell::new(0) };
        weather.say(500);
        let outcome = session.generate(&greedy(text(500), 150), &mut weather).expect("generates");
        assert_eq!((outcome.eviction.evictions, outcome.held), (0, 649));
        // Some 800 tokens are held when memory becomes short: room is left for two steps of 256.
        let outcome = session.generate(&greedy(text(500), 380), &mut weather).expect("generates");
        let whole = session.cache_bytes();
        assert_eq!(outcome.eviction.for_memory, outcome.eviction.evictions, "{policy}");
        assert!(outcome.eviction.evictions >= 2 && outcome.held < 512, "{policy}: {:?}", outcome.eviction);
        assert_eq!(outcome.positions, 500 + 379);
        weather.tokens.set(1000);
        weather.say(500);
        let outcome = session.generate(&greedy(text(500), 400), &mut weather).expect("generates");
        assert_eq!((outcome.eviction.evictions, outcome.held), (0, 899));
        assert!(session.cache_bytes() > whole, "{policy}");
        // With no file that says anything, memory is never short.
        session.watch_memory(u64::MAX, source(&dir.path().join("nowhere")));
        assert_eq!(
            session.generate(&greedy(text(300), 1), &mut ()).expect("generates").eviction.evictions,
            0
        );
    }
}
