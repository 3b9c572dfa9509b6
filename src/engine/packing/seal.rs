//! Whether a file of the cache may have been written into since it was made: the time of its last change is set to one that
//! the file itself names. Whatever writes into it sets another one, and all of it is checked before it is used again.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::format::packed::PackedFile;

/// The section that names the time, in seconds since 1970.
const SECTION: &str = "written";

/// A time that every file system can keep: some count in two seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal(u64);

impl Seal {
    /// For a file that is made now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_secs() / 2 * 2)
    }

    /// What a file names; `None` if it names none.
    pub fn of(file: &PackedFile) -> Option<Self> {
        let section = file.section(SECTION)?;
        str::from_utf8(section.as_ref()).ok()?.parse().ok().map(Self)
    }

    /// The section of a file to be made.
    pub fn section(self) -> (String, Vec<u8>) {
        (SECTION.to_owned(), self.0.to_string().into_bytes())
    }

    fn time(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.0))
    }

    /// Sets a file's time. A system that refuses costs a full check at the next start.
    pub fn put_on(self, file: &File) {
        if let Some(time) = self.time() {
            let _ = file.set_modified(time);
        }
    }

    /// The same for a file that has proved to be whole.
    pub fn renew(self, path: &Path) {
        if let Ok(file) = File::options().write(true).open(path) {
            self.put_on(&file);
        }
    }

    /// Whether the file at `path` has this time.
    pub fn is_on(self, path: &Path) -> bool {
        fs::metadata(path).and_then(|m| m.modified()).is_ok_and(|time| Some(time) == self.time())
    }
}
