//! The thread that writes kept texts: the model does not wait for a disk.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;

use super::Salted;
use crate::format::{FormatError, OutputFile, session};

/// Parts of a text that may wait for the disk.
const AHEAD: usize = 4;

/// What is to be written.
pub(super) struct Head {
    pub path: PathBuf,
    pub description: Vec<u8>,
    pub text: Salted,
    /// Bytes of keys and values, which come in parts.
    pub cache_bytes: u64,
}

enum Message {
    Begin(Head),
    Part(Vec<u8>),
    End,
    /// The text that was begun is not to be written after all.
    GiveUp,
}

/// A file that was written, or why it was not.
pub(super) type Written = Result<(PathBuf, Salted), String>;

/// Writes one text after the other.
#[derive(Debug)]
pub(super) struct Writer {
    messages: Option<SyncSender<Message>>,
    results: Receiver<Written>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// # Errors
    /// What the system answers.
    pub fn start() -> std::io::Result<Self> {
        let (messages, receiver) = sync_channel(AHEAD);
        let (sender, results) = channel();
        let run = move || {
            while let Ok(message) = receiver.recv() {
                // Parts of a text whose file could not be made are left out.
                let Message::Begin(head) = message else { continue };
                if let Some(written) = write(head, &receiver)
                    && sender.send(written).is_err()
                {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("kv-disk".into()).spawn(run)?;
        Ok(Self { messages: Some(messages), results, thread: Some(thread) })
    }

    /// Begins with a text; false if too much waits for the disk already.
    pub fn begin(&self, head: Head) -> bool {
        self.send(Message::Begin(head)).is_none()
    }

    /// More of its keys and values; given back if too much waits for the disk already.
    pub fn part(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match self.send(Message::Part(bytes)) {
            Some(Message::Part(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// That was all of it; false if too much waits for the disk already.
    pub fn end(&self) -> bool {
        self.send(Message::End).is_none()
    }

    /// The text is not to be written after all.
    pub fn give_up(&self) {
        // Waits for the disk: this is rare.
        if let Some(messages) = &self.messages {
            let _ = messages.send(Message::GiveUp);
        }
    }

    fn send(&self, message: Message) -> Option<Message> {
        match self.messages.as_ref()?.try_send(message) {
            Err(TrySendError::Full(message)) => Some(message),
            // A thread that has ended writes nothing: neither is anything kept for it.
            Ok(()) | Err(TrySendError::Disconnected(_)) => None,
        }
    }

    /// What came of a text, once for each that was ended.
    pub fn result(&self) -> Option<Written> {
        match self.results.try_recv() {
            Ok(written) => Some(written),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err("the thread that writes has failed".to_owned())),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.messages.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What ends a file before its time.
enum Stop {
    Failed(FormatError),
    GivenUp,
}

impl From<FormatError> for Stop {
    fn from(error: FormatError) -> Self {
        Self::Failed(error)
    }
}

/// Writes a text; `None` where it was given up.
fn write(head: Head, messages: &Receiver<Message>) -> Option<Written> {
    let Head { path, description, text, cache_bytes } = head;
    let mut ended = false;
    let mut whole = || -> Result<(), Stop> {
        let output = OutputFile::create_private(&path)?;
        session::write(&path, output.file(), &description, &text.ids, cache_bytes, |put| {
            loop {
                match messages.recv() {
                    Ok(Message::Part(bytes)) => put(&bytes)?,
                    Ok(Message::End) => {
                        ended = true;
                        return Ok(());
                    }
                    _ => return Err(Stop::GivenUp),
                }
            }
        })?;
        output.finish()?;
        Ok(())
    };
    match whole() {
        Ok(()) => Some(Ok((path, text))),
        Err(Stop::GivenUp) => None,
        Err(Stop::Failed(error)) => {
            // The rest of its parts. Of a text that is given up meanwhile no result is waited for.
            while !ended {
                match messages.recv() {
                    Ok(Message::Part(_)) => {}
                    Ok(Message::End) => ended = true,
                    _ => return None,
                }
            }
            Some(Err(error.to_string()))
        }
    }
}
