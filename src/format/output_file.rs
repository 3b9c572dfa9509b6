//! The one way in which files are written: whole or not at all, and over nothing but a regular file.
//!
//! A file is made under a name that cannot be foreseen, beside its target, where nothing was before (`O_EXCL` does not
//! follow links). It takes the target's place when its bytes are on the disk, and is removed if it does not get there.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::FormatError;
use super::file::kind_name;

/// The end of the names of files that are being written.
const UNFINISHED: &str = ".unfinished";

/// An unfinished file that no process holds is left alone for this long: its writer may be about to lock it.
const GRACE: Duration = Duration::from_secs(60);

/// Bytes of the target's name that are a part of the unfinished file's: names end at 255.
const MOST_OF_NAME: usize = 200;

/// A file on its way to its place.
#[derive(Debug)]
pub struct OutputFile {
    /// The path as it was given, for messages.
    path: PathBuf,
    /// What is to be replaced: links are resolved.
    target: PathBuf,
    unfinished: PathBuf,
    file: File,
    done: bool,
}

impl OutputFile {
    /// Makes the file. A regular file at `path` is replaced in the end, and gives its permissions; of a link, what it leads
    /// to. What earlier processes left when they were ended in the middle of the same file is removed.
    ///
    /// # Errors
    /// Anything else at `path`: a directory, a device, a pipe, a link to nothing; a file that may not be written; what the
    /// system answers.
    pub fn create(path: &Path) -> Result<Self, FormatError> {
        let (target, replaced) = resolve(path)?;
        let output = Self::beside(path, target, replaced.as_ref().map_or(0o666, |_| 0o600))?;
        if let Some(replaced) = &replaced {
            take_permissions(&output.file, replaced);
        }
        Ok(output)
    }

    /// As [`Self::create`], but no other user may read or write the file, whatever one at `path` says.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_private(path: &Path) -> Result<Self, FormatError> {
        let (target, _) = resolve(path)?;
        Self::beside(path, target, 0o600)
    }

    fn beside(path: &Path, target: PathBuf, mode: u32) -> Result<Self, FormatError> {
        sweep(&target);
        let (unfinished, file) = create_beside(&target, mode).map_err(|e| cannot_write(path, e))?;
        // Held until the file is closed, however that comes: see `sweep`. Some file systems have no locks.
        let _ = file.try_lock();
        Ok(Self { path: path.to_owned(), target, unfinished, file, done: false })
    }

    /// What to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file in the place of its target once its bytes are on the disk, so that one of the two is there even if the
    /// power fails. Processes that read an older file keep what they have opened. Gives the file, still locked.
    ///
    /// # Errors
    /// What the system answers, and something else than a file that has come to the target's place; the target is as it was
    /// then.
    pub fn finish(mut self) -> Result<File, FormatError> {
        let failed = |e| cannot_write(&self.path, e);
        match self.file.sync_all() {
            // Some file systems cannot: the file is then as durable as they make it.
            Err(e) if !matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                return Err(failed(e));
            }
            _ => {}
        }
        let file = self.file.try_clone().map_err(failed)?;
        if let Ok(found) = fs::symlink_metadata(&self.target) {
            regular(&self.path, &found)?;
        }
        fs::rename(&self.unfinished, &self.target).map_err(failed)?;
        self.done = true;
        let _ = File::open(folder(&self.target)).and_then(|folder| folder.sync_all());
        Ok(file)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

fn cannot_write(path: &Path, source: io::Error) -> FormatError {
    FormatError::Io { action: "write", path: path.into(), source }
}

/// The directory of a file.
fn folder(target: &Path) -> &Path {
    target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses to replace anything but a regular file.
fn regular(path: &Path, found: &Metadata) -> Result<(), FormatError> {
    if found.is_file() {
        return Ok(());
    }
    Err(FormatError::NotReplaced { path: path.into(), kind: kind_name(found.file_type()) })
}

/// Where a file for `path` goes, and what it replaces there.
fn resolve(path: &Path) -> Result<(PathBuf, Option<Metadata>), FormatError> {
    let failed = |e| cannot_write(path, e);
    let target = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let name = path.file_name().ok_or_else(|| failed(ErrorKind::InvalidFilename.into()))?;
            return Ok((path.with_file_name(name), None));
        }
        Err(e) => return Err(failed(e)),
        Ok(found) if found.is_symlink() => match fs::canonicalize(path) {
            Ok(target) => target,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let to = fs::read_link(path).unwrap_or_default();
                return Err(FormatError::LinkToNothing { path: path.into(), to });
            }
            Err(e) => return Err(failed(e)),
        },
        Ok(_) => path.to_owned(),
    };
    let found = fs::metadata(&target).map_err(failed)?;
    regular(path, &found)?;
    // A file that may not be written is not to be replaced either.
    let mut options = OpenOptions::new();
    options.write(true);
    without_surprises(&mut options).open(&target).map_err(failed)?;
    Ok((target, Some(found)))
}

/// Makes a file beside `target`, with the rights `mode` as far as the process grants them.
fn create_beside(target: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let prefix = prefix(target);
    let mut tries = 0;
    loop {
        // Hashed with a key that the system's random numbers made.
        let random = RandomState::new().hash_one(std::process::id());
        let path = target.with_file_name(format!("{prefix}{random:016x}{UNFINISHED}"));
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists && tries < 8 => tries += 1,
            Err(e) => return Err(e),
        }
    }
}

/// How the names of unfinished files for `target` begin.
fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.", &name[..name.floor_char_boundary(MOST_OF_NAME)])
}

/// Gives the new file owner, group and permissions of the old one, as far as the system lets us.
fn take_permissions(file: &File, replaced: &Metadata) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        let (owner, group) = (replaced.uid(), replaced.gid());
        // Where the group cannot be kept, its rights are not to go to another one.
        let kept = file.metadata().is_ok_and(|new| (new.uid(), new.gid()) == (owner, group))
            || fchown(file, Some(owner), Some(group)).is_ok();
        let rights = replaced.mode() & if kept { 0o777 } else { 0o707 };
        let _ = file.set_permissions(fs::Permissions::from_mode(rights));
    }
    #[cfg(not(unix))]
    let _ = file.set_permissions(replaced.permissions());
}

/// An open that neither follows a link nor waits for the other end of a pipe.
fn without_surprises(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    options
}

/// Removes what earlier processes left of `target` when they were ended in the middle of it.
fn sweep(target: &Path) {
    let prefix = prefix(target);
    sweep_folder(folder(target), |name| name.starts_with(&prefix));
}

/// Removes what earlier processes left of files in `folder` whose names end with `.ENDING`, when they were ended in the middle
/// of them. What cannot be removed stays.
pub fn remove_unfinished(folder: &Path, ending: &str) {
    let ending = format!(".{ending}");
    // .NAME.RANDOM.unfinished
    sweep_folder(folder, |name| name.rsplit_once('.').is_some_and(|(target, _)| target.ends_with(&ending)));
}

/// Removes unfinished files that no process writes, of which `which` says by their names, without [`UNFINISHED`], that they are
/// to go.
fn sweep_folder(folder: &Path, which: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(of) = name.strip_suffix(UNFINISHED).filter(|of| of.starts_with('.')) else { continue };
        if !which(of) {
            continue;
        }
        // Of the entry itself, not of what a link leads to.
        let old = entry.metadata().is_ok_and(|m| {
            let age = m.modified().ok().and_then(|t| t.elapsed().ok());
            m.is_file() && age.is_some_and(|age| age > GRACE)
        });
        let mut options = OpenOptions::new();
        options.read(true);
        if old && without_surprises(&mut options).open(entry.path()).is_ok_and(|f| f.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write(path: &Path, bytes: &[u8]) -> Result<File, FormatError> {
        let output = OutputFile::create(path)?;
        output.file().write_all(bytes).unwrap();
        output.finish()
    }

    fn count(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x");
        let output = OutputFile::create(&target).unwrap();
        output.file().write_all(b"new").unwrap();
        assert!(!target.exists());
        drop(output);
        assert_eq!(count(dir.path()), 0);
        write(&target, b"old").unwrap();
        let output = OutputFile::create(&target).unwrap();
        output.file().write_all(b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        output.finish().unwrap();
        assert_eq!((fs::read(&target).unwrap().as_slice(), count(dir.path())), (&b"new"[..], 1));
        let missing = dir.path().join("none/x");
        let e = write(&missing, b"").unwrap_err().to_string();
        assert!(e.starts_with(&format!("cannot write '{}': ", missing.display())), "{e}");
        assert!(OutputFile::create(Path::new("")).is_err());
        let long = dir.path().join("é".repeat(127));
        write(&long, b"x").unwrap();
        assert!(long.exists());
    }

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
        write(&target, b"").unwrap();
        assert!(target.exists());
        assert_eq!((leftover.exists(), fresh.exists(), other.exists()), (false, true, true));
    }

    #[test]
    fn an_unfinished_file_of_a_living_process_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.packed");
        let mine = OutputFile::create(&target).unwrap();
        mine.file().set_modified(std::time::SystemTime::now() - 2 * GRACE).unwrap();
        sweep(&target);
        assert!(mine.unfinished.exists());
        let path = mine.unfinished.clone();
        drop(mine);
        assert!(!path.exists());
    }

    #[test]
    fn names_cannot_be_foreseen() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x");
        let made: Vec<_> = (0..4).map(|_| OutputFile::create(&target).unwrap()).collect();
        let pid = std::process::id().to_string();
        for (i, output) in made.iter().enumerate() {
            let name = output.unfinished.file_name().unwrap().to_string_lossy();
            assert_eq!(name.len(), ".x.".len() + 16 + UNFINISHED.len(), "{name}");
            assert!(!name.contains(&format!(".{pid}")), "{name}");
            assert!(made[..i].iter().all(|other| other.unfinished != output.unfinished));
        }
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{PermissionsExt, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        }

        #[test]
        fn links_stay_and_what_they_lead_to_is_replaced() {
            let dir = tempfile::tempdir().unwrap();
            let (file, link) = (dir.path().join("there/file"), dir.path().join("link"));
            fs::create_dir(dir.path().join("there")).unwrap();
            fs::write(&file, "old").unwrap();
            symlink("there/file", &link).unwrap();
            write(&link, b"new").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&file).unwrap(), b"new");
            let dead = dir.path().join("dead");
            symlink("nothing", &dead).unwrap();
            let e = write(&dead, b"x").unwrap_err().to_string();
            assert!(e.contains("is a link to 'nothing', which is missing"), "{e}");
            assert!(
                fs::symlink_metadata(&dead).unwrap().is_symlink() && !dir.path().join("nothing").exists()
            );
            let ring = dir.path().join("ring");
            symlink(&ring, &ring).unwrap();
            assert!(write(&ring, b"x").is_err());
        }

        #[test]
        fn directories_devices_and_pipes_are_not_replaced() {
            let dir = tempfile::tempdir().unwrap();
            let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
            let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
            assert!(made.success());
            symlink(&pipe, &link).unwrap();
            let inner = dir.path().join("inner");
            fs::create_dir(&inner).unwrap();
            for (path, kind) in [
                (pipe.as_path(), "a named pipe"),
                (&link, "a named pipe"),
                (&inner, "a directory"),
                (Path::new("/dev/null"), "a device"),
            ] {
                let e = OutputFile::create(path).unwrap_err().to_string();
                let expected =
                    format!("'{}' is {kind}, not a regular file, and is not replaced", path.display());
                assert_eq!(e, expected);
            }
            assert_eq!(count(dir.path()), 3);
            // One that comes while the file is written.
            let late = dir.path().join("late");
            let output = OutputFile::create(&late).unwrap();
            fs::rename(&pipe, &late).unwrap();
            let e = output.finish().unwrap_err().to_string();
            assert!(e.contains("is a named pipe"), "{e}");
            assert_eq!(count(dir.path()), 3);
        }

        #[test]
        fn permissions_are_kept() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            fs::write(&path, "old").unwrap();
            for rights in [0o600, 0o640, 0o666, 0o755] {
                fs::set_permissions(&path, fs::Permissions::from_mode(rights)).unwrap();
                let output = OutputFile::create(&path).unwrap();
                assert_eq!(mode(&output.unfinished), rights);
                output.finish().unwrap();
                assert_eq!(mode(&path), rights);
            }
            let private = OutputFile::create_private(&path).unwrap();
            private.finish().unwrap();
            assert_eq!(mode(&path), 0o600);
            // Root may write it; any other user may not replace it.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            let may_write = OpenOptions::new().write(true).open(&path).is_ok();
            assert_eq!(write(&path, b"new").is_ok(), may_write);
        }
    }
}
