//! A session file for one process at a time.
//!
//! The lock is the system's, on the file itself (`flock`): it goes with the process, however that ends. Since saving puts
//! a new file in the place of the old one, a lock counts only on the file that is at the path: whoever gets one looks
//! whether it still is, and whoever saves holds the new file's before it gets there.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::format::{FormatError, OutputFile};

/// What this process holds, by canonical paths. Within the process the locks are shared.
static HELD: Mutex<BTreeMap<PathBuf, Held>> = Mutex::new(BTreeMap::new());

struct Held {
    file: File,
    holders: usize,
    /// The file was made to be locked.
    made: bool,
}

/// How often another process may replace the file while this one locks it.
const TRIES: usize = 100;

/// A session file that no other process uses, as far as it asks.
#[derive(Debug)]
pub struct SessionLock {
    /// Canonical.
    path: PathBuf,
}

impl SessionLock {
    /// Takes the file at `path`, which is made, without bytes, if there is none. Makes sure that it can be replaced.
    ///
    /// # Errors
    /// [`FormatError::InUse`]; as [`OutputFile::create`].
    pub fn take(path: &Path) -> Result<Self, FormatError> {
        drop(OutputFile::create(path)?);
        let failed = |source| FormatError::Io { action: "lock", path: path.into(), source };
        for _ in 0..TRIES {
            let made = match File::options().read(true).write(true).create_new(true).open(path) {
                Ok(_) => true,
                Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
                Err(e) => return Err(failed(e)),
            };
            match Self::of(path, made) {
                Ok(Some(lock)) => return Ok(lock),
                // It was replaced, or went: look again.
                Ok(None) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(failed(e)),
            }
        }
        Err(FormatError::InUse { path: path.into() })
    }

    /// The lock of the file that is at `path` now; `None` if that was replaced meanwhile.
    fn of(path: &Path, made: bool) -> io::Result<Option<Self>> {
        let path = fs::canonicalize(path)?;
        let mut held = held();
        if let Some(known) = held.get_mut(&path)
            && is_at(&known.file, &path)?
        {
            known.holders += 1;
            return Ok(Some(Self { path }));
        }
        let file = File::options().read(true).write(true).open(&path)?;
        // Some file systems have no locks.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(ErrorKind::WouldBlock.into());
        }
        if !is_at(&file, &path)? {
            return Ok(None);
        }
        // One of ours that was deleted, and made anew by another program, goes on with its holders.
        let holders = held.get(&path).map_or(0, |known| known.holders) + 1;
        held.insert(path.clone(), Held { file, holders, made });
        Ok(Some(Self { path }))
    }

    /// A new file, locked, has taken the place of the old one.
    pub fn moved_to(&self, file: File) {
        if let Some(held) = held().get_mut(&self.path) {
            (held.file, held.made) = (file, false);
        }
    }
}

impl Drop for SessionLock {
    fn drop(&mut self) {
        let mut held = held();
        let Some(known) = held.get_mut(&self.path) else { return };
        known.holders -= 1;
        if known.holders > 0 {
            return;
        }
        // One that nothing was saved in need not stay. It is locked until it is gone.
        let empty = known.made && known.file.metadata().is_ok_and(|m| m.len() == 0);
        if empty && is_at(&known.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
        held.remove(&self.path);
    }
}

fn held() -> MutexGuard<'static, BTreeMap<PathBuf, Held>> {
    // No holder of it can panic half-way.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an open file is the one at `path`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (open, there) = (file.metadata()?, fs::symlink_metadata(path)?);
        Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// As another process sees it: it opens the file by itself.
    fn is_free(path: &Path) -> bool {
        File::open(path).unwrap().try_lock().is_ok()
    }

    fn replace(path: &Path, lock: &SessionLock) {
        let output = OutputFile::create(path).unwrap();
        output.file().write_all(b"new").unwrap();
        lock.moved_to(output.finish().unwrap());
    }

    #[test]
    fn a_lock_stays_with_the_path_when_the_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let lock = SessionLock::take(&path).unwrap();
        assert!(!is_free(&path));
        let old = File::open(&path).unwrap();
        for _ in 0..3 {
            replace(&path, &lock);
            assert!(!is_free(&path));
        }
        assert!(old.try_lock().is_ok(), "the old file is of no interest");
        // Again within the process, by another name.
        #[cfg(unix)]
        {
            let link = dir.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            let again = SessionLock::take(&link).unwrap();
            replace(&link, &again);
            drop(again);
        }
        assert!(!is_free(&path));
        drop(lock);
        assert!(is_free(&path));
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_file_in_use_is_refused_also_one_that_took_the_place_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, "theirs").unwrap();
        let theirs = File::open(&path).unwrap();
        theirs.lock().unwrap();
        let e = SessionLock::take(&path).unwrap_err();
        assert_eq!(e.to_string(), format!("'{}' is in use by another process", path.display()));
        drop(theirs);
        let lock = SessionLock::take(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        let theirs = File::open(&path).unwrap();
        theirs.lock().unwrap();
        assert!(SessionLock::take(&path).is_err());
        drop(theirs);
        assert!(SessionLock::take(&path).is_ok());
        drop(lock);
        assert!(is_free(&path));
    }

    #[test]
    fn a_file_that_nothing_was_saved_in_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (first, second) = (SessionLock::take(&path).unwrap(), SessionLock::take(&path).unwrap());
        drop(first);
        assert!(path.exists() && !is_free(&path));
        drop(second);
        assert!(!path.exists());
        assert!(
            SessionLock::take(dir.path()).is_err() && SessionLock::take(&dir.path().join("no/s")).is_err()
        );
    }
}
