//! A long text in a small cache.

use std::cell::RefCell;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use llm_rs2::core::DType;
use llm_rs2::engine::{Finish, Observer, SessionOptions};

use super::spy::{Counter, Counts, Spy};
use super::{LAYERS, by, cpu, exact_options, greedy, session, text};

/// Reads the counts before each token.
struct Ledger {
    counter: Counter,
    counts: RefCell<Vec<Counts>>,
    beyond: usize,
}

impl Observer for Ledger {
    fn prefill(&mut self, _: usize, _: usize) {}

    fn text(&mut self, _: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn beyond_training(&mut self, _: usize) {
        self.beyond += 1;
    }

    fn cancelled(&self) -> bool {
        self.counts.borrow_mut().push(self.counter.counts());
        false
    }
}

#[test]
fn twenty_thousand_tokens_in_a_cache_of_256() {
    twenty_thousand_tokens("sliding", 0);
}

#[test]
fn twenty_thousand_tokens_behind_sinks_that_move() {
    twenty_thousand_tokens("streaming", 4);
}

/// `turned`: rows that an eviction rotates anew in each layer.
fn twenty_thousand_tokens(policy: &str, turned: usize) {
    const TOKENS: usize = 20_000;
    let (window, target, protected) = (256, 192, 4);
    let (spy, counter) = Spy::new(cpu(1));
    let base = exact_options(Some(by(policy, window, protected, 0.75)), 64);
    let mut session =
        session(spy, SessionOptions { weights: DType::Q8_0.into(), kv_types: DType::F16.into(), ..base });
    let mut ledger = Ledger { counter, counts: RefCell::default(), beyond: 0 };
    let start = Instant::now();
    let outcome = session.generate(&greedy(text(10), TOKENS), &mut ledger).expect("generates");
    let _ =
        writeln!(std::io::stderr(), "{policy}: {TOKENS} tokens in {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!((outcome.ids.len(), &outcome.finish), (TOKENS, &Finish::Length));
    assert_eq!(outcome.positions, TOKENS + 9);
    assert_eq!(outcome.eviction.evictions, (outcome.positions - window).div_ceil(window - target));
    assert!(outcome.held <= window);
    assert_eq!(ledger.beyond, 0, "the model was trained for more");

    // Memory: never more slots than the window, two heads of 64 elements of two bytes, keys and values; and the sinks that
    // move, of four bytes each.
    let counts = ledger.counts.into_inner();
    assert!(counts.iter().all(|c| c.capacity <= window));
    assert_eq!(session.cache_bytes(), LAYERS * (window * 2 * 2 * 64 * 2 + turned * 2 * 2 * 64 * 4));

    // Work: what one token costs comes back with every eviction, and never exceeds what a full window costs.
    let step = |a: &Counts, b: &Counts| {
        let (moved, rotated) = (b.moved - a.moved, b.rotated - a.rotated);
        (b.attended - a.attended, b.linear_rows - a.linear_rows, moved, rotated)
    };
    // The first entry is from before the prompt.
    let steps: Vec<_> = counts[1..].windows(2).map(|pair| step(&pair[0], &pair[1])).collect();
    assert_eq!(steps.len(), TOKENS - 1);
    let linear = steps[0].1;
    let mut evictions = 0;
    for &(attended, rows, moved, rotated) in &steps {
        assert!(attended <= LAYERS * window && rows == linear);
        // The protected ones stay where they are.
        assert!(moved == 0 || moved == LAYERS * (target - protected), "{moved} slots moved");
        // A token's query and key, and the sinks behind an eviction.
        assert_eq!(rotated, LAYERS * (2 + if moved > 0 { turned } else { 0 }));
        evictions += usize::from(moved > 0);
    }
    assert_eq!(evictions, outcome.eviction.evictions);
    let settled = &steps[window..];
    let period = window - target;
    assert!(settled.iter().zip(&settled[period..]).all(|(a, b)| a == b), "every step repeats itself");
}
