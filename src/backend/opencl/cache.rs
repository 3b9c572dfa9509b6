//! Small files that are kept between runs: programs as the device's compiler left them, and what was found out about
//! the device.
//!
//! An entry holds its whole key, and a checksum. One that is not exactly what was asked for counts as not there, and
//! is written anew. An entry is written under another name first, so that nobody ever reads half of one.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::format::checksum;

const MAGIC: &[u8; 8] = b"llmrs2cl";

/// An entry larger than this is none of ours.
const MOST_BYTES: u64 = 64 << 20;

/// Where entries are kept: the first of these directories that can be written. None: nothing is kept.
#[derive(Clone, Debug, Default)]
pub struct DeviceCache {
    places: Vec<PathBuf>,
}

impl DeviceCache {
    /// A cache in the first of `places` that works.
    pub fn new(places: Vec<PathBuf>) -> Self {
        Self { places }
    }

    /// What was stored for `key`, if it is there and whole.
    pub fn load(&self, key: &str) -> Option<Vec<u8>> {
        let name = name(key);
        self.places.iter().find_map(|place| {
            let path = place.join(&name);
            let known = fs::metadata(&path).ok()?;
            if !known.is_file() || known.len() > MOST_BYTES {
                return None;
            }
            decode(&fs::read(path).ok()?, key)
        })
    }

    /// Stores `payload` for `key`. A place that cannot be written is passed over, and it is no error if none can.
    pub fn store(&self, key: &str, payload: &[u8]) {
        let bytes = encode(key, payload);
        let name = name(key);
        for place in &self.places {
            if write(place, &name, &bytes).is_ok() {
                return;
            }
        }
    }
}

fn name(key: &str) -> String {
    format!("{:016x}.clbin", checksum(key.as_bytes()))
}

fn write(place: &PathBuf, name: &str, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(place)?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let unfinished = place.join(format!(".{name}.{}-{number}.unfinished", std::process::id()));
    let done = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, place.join(name)));
    if done.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    done
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
    use super::*;

    #[test]
    fn entries_come_back_and_damaged_or_foreign_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DeviceCache::new(vec!["/proc/nowhere".into(), dir.path().join("deep/er")]);
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
        DeviceCache::default().store("k", b"p");
        assert_eq!(DeviceCache::default().load("k"), None);
        assert_eq!(fs::read_dir(dir.path().join("deep/er")).unwrap().count(), 1);
    }
}
