//! Writing GGUF files, version 3: keys and values, the list of tensors, then the tensors one after the other as they come.
//! A file appears whole or not at all ([`OutputFile`]).

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use super::{ALIGNMENT, MAGIC, Metadata};
use crate::core::{DType, HostBytes, Order};
use crate::format::{FormatError, OutputFile};

/// A value for a key.
#[derive(Clone, Debug, PartialEq)]
pub enum NewValue {
    /// An unsigned integer of 32 bits: what most numbers of the format are.
    U32(u32),
    /// An unsigned integer of 64 bits.
    U64(u64),
    /// A signed integer of 32 bits.
    I32(i32),
    /// A number with a fraction.
    F32(f32),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Several numbers with fractions.
    F32s(Vec<f32>),
    /// Several signed integers.
    I32s(Vec<i32>),
    /// Several truth values.
    Bools(Vec<bool>),
}

/// The number of an array's type.
const ARRAY: u32 = 9;

impl NewValue {
    /// The number of its type, or of its elements' type, and its bytes.
    fn stored(&self) -> (u32, Vec<u8>) {
        let list = |kind: u32, count: usize, elements: Vec<u8>| {
            let mut bytes = kind.to_le_bytes().to_vec();
            bytes.extend((count as u64).to_le_bytes());
            bytes.extend(elements);
            (ARRAY, bytes)
        };
        match self {
            NewValue::U32(n) => (4, n.to_le_bytes().to_vec()),
            NewValue::I32(n) => (5, n.to_le_bytes().to_vec()),
            NewValue::F32(x) => (6, x.to_le_bytes().to_vec()),
            NewValue::Bool(b) => (7, vec![u8::from(*b)]),
            NewValue::Text(s) => (8, text(s)),
            NewValue::U64(n) => (10, n.to_le_bytes().to_vec()),
            NewValue::I32s(v) => list(5, v.len(), v.iter().flat_map(|n| n.to_le_bytes()).collect()),
            NewValue::F32s(v) => list(6, v.len(), v.iter().flat_map(|x| x.to_le_bytes()).collect()),
            NewValue::Bools(v) => list(7, v.len(), v.iter().map(|&b| u8::from(b)).collect()),
            NewValue::Texts(v) => list(8, v.len(), v.iter().flat_map(|s| text(s)).collect()),
        }
    }
}

/// A text as it is stored: its length in bytes, then UTF-8.
fn text(s: &str) -> Vec<u8> {
    let mut bytes = (s.len() as u64).to_le_bytes().to_vec();
    bytes.extend(s.as_bytes());
    bytes
}

/// Keys and values of a file to be written, in their order.
#[derive(Clone, Debug, Default)]
pub struct NewMetadata {
    /// Key, number of the value's type, the value's bytes.
    entries: Vec<(String, u32, Vec<u8>)>,
}

impl NewMetadata {
    /// All keys and values of a file, in its order and in the types that it has.
    pub fn copied(from: &Metadata) -> Self {
        Self {
            entries: from.stored().map(|(key, kind, bytes)| (key.to_owned(), kind, bytes.to_vec())).collect(),
        }
    }

    /// Gives a key a value, in the place of an older one.
    pub fn set(&mut self, key: &str, value: &NewValue) {
        let (kind, bytes) = value.stored();
        match self.entries.iter_mut().find(|entry| entry.0 == key) {
            Some(entry) => (entry.1, entry.2) = (kind, bytes),
            None => self.entries.push((key.to_owned(), kind, bytes)),
        }
    }

    /// Adds all keys of another one, in the places of older ones.
    pub fn append(&mut self, other: &Self) {
        for (key, kind, bytes) in &other.entries {
            self.remove(key);
            self.entries.push((key.clone(), *kind, bytes.clone()));
        }
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.0 != key);
    }

    /// Where tensors have to begin: at multiples of so many bytes.
    pub fn alignment(&self) -> u64 {
        let stored = self.entries.iter().find(|entry| entry.0 == "general.alignment" && entry.1 == 4);
        let stored =
            stored.and_then(|entry| entry.2.first_chunk()).map(|b| u64::from(u32::from_le_bytes(*b)));
        stored.filter(|n| n.is_power_of_two()).unwrap_or(ALIGNMENT)
    }
}

/// A tensor of a file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTensor {
    /// Its name in the file.
    pub name: String,
    /// Its elements' type.
    pub dtype: DType,
    /// Outermost first.
    pub dims: Vec<usize>,
}

impl NewTensor {
    /// Its bytes; `None` for a shape that the type cannot have.
    pub fn bytes(&self) -> Option<usize> {
        let (cols, outer) = self.dims.split_last()?;
        if cols % self.dtype.block_len() != 0 {
            return None;
        }
        let rows = outer.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim))?;
        self.dtype.bytes_for(*cols)?.checked_mul(rows)
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct GgufWriter {
    output: OutputFile,
    out: BufWriter<File>,
    /// Bytes of the tensors that are still to come, the next one last.
    left: Vec<u64>,
    /// Bytes of the next one that have come.
    within: u64,
    alignment: u64,
}

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 20;

impl GgufWriter {
    /// Begins a file at `path` with everything that is in front of the tensors.
    ///
    /// # Errors
    /// What the system answers; a tensor of a type or a shape that cannot be stored.
    pub fn create(path: &Path, metadata: &NewMetadata, tensors: &[NewTensor]) -> Result<Self, FormatError> {
        let (header, mut sizes) = header(path, metadata, tensors)?;
        sizes.reverse();
        let output = OutputFile::create(path)?;
        let file = output.file().try_clone().map_err(|source| cannot_write(path, source))?;
        let mut out = BufWriter::with_capacity(BUFFER, file);
        out.write_all(&header).map_err(|source| cannot_write(path, source))?;
        let mut this = Self { output, out, left: sizes, within: 0, alignment: metadata.alignment() };
        this.step()?;
        Ok(this)
    }

    /// Writes the next bytes of the tensors, which come in the order in which they were named. No piece has bytes of two
    /// tensors.
    ///
    /// # Errors
    /// What the system answers.
    ///
    /// # Panics
    /// If more bytes come than the tensor has.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.within += bytes.len() as u64;
        let size = self.left.last().copied().unwrap_or(0);
        assert!(self.within <= size, "{} bytes for a tensor of {size}", self.within);
        self.out.write_all(bytes).map_err(|source| cannot_write(self.output.path(), source))?;
        self.step()
    }

    /// Ends each tensor that is complete.
    fn step(&mut self) -> Result<(), FormatError> {
        while self.left.last() == Some(&self.within) {
            let padding = self.within.next_multiple_of(self.alignment) - self.within;
            let written = self.out.write_all(&vec![0; padding as usize]);
            written.map_err(|source| cannot_write(self.output.path(), source))?;
            self.left.pop();
            self.within = 0;
        }
        Ok(())
    }

    /// Puts the file in its place, and gives it.
    ///
    /// # Errors
    /// What the system answers; the place is as it was then.
    ///
    /// # Panics
    /// If bytes of a tensor are missing.
    pub fn finish(self) -> Result<File, FormatError> {
        assert!(self.left.is_empty(), "{} tensors have not come", self.left.len());
        let Self { output, out, .. } = self;
        out.into_inner().map_err(|e| cannot_write(output.path(), e.into_error()))?;
        output.finish()
    }
}

/// Everything that is in front of the tensors of a file, and the bytes of each tensor. `path` is for messages.
///
/// # Errors
/// A tensor of a type or a shape that cannot be stored.
pub fn header(
    path: &Path,
    metadata: &NewMetadata,
    tensors: &[NewTensor],
) -> Result<(Vec<u8>, Vec<u64>), FormatError> {
    let alignment = metadata.alignment();
    let mut sizes = Vec::with_capacity(tensors.len());
    let mut header = MAGIC.to_vec();
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.entries.len() as u64).to_le_bytes());
    for (key, kind, bytes) in &metadata.entries {
        header.extend(text(key));
        header.extend(kind.to_le_bytes());
        header.extend(bytes);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        let (kind, size) = super::number(tensor.dtype).zip(tensor.bytes()).ok_or_else(|| {
            let reason = format!(
                "of shape {:?} cannot be stored as {}: its rows are no whole blocks; choose another type for it",
                tensor.dims, tensor.dtype
            );
            FormatError::Tensor { path: path.into(), name: tensor.name.clone(), reason }
        })?;
        header.extend(text(&tensor.name));
        header.extend((tensor.dims.len() as u32).to_le_bytes());
        for &dim in tensor.dims.iter().rev() {
            header.extend((dim as u64).to_le_bytes());
        }
        header.extend(kind.to_le_bytes());
        header.extend(offset.to_le_bytes());
        sizes.push(size as u64);
        offset = (offset + size as u64).next_multiple_of(alignment);
    }
    header.resize(header.len().next_multiple_of(alignment as usize), 0);
    Ok((header, sizes))
}

fn cannot_write(path: &Path, source: io::Error) -> FormatError {
    FormatError::Io { action: "write", path: path.into(), source }
}

/// A tensor as a file has it.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// Its name in the file.
    pub name: String,
    /// Its elements' type; `None` for one that has no form here.
    pub dtype: Option<DType>,
    /// What ggml calls the type.
    pub type_name: String,
    /// Outermost first.
    pub dims: Vec<usize>,
    /// Its bytes; none if the type has no form here.
    pub bytes: HostBytes,
    /// The order that its rows have to be brought in: [`Order::Rows`] for those that are as they should be.
    pub order: Order,
}

impl StoredTensor {
    /// Rows of `size` bytes from `rows` on, in the order that they should have.
    pub fn rows(&self, rows: Range<usize>, size: usize) -> Cow<'_, [u8]> {
        let bytes = self.bytes.as_ref();
        match self.order {
            Order::Rows | Order::Tiles => Cow::Borrowed(&bytes[rows.start * size..rows.end * size]),
            Order::Interleaved(_) => {
                let from = rows.map(|place| self.order.row(place));
                Cow::Owned(from.flat_map(|row| bytes[row * size..][..size].iter().copied()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::gguf::{GgufFile, Value};

    fn some_metadata() -> NewMetadata {
        let mut metadata = NewMetadata::default();
        for (key, value) in [
            ("general.architecture", NewValue::Text("llama".into())),
            ("a.u32", NewValue::U32(7)),
            ("a.u64", NewValue::U64(1 << 40)),
            ("a.i32", NewValue::I32(-7)),
            ("a.f32", NewValue::F32(0.5)),
            ("a.bool", NewValue::Bool(true)),
            ("a.texts", NewValue::Texts(vec!["ä".into(), String::new()])),
            ("a.numbers", NewValue::F32s(vec![0.25, -1.0])),
            ("a.ids", NewValue::I32s(vec![3, -4, 5])),
            ("a.flags", NewValue::Bools(vec![true, false])),
        ] {
            metadata.set(key, &value);
        }
        metadata
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.gguf");
        let tensor =
            |name: &str, dtype, dims: &[usize]| NewTensor { name: name.into(), dtype, dims: dims.into() };
        let tensors = [
            tensor("one.weight", DType::F32, &[3]),
            tensor("empty.weight", DType::F32, &[0]),
            tensor("two.weight", DType::Q4K, &[2, 256]),
            tensor("three.weight", DType::F16, &[2, 2, 4]),
        ];
        let mut writer = GgufWriter::create(&path, &some_metadata(), &tensors).unwrap();
        writer.write(&[1; 12]).unwrap();
        writer.write(&[2; 144]).unwrap();
        writer.write(&[3; 144]).unwrap();
        assert!(!path.exists());
        writer.write(&[4; 32]).unwrap();
        writer.finish().unwrap();
        let file = GgufFile::open(&path).unwrap();
        let read: Vec<_> = file.tensors().collect();
        for (read, wanted) in read.iter().zip(&tensors) {
            assert_eq!(
                (&read.name, read.dtype, &read.dims),
                (&wanted.name, Some(wanted.dtype), &wanted.dims)
            );
            assert_eq!(Some(read.bytes.as_ref().len()), wanted.bytes());
        }
        assert_eq!((read[2].bytes.as_ref()[143], read[2].bytes.as_ref()[144]), (2, 3));
        assert_eq!(read[3].bytes.as_ref(), [4; 32]);
        let keys = file.metadata();
        assert_eq!(keys.get("a.u64"), Some(Value::Unsigned(1 << 40)));
        assert_eq!(keys.get("a.i32"), Some(Value::Signed(-7)));
        assert_eq!(keys.get("a.bool"), Some(Value::Bool(true)));
        let list = |key| keys.list(key).unwrap().unwrap().iter().collect::<Vec<_>>();
        assert_eq!(list("a.texts"), [Value::Text("ä"), Value::Text("")]);
        assert_eq!(list("a.ids"), [Value::Signed(3), Value::Signed(-4), Value::Signed(5)]);
        // A copy of the keys is the same header.
        let copy = NewMetadata::copied(keys);
        assert_eq!(copy.entries, some_metadata().entries);
        let again = dir.path().join("y.gguf");
        let mut writer = GgufWriter::create(&again, &copy, &tensors[..1]).unwrap();
        writer.write(&[1; 12]).unwrap();
        writer.finish().unwrap();
        assert_eq!(GgufFile::open(&again).unwrap().tensors().count(), 1);
    }

    #[test]
    fn rows_that_are_no_whole_blocks_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.gguf");
        let tensor = NewTensor { name: "odd.weight".into(), dtype: DType::Q6K, dims: vec![2, 288] };
        let e = GgufWriter::create(&path, &NewMetadata::default(), &[tensor]).unwrap_err().to_string();
        assert!(e.contains("'odd.weight'") && e.contains("[2, 288]") && e.contains("q6_k"), "{e}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn alignment_is_that_of_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.gguf");
        let mut metadata = NewMetadata::default();
        metadata.set("general.alignment", &NewValue::U32(128));
        let tensor = |name: &str| NewTensor { name: name.into(), dtype: DType::F32, dims: vec![1] };
        let mut writer = GgufWriter::create(&path, &metadata, &[tensor("a"), tensor("b")]).unwrap();
        writer.write(&[1; 4]).unwrap();
        writer.write(&[2; 4]).unwrap();
        writer.finish().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len() % 128, 0);
        let file = GgufFile::open(&path).unwrap();
        assert_eq!(file.tensors().map(|t| t.bytes.as_ref()[0]).collect::<Vec<_>>(), [1, 2]);
        metadata.remove("general.alignment");
        assert_eq!(metadata.alignment(), 32);
    }
}
