//! GGUF files: keys and values, then tensors, as llama.cpp and the hub's quantized models have them.
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>
//!
//! The header is copied, since texts are handed out of it. Tensors lie in the memory map, as they are stored: rows of queries
//! and keys may be in another order than those of Hugging Face.

mod big_endian;
mod metadata;
mod names;
mod reader;
mod split;
mod types;
mod writer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::file::{begins_with, open_regular};
use super::mapped::{copied, map, tensor_parts};
use super::{FormatError, shown};
use crate::core::{HostBytes, HostTensor, Order, Shape};
use crate::quant::factors::SwapRule;
use big_endian::{is_big_endian, swapped, to_little_endian};
pub use metadata::{Array, Metadata, Value};
pub use names::{ours as name_of_file, theirs as name_in_file};
use reader::{AGAIN, Fault, Reader};
pub use split::open_parts;
use types::{not_read, number, readable, type_name};
pub use writer::{GgufWriter, NewMetadata, NewTensor, NewValue, StoredTensor, header};

/// The first bytes of a file.
const MAGIC: &[u8; 4] = b"GGUF";

/// Where tensors begin, if the file does not say: at a multiple of this.
const ALIGNMENT: u64 = 32;

/// The least and the largest alignment that the format allows.
const ALIGNMENTS: std::ops::RangeInclusive<u64> = 8..=1 << 31;

/// One mapped file. Every range in it has been checked to lie within the file.
#[derive(Debug)]
pub struct GgufFile {
    metadata: Metadata,
    bytes: HostBytes,
    /// Whether the numbers in its tensors are those of big-endian machines.
    big_endian: bool,
    /// By the names in the file.
    tensors: BTreeMap<String, Entry>,
}

/// Where a tensor is.
#[derive(Debug)]
struct Entry {
    /// `enum ggml_type`.
    kind: u32,
    /// Outermost first.
    dims: Vec<usize>,
    /// From the start of the file; empty for a type whose size is not known here.
    range: Range<usize>,
}

impl GgufFile {
    /// Whether a GGUF file is at this path. What cannot be read is none.
    pub fn is_at(path: &Path) -> bool {
        begins_with(path, MAGIC)
    }

    /// Maps a file and checks all that its header says.
    ///
    /// # Errors
    /// What the system answers; a file that is damaged, or of an unknown version.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let (file, _) = open_regular(path)?;
        Self::from_bytes(path, map(path, &file)?)
    }

    /// As [`Self::open`], of bytes that are in memory.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(path: &Path, bytes: HostBytes) -> Result<Self, FormatError> {
        let damaged = |reason| FormatError::Damaged { path: path.into(), reason };
        let all = bytes.as_ref();
        let big_endian = is_big_endian(all);
        let mut header = copied(path, &all[..header_end(all, big_endian)])?;
        if big_endian {
            let mut numbers = header.as_ref().to_vec();
            to_little_endian(&mut numbers);
            header = numbers.into();
        }
        let mut reader = Reader::of_file(header.as_ref(), all.len());
        let tensor_count = start(&mut reader).map_err(damaged)?;
        let key_count = reader.count("keys", 13).map_err(damaged)?;
        let metadata = Metadata::read(path, &header, &mut reader, key_count).map_err(damaged)?;
        let alignment = metadata.integer("general.alignment")?.unwrap_or(ALIGNMENT);
        if !alignment.is_power_of_two() || !ALIGNMENTS.contains(&alignment) {
            return Err(damaged(format!(
                "has 'general.alignment' = {alignment}, where a power of two from 8 on is needed: download it again"
            )));
        }
        let tensors = read_tensors(&mut reader, tensor_count, alignment as usize).map_err(damaged)?;
        Ok(Self { metadata, bytes, big_endian, tensors })
    }

    /// Keys and values.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Bytes in front of the tensors, as far as they are known: keys and values.
    pub fn header_bytes(&self) -> usize {
        let first = self.tensors.values().map(|t| t.range.start).filter(|&start| start > 0).min();
        first.unwrap_or(self.bytes.as_ref().len())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.metadata.path()
    }

    /// Names of all tensors: Hugging Face's where there is one, else the file's own.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.tensors.keys().map(|name| names::ours(name).unwrap_or_else(|| name.clone()))
    }

    /// Where the tensors lie in the file; empty for those whose size is not known here.
    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range<usize>> {
        self.tensors.values().map(|entry| &entry.range)
    }

    /// All tensors as they are stored, in the order of their bytes.
    pub fn tensors(&self) -> impl Iterator<Item = StoredTensor> {
        let mut entries: Vec<_> = self.tensors.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.range.start);
        entries.into_iter().map(|(name, entry)| {
            let bytes = self.bytes.slice(entry.range.clone()).unwrap_or_else(|| Vec::new().into());
            let read =
                readable(entry.kind).and_then(|dtype| Some((dtype, self.data(entry.kind, bytes).ok()?)));
            let (dtype, bytes) =
                read.map_or_else(|| (None, Vec::new().into()), |(d, bytes)| (Some(d), bytes));
            let (name, dims) = (name.clone(), entry.dims.clone());
            StoredTensor { name, dtype, type_name: type_name(entry.kind), dims, bytes, order: Order::Rows }
        })
    }

    /// The bytes of a tensor, which are `stored` in the file, in the order of the usual files.
    ///
    /// # Errors
    /// The rest of a sentence about the tensor.
    fn data(&self, kind: u32, stored: HostBytes) -> Result<HostBytes, String> {
        if !self.big_endian {
            return Ok(stored);
        }
        let rule = readable(kind).and_then(SwapRule::of).ok_or_else(|| {
            format!(
                "has elements of type {} in a file for big-endian machines, where the order of its bytes is not known: use \
                 the usual file of the model",
                type_name(kind)
            )
        })?;
        Ok(swapped(stored, rule))
    }

    /// The file's own name of the tensor that [`Self::get`] gives for `name`.
    pub fn stored_name(&self, name: &str) -> String {
        names::theirs(name).unwrap_or_else(|| name.to_owned())
    }

    /// Bytes of all tensors.
    pub(super) fn data_bytes(&self) -> u64 {
        self.tensors.values().map(|t| t.range.len() as u64).sum()
    }

    /// The tensor of that name, Hugging Face's or the file's own, or `None`.
    ///
    /// # Errors
    /// An element type or a number of dimensions that has no form here.
    pub fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        let stored = self.stored_name(name);
        let Some(entry) = self.tensors.get(&stored) else { return Ok(None) };
        let fault = |reason| FormatError::Tensor { path: self.path().into(), name: stored.clone(), reason };
        let dtype = readable(entry.kind).ok_or_else(|| fault(not_read(entry.kind)))?;
        let (shape, data) = tensor_parts(&self.bytes, &entry.dims, &entry.range).map_err(fault)?;
        let data = self.data(entry.kind, data).map_err(fault)?;
        HostTensor::new(name, dtype, shape, data).map(Some).map_err(|e| fault(format!("cannot be used: {e}")))
    }
}

/// Where the header of a file ends, or what is wrong with it. Only numbers are looked at, and each of them once: whatever
/// they are, the place is within the file.
fn header_end(all: &[u8], big_endian: bool) -> usize {
    let mut reader = Reader::new(all, 0).big_endian(big_endian);
    // Reading the copy finds the fault again, and says it.
    let _ = skip_header(&mut reader);
    reader.at()
}

fn skip_header(reader: &mut Reader<'_>) -> Result<(), Fault> {
    let tensors = start(reader)?;
    for _ in 0..reader.count("keys", 13)? {
        reader.skip_text()?;
        Value::skip(reader)?;
    }
    for _ in 0..tensors {
        reader.skip_text()?;
        let rank = reader.u32()? as usize;
        if rank > Shape::MAX_RANK {
            return Err("has too many dimensions".into());
        }
        // Dimensions, type and offset.
        reader.take(8 * rank + 12)?;
    }
    Ok(())
}

/// Magic, version and the number of tensors.
fn start(reader: &mut Reader<'_>) -> Result<usize, Fault> {
    if reader.take(4)? != MAGIC {
        return Err("is no GGUF file".into());
    }
    match reader.u32()? {
        2 | 3 => reader.count("tensors", 24),
        1 => Err("is of GGUF version 1; known are 2 and 3: download a newer file of the model".into()),
        version => Err(format!(
            "is of GGUF version {version}; known are 2 and 3: use a newer release of this program, or another file"
        )),
    }
}

/// The entries after the keys, and where their bytes are after the entries.
fn read_tensors(
    reader: &mut Reader<'_>,
    count: usize,
    alignment: usize,
) -> Result<BTreeMap<String, Entry>, Fault> {
    let mut tensors = BTreeMap::new();
    let mut offsets = Vec::new();
    for _ in 0..count {
        let name = reader.text()?.to_owned();
        let fault = |what: String| format!("has a tensor '{}' {what}", shown(&name));
        let rank = reader.u32()? as usize;
        if rank == 0 || rank > Shape::MAX_RANK {
            return Err(fault(format!("of {rank} dimensions, where 1 to {} are possible", Shape::MAX_RANK)));
        }
        let mut dims = Vec::with_capacity(rank);
        for _ in 0..rank {
            let dim = reader.u64()?;
            dims.push(usize::try_from(dim).map_err(|_| fault(format!("with a dimension of {dim}")))?);
        }
        // Stored innermost first.
        dims.reverse();
        let kind = reader.u32()?;
        let offset = reader.u64()?;
        if offset % alignment as u64 != 0 {
            return Err(fault(format!("at byte {offset} of the data, which is no multiple of {alignment}")));
        }
        offsets.push((name.clone(), offset));
        if tensors.insert(name.clone(), Entry { kind, dims, range: 0..0 }).is_some() {
            return Err(fault("twice".into()));
        }
    }
    let padding =
        reader.at().checked_next_multiple_of(alignment).map_or(usize::MAX, |next| next - reader.at());
    // A file without tensors may end before.
    let start = reader.at() + padding.min(reader.left());
    let room = reader.left().saturating_sub(padding) as u64;
    let mut used = Vec::new();
    for (name, offset) in offsets {
        let Some(entry) = tensors.get_mut(&name) else { continue };
        let Some(dtype) = readable(entry.kind) else { continue };
        let shape = Shape::new(&entry.dims).and_then(|s| s.as_matrix());
        let bytes = shape.and_then(|(rows, cols)| Order::Rows.bytes(dtype, rows, cols));
        let bytes = bytes.ok_or_else(|| {
            format!(
                "has a tensor '{}' of shape {:?}, which is impossible for {dtype}",
                shown(&name),
                entry.dims
            )
        })?;
        let end = offset.checked_add(bytes as u64).filter(|&end| end <= room).ok_or_else(|| {
            format!(
                "ends {room} bytes after its header, but tensor '{}' needs {bytes} from byte {offset} on: {AGAIN}",
                shown(&name)
            )
        })?;
        entry.range = start + offset as usize..start + end as usize;
        used.push((entry.range.clone(), name));
    }
    used.sort_by_key(|(range, _)| range.start);
    match used.windows(2).find(|pair| pair[0].0.end > pair[1].0.start) {
        Some(pair) => Err(format!(
            "has the tensors '{}' and '{}' in the same place: {AGAIN}",
            shown(&pair[0].1),
            shown(&pair[1].1)
        )),
        None => Ok(tensors),
    }
}
