//! Session files: what a conversation or a text had come to, so that a later run goes on from there.
//! `docs/SESSION_FORMAT.md` has the layout. Here are its bytes; what they mean is for whoever reads them.

mod lock;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

pub use lock::SessionLock;

use super::file::{io_error, open_regular};
use super::{Checksum, FormatError, checksum};

/// The first bytes of every session file. No text begins like this, and a transfer as text would change it.
pub const MAGIC: [u8; 8] = *b"\x93llmses\n";

/// Version of the file format.
pub const VERSION: u32 = 2;

/// The oldest version that is read: its caches are keys and values alone.
const OLDEST: u32 = 1;

/// Reads as this number where the byte order is that of the file.
const BYTE_ORDER: u32 = 0x0a0b_0c0d;

const HEADER: u64 = 64;

/// The longest description: conversations are text.
const MAX_DESCRIPTION: u64 = 64 << 20;

/// The most tokens of a text; positions are counted in less.
const MAX_IDS: u64 = 1 << 30;

/// The fixed fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Header {
    /// Bytes of the description.
    description: u64,
    /// Tokens of the text.
    ids: u64,
    /// Bytes of the cache.
    cache: u64,
    /// Checksum of all bytes after the header.
    sum: u64,
}

impl Header {
    /// Bytes of the whole file.
    fn file_len(self) -> Option<u64> {
        let ids = self.ids.checked_mul(4)?;
        HEADER.checked_add(self.description)?.checked_add(ids)?.checked_add(self.cache)
    }

    fn to_bytes(self) -> [u8; HEADER as usize] {
        let mut out = [0; HEADER as usize];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&BYTE_ORDER.to_le_bytes());
        let file = self.file_len().unwrap_or(u64::MAX);
        for (i, word) in [self.description, self.ids, self.cache, file, self.sum].into_iter().enumerate() {
            out[16 + 8 * i..24 + 8 * i].copy_from_slice(&word.to_le_bytes());
        }
        let own = checksum(&out[..56]);
        out[56..].copy_from_slice(&own.to_le_bytes());
        out
    }

    /// Reads and checks the fields of a file of `len` bytes.
    fn read(bytes: &[u8; HEADER as usize], len: u64) -> Result<Self, String> {
        let (words, _) = bytes.as_chunks::<4>();
        let (longs, _) = bytes.as_chunks::<8>();
        let [version, order] = [2, 3].map(|i| u32::from_le_bytes(words[i]));
        let [description, ids, cache, file, sum, own] =
            [2, 3, 4, 5, 6, 7].map(|i| u64::from_le_bytes(longs[i]));
        if order != BYTE_ORDER {
            return Err("is damaged: its mark of the byte order is wrong".into());
        }
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(format!(
                "has version {version} of the format, but this program reads versions {OLDEST} to {VERSION}"
            ));
        }
        if own != checksum(&bytes[..56]) {
            return Err("is damaged: its header does not have the checksum that it names".into());
        }
        if file != len {
            return Err(format!("has {len} bytes, but was written with {file}: it is not whole"));
        }
        let header = Self { description, ids, cache, sum };
        if description > MAX_DESCRIPTION || ids > MAX_IDS || header.file_len() != Some(len) {
            return Err(format!(
                "has impossible lengths: {description} bytes of description, {ids} tokens, {cache} bytes of cache"
            ));
        }
        Ok(header)
    }
}

/// Writes a session file from the start of `out`: the description, the ids, and the `cache_bytes` bytes that `cache`
/// writes. The header comes last: before that the file is none of this format.
///
/// # Errors
/// What the system answers, under the name `path`, and what `cache` does.
pub fn write<E: From<FormatError>>(
    path: &Path,
    out: &File,
    description: &[u8],
    ids: &[u32],
    cache_bytes: u64,
    cache: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), FormatError>) -> Result<(), E>,
) -> Result<u64, E> {
    let failed = |e: io::Error| io_error("write", path, e);
    let mut header =
        Header { description: description.len() as u64, ids: ids.len() as u64, cache: cache_bytes, sum: 0 };
    let mut sum = Checksum::default();
    let mut to = BufWriter::with_capacity(1 << 16, out);
    to.write_all(&[0; HEADER as usize]).map_err(failed)?;
    let mut put = |bytes: &[u8]| {
        sum.update(bytes);
        to.write_all(bytes).map_err(failed)
    };
    put(description)?;
    for id in ids {
        put(&id.to_le_bytes())?;
    }
    cache(&mut put)?;
    header.sum = sum.finish();
    to.seek(SeekFrom::Start(0)).map_err(failed)?;
    to.write_all(&header.to_bytes()).map_err(failed)?;
    to.flush().map_err(failed)?;
    Ok(header.file_len().unwrap_or(u64::MAX))
}

/// What there is under a name.
#[derive(Debug)]
pub enum Found {
    /// Nothing, or a file of no bytes.
    Nothing,
    /// Something else than a session file.
    Foreign,
    /// A session file that cannot be used; this is why, as the rest of a sentence about it.
    Unusable(String),
    /// A session file whose header is in order.
    Session(SessionReader),
}

/// A session file that is being read, from its start to its end.
#[derive(Debug)]
pub struct SessionReader {
    input: BufReader<File>,
    header: Header,
    sum: Checksum,
    /// Bytes of the cache that are still to come.
    left: u64,
}

impl SessionReader {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// Something that is no regular file; what the system answers.
    pub fn open(path: &Path) -> Result<Found, FormatError> {
        let (file, len) = match open_regular(path) {
            Err(FormatError::NotFound { .. }) => return Ok(Found::Nothing),
            other => other?,
        };
        if len == 0 {
            return Ok(Found::Nothing);
        }
        let mut start = Vec::new();
        let mut input = BufReader::with_capacity(1 << 16, file);
        let read = (&mut input).take(HEADER).read_to_end(&mut start);
        read.map_err(|e| io_error("read", path, e))?;
        if !start.starts_with(&MAGIC) {
            return Ok(Found::Foreign);
        }
        let Some(bytes) = start.first_chunk() else {
            return Ok(Found::Unusable(format!("ends after {len} bytes, within its header")));
        };
        Ok(match Header::read(bytes, len) {
            Ok(header) => {
                Found::Session(Self { input, header, sum: Checksum::default(), left: header.cache })
            }
            Err(why) => Found::Unusable(why),
        })
    }

    /// The description and the ids, which come first. They are not proven to be whole before [`Self::finish`].
    ///
    /// # Errors
    /// What the system answers, as the rest of a sentence.
    pub fn start(&mut self) -> Result<(Vec<u8>, Vec<u32>), String> {
        // The lengths are those of a file that is there.
        let description = self.bytes(self.header.description)?;
        let ids = self.bytes(4 * self.header.ids)?;
        let (ids, _) = ids.as_chunks::<4>();
        Ok((description, ids.iter().map(|id| u32::from_le_bytes(*id)).collect()))
    }

    /// Bytes of the cache.
    pub fn cache_bytes(&self) -> u64 {
        self.header.cache
    }

    /// The next bytes of the cache.
    ///
    /// # Errors
    /// Fewer than asked for; what the system answers.
    pub fn fill(&mut self, out: &mut [u8]) -> Result<(), String> {
        self.left = self.left.checked_sub(out.len() as u64).ok_or("holds too little of the cache")?;
        self.input.read_exact(out).map_err(|e| cannot_read(&e))?;
        self.sum.update(out);
        Ok(())
    }

    /// Reads what is left, and says whether all that was read is what was written.
    ///
    /// # Errors
    /// Damage, as the rest of a sentence; what the system answers.
    pub fn finish(mut self) -> Result<(), String> {
        let mut part = [0; 1 << 14];
        while self.left > 0 {
            let count = part.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.fill(&mut part[..count])?;
        }
        if self.sum.finish() == self.header.sum {
            Ok(())
        } else {
            Err("is damaged: its contents do not have the checksum that it names".into())
        }
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        (&mut self.input).take(count).read_to_end(&mut bytes).map_err(|e| cannot_read(&e))?;
        if bytes.len() as u64 != count {
            return Err("has become shorter while it was read".into());
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }
}

fn cannot_read(error: &io::Error) -> String {
    format!("cannot be read ({error})")
}
