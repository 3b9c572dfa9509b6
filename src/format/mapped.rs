//! Files in memory without a copy.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::FormatError;
use super::file::io_error;
use crate::core::{HostBytes, HostMemory, Shape};

/// Shape and bytes of a tensor that a file says to lie in `range` of `all`.
///
/// # Errors
/// The rest of a sentence about the tensor.
pub(super) fn tensor_parts(
    all: &HostBytes,
    dims: &[usize],
    range: &Range<usize>,
) -> Result<(Shape, HostBytes), String> {
    let shape = Shape::new(dims).ok_or_else(|| {
        format!("has {} dimensions, more than the {} that are read", dims.len(), Shape::MAX_RANK)
    })?;
    let bytes = all.slice(range.clone()).ok_or("lies outside of the file")?;
    Ok((shape, bytes))
}

/// A file in memory, whose pages can be given back and asked for.
struct Mapped(Mmap);

/// Maps a regular file that is open for reading.
pub(super) fn map(path: &Path, file: &File) -> Result<HostBytes, FormatError> {
    // SAFETY: the map is read-only, and lives as long as what borrows from it (`HostBytes` owns it). This process never
    // writes into a file that is mapped: `OutputFile` makes another one and renames it. What remains is that another
    // process writes to or truncates the file meanwhile, which no check here can exclude. So mapped bytes are used as
    // plain numbers alone, for which every bit pattern is valid, and no bound is taken from them twice: what is to be
    // more than numbers (texts, JSON, tables with offsets and ids) is copied first (`copied`), and checked and used in
    // the copy. Changed bytes then become changed weights; a truncated file ends the process with SIGBUS.
    let map = unsafe { Mmap::map(file) }.map_err(|e| io_error("map", path, e))?;
    Ok(HostBytes::new(Arc::new(Mapped(map))))
}

/// The most bytes in front of the tensors that are read into memory; the largest tokenizers have some ten million.
const MOST_COPIED: usize = 1 << 30;

/// A copy of a file's first bytes, to be checked and used as more than numbers: what is mapped can be changed by another
/// process at any time, also between a check and its use.
///
/// # Errors
/// More bytes than such a file may have, or than there is memory for.
pub(super) fn copied(path: &Path, bytes: &[u8]) -> Result<HostBytes, FormatError> {
    let mut copy = Vec::new();
    if bytes.len() > MOST_COPIED || copy.try_reserve_exact(bytes.len()).is_err() {
        let reason = format!("has {} bytes in front of its tensors, which are too many", bytes.len());
        return Err(FormatError::Damaged { path: path.into(), reason });
    }
    copy.extend_from_slice(bytes);
    Ok(copy.into())
}

impl HostMemory for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if !range.is_empty() && range.end <= self.0.len() {
            // SAFETY: the map is read-only and backed by a file, so that a page dropped now is read from the file
            // again when it is next touched, with the same bytes; the range is within the map. It is only
            // advice: if the system refuses, nothing changes.
            let _ = unsafe {
                self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
        }
    }

    fn prefetch(&self, range: Range<usize>) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(bytes) = self.0.get(range) {
            load_pages(bytes);
        }
    }
}

/// Brings a part of a mapped file into memory; any other bytes are there already.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn load_pages(bytes: &[u8]) {
    /// The largest page there is: an address that is a multiple of it begins a page on every system.
    const PAGE: usize = 64 << 10;
    /// `MADV_POPULATE_READ`, from Linux 5.14 on; older ones can at least start to read.
    const POPULATE_READ: libc::c_int = 22;
    // From the first such address on: what is before it is less than the system reads at a time anyway.
    let rest = &bytes[bytes.as_ptr().align_offset(PAGE).min(bytes.len())..];
    for advice in [POPULATE_READ, libc::MADV_WILLNEED] {
        // SAFETY: the bytes belong to a slice, and this advice loads their pages without changing them.
        if unsafe { libc::madvise(rest.as_ptr().cast_mut().cast(), rest.len(), advice) } == 0 {
            return;
        }
    }
}
