//! Where packed files are kept, and how one is put there so that nobody ever sees half of it.

use std::env;
use std::path::{Path, PathBuf};

use super::PackObserver;
use crate::engine::unfinished::Unfinished;
use crate::format::FormatError;
use crate::format::packed::Packer;

/// The folder beside a model.
const HIDDEN: &str = ".llm_rs2";

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
    let total = packer.file_len();
    let unfinished = Unfinished::create(target).map_err(failed)?;
    packer.write(target, unfinished.file(), &mut |done| observer.packing(done, total))?;
    unfinished.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::format::packed::PackedFile;

    fn packer() -> Packer {
        Packer::new(None, vec![("a".into(), vec![1; 9])], vec![]).unwrap()
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.packed");
        write_file(packer(), &target, &mut ()).unwrap();
        assert!(PackedFile::open(&target).unwrap().section("a").is_some());
        let missing = dir.path().join("none/x.packed");
        let e = write_file(packer(), &missing, &mut ()).unwrap_err().to_string();
        assert!(e.starts_with(&format!("cannot write '{}': ", missing.display())), "{e}");
        // A directory in the way: the rename fails and nothing stays behind.
        let blocked = dir.path().join("d");
        fs::create_dir(&blocked).unwrap();
        fs::write(blocked.join("f"), "").unwrap();
        assert!(write_file(packer(), &blocked, &mut ()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
