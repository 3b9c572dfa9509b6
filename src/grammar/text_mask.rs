//! One text that follows a grammar.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use llguidance::Matcher;

use super::error::reason;
use crate::sampling::{Mask, MaskError};

/// The place in the grammar, and what may follow it.
struct Place {
    matcher: Matcher,
    /// Valid if it was computed since the last token.
    allowed: Option<Vec<u32>>,
    error: Option<MaskError>,
}

impl Place {
    fn compute(&mut self) {
        match self.matcher.compute_mask_or_eos() {
            Ok(set) => self.allowed = Some(set.into()),
            Err(error) => self.error = Some(fault(&error.to_string())),
        }
    }
}

fn fault(error: &str) -> MaskError {
    MaskError(format!("the grammar cannot be followed any further: {}", reason(error)))
}

/// The thread that computes the next set while the model computes the next logits.
struct Beside {
    there: SyncSender<Box<Place>>,
    back: Receiver<Box<Place>>,
}

impl Beside {
    fn start() -> Option<Self> {
        let (there, work) = sync_channel::<Box<Place>>(1);
        let (done, back) = sync_channel(1);
        let run = move || {
            while let Ok(mut place) = work.recv() {
                place.compute();
                if done.send(place).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("grammar".into()).spawn(run).ok().map(|_| Self { there, back })
    }
}

/// A text in a grammar.
pub(super) struct TextMask {
    /// `None` while the other thread has it.
    place: Option<Box<Place>>,
    /// `None` where the system gives no thread: sets are computed when they are asked for.
    beside: Option<Beside>,
    finished: bool,
}

impl TextMask {
    /// At the beginning. The first set is being computed when this returns.
    pub fn new(matcher: Matcher) -> Self {
        let finished = matcher.is_stopped();
        let place = Box::new(Place { matcher, allowed: None, error: None });
        let mut this = Self { place: Some(place), beside: Beside::start(), finished };
        this.look_ahead();
        this
    }

    fn look_ahead(&mut self) {
        if let Some(beside) = &self.beside
            && let Some(place) = self.place.take()
            && let Err(lost) = beside.there.send(place)
        {
            self.place = Some(lost.0);
            self.beside = None;
        }
    }

    /// Its place, when the other thread is done with it.
    fn here(&mut self) -> Result<&mut Place, MaskError> {
        if self.place.is_none() {
            self.place = self.beside.as_ref().and_then(|beside| beside.back.recv().ok());
        }
        let lost = || MaskError("the thread that follows the grammar has failed".into());
        self.place.as_deref_mut().ok_or_else(lost)
    }

    /// The text goes on with bytes that are no token by themselves.
    ///
    /// # Errors
    /// The grammar does not have them here.
    pub fn accept_bytes(&mut self, bytes: &[u8]) -> Result<(), MaskError> {
        let env = self.here()?.matcher.tok_env().map_err(|error| fault(&error.to_string()))?;
        env.tok_trie().greedy_tokenize(bytes).into_iter().try_for_each(|id| self.accept(id))
    }
}

impl Mask for TextMask {
    fn allowed(&mut self) -> Result<Option<&[u32]>, MaskError> {
        let place = self.here()?;
        if place.allowed.is_none() && place.error.is_none() {
            place.compute();
        }
        match &place.error {
            Some(error) => Err(error.clone()),
            None => Ok(place.allowed.as_deref()),
        }
    }

    fn accept(&mut self, id: u32) -> Result<(), MaskError> {
        let place = self.here()?;
        if let Some(error) = &place.error {
            return Err(error.clone());
        }
        place.allowed = None;
        place.matcher.consume_token(id).map_err(|error| fault(&error.to_string()))?;
        self.finished = place.matcher.is_stopped();
        if !self.finished {
            self.look_ahead();
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.finished
    }
}
