//! Loaded models, by number.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::Callback;
use super::options::WantedText;
use super::status::{Failure, Status};
use crate::chat::Message;
use crate::core::Backend;
use crate::engine::{EngineError, Observer, Outcome, PromptForm, Request, Session};
use crate::models::GenerationConfig;
use crate::tokenizer::Tokenizer;

/// A session, whatever its backend.
pub(super) trait Engine: Send {
    fn generate(&mut self, request: &Request, observer: &mut dyn Observer) -> Result<Outcome, EngineError>;

    fn tokenizer(&self) -> &Tokenizer;
}

impl<B: Backend> Engine for Session<B> {
    fn generate(&mut self, request: &Request, observer: &mut dyn Observer) -> Result<Outcome, EngineError> {
        Session::generate(self, request, observer)
    }

    fn tokenizer(&self) -> &Tokenizer {
        Session::tokenizer(self)
    }
}

/// A loaded model.
pub(super) struct Model {
    engine: Mutex<Box<dyn Engine>>,
    form: PromptForm,
    generation: GenerationConfig,
    cancelled: AtomicBool,
}

/// All of them. Numbers are counted up and never used again.
struct Registry {
    models: BTreeMap<u64, Arc<Model>>,
    next: u64,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { models: BTreeMap::new(), next: 1 });

fn registry() -> MutexGuard<'static, Registry> {
    // Nothing that holds it can panic half-way.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(number: u64) -> Failure {
    Failure::new(
        Status::NoSuchModel,
        format!("no model has the number {number}; it was freed, or never loaded"),
    )
}

impl Model {
    pub fn new(engine: Box<dyn Engine>, form: PromptForm, generation: GenerationConfig) -> Self {
        Self { engine: Mutex::new(engine), form, generation, cancelled: AtomicBool::new(false) }
    }

    /// Gives it a number.
    pub fn register(self) -> u64 {
        let mut registry = registry();
        let number = registry.next;
        registry.next += 1;
        registry.models.insert(number, Arc::new(self));
        number
    }

    /// The model of that number.
    pub fn find(number: u64) -> Result<Arc<Self>, Failure> {
        registry().models.get(&number).cloned().ok_or_else(|| unknown(number))
    }

    /// Takes the number away. The model goes when nobody uses it any more.
    pub fn forget(number: u64) -> Result<(), Failure> {
        let model = registry().models.remove(&number).ok_or_else(|| unknown(number))?;
        model.cancel();
        Ok(())
    }

    /// Ends the text that is being generated.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// The engine, for one call at a time: a callback that calls again must get an answer, not wait for itself.
    fn engine(&self) -> Result<MutexGuard<'_, Box<dyn Engine>>, Failure> {
        self.engine.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => Failure::new(Status::Busy, "the model is in use by another call"),
            TryLockError::Poisoned(_) => Failure::new(
                Status::Panicked,
                "a call before this one failed by a fault of the library; free the model",
            ),
        })
    }

    pub fn tokenize(&self, text: &str, begin: bool) -> Result<Vec<u32>, Failure> {
        let engine = self.engine()?;
        let ids = match begin {
            true => self.form.encode_text(engine.tokenizer(), text),
            false => engine.tokenizer().encode(text, false).map_err(EngineError::from),
        };
        ids.map_err(|e| Failure::engine(Status::Failed, &e))
    }

    pub fn generate(
        &self,
        wanted: &WantedText,
        callback: Option<Callback>,
        user_data: *mut c_void,
    ) -> Result<Outcome, Failure> {
        let failed = |e| Failure::engine(Status::Failed, &e);
        let mut engine = self.engine()?;
        // What was cancelled before was another text.
        self.cancelled.store(false, Ordering::SeqCst);
        let prompt = if wanted.chat {
            let system = wanted.system.iter().map(|text| Message::new("system", text));
            let messages: Vec<Message> = system.chain([Message::new("user", &wanted.prompt)]).collect();
            self.form.encode_chat(engine.tokenizer(), &messages)
        } else {
            self.form.encode_text(engine.tokenizer(), &wanted.prompt)
        };
        let sampling = wanted.wishes.settle(&self.generation, wanted.rest);
        sampling.validate().map_err(|e| Failure::argument(e.to_string()))?;
        let request = Request {
            prompt: prompt.map_err(failed)?,
            max_tokens: wanted.max_tokens,
            sampling,
            stop: wanted.stop.clone(),
            ignore_eos: wanted.ignore_eos,
            draws: 0,
            room: 0,
        };
        let mut listener = Listener { callback, user_data, cancelled: &self.cancelled, piece: Vec::new() };
        engine.generate(&request, &mut listener).map_err(failed)
    }
}

/// Hands pieces of text to the caller.
struct Listener<'a> {
    callback: Option<Callback>,
    user_data: *mut c_void,
    cancelled: &'a AtomicBool,
    /// The piece with a NUL behind it.
    piece: Vec<u8>,
}

impl Observer for Listener<'_> {
    fn prefill(&mut self, _: usize, _: usize) {}

    fn text(&mut self, piece: &str) -> ControlFlow<()> {
        let Some(callback) = self.callback else { return ControlFlow::Continue(()) };
        self.piece.clear();
        self.piece.extend_from_slice(piece.as_bytes());
        self.piece.push(0);
        match callback(self.piece.as_ptr().cast::<c_char>(), piece.len(), self.user_data) {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}
