//! The thread that has the model.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::time::Duration;

use super::listener::Listener;
use super::state::Shared;
use crate::engine::{Batcher, Request};

/// A text that is to be generated.
pub(super) struct Command {
    pub request: Request,
    pub reader: Box<Listener>,
}

/// Makes passes as long as there is something to do, and waits for requests otherwise.
pub struct Worker {
    pub(super) commands: Receiver<Command>,
    pub(super) shared: Arc<Shared>,
}

impl Worker {
    /// Works until HTTP has ended. `rest` is called after each pass with the time that it took.
    pub fn run(self, batcher: &mut Batcher, mut rest: impl FnMut(Duration)) {
        loop {
            loop {
                let command = if batcher.is_idle() {
                    self.commands.recv().map_err(|RecvError| TryRecvError::Disconnected)
                } else {
                    self.commands.try_recv()
                };
                match command {
                    Ok(Command { request, reader }) => batcher.submit(request, reader),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) if batcher.is_idle() => return,
                    Err(TryRecvError::Disconnected) => break,
                }
            }
            let pass = batcher.step();
            self.shared.passed(pass, batcher.load_now());
            rest(pass.time);
        }
    }
}
