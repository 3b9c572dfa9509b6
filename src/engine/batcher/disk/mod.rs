//! Texts that have ended, in files: a server that starts again need not compute them again.
//!
//! A file is a session file (docs/SESSION_FORMAT.md) with another description. It is used only if the same model has made it with
//! the same arithmetic, if its tokens are those that are wanted, and if its contents have the checksum that it names.

mod pause;
mod writer;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};

use self::pause::Pause;
use self::writer::{Head, Writer};
use super::beginning::{Beginning, Salted};
use super::prefixes::Prefixes;
use super::shortage;
use crate::core::KvLayout;
use crate::engine::EngineError;
use crate::engine::request::CacheSalt;
use crate::engine::runner::{Runner, SequenceId};
use crate::engine::saved::Origin;
use crate::engine::sequence::Sequence;
use crate::engine::stored_cache::{self, Maker};
use crate::format::session::{Found, SessionReader};
use crate::format::{FormatError, checksum, remove_unfinished};
use crate::models::TextSpan;

/// The end of the names of these files.
const ENDING: &str = "kv";

/// Where texts that have ended are kept over the end of the process.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// A directory for these files alone, which is made where there is none.
    pub folder: PathBuf,
    /// The most bytes of all files in it.
    pub budget: u64,
    /// What has computed the keys and values.
    pub origin: Origin,
}

/// What files have to agree in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stamp {
    program: String,
    maker: Maker,
    layers: usize,
}

/// The description in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    stamp: Stamp,
    /// Left out where the text has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<CacheSalt>,
}

/// A text in a file.
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    text: Salted,
}

/// A text on its way to the disk.
#[derive(Debug)]
struct Going {
    /// Its number among the kept texts.
    number: u64,
    layer: usize,
    /// What the disk was not ready for.
    part: Option<Vec<u8>>,
    /// All of it is on its way.
    ended: bool,
}

/// The texts in files.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    budget: u64,
    stamp: Stamp,
    /// Whether a sequence can be cut back to any length: it cannot where layers have windows.
    rewinds: bool,
    /// The one that was of no use for the longest time comes first.
    entries: Vec<Entry>,
    writer: Writer,
    going: Option<Going>,
    pause: Pause,
    notes: Vec<String>,
}

impl Stamp {
    pub fn new(runner: &dyn Runner, weights: String, origin: &Origin) -> Self {
        Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            maker: Maker::new(runner, weights, origin),
            layers: runner.layouts().len(),
        }
    }
}

/// Files of a directory with our ending, the one that was not changed for the longest time first, with their sizes.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let file = |entry: fs::DirEntry| {
        let (path, data) = (entry.path(), entry.metadata().ok()?);
        let ours = data.is_file() && path.extension().is_some_and(|ending| ending == ENDING);
        ours.then(|| (data.modified().unwrap_or(SystemTime::UNIX_EPOCH), path, data.len()))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries.filter_map(file).collect();
    all.sort();
    all.into_iter().map(|(_, path, bytes)| (path, bytes)).collect()
}

/// The stamp and the text of a file that is in order as far as that can be seen at its start, and its reader.
fn start(path: &Path) -> Option<(Stamp, Salted, SessionReader)> {
    let Ok(Found::Session(mut reader)) = SessionReader::open(path) else { return None };
    let (description, ids) = reader.start().ok()?;
    let Description { stamp, salt } = serde_json::from_slice(&description).ok()?;
    Some((stamp, Salted { salt, ids }, reader))
}

impl Disk {
    /// What is in the directory already is found again.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(options: &DiskOptions, stamp: Stamp, rewinds: bool) -> Result<Self, EngineError> {
        let folder = options.folder.clone();
        let failed = |source| FormatError::Io { action: "make", path: folder.clone(), source };
        make_private(&folder).map_err(failed)?;
        remove_unfinished(&folder, ENDING);
        let entry = |(path, _): (PathBuf, u64)| {
            let (found, text, _) = start(&path)?;
            (found == stamp).then_some(Entry { path, text })
        };
        let entries = files(&folder).into_iter().filter_map(entry).collect();
        let writer = Writer::start().map_err(failed)?;
        let budget = options.budget;
        let mut disk = Self {
            folder,
            budget,
            stamp,
            rewinds,
            entries,
            writer,
            going: None,
            pause: Pause::default(),
            notes: Vec::new(),
        };
        disk.keep_budget();
        Ok(disk)
    }

    /// What has gone wrong since the last question: sentences.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The text whose beginning is the longest in common with `wanted`, a page at least, and the length of that.
    pub fn longest(&self, wanted: Beginning<'_>) -> Option<(usize, usize)> {
        let length = |entry: &Entry| match entry.text.all().common(wanted) {
            length if self.rewinds || length == entry.text.ids.len() => length,
            _ => 0,
        };
        let all = self.entries.iter().map(length).enumerate();
        all.filter(|(_, length)| *length >= KvLayout::PAGE).max_by_key(|(_, length)| *length)
    }

    fn has(&self, text: &Salted) -> bool {
        let holds = |entry: &Entry| {
            entry.text.all().starts_with(text.all())
                && (self.rewinds || entry.text.ids.len() == text.ids.len())
        };
        self.entries.iter().any(holds)
    }

    /// Takes a text up again, among those that are kept in memory. What is damaged is removed, and what there is no memory
    /// for is left alone: the text is computed then.
    pub fn take_up(
        &mut self,
        index: usize,
        runner: &mut dyn Runner,
        prefixes: &mut Prefixes,
        open: &mut dyn FnMut(&mut dyn Runner) -> Result<Sequence, EngineError>,
    ) {
        let Some(Entry { path, text }) = self.entries.get(index) else { return };
        let read = loop {
            match read(path, &self.stamp, text, runner, open) {
                Err(Fault::NoMemory) if prefixes.drop_oldest(runner) => {}
                other => break other,
            }
        };
        match read {
            Ok(id) => {
                // The time of its last use, for whoever has to go first.
                let _ =
                    File::options().append(true).open(path).and_then(|f| f.set_modified(SystemTime::now()));
                let text = text.clone();
                let entry = self.entries.remove(index);
                self.entries.push(entry);
                if let Some(number) = prefixes.keep(runner, id, text) {
                    prefixes.set_stored(number);
                }
            }
            Err(Fault::NoMemory) => {}
            Err(Fault::Damaged(why)) => {
                self.notes.push(format!(
                    "'{}' {why}; it is removed, and its text is computed anew",
                    path.display()
                ));
                let _ = fs::remove_file(path);
                self.entries.remove(index);
            }
        }
    }

    /// Goes on with what is to be written, as far as the disk is ready for it. Whether there is more to do.
    pub fn go_on(&mut self, runner: &mut dyn Runner, prefixes: &mut Prefixes) -> bool {
        if self.going.as_ref().is_some_and(|going| going.ended) {
            let Some(written) = self.writer.result() else { return true };
            self.settle(written);
        }
        if let Some(going) = &self.going
            && prefixes.text(going.number).is_none()
        {
            self.writer.give_up();
            self.going = None;
        }
        let number = match &self.going {
            Some(going) => going.number,
            None if self.pause.lasts(Instant::now()) => return false,
            None => match self.begin(runner, prefixes) {
                Some(begun) => return begun,
                None => return false,
            },
        };
        let Some((id, text)) = prefixes.text(number) else { return true };
        let tokens = text.ids.len();
        let Some(going) = &mut self.going else { return true };
        while going.layer < runner.layouts().len() || going.part.is_some() {
            let part = match going.part.take() {
                Some(part) => part,
                None => match stored_cache::export(runner, id, going.layer, tokens) {
                    Ok((mut k, mut v)) => {
                        going.layer += 1;
                        k.append(&mut v);
                        k
                    }
                    Err(error) => {
                        self.notes
                            .push(format!("a text is not kept in '{}': {error}", self.folder.display()));
                        self.writer.give_up();
                        self.going = None;
                        prefixes.set_stored(number);
                        return true;
                    }
                },
            };
            going.part = self.writer.part(part);
            if going.part.is_some() {
                return true;
            }
        }
        if self.writer.end() {
            going.ended = true;
            prefixes.set_stored(number);
        }
        true
    }

    /// Begins to write a kept text that is in no file. `None` if there is none.
    fn begin(&mut self, runner: &mut dyn Runner, prefixes: &mut Prefixes) -> Option<bool> {
        loop {
            let (number, id, text) = prefixes.unstored()?;
            let fits = runner.held(id).is_ok_and(|held| held.span == TextSpan::Original);
            let token = runner.layouts().iter().map(KvLayout::bytes_per_token).sum::<usize>();
            let cache_bytes = token.checked_mul(text.ids.len()).map_or(u64::MAX, |bytes| bytes as u64);
            if !fits || cache_bytes > self.budget || self.has(text) {
                prefixes.set_stored(number);
                continue;
            }
            let description = Description { stamp: self.stamp.clone(), salt: text.salt };
            let description = serde_json::to_vec(&description).ok()?;
            let bytes: Vec<u8> = text.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            let name = format!("{:016x}{:016x}.{ENDING}", checksum(&description), checksum(&bytes));
            let head = Head { path: self.folder.join(name), description, text: text.clone(), cache_bytes };
            if self.writer.begin(head) {
                self.going = Some(Going { number, layer: 0, part: None, ended: false });
            }
            return Some(true);
        }
    }

    /// A text has been written, or not.
    fn settle(&mut self, written: writer::Written) {
        self.going = None;
        match written {
            Ok((path, text)) => {
                let rewinds = self.rewinds;
                let contained =
                    |entry: &Entry| entry.path != path && rewinds && text.all().starts_with(entry.text.all());
                for entry in self.entries.extract_if(.., |entry| contained(entry)) {
                    let _ = fs::remove_file(entry.path);
                }
                self.entries.retain(|entry| entry.path != path);
                self.entries.push(Entry { path, text });
                self.keep_budget();
                if self.pause.end() {
                    self.notes.push(format!("texts are kept in '{}' again", self.folder.display()));
                }
            }
            Err(why) if self.pause.fail(Instant::now()) => self.notes.push(format!(
                "{why}; no text is kept in '{}' until that works, which is tried again from time to time: make room there, \
                 or give another directory",
                self.folder.display()
            )),
            Err(_) => {}
        }
    }

    /// Removes what was of no use for the longest time, as far as there are more bytes than there may be.
    fn keep_budget(&mut self) {
        let all = files(&self.folder);
        let mut bytes: u64 = all.iter().map(|(_, bytes)| bytes).sum();
        for (path, size) in all {
            if bytes <= self.budget {
                return;
            }
            let _ = fs::remove_file(&path);
            self.entries.retain(|entry| entry.path != path);
            bytes -= size;
        }
    }
}

/// Why a text is not taken up.
enum Fault {
    NoMemory,
    /// The rest of a sentence about the file.
    Damaged(String),
}

/// A sequence with what is in a file.
fn read(
    path: &Path,
    stamp: &Stamp,
    text: &Salted,
    runner: &mut dyn Runner,
    open: &mut dyn FnMut(&mut dyn Runner) -> Result<Sequence, EngineError>,
) -> Result<SequenceId, Fault> {
    let other = || Fault::Damaged("is not what it was when the server began".to_owned());
    let (found, there, mut reader) = start(path).ok_or_else(other)?;
    let tokens = text.ids.len();
    let bytes: usize = runner.layouts().iter().map(|layout| layout.bytes_per_token() * tokens).sum();
    if found != *stamp || there != *text || reader.cache_bytes() != bytes as u64 {
        return Err(other());
    }
    let sequence = open(runner).map_err(|_| Fault::NoMemory)?;
    let id = sequence.id;
    let of_fill = |fault| match fault {
        stored_cache::Fault::Core(error) if shortage::is_shortage(&error) => Fault::NoMemory,
        stored_cache::Fault::Core(error) => Fault::Damaged(format!("cannot be taken up: {error}")),
        stored_cache::Fault::Read(why) => Fault::Damaged(why),
    };
    let filled = stored_cache::fill(runner, id, &mut reader, (tokens, tokens), 0).map_err(of_fill);
    let whole = filled.and_then(|()| reader.finish().map_err(Fault::Damaged));
    whole.map(|()| id).inspect_err(|_| runner.close(id))
}

/// A directory that only this user can read: what is in it was said in confidence.
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
