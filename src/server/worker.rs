//! The thread that has the models.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::oneshot;

use super::listener::Listener;
use super::log::Record;
use super::model::Model;
use super::refusal::{Kind, Refusal};
use super::state::Shared;
use crate::engine::{Batcher, Load, Request};

/// What HTTP asks of this thread.
pub(super) enum Command {
    /// A text of a model.
    Text { model: usize, request: Box<Request>, reader: Box<Listener> },
    /// To have a model.
    Load { model: usize, done: oneshot::Sender<Result<(), Refusal>> },
    /// Not to have a model any longer, if it has no text to compute.
    Unload { model: usize },
    /// That a model cannot be asked for any longer, unless it is at work.
    Remove { model: usize, done: oneshot::Sender<Result<(), Refusal>> },
}

/// Why a model cannot be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// It does not fit into memory beside the others.
    Memory(String),
    /// Anything else.
    Other(String),
}

/// What loads the models of a server.
pub trait Loader {
    /// Loads the model with this number and these files; none are those of the model in the program.
    ///
    /// # Errors
    /// Why it cannot be, in a sentence.
    fn load(&mut self, number: usize, path: Option<&Path>) -> Result<(Model, Batcher), LoadError>;

    /// A pass has taken so long: the moment to let the machine rest.
    fn rest(&mut self, busy: Duration);
}

/// Makes passes as long as there is something to do, and waits for requests otherwise.
pub struct Worker {
    pub(super) commands: Receiver<Command>,
    pub(super) shared: Arc<Shared>,
    /// The models that are loaded.
    pub(super) running: Vec<Running>,
    /// Something is to be written to files.
    pub(super) is_tidying: bool,
}

/// How long a disk that has enough to write already is left alone.
const TICK: Duration = Duration::from_millis(2);

/// How long the end of the server may wait for the disk.
const LAST_WRITES: Duration = Duration::from_secs(20);

/// A model that is loaded.
pub(super) struct Running {
    number: usize,
    batcher: Batcher,
    /// When it was asked for something the last time.
    used: Instant,
}

impl Worker {
    /// Loads the first model, if that `is_wanted`; from then on requests are answered.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn begin(&mut self, is_wanted: bool, loader: &mut dyn Loader) -> Result<(), String> {
        let first = if is_wanted { self.have(0, loader).map(drop) } else { Ok(()) };
        first.map_err(|refusal| refusal.message)?;
        self.shared.begin();
        Ok(())
    }

    /// Works until HTTP has ended.
    pub fn run(mut self, loader: &mut dyn Loader) {
        loop {
            loop {
                match self.next() {
                    Ok(command) => self.take(command, loader),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) if self.is_idle() => return self.finish(),
                    Err(TryRecvError::Disconnected) => break,
                }
            }
            self.unload_unused();
            for at in 0..self.running.len() {
                let running = &mut self.running[at];
                if !running.batcher.is_idle() {
                    let pass = running.batcher.step();
                    running.used = Instant::now();
                    self.shared.passed(pass, self.load_now());
                    loader.rest(pass.time);
                }
            }
            self.tidy();
        }
    }

    fn is_idle(&self) -> bool {
        self.running.iter().all(|running| running.batcher.is_idle())
    }

    /// How busy all models are together.
    fn load_now(&self) -> Load {
        let mut all = Load::default();
        for running in &self.running {
            all.add(running.batcher.load_now());
        }
        all
    }

    /// Goes on with what is to be written to files. Whether there is more to do.
    fn tidy(&mut self) -> bool {
        let mut more = false;
        for running in &mut self.running {
            more |= running.batcher.tidy();
            for note in running.batcher.take_notes() {
                self.shared.log(&Record { what: "note", fields: vec![("text", json!(note))] });
            }
        }
        self.is_tidying = more;
        more
    }

    /// What is to be written to files is, unless the disk takes too long.
    fn finish(&mut self) {
        let start = Instant::now();
        while self.tidy() && start.elapsed() < LAST_WRITES {
            std::thread::sleep(TICK);
        }
    }

    /// The next command; waits for it where there is nothing else to do, but not beyond the time when a model is to go.
    fn next(&self) -> Result<Command, TryRecvError> {
        if !self.is_idle() {
            return self.commands.try_recv();
        }
        if self.is_tidying {
            std::thread::sleep(TICK);
            return self.commands.try_recv();
        }
        let first = self.running.iter().map(|running| running.used).min();
        let ends = first.and_then(|used| used.checked_add(self.shared.settings.unload_after?));
        match ends {
            None => self.commands.recv().map_err(|_| TryRecvError::Disconnected),
            Some(ends) => {
                let left = ends.saturating_duration_since(Instant::now());
                self.commands.recv_timeout(left).map_err(|error| match error {
                    RecvTimeoutError::Timeout => TryRecvError::Empty,
                    RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
                })
            }
        }
    }

    fn take(&mut self, command: Command, loader: &mut dyn Loader) {
        match command {
            Command::Text { model, request, reader } => match self.have(model, loader) {
                Ok(at) => {
                    self.running[at].used = Instant::now();
                    self.running[at].batcher.submit(*request, reader);
                }
                Err(refusal) => reader.refuse(refusal),
            },
            Command::Load { model, done } => {
                // Whoever has asked may have gone.
                let _ = done.send(self.have(model, loader).map(|_| ()));
            }
            Command::Unload { model } => self.unload(|running| running.number == model),
            Command::Remove { model, done } => {
                let _ = done.send(self.remove(model));
            }
        }
    }

    /// Unloads a model for good.
    fn remove(&mut self, number: usize) -> Result<(), Refusal> {
        self.unload(|running| running.number == number);
        if self.running.iter().any(|running| running.number == number) {
            let why = "the model is in use; delete it when its texts have ended";
            return Err(Refusal::new(Kind::Conflict, why).retry_after(10));
        }
        self.shared.catalog.remove(number);
        Ok(())
    }

    /// Where a model runs, after loading it where that has to be.
    fn have(&mut self, number: usize, loader: &mut dyn Loader) -> Result<usize, Refusal> {
        if let Some(at) = self.running.iter().position(|running| running.number == number) {
            return Ok(at);
        }
        let Some((offer, _)) = self.shared.catalog.get(number) else {
            return Err(Refusal::new(Kind::NotFound, "the model has been deleted"));
        };
        let most = self.shared.settings.models;
        while most.is_some_and(|most| self.running.len() >= most.max(1)) {
            if !self.unload_one() {
                let why = "as many models as this server may have (--models-max) are in use; try again later";
                return Err(Refusal::new(Kind::Unavailable, why).retry_after(10));
            }
        }
        loop {
            let start = Instant::now();
            match loader.load(number, offer.path.as_deref()) {
                Ok((model, batcher)) => {
                    self.log("model loaded", number, start.elapsed());
                    self.running.push(Running { number, batcher, used: Instant::now() });
                    self.shared.catalog.set(number, Some(Arc::new(model)));
                    self.shared.passed(Default::default(), self.load_now());
                    return Ok(self.running.len() - 1);
                }
                Err(LoadError::Memory(_)) if self.unload_one() => {}
                Err(LoadError::Memory(why)) => {
                    return Err(Refusal::new(Kind::Unavailable, why).retry_after(10));
                }
                Err(LoadError::Other(why)) => return Err(Refusal::new(Kind::Failed, why)),
            }
        }
    }

    /// Unloads the model that was not asked for anything for the longest time, if there is one that is not at work.
    fn unload_one(&mut self) -> bool {
        let idle = self.running.iter().filter(|running| running.batcher.is_idle());
        let Some(number) = idle.min_by_key(|running| running.used).map(|running| running.number) else {
            return false;
        };
        self.unload(|running| running.number == number);
        true
    }

    /// Unloads the models that were not asked for anything for as long as the settings say.
    fn unload_unused(&mut self) {
        if let Some(after) = self.shared.settings.unload_after {
            self.unload(|running| running.used.elapsed() >= after);
        }
    }

    /// Unloads those of these models that are not at work.
    fn unload(&mut self, which: impl Fn(&Running) -> bool) {
        let goes = |running: &Running| running.batcher.is_idle() && which(running);
        let gone: Vec<Running> = self.running.extract_if(.., |running| goes(running)).collect();
        for Running { number, mut batcher, used } in gone {
            self.shared.catalog.set(number, None);
            let start = Instant::now();
            while batcher.tidy() && start.elapsed() < LAST_WRITES {
                std::thread::sleep(TICK);
            }
            drop(batcher);
            self.log("model unloaded", number, used.elapsed());
            self.shared.passed(Default::default(), self.load_now());
        }
    }

    fn log(&self, what: &'static str, number: usize, took: Duration) {
        let name = self.shared.catalog.called(number, None);
        let millis = took.as_millis() as u64;
        self.shared.log(&Record { what, fields: vec![("model", json!(name)), ("ms", json!(millis))] });
    }
}
