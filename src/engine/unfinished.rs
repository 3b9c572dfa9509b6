//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The end of the names of files that are being written.
const UNFINISHED: &str = ".unfinished";

/// An unfinished file that nobody holds is left alone for so long: its writer may be about to lock it.
const GRACE: Duration = Duration::from_secs(60);

/// A file under a name of its own, which becomes its target when it is whole, and goes when it does not get there.
pub(super) struct Unfinished {
    target: PathBuf,
    path: PathBuf,
    file: File,
    done: bool,
}

impl Unfinished {
    /// Makes the file, in the directory of `target`, and removes what earlier processes left there when they were ended
    /// in the middle.
    pub fn create(target: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep(target);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let name = format!(".{name}.{}-{number}{UNFINISHED}", std::process::id());
        let path = target.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        // Held until the process ends, however it does: see `sweep`. Some file systems have no locks.
        let _ = file.try_lock();
        Ok(Self { target: target.to_owned(), path, file, done: false })
    }

    /// What to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts the file in the place of its target; who reads an older one keeps what he has opened.
    pub fn finish(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        self.done = true;
        Ok(())
    }

    /// As [`Self::finish`], for what cannot be made again: its bytes are on the disk before the older file goes, so that
    /// one of the two is there even if the power fails.
    pub fn finish_durably(self) -> io::Result<()> {
        self.file.sync_all()?;
        let folder =
            self.target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        self.finish()?;
        // Some file systems cannot: the new name is then as durable as they make it.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what earlier processes left of `target` when they were ended in the middle of it.
fn sweep(target: &Path) {
    let prefix = format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy());
    let folder = target.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    let Some(Ok(entries)) = folder.map(fs::read_dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let old = || {
            entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|t| t.elapsed().is_ok_and(|age| age > GRACE))
        };
        if name.starts_with(&prefix)
            && name.ends_with(UNFINISHED)
            && old()
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_the_same_name_go_when_they_are_old() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.packed");
        let leftover = dir.path().join(".x.packed.1-0.unfinished");
        let fresh = dir.path().join(".x.packed.2-0.unfinished");
        let other = dir.path().join(".y.packed.1-0.unfinished");
        for path in [&leftover, &fresh, &other] {
            fs::write(path, "half").unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * GRACE;
        for path in [&leftover, &other] {
            File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        }
        Unfinished::create(&target).unwrap().finish_durably().unwrap();
        assert!(target.exists());
        assert_eq!((leftover.exists(), fresh.exists(), other.exists()), (false, true, true));
    }

    #[test]
    fn an_unfinished_file_of_a_living_process_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.packed");
        let mine = Unfinished::create(&target).unwrap();
        mine.file().set_modified(std::time::SystemTime::now() - 2 * GRACE).unwrap();
        sweep(&target);
        assert!(mine.path.exists());
        let path = mine.path.clone();
        drop(mine);
        assert!(!path.exists());
    }
}
