//! What the threads of a server share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;

use super::answer::{Answer, Answers, Place, Settled};
use super::ask::Ask;
use super::catalog::Catalog;
use super::listener::Listener;
use super::log::{Log, Record};
use super::metrics::Metrics;
use super::model::Model;
use super::refusal::{Kind, Refusal};
use super::settings::Settings;
use super::worker::Command;
use crate::engine::{CacheSalt, Load, Pass, PromptRows};

/// What both the thread of the models and HTTP know.
pub(super) struct Shared {
    pub settings: Settings,
    pub metrics: Metrics,
    log: Log,
    load: Mutex<Load>,
    /// Texts that wait or are in progress.
    taken: Arc<AtomicUsize>,
    /// Milliseconds that texts take, about.
    duration: AtomicU64,
    /// The server takes no more requests.
    pub is_draining: AtomicBool,
    /// All texts have to end.
    pub is_over: AtomicBool,
    /// The first model has been loaded.
    has_begun: AtomicBool,
    pub catalog: Catalog,
    /// To the thread of the models; `None` when HTTP has ended.
    commands: Mutex<Option<Sender<Command>>>,
}

impl Shared {
    pub fn new(settings: Settings, log: Log, catalog: Catalog, commands: Sender<Command>) -> Self {
        Self {
            settings,
            metrics: Metrics::default(),
            log,
            load: Mutex::default(),
            taken: Arc::default(),
            duration: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            catalog,
            commands: Mutex::new(Some(commands)),
        }
    }

    pub fn log(&self, record: &Record) {
        (self.log)(record);
    }

    /// From now on requests are answered.
    pub fn begin(&self) {
        self.has_begun.store(true, Ordering::SeqCst);
    }

    /// HTTP has ended: the thread of the models gets no more requests.
    pub fn close(&self) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn send(&self, command: Command) {
        if let Some(commands) = self.commands.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // Where the thread has ended, whoever asked hears of it by the end of its channel.
            let _ = commands.send(command);
        }
    }

    pub fn passed(&self, pass: Pass, load: Load) {
        self.metrics.passed(pass, load);
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = load;
    }

    pub fn load(&self) -> Load {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A text took so long.
    pub fn note_duration(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let before = self.duration.load(Ordering::Relaxed);
        self.duration.store(before - before / 8 + took / 8, Ordering::Relaxed);
    }

    /// Whether what takes long has to end.
    pub fn is_ending(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Whether the first model has been loaded.
    ///
    /// # Errors
    /// It has not.
    pub fn check_ready(&self) -> Result<(), Refusal> {
        let loading = || Refusal::new(Kind::Unavailable, "Loading model").retry_after(1);
        self.has_begun.load(Ordering::SeqCst).then_some(()).ok_or_else(loading)
    }

    /// The model with this number; it is loaded where it is not.
    ///
    /// # Errors
    /// The server still begins, or what stands in the way of loading the model.
    pub async fn have(&self, number: usize) -> Result<Arc<Model>, Refusal> {
        self.check_ready()?;
        if let Some(model) = self.catalog.loaded(number) {
            return Ok(model);
        }
        let (done, loaded) = oneshot::channel();
        self.send(Command::Load { model: number, done });
        let ended = |_| Refusal::new(Kind::Unavailable, "the server is about to end").retry_after(5);
        loaded.await.map_err(ended)??;
        let gone =
            || Refusal::new(Kind::Unavailable, "the model was unloaded at once; try again").retry_after(1);
        self.catalog.loaded(number).ok_or_else(gone)
    }

    /// A model is not needed any longer.
    pub fn unload(&self, number: usize) {
        self.send(Command::Unload { model: number });
    }

    /// A model cannot be asked for any longer; its files are not used then.
    ///
    /// # Errors
    /// It is at work, or the server is about to end.
    pub async fn remove(&self, number: usize) -> Result<(), Refusal> {
        let (done, removed) = oneshot::channel();
        self.send(Command::Remove { model: number, done });
        let ended = |_| Refusal::new(Kind::Unavailable, "the server is about to end").retry_after(5);
        removed.await.map_err(ended)?
    }

    /// Asks a model for texts, for a key whose texts have this salt.
    ///
    /// # Errors
    /// A full queue, or what is wrong with one of them.
    pub async fn ask(
        self: &Arc<Self>,
        id: &Arc<str>,
        key_salt: Option<CacheSalt>,
        model: &Arc<Model>,
        asks: Vec<Ask>,
    ) -> Result<Answers, Refusal> {
        let (number, model) = (model.number, Arc::clone(model));
        if self.is_ending() {
            return Err(Refusal::new(Kind::Unavailable, "the server is about to end").retry_after(5));
        }
        let places: Option<Vec<Place>> = asks.iter().map(|_| self.place()).collect();
        let places = places.ok_or_else(|| self.busy(asks.len()))?;
        // Templates and tokens take milliseconds where a prompt is long: other requests go on meanwhile.
        let (most, usual) = (self.settings.max_tokens, self.settings.default_max_tokens);
        let prepare = move || {
            let usual = |ask: &Ask| usual.filter(|_| !ask.is_unlimited);
            let said = |ask: Ask| Ask { max_tokens: ask.max_tokens.or(usual(&ask)), ..ask };
            asks.into_iter().map(|ask| model.prepare(said(ask), key_salt, most)).collect()
        };
        let prepared: Result<Vec<_>, Refusal> = tokio::task::spawn_blocking(prepare)
            .await
            .map_err(|_| Refusal::new(Kind::Failed, "the prompt could not be prepared"))?;
        let all = prepared?.into_iter().zip(places).map(|(prepared, place)| {
            let (sender, events) = unbounded_channel();
            let mut reader = Box::new(Listener::new(sender, Arc::clone(self), Arc::clone(id)));
            let request = prepared.request;
            reader.is_text = !matches!(request.prompt_rows, PromptRows::Hidden(_));
            let settings = Settled {
                prompt: request.prompt.clone(),
                sampling: request.sampling,
                max_tokens: request.max_tokens,
                stop: request.stop.clone(),
                ignore_eos: request.ignore_eos,
                bias: request.bias.clone(),
            };
            self.send(Command::Text { model: number, request: Box::new(request), reader });
            Answer::new(events, prepared.splitter, prepared.parser, settings, place)
        });
        Ok(Answers { all: all.collect() })
    }

    fn place(&self) -> Option<Place> {
        let Settings { parallel, queue, .. } = self.settings;
        Place::take(&self.taken, parallel + queue)
    }

    fn busy(&self, asked: usize) -> Refusal {
        let Settings { parallel, queue, .. } = self.settings;
        if asked > parallel + queue {
            let why = format!("{asked} texts are more than this server takes at once ({})", parallel + queue);
            return Refusal::new(Kind::Invalid, why);
        }
        let each = self.duration.load(Ordering::Relaxed) as f64 / 1e3;
        let wait = (each * (queue / parallel.max(1) + 1) as f64).ceil().clamp(1.0, 60.0);
        let why = format!("{parallel} texts are in progress and {queue} wait; try again later");
        Refusal::new(Kind::Busy, why).retry_after(wait as u64)
    }
}
