//! `--session`, and `/save` and `/load` of a conversation: what is reported of session files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::notice::say;
use crate::engine::{Origin, Restored, Session, Text, take_place};
use crate::format::session::SessionLock;

/// The file of `--session`.
pub struct SessionFile {
    path: PathBuf,
    /// It belongs to something else: it is left as it is.
    foreign: bool,
    /// Keeps other processes off the file.
    _lock: SessionLock,
}

impl SessionFile {
    /// Makes sure that `path` can be written, and that no other process uses it, before time is spent on a text.
    ///
    /// # Errors
    /// A place that cannot be written, or is in use.
    pub fn new(path: &Path) -> Result<Self> {
        let lock = take_place(path).map_err(|e| anyhow!("--session: {e}; choose another file"))?;
        Ok(Self { path: path.to_owned(), foreign: false, _lock: lock })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes up what is in the file, or reports why not.
    ///
    /// # Errors
    /// What the system answers.
    pub fn restore(&mut self, session: &mut Session, origin: &Origin) -> Result<Option<Text>> {
        let restored = session.restore(&self.path, origin)?;
        report(&restored);
        self.foreign = restored.foreign;
        Ok(restored.text)
    }

    /// Writes the session, unless the file belongs to something else.
    ///
    /// # Errors
    /// What the system answers.
    pub fn save(&self, session: &mut Session, origin: &Origin, text: &Text) -> Result<()> {
        if !self.foreign {
            let saved = session.save(&self.path, origin, text);
            saved.context("the session is not saved, and the file is as it was")?;
        }
        Ok(())
    }
}

/// Says why a file, or its cache, is not used.
fn report(restored: &Restored) {
    if let Some(why) = &restored.refused {
        let then = if restored.foreign {
            "it is left as it is, and this session is not saved; name another file to keep it"
        } else {
            "all is computed anew"
        };
        say(&format!("warning: {why}; {then}"));
    }
}
