//! The header and the table of a packed file: what they say, and that they agree with themselves.

use serde::{Deserialize, Serialize};

use crate::core::{DType, Order, Shape};
use crate::format::{checksum, shown};

/// The first bytes of every packed file. No text begins like this, and a transfer as text would change it.
pub const MAGIC: [u8; 8] = *b"\x93llmrs2\n";

/// Version of the file format.
pub const VERSION: u32 = 3;

/// Which arrangement tiles have: 1 is that of `quant::tiles`.
pub const LAYOUT: u32 = 1;

/// Reads as this number where the byte order is that of the file.
const BYTE_ORDER: u32 = 0x0a0b_0c0d;

pub(super) const HEADER: usize = 64;

/// Where the data and all large tensors begin: a multiple of this, the largest page that Linux systems use.
pub(super) const PAGE: u64 = 64 << 10;

/// Where any tensor begins: a multiple of this.
pub(super) const LINE: u64 = 64;

/// The longest table; that of a model with a thousand layers has 2 MB.
const MAX_TABLE: u64 = 64 << 20;

/// The most bytes before the data; the largest tokenizers have some ten million.
const MAX_HEAD: u64 = 1 << 30;

/// Whether `bytes` begin as a packed file does.
pub fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The fixed fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the table, which begins after the header.
    pub table: u64,
    /// Where the data begins.
    pub data: u64,
    /// Bytes of the whole file.
    pub file: u64,
    /// Checksum of all bytes between the header and the data.
    pub head_sum: u64,
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..8].copy_from_slice(&MAGIC);
        for (i, word) in [VERSION, BYTE_ORDER, LAYOUT, 0].into_iter().enumerate() {
            out[8 + 4 * i..12 + 4 * i].copy_from_slice(&word.to_le_bytes());
        }
        for (i, word) in [self.table, self.data, self.file, self.head_sum].into_iter().enumerate() {
            out[24 + 8 * i..32 + 8 * i].copy_from_slice(&word.to_le_bytes());
        }
        let sum = checksum(&out[..56]);
        out[56..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads and checks the fields; `len` is the file's length. The lengths that come out are within it.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence about the file.
    pub fn read(bytes: &[u8], len: u64) -> Result<Self, String> {
        if !is_packed(bytes) {
            return Err("is no file of packed weights".into());
        }
        let Some(bytes) = bytes.first_chunk::<HEADER>() else {
            return Err(format!("ends after {len} bytes, within its header"));
        };
        let (_, words) = bytes.split_at(8);
        let (words, _) = words.as_chunks::<4>();
        let [version, order, layout, zero] = [0, 1, 2, 3].map(|i| u32::from_le_bytes(words[i]));
        if order != BYTE_ORDER {
            return Err("is damaged: its mark of the byte order is wrong".into());
        }
        if version != VERSION || layout != LAYOUT {
            return Err(format!(
                "has version {version} and layout {layout}, but this program reads version {VERSION} and layout \
                 {LAYOUT}: pack the model again"
            ));
        }
        let (longs, _) = bytes.as_chunks::<8>();
        let [table, data, file, head_sum, own_sum] = [3, 4, 5, 6, 7].map(|i| u64::from_le_bytes(longs[i]));
        if own_sum != checksum(&bytes[..56]) || zero != 0 {
            return Err("is damaged: its header does not have the checksum that it names".into());
        }
        if file != len {
            return Err(format!("has {len} bytes, but was written with {file}: it is not whole"));
        }
        let table_end = table.saturating_add(HEADER as u64);
        if table > MAX_TABLE || data > MAX_HEAD || data % PAGE != 0 || table_end > data || data > len {
            return Err(format!("has impossible lengths: a table of {table} bytes, data from {data} on"));
        }
        Ok(Self { table, data, file, head_sum })
    }
}

/// What the table says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub sections: Vec<Section>,
    pub tensors: Vec<Entry>,
}

/// Bytes with a name; offsets count from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub name: String,
    pub offset: u64,
    pub length: u64,
}

/// A tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<u64>,
    pub order: String,
    pub offset: u64,
    pub length: u64,
    /// Sixteen hexadecimal digits.
    pub checksum: String,
    /// The same, of what is looked at when the file is opened.
    pub sample: String,
}

/// A tensor's entry, understood and checked.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub dtype: DType,
    pub shape: Shape,
    pub order: Order,
    pub offset: usize,
    pub length: usize,
    pub checksum: u64,
    pub sample: u64,
}

impl Entry {
    /// Checks the entry by itself: a known type, and as many bytes as type, shape and order take.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence about the tensor.
    pub fn place(&self) -> Result<Place, String> {
        let known = |text: &str| DType::ALL.into_iter().find(|d| d.name() == text);
        let dtype =
            known(&self.dtype).ok_or_else(|| format!("has the unknown type '{}'", shown(&self.dtype)))?;
        let order = [Order::Rows, Order::Tiles].into_iter().find(|o| o.name() == self.order);
        let order = order.ok_or_else(|| format!("has the unknown order '{}'", shown(&self.order)))?;
        let dims: Option<Vec<usize>> = self.shape.iter().map(|&d| usize::try_from(d).ok()).collect();
        let shape = dims.and_then(|dims| Shape::new(&dims));
        let shape = shape.ok_or_else(|| format!("has the impossible shape {:?}", Few(&self.shape)))?;
        let need = shape.as_matrix().and_then(|(rows, cols)| order.bytes(dtype, rows, cols));
        let (offset, length) = (usize::try_from(self.offset).ok(), usize::try_from(self.length).ok());
        let (Some(need), Some(offset), Some(length)) = (need, offset, length) else {
            return Err(format!("has the impossible shape {shape} for {dtype} in {}", order.name()));
        };
        if need != length {
            return Err(format!("takes {need} bytes as {dtype} {shape}, but its entry has {length}"));
        }
        if !self.offset.is_multiple_of(LINE) {
            return Err(format!("begins at byte {}, which is no multiple of {LINE}", self.offset));
        }
        let number = |digits: &String| {
            let number = (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok());
            number.flatten().ok_or("has a checksum that is no number")
        };
        let checksum = number(&self.checksum)?;
        let sample = number(&self.sample)?;
        Ok(Place { dtype, shape, order, offset, length, checksum, sample })
    }
}

/// The first numbers of a list that may be long.
struct Few<'a>(&'a [u64]);

impl std::fmt::Debug for Few<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().take(8)).finish()
    }
}
