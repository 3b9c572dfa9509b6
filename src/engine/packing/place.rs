//! Where packed files are kept, and how one is put there so that nobody ever sees half of it.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::PackObserver;
use crate::format::FormatError;
use crate::format::packed::Packer;

/// The folder beside a model.
const HIDDEN: &str = ".llm_rs2";

/// The end of the names of files that are being written.
const UNFINISHED: &str = ".unfinished";

/// An unfinished file that nobody holds is left alone for so long: its writer may be about to lock it.
const GRACE: Duration = Duration::from_secs(60);

/// Where packed weights are kept between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CachePlace {
    /// Nowhere.
    #[default]
    Off,
    /// In a hidden folder beside the model where that can be written, else in the person's cache directory;
    /// and only for models that take long enough to load for it to matter.
    Automatic,
    /// In this directory, whatever the model.
    Directory(PathBuf),
}

impl CachePlace {
    /// The directories to look in, the preferred one first.
    pub(super) fn directories(&self, model: &Path) -> Vec<PathBuf> {
        match self {
            CachePlace::Off => Vec::new(),
            CachePlace::Directory(dir) => vec![dir.clone()],
            CachePlace::Automatic => {
                [Some(model.join(HIDDEN)), own_directory()].into_iter().flatten().collect()
            }
        }
    }

    /// The directories for what was compiled for a device, the preferred one first. It does not belong to a model, so
    /// the person's cache directory comes before the folder beside `model`; a phone's shell has the latter alone.
    pub fn kernel_directories(&self, model: Option<&Path>) -> Vec<PathBuf> {
        let places = match self {
            CachePlace::Off => Vec::new(),
            CachePlace::Directory(dir) => vec![dir.clone()],
            CachePlace::Automatic => {
                let beside = model.map(|m| if m.is_dir() { m } else { m.parent().unwrap_or(m) });
                [own_directory(), beside.map(|m| m.join(HIDDEN))].into_iter().flatten().collect()
            }
        };
        places.into_iter().map(|dir| dir.join("opencl")).collect()
    }
}

/// The person's cache directory.
fn own_directory() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let own = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    own.map(|dir| dir.join("llm_rs2"))
}

/// A file under a name of its own, which becomes `target` when it is whole, and goes when it does not get there.
struct Unfinished {
    path: PathBuf,
    file: File,
    done: bool,
}

impl Unfinished {
    fn create(target: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let name = format!(".{name}.{}-{number}{UNFINISHED}", std::process::id());
        let path = target.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        // Held until the process ends, however it does: see `sweep`. Some file systems have no locks.
        let _ = file.try_lock();
        Ok(Self { path, file, done: false })
    }

    fn finish(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.done = true;
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
    let Some(Ok(entries)) = target.parent().map(fs::read_dir) else { return };
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

/// Writes a packed file: under another name in the same directory first, which is removed if anything fails.
/// Readers of an older file at `target` keep what they have mapped.
///
/// # Errors
/// What the system answers; nothing has changed then.
pub(in crate::engine) fn write_file(
    packer: Packer,
    target: &Path,
    observer: &mut dyn PackObserver,
) -> Result<(), FormatError> {
    let failed = |source| FormatError::Io { action: "write", path: target.into(), source };
    sweep(target);
    let total = packer.file_len();
    let unfinished = Unfinished::create(target).map_err(failed)?;
    packer.write(target, &unfinished.file, &mut |done| observer.packing(done, total))?;
    unfinished.finish(target).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::packed::PackedFile;

    fn packer() -> Packer {
        Packer::new(None, vec![("a".into(), vec![1; 9])], vec![]).unwrap()
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all_and_leftovers_go() {
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
        write_file(packer(), &target, &mut ()).unwrap();
        assert!(PackedFile::open(&target).unwrap().section("a").is_some());
        assert_eq!((leftover.exists(), fresh.exists(), other.exists()), (false, true, true));
        let missing = dir.path().join("none/x.packed");
        let e = write_file(packer(), &missing, &mut ()).unwrap_err().to_string();
        assert!(e.starts_with(&format!("cannot write '{}': ", missing.display())), "{e}");
        // A directory in the way: the rename fails and nothing stays behind.
        let blocked = dir.path().join("d");
        fs::create_dir(&blocked).unwrap();
        fs::write(blocked.join("f"), "").unwrap();
        assert!(write_file(packer(), &blocked, &mut ()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }

    #[test]
    fn an_unfinished_file_of_a_living_process_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.packed");
        let mine = Unfinished::create(&target).unwrap();
        mine.file.set_modified(std::time::SystemTime::now() - 2 * GRACE).unwrap();
        sweep(&target);
        assert!(mine.path.exists());
        let path = mine.path.clone();
        drop(mine);
        assert!(!path.exists());
    }
}
