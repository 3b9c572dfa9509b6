//! The persistent threads of the hot path.
//!
//! A run hands out chunks by an atomic counter, so that slow cores do less. Workers spin for a few tens of
//! microseconds after a run, since the next operation of a decode step follows at once, and then park. A
//! worker that wakes too late for a run is not waited for: the caller closes the run when no chunk is left
//! and waits only for those that joined it.
//!
//! `scripts/check_pool.sh` tries every order of the threads' steps (`tests/pool_model`).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use super::sync::{
    Arc, AtomicBool, AtomicU32, AtomicUsize, Builder, JoinHandle, Mutex, Ordering, Thread, UnsafeCell,
    current, fence, park, spin,
};

/// Bit of [`Shared::gate`] that says that workers may join; the bits below count those that did.
const OPEN: u32 = 1 << 31;

/// One piece of work within a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Which piece, below the run's number of chunks.
    pub index: usize,
    /// Which thread, below [`Pool::threads`]; no two pieces are worked on by one thread at a time.
    pub worker: usize,
}

type Task<'a> = dyn Fn(Chunk) + Sync + 'a;

/// A job panicked; the run was abandoned.
#[derive(Debug, thiserror::Error)]
#[error("a worker thread failed: {0}")]
pub(super) struct JobPanicked(String);

struct Job {
    task: *const Task<'static>,
    chunks: usize,
    caller: Thread,
}

struct Shared {
    /// Written by the caller while the gate is shut and no worker is inside; read by workers inside.
    job: UnsafeCell<Option<Job>>,
    gate: AtomicU32,
    next: AtomicUsize,
    /// Counts runs; a change wakes the workers.
    epoch: AtomicU32,
    shutdown: AtomicBool,
    failure: Mutex<Option<String>>,
    parked: Box<[AtomicBool]>,
}

// SAFETY: all fields but `job` are Sync. `job` is written only by the one caller (`Pool::run` takes
// `&mut self`) while `gate` is 0, and read only by workers that have raised `gate`'s count while it was open;
// the caller does not write again before the count is back at 0. The task that the pointer refers to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the raw pointer is not dereferenced outside of a run.
unsafe impl Send for Shared {}

/// A fixed number of threads, the caller's among them.
///
/// `run` takes `&mut self`: one run at a time, and none from within another.
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// `threads - 1` workers besides the caller; 0 counts as 1.
    ///
    /// # Errors
    /// What the system says if it refuses a thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let extra = threads.saturating_sub(1);
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            gate: AtomicU32::new(0),
            next: AtomicUsize::new(0),
            epoch: AtomicU32::new(0),
            shutdown: AtomicBool::new(false),
            failure: Mutex::new(None),
            parked: (0..extra).map(|_| AtomicBool::new(false)).collect(),
        });
        // Dropping `pool` on an error stops the workers made so far.
        let mut pool = Self { shared, workers: Vec::with_capacity(extra) };
        for worker in 0..extra {
            let shared = pool.shared.clone();
            let builder = Builder::new().name(format!("cpu-{}", worker + 1));
            pool.workers.push(builder.spawn(move || work(&shared, worker))?);
        }
        Ok(pool)
    }

    /// Threads that take part in a run.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` once for each chunk below `chunks`, on all threads, and returns when all are done.
    ///
    /// # Errors
    /// [`JobPanicked`] if a call panicked; the other chunks may then be missing.
    pub fn run(&mut self, chunks: usize, task: &Task<'_>) -> Result<(), JobPanicked> {
        let shared = &*self.shared;
        if self.workers.is_empty() || chunks <= 1 {
            let all = || (0..chunks).for_each(|index| task(Chunk { index, worker: 0 }));
            return catch_unwind(AssertUnwindSafe(all)).map_err(|e| JobPanicked(panic_message(&*e)));
        }
        debug_assert_eq!(shared.gate.load(Ordering::Relaxed), 0);
        // SAFETY: only the lifetime changes. The pointer is used by workers inside the gate alone, and this
        // function does not return before the gate is shut and empty.
        let task_ptr: *const Task<'static> = unsafe { std::mem::transmute(std::ptr::from_ref(task)) };
        // SAFETY: the gate is shut and empty, and `&mut self` excludes another caller.
        shared.job.with_mut(|job| unsafe { *job = Some(Job { task: task_ptr, chunks, caller: current() }) });
        shared.next.store(0, Ordering::Relaxed);
        shared.gate.store(OPEN, Ordering::Release);
        shared.epoch.fetch_add(1, Ordering::Release);
        // The other fence is in `work`: either a worker sees the new epoch before it parks, or this thread sees its flag
        // and unparks it.
        fence(Ordering::SeqCst);
        for (flag, worker) in shared.parked.iter().zip(&self.workers).take(chunks - 1) {
            if flag.load(Ordering::Relaxed) {
                worker.thread().unpark();
            }
        }
        take_chunks(shared, task, chunks, 0);
        shared.gate.fetch_and(!OPEN, Ordering::AcqRel);
        wait_until(|| shared.gate.load(Ordering::Acquire) == 0);
        match shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(message) => Err(JobPanicked(message)),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, Ordering::Relaxed);
        // Who sees the new epoch sees the line above.
        self.shared.epoch.fetch_add(1, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches its jobs' panics, so there is nothing to report.
            let _ = worker.join();
        }
    }
}

/// Spins until `done`, then parks between checks; the thread that makes it true unparks this one.
fn wait_until(done: impl Fn() -> bool) {
    if !spin(&done) {
        while !done() {
            park();
        }
    }
}

fn take_chunks(shared: &Shared, task: &Task<'_>, chunks: usize, worker: usize) {
    let all = || {
        loop {
            let index = shared.next.fetch_add(1, Ordering::Relaxed);
            if index >= chunks {
                break;
            }
            task(Chunk { index, worker });
        }
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(all)) {
        // What is left is not worth doing. The counter cannot wrap: each thread adds 1 at most after this.
        shared.next.store(chunks, Ordering::Relaxed);
        let mut failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| panic_message(&*payload));
    }
}

fn work(shared: &Shared, worker: usize) {
    let mut seen = 0;
    loop {
        let parked = &shared.parked[worker];
        let news = || shared.epoch.load(Ordering::Acquire) != seen;
        if !spin(news) {
            parked.store(true, Ordering::Relaxed);
            // See `Pool::run`.
            fence(Ordering::SeqCst);
            while !news() {
                park();
            }
            parked.store(false, Ordering::Relaxed);
        }
        seen = shared.epoch.load(Ordering::Acquire);
        if shared.shutdown.load(Ordering::Relaxed) {
            return;
        }
        let enter = |gate: u32| (gate & OPEN != 0).then_some(gate + 1);
        if shared.gate.fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter).is_err() {
            continue;
        }
        let caller = shared.job.with(|job| {
            // SAFETY: this thread is inside the open gate, so the job was written before (Release on the gate)
            // and stays until this thread leaves.
            let job = unsafe { &*job }.as_ref()?;
            // SAFETY: as above, the caller keeps the task alive until all threads have left the gate.
            take_chunks(shared, unsafe { &*job.task }, job.chunks, worker + 1);
            Some(job.caller.clone())
        });
        // After this the job may be replaced: the handle was cloned before. The last one out of a shut gate
        // wakes the caller.
        let left_alone = shared.gate.fetch_sub(1, Ordering::AcqRel) == 1;
        if let (true, Some(caller)) = (left_alone, caller) {
            caller.unpark();
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn every_chunk_runs_once_whatever_the_number_of_threads() {
        for threads in [0, 1, 2, 3, 5, 16] {
            let mut pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads.max(1));
            for chunks in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicU32> = (0..chunks).map(|_| AtomicU32::new(0)).collect();
                pool.run(chunks, &|c| {
                    assert!(c.worker < threads.max(1));
                    counts[c.index].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn many_tiny_runs_lose_nothing_also_across_parking() {
        let mut pool = Pool::new(4).unwrap();
        let sum = AtomicU64::new(0);
        for i in 0..5000 {
            pool.run(3, &|c| {
                sum.fetch_add(c.index as u64 + 1, Ordering::Relaxed);
            })
            .unwrap();
            if i % 1000 == 0 {
                thread::sleep(Duration::from_millis(2)); // long enough for the workers to park
            }
        }
        assert_eq!(sum.into_inner(), 5000 * 6);
    }

    #[test]
    fn a_panic_is_an_error_and_the_pool_lives_on() {
        for threads in [1, 4] {
            let mut pool = Pool::new(threads).unwrap();
            for bad in [0, 5, 9] {
                let e = pool.run(10, &|c| assert!(c.index != bad, "chunk {bad} is bad")).unwrap_err();
                assert!(e.to_string().contains(&format!("chunk {bad} is bad")), "{e}");
            }
            let done = AtomicU32::new(0);
            pool.run(10, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
            assert_eq!(done.into_inner(), 10);
        }
    }

    #[test]
    fn a_panic_of_a_worker_reaches_the_caller_as_an_error_and_no_thread_hangs() {
        let mut pool = Pool::new(3).unwrap();
        for _ in 0..20 {
            let failed = AtomicBool::new(false);
            let e = pool.run(1000, &|c| {
                if c.worker == 0 {
                    // The caller's own chunks wait, so that a worker gets one.
                    while !failed.load(Ordering::Acquire) {
                        thread::yield_now();
                    }
                } else {
                    failed.store(true, Ordering::Release);
                    panic!("worker {} is broken", c.worker);
                }
            });
            let message = e.unwrap_err().to_string();
            assert!(message.starts_with("a worker thread failed: worker "), "{message}");
        }
        pool.run(3, &|_| {}).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn workers_stay_on_the_cores_of_the_thread_that_made_them() {
        use crate::host::affinity;
        let last = affinity::get().pop().unwrap();
        let here = thread::spawn(move || {
            assert!(affinity::set(&[last]));
            let mut pool = Pool::new(3).unwrap();
            let seen = Mutex::new(Vec::new());
            while seen.lock().unwrap().len() < 3 {
                pool.run(3, &|c| {
                    let mut seen = seen.lock().unwrap();
                    if !seen.iter().any(|(worker, _)| *worker == c.worker) {
                        seen.push((c.worker, affinity::get()));
                    }
                    drop(seen);
                    // All three are on one core, so that each must leave it to the next.
                    thread::sleep(Duration::from_millis(1));
                })
                .unwrap();
            }
            assert!(seen.into_inner().unwrap().iter().all(|(_, cpus)| *cpus == [last]));
        });
        here.join().unwrap();
    }

    #[test]
    fn slow_chunks_are_waited_for() {
        let mut pool = Pool::new(3).unwrap();
        let done = AtomicU32::new(0);
        pool.run(6, &|_| {
            thread::sleep(Duration::from_millis(3));
            done.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
        assert_eq!(done.into_inner(), 6);
    }

    #[test]
    fn dropping_joins_parked_and_spinning_workers() {
        drop(Pool::new(8).unwrap());
        let mut pool = Pool::new(8).unwrap();
        pool.run(8, &|_| {}).unwrap();
        let shared = Arc::downgrade(&pool.shared);
        thread::sleep(Duration::from_millis(2));
        drop(pool);
        assert!(shared.upgrade().is_none(), "a worker outlived its pool");
    }
}
