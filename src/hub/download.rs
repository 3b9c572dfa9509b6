//! One file of a hub, whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::choice::Listed;
use super::{Hub, HubError, Name};

/// The end of the name of a file that is on its way.
const UNFINISHED: &str = ".partial";

/// Connections that may break one after the other.
const MOST_BREAKS: u32 = 5;

/// The wait before the next one.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// What is done in steps, and may be stopped at each: it gets how many bytes of the file have come.
pub(super) type Watch<'a> = &'a mut dyn FnMut(u64) -> bool;

pub(super) fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> HubError {
    move |source| HubError::Io { action, path: path.to_owned(), source }
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a file is until it is whole: beside its place, and of these contents alone.
fn unfinished(target: &Path, id: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{}{UNFINISHED}", &id[..id.len().min(16)]));
    target.with_file_name(name)
}

/// Whether this is what a download has left that did not come to its end.
pub(super) fn is_unfinished(file: &str) -> bool {
    file.starts_with('.') && file.ends_with(UNFINISHED)
}

/// A file that grows.
struct Growing<'a> {
    path: PathBuf,
    file: File,
    hash: Sha256,
    done: u64,
    listed: &'a Listed,
}

impl<'a> Growing<'a> {
    /// What there is of it, or its beginning.
    fn open(target: &Path, listed: &'a Listed, watch: Watch) -> Result<Self, HubError> {
        let path = unfinished(target, &listed.id);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
        let file = options.open(&path).map_err(failed("write", &path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(HubError::Busy(listed.path.clone())),
            // Some file systems have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let mut growing = Self { path, file, hash: Sha256::new(), done: 0, listed };
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = growing.file.read(&mut buffer).map_err(failed("read", &growing.path))?;
            if read == 0 || growing.done + read as u64 > listed.size {
                break;
            }
            growing.hash.update(&buffer[..read]);
            growing.done += read as u64;
            go_on(watch(growing.done))?;
        }
        growing.go_back(growing.done)?;
        Ok(growing)
    }

    /// Cuts it to its first bytes, which `hash` has seen.
    fn go_back(&mut self, done: u64) -> Result<(), HubError> {
        let cut = self.file.set_len(done).and_then(|()| self.file.seek(SeekFrom::Start(done)));
        cut.map(drop).map_err(failed("write", &self.path))
    }

    /// Reads on from the hub. Whether the connection broke: the file goes on with the next one.
    fn read(&mut self, hub: &Hub, name: &Name, watch: Watch) -> Result<(), HubError> {
        let (response, from) = hub.file(name, &self.listed.path, self.done)?;
        if from != self.done {
            (self.hash, self.done) = (Sha256::new(), 0);
            self.go_back(0)?;
        }
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; CHUNK];
        while self.done < self.listed.size {
            let read = body.read(&mut buffer).map_err(|error| hub.broken(&self.listed.path, error))?;
            if read == 0 {
                return Err(hub.broken(&self.listed.path, "it ended in the middle"));
            }
            // What comes beyond the end belongs to another file; the digest will say so.
            let read = read.min(usize::try_from(self.listed.size - self.done).unwrap_or(usize::MAX));
            self.file.write_all(&buffer[..read]).map_err(failed("write", &self.path))?;
            self.hash.update(&buffer[..read]);
            self.done += read as u64;
            go_on(watch(self.done))?;
        }
        Ok(())
    }

    /// Puts it in its place, if it is what the hub has listed.
    fn finish(self, target: &Path) -> Result<(), HubError> {
        if let Some(expected) = &self.listed.sha256 {
            let found = hexadecimal(self.hash);
            if found != *expected {
                let _ = fs::remove_file(&self.path);
                return Err(HubError::Digest {
                    what: self.listed.path.clone(),
                    found,
                    expected: expected.clone(),
                });
            }
        }
        match self.file.sync_all() {
            Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                return Err(failed("write", &self.path)(error));
            }
            _ => {}
        }
        fs::rename(&self.path, target).map_err(failed("write", target))?;
        if let Some(folder) = target.parent() {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

fn go_on(wanted: bool) -> Result<(), HubError> {
    if wanted { Ok(()) } else { Err(HubError::Stopped) }
}

/// Whether the file is there already with these contents.
fn is_there(target: &Path, listed: &Listed, watch: Watch) -> Result<bool, HubError> {
    let Ok(meta) = fs::symlink_metadata(target) else { return Ok(false) };
    if !meta.is_file() || meta.len() != listed.size {
        return Ok(false);
    }
    // What has no digest is small, and fetched again.
    let Some(expected) = &listed.sha256 else { return Ok(false) };
    let mut file = File::open(target).map_err(failed("read", target))?;
    let (mut hash, mut done, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = file.read(&mut buffer).map_err(failed("read", target))?;
        if read == 0 {
            return Ok(hexadecimal(hash) == *expected);
        }
        hash.update(&buffer[..read]);
        done += read as u64;
        go_on(watch(done))?;
    }
}

/// Fetches a file, unless it is there. Whether it was fetched.
///
/// # Errors
/// Connections that break, a disk that is full, other contents than those that are listed; what has come before stays for
/// the next time, unless it is wrong.
pub(super) fn fetch(
    hub: &Hub,
    name: &Name,
    listed: &Listed,
    target: &Path,
    watch: Watch,
) -> Result<bool, HubError> {
    if is_there(target, listed, watch)? {
        return Ok(false);
    }
    let mut growing = Growing::open(target, listed, watch)?;
    let mut breaks = 0;
    while growing.done < listed.size {
        let before = growing.done;
        match growing.read(hub, name, watch) {
            Err(HubError::Connection { .. }) if growing.done > before && breaks < MOST_BREAKS => {
                breaks += 1;
                sleep(PAUSE);
            }
            read => read?,
        }
    }
    growing.finish(target)?;
    Ok(true)
}
