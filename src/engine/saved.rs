//! Sessions in files: what a later run takes up. `docs/SESSION_FORMAT.md` describes the file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::model_files::ModelFiles;
use super::session::Session;
use super::stored_cache::{Fault, Maker};
use super::{EngineError, packing, stored_cache};
use crate::chat::{Date, Message};
use crate::format::session::{self, Found, SessionLock, SessionReader};
use crate::format::{Checksum, FormatError, OutputFile};
use crate::kv::{EvictionStats, KvRecords};
use crate::models::WeightPlan;
use crate::quant::rows::RowReader;

/// Numbers for a model, which are with all likelihood others for another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Of its constants and its vectors: the same in every format of its matrices.
    pub constants: u64,
    /// Of some rows of each matrix, in the format in which they are computed with.
    pub rows: u64,
}

/// What has computed a session's keys and values; with another they would be others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// See [`ModelFiles::identity`].
    pub model: Identity,
    /// What rounds as it does: a backend, or an instruction set that is not exact.
    pub arithmetic: String,
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The prompt and what was generated. The cache holds all but the last few of them.
    pub ids: Vec<u32>,
    /// The seed of the random numbers,
    pub seed: u64,
    /// and how many were used.
    pub draws: u64,
    /// The messages, if it is a conversation.
    pub messages: Vec<Message>,
    /// The ids say the messages, as the template writes them, and nothing else.
    pub spelt: bool,
    /// The date that the template was given, if its text depends on it.
    pub date: Option<Date>,
    /// Whether reasoning was turned on or off.
    pub thinking: Option<bool>,
}

/// What came of reading a session file.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// What it says. With the cache, unless [`Self::refused`] says why not.
    pub text: Option<Text>,
    /// Why the file, or its cache alone, cannot be used: a sentence.
    pub refused: Option<String>,
    /// It belongs to something else, and is not to be replaced.
    pub foreign: bool,
}

/// The description in a session file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    program: String,
    #[serde(flatten)]
    maker: Maker,
    /// Tokens that the cache holds, and that it has seen; and how many it had seen when some were evicted last.
    held: usize,
    position: usize,
    retained: usize,
    /// As in [`KvRecords`]; files of version 1 have none.
    #[serde(default)]
    unrotated: usize,
    #[serde(default)]
    received: usize,
    eviction: Option<SavedEviction>,
    seed: u64,
    draws: u64,
    messages: Vec<SavedMessage>,
    spelt: bool,
    /// `YYYY-MM-DD`; left out where the text does not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    /// Left out where the template decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thinking: Option<bool>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedEviction {
    policy: String,
    window: usize,
    protected: usize,
    target: usize,
    evictions: usize,
    evicted: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedMessage {
    role: String,
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
}

impl From<&Message> for SavedMessage {
    fn from(message: &Message) -> Self {
        let Message { role, content, reasoning, .. } = message.clone();
        Self { role, content, reasoning }
    }
}

impl From<SavedMessage> for Message {
    fn from(SavedMessage { role, content, reasoning }: SavedMessage) -> Self {
        Self { reasoning, ..Self::new(role, content) }
    }
}

/// Why a file cannot be used.
enum Refusal {
    /// The rest of a sentence about it.
    Unusable(String),
    /// The same, of a file that is to be left alone.
    Foreign(String),
}

impl ModelFiles {
    /// What distinguishes this model from others, with its weights by `plan`: the same for each form in which its files may
    /// lie.
    ///
    /// # Errors
    /// A tensor that is missing or has no such form.
    pub fn identity(&self, plan: WeightPlan) -> Result<Identity, EngineError> {
        let (mut constants, mut rows) = (Checksum::default(), Checksum::default());
        constants.update(format!("{:?} {:e}", self.config.spec.ropes, self.config.spec.norm_eps).as_bytes());
        for (tensor, dtype) in packing::tensors(self.tensors.as_ref(), &self.config.spec, plan)? {
            constants.update(format!("{} {}", tensor.name(), tensor.shape()).as_bytes());
            let (count, _) = tensor.matrix_dims();
            let sum = if tensor.shape().dims().len() == 2 { &mut rows } else { &mut constants };
            let mut reader = RowReader::new(&tensor, dtype);
            for row in [0, count / 2, count.saturating_sub(1)] {
                sum.update(reader.row(row)?);
            }
        }
        Ok(Identity { constants: constants.finish(), rows: rows.finish() })
    }
}

/// What the session file at `path` says of a conversation, if it is one that can be read. Nothing in it is certain yet.
pub fn saved_conversation(path: &Path) -> Option<SavedConversation> {
    let Ok(Found::Session(mut reader)) = SessionReader::open(path) else { return None };
    let (description, _) = reader.start().ok()?;
    let description: Description = serde_json::from_slice(&description).ok()?;
    let (date, thinking) = (description.date(), description.thinking);
    Some(SavedConversation { messages: description.into_messages(), date, thinking })
}

/// See [`saved_conversation`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedConversation {
    /// What was said.
    pub messages: Vec<Message>,
    /// The date that the template was given.
    pub date: Option<Date>,
    /// Whether reasoning was turned on or off.
    pub thinking: Option<bool>,
}

/// Makes sure that a session can be saved at `path`, as far as that can be known beforehand, and that no other process
/// does so as long as the lock is held.
///
/// # Errors
/// As [`SessionLock::take`].
pub fn take_place(path: &Path) -> Result<SessionLock, EngineError> {
    Ok(SessionLock::take(path)?)
}

fn cannot_write(path: &Path, source: std::io::Error) -> FormatError {
    FormatError::Io { action: "write", path: path.into(), source }
}

impl Session {
    /// Writes `text`, with the cache of the last text where `text` begins with it, to `path`, and gives the bytes
    /// written. A file that is there is replaced when the new one is whole and on the disk.
    ///
    /// # Errors
    /// A file that is there and is no session file, or that another process uses; what the system answers. The file is as
    /// it was then.
    pub fn save(&mut self, path: &Path, origin: &Origin, text: &Text) -> Result<u64, EngineError> {
        if let Found::Foreign = SessionReader::open(path)? {
            let way_on = "name another file for the session".to_owned();
            return Err(
                FormatError::OtherFormat { path: path.into(), what: "no session file", way_on }.into()
            );
        }
        let lock = SessionLock::take(path)?;
        let seen = &self.sequence.seen;
        let sound = seen.len() == self.tokens().1 && text.ids.starts_with(seen);
        let (held, position) = if sound { self.tokens() } else { (0, 0) };
        let kept = self.sequence.held(self.runner.as_ref())?;
        let (records, retained) = (kept.watched.records(position), kept.slots.retained());
        let description = Description {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            maker: self.maker(origin),
            held,
            position,
            retained: if sound { retained } else { 0 },
            unrotated: records.unrotated,
            received: records.received,
            eviction: self.saved_eviction(),
            seed: text.seed,
            draws: text.draws,
            messages: text.messages.iter().map(SavedMessage::from).collect(),
            spelt: text.spelt,
            date: text.date.map(|date| date.to_string()),
            thinking: text.thinking,
        };
        let description =
            serde_json::to_vec(&description).map_err(|e| cannot_write(path, std::io::Error::other(e)))?;
        let output = OutputFile::create(path)?;
        let cache_bytes = self.stored_bytes(held, records).unwrap_or(u64::MAX);
        let len = session::write(path, output.file(), &description, &text.ids, cache_bytes, |put| {
            if held == 0 {
                return Ok(());
            }
            let (runner, id) = (self.runner.as_mut(), self.sequence.id);
            for layer in 0..runner.layouts().len() {
                let (k, v) = stored_cache::export(runner, id, layer, held)?;
                put(&k)?;
                put(&v)?;
            }
            let watched = &mut runner.held_mut(id)?.watched;
            watched.export((held, position), |bytes| -> Result<(), EngineError> { Ok(put(bytes)?) })
        })?;
        lock.moved_to(output.finish()?);
        Ok(len)
    }

    /// Takes up what was saved at `path`; the text before is forgotten. A file that cannot be used is no error, and a
    /// cache that cannot be used leaves the text, which can be computed anew.
    ///
    /// # Errors
    /// Something that is no regular file; what the system answers.
    pub fn restore(&mut self, path: &Path, origin: &Origin) -> Result<Restored, EngineError> {
        self.forget();
        self.sequence.keep_prefix(self.runner.as_mut())?;
        let refusal = |why: String| Some(format!("'{}' {why}", path.display()));
        let foreign = |why: String| Restored { text: None, refused: refusal(why), foreign: true };
        let unusable = |why: String| Restored { text: None, refused: refusal(why), foreign: false };
        let reader = match SessionReader::open(path)? {
            Found::Nothing => return Ok(Restored::default()),
            Found::Foreign => return Ok(foreign("is no session file".into())),
            Found::Unusable(why) => return Ok(unusable(why)),
            Found::Session(reader) => reader,
        };
        Ok(match self.read(reader, origin) {
            Ok((text, why)) => Restored { text: Some(text), refused: why.and_then(refusal), foreign: false },
            Err(Refusal::Unusable(why)) => unusable(why),
            Err(Refusal::Foreign(why)) => foreign(why),
        })
    }

    /// The text, and why its cache could not be taken up.
    fn read(
        &mut self,
        mut reader: SessionReader,
        origin: &Origin,
    ) -> Result<(Text, Option<String>), Refusal> {
        let (bytes, ids) = reader.start().map_err(Refusal::Unusable)?;
        let description: Description = serde_json::from_slice(&bytes)
            .map_err(|e| Refusal::Unusable(format!("is damaged: its description is not one ({e})")))?;
        let why = match self.check(&description, &ids, reader.cache_bytes(), origin) {
            Err(why) => Some(why),
            Ok(()) => self.fill_cache(&description, &mut reader),
        };
        if let Err(why) = reader.finish() {
            self.forget();
            return Err(Refusal::Unusable(why));
        }
        if description.maker.model != self.maker(origin).model {
            return Err(Refusal::Foreign("was made with another model".into()));
        }
        let vocab = self.spec().vocab_size;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            self.forget();
            return Err(Refusal::Unusable(format!("has token {id}, beyond the vocabulary of {vocab}")));
        }
        if why.is_none() {
            let Self { runner, sequence, .. } = self;
            sequence.seen.extend_from_slice(&ids[..description.position]);
            let spanned = sequence.set_span(runner.as_mut(), description.position);
            spanned.map_err(|error| Refusal::Unusable(format!("cannot be taken up: {error}")))?;
            if let (Some(evictor), Some(saved)) = (&mut sequence.evictor, &description.eviction) {
                evictor.resume(EvictionStats {
                    evictions: saved.evictions,
                    evicted: saved.evicted,
                    for_memory: 0,
                });
            }
        }
        let Description { seed, draws, spelt, thinking, .. } = description;
        let date = description.date();
        let messages = description.into_messages();
        Ok((Text { ids, seed, draws, messages, spelt, date, thinking }, why))
    }

    /// What computes here.
    fn maker(&self, origin: &Origin) -> Maker {
        Maker::new(self.runner.as_ref(), self.weights.to_string(), origin)
    }

    /// Whether the cache in a file can be taken up: what has made it, and what its counts are. The reason, if not, as the
    /// rest of a sentence.
    fn check(
        &self,
        saved: &Description,
        ids: &[u32],
        cache_bytes: u64,
        origin: &Origin,
    ) -> Result<(), String> {
        saved.maker.check(&self.maker(origin))?;
        let (held, position, most) = (saved.held, saved.position, self.sequence.max_len());
        let records = KvRecords { unrotated: saved.unrotated, received: saved.received };
        let bytes = self.stored_bytes(held, records);
        if held > position || position > ids.len() || bytes != Some(cache_bytes) {
            return Err(format!(
                "contradicts itself: {held} of {position} tokens held, {} ids, {cache_bytes} bytes of cache",
                ids.len()
            ));
        }
        if held > most {
            return Err(format!("holds {held} tokens, more than the {most} that there is room for here"));
        }
        let now = self.saved_eviction();
        if held < position {
            let numbers = |e: &SavedEviction| (e.policy.clone(), e.window, e.protected, e.target);
            if saved.eviction.as_ref().map(numbers) != now.as_ref().map(numbers) {
                return Err(
                    "has given up tokens by another eviction policy, window or protected prefix".into()
                );
            }
        }
        let watched = self.sequence.held(self.runner.as_ref()).map(|held| held.watched.records(position));
        let wanted = watched.unwrap_or_default();
        if held > 0 && wanted != KvRecords::default() && wanted != records {
            let policy = now.map(|e| e.policy).unwrap_or_default();
            return Err(format!(
                "was stored with another eviction policy or protected prefix, without what {policy} needs"
            ));
        }
        Ok(())
    }

    /// Fills the cache; says why that did not work.
    fn fill_cache(&mut self, saved: &Description, reader: &mut SessionReader) -> Option<String> {
        if saved.held == 0 {
            return None;
        }
        match self.take_up(saved, reader) {
            Ok(()) => None,
            Err(fault) => {
                self.forget();
                Some(match fault {
                    Fault::Read(why) => why,
                    Fault::Core(error) => format!("cannot be taken up: {error}"),
                })
            }
        }
    }

    fn take_up(&mut self, saved: &Description, reader: &mut SessionReader) -> Result<(), Fault> {
        let (runner, id) = (self.runner.as_mut(), self.sequence.id);
        let counts = (saved.held, saved.position);
        stored_cache::fill(runner, id, reader, counts, saved.retained)?;
        runner.held_mut(id)?.watched.import(counts, |bytes| reader.fill(bytes).map_err(Fault::Read))
    }

    /// Bytes of `held` slots and of such records in a file; `None` if there is no such number.
    fn stored_bytes(&self, held: usize, records: KvRecords) -> Option<u64> {
        let layouts = self.runner.layouts();
        let token =
            layouts.iter().try_fold(0, |sum: usize, layout| sum.checked_add(layout.bytes_per_token()))?;
        let stored = token.checked_mul(held)?;
        u64::try_from(stored.checked_add(records.bytes(held, layouts)?)?).ok()
    }

    fn saved_eviction(&self) -> Option<SavedEviction> {
        let evictor = self.sequence.evictor.as_ref()?;
        let (settings, stats) = (evictor.settings(), evictor.stats());
        Some(SavedEviction {
            policy: settings.policy().name.to_owned(),
            window: settings.window(),
            protected: settings.protected(),
            target: settings.target(),
            evictions: stats.evictions,
            evicted: stats.evicted,
        })
    }
}

impl Description {
    fn date(&self) -> Option<Date> {
        self.date.as_deref()?.parse().ok()
    }

    fn into_messages(self) -> Vec<Message> {
        self.messages.into_iter().map(Message::from).collect()
    }
}
