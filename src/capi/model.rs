//! Loaded models, by number.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::Callback;
use super::options::WantedText;
use super::status::{Failure, Status};
use crate::chat::Message;
use crate::engine::{EngineError, Observer, Outcome, PromptForm, Request, Session};
use crate::models::GenerationConfig;

/// A loaded model.
pub(super) struct Model {
    session: Mutex<Session>,
    form: PromptForm,
    generation: GenerationConfig,
    /// Requests that have not ended, with whether they are cancelled.
    requests: Mutex<BTreeMap<u64, Arc<AtomicBool>>>,
    /// Its number is gone; never taken back.
    freed: AtomicBool,
}

/// The number of the next request of any model.
static NEXT_REQUEST: AtomicU64 = AtomicU64::new(1);

/// As many requests may wait for their text.
const MOST_REQUESTS: usize = 1 << 16;

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
    pub fn new(session: Session, form: PromptForm, generation: GenerationConfig) -> Self {
        Self {
            session: Mutex::new(session),
            form,
            generation,
            requests: Mutex::default(),
            freed: AtomicBool::new(false),
        }
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

    /// Takes the number away. The model goes when no call uses it any more.
    pub fn forget(number: u64) -> Result<(), Failure> {
        let model = registry().models.remove(&number).ok_or_else(|| unknown(number))?;
        model.freed.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn requests(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<AtomicBool>>> {
        // No holder of it can panic half-way.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a text that is to be generated.
    pub fn new_request(&self) -> Result<u64, Failure> {
        let mut requests = self.requests();
        if requests.len() >= MOST_REQUESTS {
            return Err(Failure::argument(format!("{MOST_REQUESTS} requests wait for their text already")));
        }
        let number = NEXT_REQUEST.fetch_add(1, Ordering::SeqCst);
        requests.insert(number, Arc::default());
        Ok(number)
    }

    /// Ends the text of a request, also if it has not begun yet; 0: of all requests. One that has ended stays as it is.
    pub fn cancel(&self, request: u64) -> Result<(), Failure> {
        if request >= NEXT_REQUEST.load(Ordering::SeqCst) {
            return Err(Failure::argument(format!("no request has had the number {request}")));
        }
        for (_, cancelled) in self.requests().iter().filter(|(number, _)| [0, **number].contains(&request)) {
            cancelled.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    /// The request of that number, or a new one for 0.
    fn request(&self, number: u64) -> Result<Running<'_>, Failure> {
        let (number, spent) = if number == 0 { (self.new_request()?, true) } else { (number, false) };
        let cancelled = self.requests().get(&number).cloned().ok_or_else(|| {
            Failure::argument(format!("request {number} has ended, or is none of this model"))
        })?;
        Ok(Running { model: self, number, cancelled, spent })
    }

    /// The session, for one call at a time: a callback that calls again must get an answer, not wait for itself.
    fn session(&self) -> Result<MutexGuard<'_, Session>, Failure> {
        self.session.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => Failure::new(Status::Busy, "the model is in use by another call"),
            TryLockError::Poisoned(_) => Failure::new(
                Status::Panicked,
                "a call before this one failed by a fault of the library; free the model",
            ),
        })
    }

    pub fn tokenize(&self, text: &str, begin: bool) -> Result<Vec<u32>, Failure> {
        let session = self.session()?;
        let ids = match begin {
            true => self.form.encode_text(session.tokenizer(), text),
            false => session.tokenizer().encode(text, false).map_err(EngineError::from),
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
        // Before anything else: from here on the text can be cancelled.
        let mut request = self.request(wanted.request)?;
        let mut session = self.session()?;
        // A call that was refused above can be made again.
        request.spent = true;
        let running = request;
        let prompt = if wanted.chat {
            let system = wanted.system.iter().map(|text| Message::new("system", text));
            let messages: Vec<Message> = system.chain([Message::new("user", &wanted.prompt)]).collect();
            self.form.encode_chat(session.tokenizer(), &messages)
        } else {
            self.form.encode_text(session.tokenizer(), &wanted.prompt)
        };
        let settled = wanted.wishes.settle(&self.generation, wanted.rest);
        let sampling = settled.map_err(|e| Failure::argument(e.to_string()))?;
        sampling.validate().map_err(|e| Failure::argument(e.to_string()))?;
        let request = Request {
            prompt: prompt.map_err(failed)?,
            max_tokens: wanted.max_tokens,
            sampling,
            stop: wanted.stop.clone(),
            ignore_eos: wanted.ignore_eos,
            ..Request::default()
        };
        let mut listener = Listener { callback, user_data, running: &running, piece: Vec::new() };
        session.generate(&request, &mut listener).map_err(failed)
    }
}

/// A request whose text is being generated.
struct Running<'a> {
    model: &'a Model,
    number: u64,
    cancelled: Arc<AtomicBool>,
    /// It cannot be used for another call.
    spent: bool,
}

impl Running<'_> {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst) || self.model.freed.load(Ordering::SeqCst)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.spent {
            self.model.requests().remove(&self.number);
        }
    }
}

/// Hands pieces of text to the caller.
struct Listener<'a> {
    callback: Option<Callback>,
    user_data: *mut c_void,
    running: &'a Running<'a>,
    /// The piece with a NUL after it.
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
        self.running.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::ReferenceBackend;
    use crate::core::DType;
    use crate::engine::{Finish, ModelFiles, SessionOptions};
    use crate::sampling::SamplingParams;

    fn demo() -> Model {
        let files = ModelFiles::demo().unwrap();
        let (form, generation) = (files.prompt_form(), files.generation.clone());
        let options = SessionOptions {
            weights: DType::F32.into(),
            kv_types: DType::F32.into(),
            max_seq_len: 32,
            ..SessionOptions::default()
        };
        let session = Session::load(ReferenceBackend, files, &options, &mut |_| ()).unwrap();
        Model::new(session, form, generation)
    }

    fn finish(model: &Model, request: u64) -> Result<(Finish, usize), Failure> {
        let wanted = WantedText {
            request,
            prompt: "Once upon".into(),
            chat: false,
            system: None,
            stop: vec![],
            max_tokens: Some(2),
            ignore_eos: true,
            wishes: Default::default(),
            rest: SamplingParams::default(),
        };
        let outcome = model.generate(&wanted, None, std::ptr::null_mut())?;
        Ok((outcome.finish, outcome.ids.len()))
    }

    #[test]
    fn a_text_that_is_cancelled_or_freed_before_it_begins_does_not_begin() {
        let number = demo().register();
        let model = Model::find(number).unwrap();
        let request = model.new_request().unwrap();
        model.cancel(request).unwrap();
        assert_eq!(finish(&model, request).unwrap(), (Finish::Cancelled, 0));
        // It has ended: neither is there another text for it, nor does cancelling it end one.
        assert!(finish(&model, request).is_err());
        model.cancel(request).unwrap();
        assert_eq!(finish(&model, 0).unwrap(), (Finish::Length, 2));
        let (first, second) = (model.new_request().unwrap(), model.new_request().unwrap());
        model.cancel(first).unwrap();
        assert_eq!(finish(&model, second).unwrap(), (Finish::Length, 2));
        assert!(model.cancel(second + 1_000_000).is_err());
        model.cancel(0).unwrap();
        assert_eq!(finish(&model, first).unwrap(), (Finish::Cancelled, 0));
        assert_eq!(finish(&model, 0).unwrap(), (Finish::Length, 2));
        assert!(model.requests().is_empty());
        // Freed after the call has found it, and before it generates.
        Model::forget(number).unwrap();
        assert_eq!(finish(&model, 0).unwrap(), (Finish::Cancelled, 0));
    }

    #[test]
    fn a_request_survives_a_model_that_is_busy() {
        let model = demo();
        let request = model.new_request().unwrap();
        let session = model.session().unwrap();
        assert!(finish(&model, request).is_err() && finish(&model, 0).is_err());
        drop(session);
        assert_eq!(finish(&model, request).unwrap(), (Finish::Length, 2));
        assert!(model.requests().is_empty());
    }
}
