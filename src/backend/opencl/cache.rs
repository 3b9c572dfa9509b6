//! Small files that are kept between runs: programs as the device's compiler left them, and what was found out about
//! the device.
//!
//! A program is code, and a verdict spares it its test: both are read from a directory of the user's own alone, and only
//! where no other user can have written them. That includes everything that came with a model.
//!
//! An entry holds its whole key, and a checksum. One that is not exactly what was asked for counts as not there, and
//! is written anew.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use crate::format::{OutputFile, checksum};
use crate::host::{open_private, private_directory};

const MAGIC: &[u8; 8] = b"llmrs2cl";

/// An entry larger than this is none of ours.
const MOST_BYTES: u64 = 64 << 20;

/// Where entries are kept: a directory that only this user can write in. None: nothing is kept.
#[derive(Clone, Debug, Default)]
pub struct DeviceCache {
    directory: Option<PathBuf>,
}

impl DeviceCache {
    /// A cache in `directory`, which is made, for this user alone, when something is stored.
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// What was stored for `key`, if it is there, whole, and this user's.
    pub fn load(&self, key: &str) -> Option<Vec<u8>> {
        let directory = self.directory.as_ref().filter(|d| d.exists())?;
        private_directory(directory).ok()?;
        let file = open_private(&directory.join(name(key))).ok()?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > MOST_BYTES {
            return None;
        }
        decode(&bytes, key)
    }

    /// Stores `payload` for `key`. It is no error if that does not work.
    pub fn store(&self, key: &str, payload: &[u8]) {
        let Some(directory) = &self.directory else { return };
        if private_directory(directory).is_err() {
            return;
        }
        let Ok(output) = OutputFile::create_private(&directory.join(name(key))) else { return };
        if output.file().write_all(&encode(key, payload)).is_ok() {
            let _ = output.finish();
        }
    }
}

fn name(key: &str) -> String {
    format!("{:016x}.clbin", checksum(key.as_bytes()))
}

/// Magic, length of the key, key, checksum of the payload, payload.
fn encode(key: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + key.len() + payload.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(key.len() as u64).to_le_bytes());
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(&checksum(payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

fn decode(bytes: &[u8], key: &str) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (len, rest) = rest.split_first_chunk::<8>()?;
    let (stored, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    let (sum, payload) = rest.split_first_chunk::<8>()?;
    (stored == key.as_bytes() && checksum(payload) == u64::from_le_bytes(*sum)).then(|| payload.to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn entries_come_back_and_damaged_or_foreign_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DeviceCache::new(Some(dir.path().join("deep/er")));
        cache.store("a key", b"payload");
        assert_eq!(cache.load("a key").as_deref(), Some(&b"payload"[..]));
        assert_eq!(cache.load("another"), None);
        let whole = encode("a key", b"payload");
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad, "a key"), None, "byte {at}");
            assert_eq!(decode(&whole[..at], "a key"), None, "first {at} bytes");
        }
        assert_eq!(decode(&whole, "a kez"), None);
        for nowhere in [DeviceCache::default(), DeviceCache::new(Some("/proc/nowhere".into()))] {
            nowhere.store("k", b"p");
            assert_eq!(nowhere.load("k"), None);
        }
        assert_eq!(fs::read_dir(dir.path().join("deep/er")).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_have_put_there_is_not_loaded() {
        use std::fs::Permissions;
        use std::os::unix::fs::{PermissionsExt, symlink};

        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        let cache = DeviceCache::new(Some(own.clone()));
        let set = |path: &PathBuf, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let loads = || cache.load("k").is_some();
        cache.store("k", b"p");
        let entry = own.join(name("k"));
        let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&own), mode(&entry), loads()), (0o700, 0o600, true));
        set(&own, 0o770);
        assert!(!loads(), "a directory that others can write in");
        set(&own, 0o700);
        set(&entry, 0o660);
        assert!(!loads(), "a file that others can write");
        // Stored anew it is this user's alone.
        cache.store("k", b"p");
        assert!(loads());
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&entry, &elsewhere).unwrap();
        symlink(&elsewhere, &entry).unwrap();
        assert!(!loads(), "a link");
        fs::remove_file(&entry).unwrap();
        fs::rename(&elsewhere, &entry).unwrap();
        assert!(loads());
        let linked = dir.path().join("linked");
        symlink(&own, &linked).unwrap();
        assert_eq!(DeviceCache::new(Some(linked)).load("k"), None, "a linked directory");
        // A directory that is not there is not made for a look into it.
        let absent = dir.path().join("absent");
        assert!(DeviceCache::new(Some(absent.clone())).load("k").is_none() && !absent.exists());
    }
}
