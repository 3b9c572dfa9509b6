//! A look at a part of a tensor: what notices, at the cost of a few pages, that it is another one or has been damaged as a
//! whole. What changes single bytes in between is for full checksums.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::Checksum;

/// Bytes that are looked at in one place.
const PIECE: usize = 4096;

/// Where `len` bytes are looked at, in ascending order: all of a few, else the first, the middle and the last of them.
fn pieces(len: usize) -> impl Iterator<Item = Range<usize>> {
    let (all, middle) = (len <= 3 * PIECE, len / 2 - (len / 2).min(PIECE / 2));
    let parts = if all { [0..len, 0..0, 0..0] } else { [0..PIECE, middle..middle + PIECE, len - PIECE..len] };
    parts.into_iter().filter(|part| !part.is_empty())
}

/// The checksum of the pieces of something that comes part by part.
pub(super) struct Sample {
    pieces: Vec<Range<usize>>,
    at: usize,
    sum: Checksum,
}

impl Sample {
    /// Of `len` bytes.
    pub fn new(len: usize) -> Self {
        Self { pieces: pieces(len).collect(), at: 0, sum: Checksum::default() }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for piece in &self.pieces {
            let from = piece.start.saturating_sub(self.at).min(bytes.len());
            let to = piece.end.saturating_sub(self.at).min(bytes.len());
            self.sum.update(&bytes[from..to]);
        }
        self.at += bytes.len();
    }

    /// The checksum.
    pub fn finish(&self) -> u64 {
        self.sum.finish()
    }
}

/// The same of bytes that are there.
pub(super) fn sample(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::default();
    pieces(bytes.len()).for_each(|piece| sum.update(&bytes[piece]));
    sum.finish()
}

/// Adds the pieces of `range` of a file to `sum`, reading nothing else.
pub(super) fn sample_file(file: &mut File, range: &Range<usize>, sum: &mut Checksum) -> io::Result<()> {
    let mut buffer = [0; 3 * PIECE];
    for piece in pieces(range.len()) {
        let bytes = &mut buffer[..piece.len()];
        file.seek(SeekFrom::Start((range.start + piece.start) as u64))?;
        file.read_exact(bytes)?;
        sum.update(bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn parts_files_and_wholes_give_the_same_sample() {
        let bytes: Vec<u8> = (0..50_000u32).map(|i| (i * i % 251) as u8).collect();
        for len in [0, 1, 4096, 3 * PIECE, 3 * PIECE + 1, 20_000, 50_000] {
            let bytes = &bytes[..len];
            for step in [1000, 4096, 7777, 60_000] {
                let mut parts = Sample::new(len);
                bytes.chunks(step).for_each(|part| parts.update(part));
                assert_eq!(parts.finish(), sample(bytes), "{len} bytes by {step}");
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"before").and_then(|()| file.write_all(bytes)).unwrap();
            let mut sum = Checksum::default();
            sample_file(&mut file, &(6..6 + len), &mut sum).unwrap();
            assert_eq!(sum.finish(), sample(bytes), "{len}");
        }
        for (at, seen) in
            [(0, true), (4095, true), (4096, false), (25_000, true), (49_999, true), (40_000, false)]
        {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(sample(&changed) != sample(&bytes), seen, "byte {at}");
        }
    }
}
