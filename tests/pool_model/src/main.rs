//! Every order in which the threads of the pool can take their steps, for a few small uses of it.
//!
//! Loom runs each use again and again, each time with another order of the steps and other values that a load may give
//! by the memory model. It fails at data races (of the job's cell and of what tasks write), at threads that wait for
//! nothing that will come, and at what the uses assert. With the feature `plain` the same uses run once, on ordinary
//! threads.

#![allow(missing_docs)]

#[path = "../../../src/backend/cpu/pool.rs"]
mod pool;

#[cfg(feature = "plain")]
#[path = "../../../src/backend/cpu/sync.rs"]
mod sync;

#[cfg(not(feature = "plain"))]
mod sync {
    pub(super) use loom::cell::UnsafeCell;
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
    pub(super) use loom::sync::{Arc, Mutex};
    pub(super) use loom::thread::{Builder, JoinHandle, Thread, current, park};

    /// Spinning is waiting: it adds no order of steps.
    pub(super) fn spin(done: impl Fn() -> bool) -> bool {
        done()
    }
}

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize as Count, Ordering};
use std::time::Instant;

use pool::Pool;
use sync::UnsafeCell;

/// What chunks write: each its own, without any synchronization but the pool's.
struct Cells(Vec<UnsafeCell<u32>>);

// SAFETY: each cell is written by one chunk at a time, and read by the caller between runs: Loom sees whether that holds.
unsafe impl Sync for Cells {}

impl Cells {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| UnsafeCell::new(0)).collect())
    }

    fn add(&self, index: usize) {
        // SAFETY: see above.
        self.0[index].with_mut(|cell| unsafe { *cell += 1 });
    }

    fn get(&self, index: usize) -> u32 {
        // SAFETY: see above.
        self.0[index].with(|cell| unsafe { *cell })
    }
}

/// `runs` runs of `chunks` chunks: each chunk runs once, and what it writes is seen by the caller and by the next run.
fn runs(threads: usize, runs: u32, chunks: usize) {
    let mut pool = Pool::new(threads).unwrap();
    assert_eq!(pool.threads(), threads);
    let cells = Cells::new(chunks);
    for run in 1..=runs {
        pool.run(chunks, &|chunk| {
            assert!(chunk.worker < threads);
            cells.add(chunk.index);
        })
        .unwrap();
        (0..chunks).for_each(|index| assert_eq!(cells.get(index), run));
    }
}

/// A chunk that panics is an error, and the pool goes on.
fn panics() {
    let mut pool = Pool::new(2).unwrap();
    let failed = pool.run(2, &|chunk| {
        if chunk.index == 1 {
            // As `panic!`, without the message on standard error.
            std::panic::resume_unwind(Box::new("no"));
        }
    });
    assert!(failed.is_err());
    let cells = Cells::new(2);
    pool.run(2, &|chunk| cells.add(chunk.index)).unwrap();
    assert_eq!((cells.get(0), cells.get(1)), (1, 1));
}

type Model = (&'static str, Option<usize>, fn());

/// Name, preemptions at most (`None`: any), and use.
const MODELS: [Model; 6] = [
    ("2 threads, made and dropped", None, || drop(Pool::new(2).unwrap())),
    ("2 threads, 1 run of 2 chunks", None, || runs(2, 1, 2)),
    ("2 threads, 2 runs of 2 chunks", Some(4), || runs(2, 2, 2)),
    ("2 threads, 3 runs of 2 chunks", Some(3), || runs(2, 3, 2)),
    ("3 threads, 1 run of 3 chunks", Some(3), || runs(3, 1, 3)),
    ("2 threads, a chunk that panics", Some(4), panics),
];

#[cfg(not(feature = "plain"))]
fn explore(preemptions: Option<usize>, each: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 100_000;
    builder.check(each);
}

#[cfg(feature = "plain")]
fn explore(_: Option<usize>, each: impl Fn() + Send + Sync + 'static) {
    (0..20).for_each(|_| each());
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for (name, preemptions, model) in MODELS.into_iter().filter(|model| model.0.contains(&wanted)) {
        static ORDERS: Count = Count::new(0);
        ORDERS.store(0, Ordering::Relaxed);
        let start = Instant::now();
        explore(preemptions, move || {
            ORDERS.fetch_add(1, Ordering::Relaxed);
            model();
        });
        let bound = preemptions.map_or("any number of".to_owned(), |n| format!("up to {n}"));
        let (orders, seconds) = (ORDERS.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
        println!("{name}: {orders} orders with {bound} preemptions, no fault, {seconds:.1} s");
    }
    ExitCode::SUCCESS
}
