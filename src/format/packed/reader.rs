//! Opening a packed file: everything in it is checked before it is used.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::header::{HEADER, Header, LINE, Place, Table};
use crate::core::{HostBytes, HostTensor};
use crate::format::file::{begins_with, open_regular};
use crate::format::mapped::{copied, map};
use crate::format::sample::sample;
use crate::format::{FormatError, TensorSource, checksum, shown};

/// A packed file, mapped. Opening it reads what is before the data; of the weights it looks at samples, so that other
/// damage there shows only in [`Self::verify`].
#[derive(Debug)]
pub struct PackedFile {
    path: PathBuf,
    bytes: HostBytes,
    /// What is in front of the data: a copy, since its sections are text and tables.
    head: HostBytes,
    sections: HashMap<String, Range<usize>>,
    tensors: BTreeMap<String, Place>,
}

impl PackedFile {
    /// Whether the file at `path` begins as a packed one does. False for what cannot be read.
    pub fn is_at(path: &Path) -> bool {
        begins_with(path, &super::MAGIC)
    }

    /// Maps a file and checks its header, its table, the checksum of both, and a sample of each tensor.
    ///
    /// # Errors
    /// If the file cannot be read, is none of this format or of another version, is not as long as it was
    /// written, or if anything in it contradicts itself.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let (file, len) = open_regular(path)?;
        if len < HEADER as u64 {
            let reason = format!("has {len} bytes, too few for a file of packed weights");
            return Err(FormatError::Damaged { path: path.into(), reason });
        }
        Self::from_bytes(path, map(path, &file)?)
    }

    /// Checks the bytes of a file; `path` stands for it in messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(path: &Path, bytes: HostBytes) -> Result<Self, FormatError> {
        let damaged = |reason| FormatError::Damaged { path: path.into(), reason };
        let all = bytes.as_ref();
        let first = all[..HEADER.min(all.len())].to_vec();
        let header = Header::read(&first, all.len() as u64).map_err(damaged)?;
        // Both are at most the file's length.
        let (data, table_end) = (header.data as usize, HEADER + header.table as usize);
        let copy = copied(path, &all[..data])?;
        let head = copy.as_ref();
        if checksum(&head[HEADER..]) != header.head_sum {
            return Err(damaged("is damaged: what is before its data does not have its checksum".into()));
        }
        let table: Table = serde_json::from_slice(&head[HEADER..table_end])
            .map_err(|e| damaged(format!("has a table that is not valid ({})", shown(&e.to_string()))))?;
        let mut sections = HashMap::new();
        let mut end = table_end as u64;
        for section in &table.sections {
            let fault = |what: &str| damaged(format!("has a section '{}' {what}", shown(&section.name)));
            let stop = section.offset.checked_add(section.length).filter(|&stop| stop <= header.data);
            let stop = stop.ok_or_else(|| fault("that does not end before the data"))?;
            if !section.offset.is_multiple_of(LINE) {
                return Err(fault("that does not begin at a multiple of 64"));
            }
            if section.offset < end {
                return Err(fault("that begins within what is before it"));
            }
            end = stop;
            let range = section.offset as usize..stop as usize;
            if sections.insert(section.name.clone(), range).is_some() {
                return Err(fault("twice"));
            }
        }
        let mut tensors = BTreeMap::new();
        let mut end = header.data;
        for entry in &table.tensors {
            let fault = |reason| FormatError::Tensor { path: path.into(), name: entry.name.clone(), reason };
            let place = entry.place().map_err(fault)?;
            let stop = entry.offset.checked_add(entry.length).filter(|&stop| stop <= header.file);
            let stop = stop.ok_or_else(|| fault("does not end within the file".into()))?;
            if entry.offset < end {
                return Err(fault(format!(
                    "begins at byte {}, but what is before it ends at {end}",
                    entry.offset
                )));
            }
            end = stop;
            if tensors.insert(entry.name.clone(), place).is_some() {
                return Err(fault("is there twice".into()));
            }
        }
        let file = Self { path: path.into(), bytes, head: copy, sections, tensors };
        file.each_tensor(|place, bytes| sample(bytes) == place.sample)?;
        Ok(file)
    }

    /// Compares the bytes of all tensors with what `right` expects of them.
    fn each_tensor(&self, right: impl Fn(&Place, &[u8]) -> bool + Sync) -> Result<(), FormatError> {
        self.tensors.par_iter().try_for_each(|(name, place)| {
            let bytes = self.bytes.slice(place.offset..place.offset + place.length);
            match bytes {
                Some(bytes) if right(place, bytes.as_ref()) => Ok(()),
                _ => Err(FormatError::Tensor {
                    path: self.path.clone(),
                    name: name.clone(),
                    reason: "is damaged: it does not have its checksum; copy the file again".into(),
                }),
            }
        })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds weights, and not a tokenizer alone.
    pub fn has_weights(&self) -> bool {
        !self.tensors.is_empty()
    }

    /// A section's bytes; `None` if there is none of that name.
    pub fn section(&self, name: &str) -> Option<HostBytes> {
        self.head.slice(self.sections.get(name)?.clone())
    }

    /// Starts to bring the weights into memory, beside whatever the caller does next: reading them page by page
    /// as they are needed would take longer.
    pub fn prefetch(&self) {
        // Within the file: checked when it was opened.
        let Some(data) = self.bytes.slice(self.head.as_ref().len()..self.bytes.as_ref().len()) else {
            return;
        };
        // Nothing depends on it: without a thread, pages come as they are needed.
        let _ = std::thread::Builder::new().name("prefetch".into()).spawn(move || data.prefetch());
    }

    /// Reads all tensors and compares their checksums.
    ///
    /// # Errors
    /// [`FormatError::Tensor`], naming the first tensor that is not as it was written.
    pub fn verify(&self) -> Result<(), FormatError> {
        self.each_tensor(|place, bytes| checksum(bytes) == place.checksum)
    }
}

impl TensorSource for PackedFile {
    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        let Some(place) = self.tensors.get(name) else { return Ok(None) };
        let fault = |reason| FormatError::Tensor { path: self.path.clone(), name: name.into(), reason };
        // No overflow: the end was checked to lie within the file.
        let data = self.bytes.slice(place.offset..place.offset + place.length);
        let data = data.ok_or_else(|| fault("lies outside of the file".into()))?;
        HostTensor::in_order(name, place.dtype, place.shape, place.order, data)
            .map(Some)
            .map_err(|e| fault(format!("cannot be used: {e}")))
    }

    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn location(&self, _: &str) -> String {
        self.path.display().to_string()
    }

    fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|t| t.length as u64).sum()
    }
}
