//! Reading a GGUF header: every length is compared with what is left before it is used.

/// Why a header cannot be read; the file's name stands before it in messages.
pub(super) type Fault = String;

/// The way on for a file that is not whole.
pub(super) const AGAIN: &str = "download it again";

/// A place in a file's first bytes.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of the whole file.
    len: usize,
    /// Whether numbers are those of big-endian machines.
    big_endian: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, len: bytes.len(), big_endian: false }
    }

    /// The same, of a file for big-endian machines if that is so.
    pub(super) fn big_endian(self, big_endian: bool) -> Self {
        Self { big_endian, ..self }
    }

    /// At the start of a file of `len` bytes, of which `bytes` are the first.
    pub(super) fn of_file(bytes: &'a [u8], len: usize) -> Self {
        Self { bytes, at: 0, len, big_endian: false }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The bytes from `start` up to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// Bytes of the file that are left.
    pub(super) fn left(&self) -> usize {
        self.len.saturating_sub(self.at)
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let taken = self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| {
            format!(
                "ends after {} bytes, in the middle of its header, which needs {count} more from byte {}: {AGAIN}",
                self.len,
                self.at
            )
        })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        Ok(*self.take(N)?.first_chunk().expect("as long as was asked for"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        let bytes = self.array()?;
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        let bytes = self.array()?;
        Ok(if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// A number of things of at least `least` bytes each, which the rest of the file has to have room for.
    pub(super) fn count(&mut self, what: &str, least: usize) -> Result<usize, Fault> {
        let count = self.u64()?;
        let room = self.left() / least;
        usize::try_from(count).ok().filter(|&n| n <= room).ok_or_else(|| {
            format!(
                "claims {count} {what}, but the {} bytes after that have room for {room}: {AGAIN}",
                self.left()
            )
        })
    }

    /// Steps over a text without looking at it.
    pub(super) fn skip_text(&mut self) -> Result<(), Fault> {
        let len = self.count("bytes of text", 1)?;
        self.take(len).map(drop)
    }

    /// A text: its length, then UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a str, Fault> {
        let len = self.count("bytes of text", 1)?;
        let start = self.at;
        str::from_utf8(self.take(len)?)
            .map_err(|_| format!("has a text at byte {start} that is not UTF-8: {AGAIN}"))
    }
}
