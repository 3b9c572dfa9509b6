//! The keys and values at the start of a GGUF file: read where they lie, and only those that are asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::reader::{Fault, Reader};
use crate::core::HostBytes;
use crate::format::{FormatError, shown};

/// The type of a value (`gguf_metadata_value_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    Bool,
    Text,
    Array,
}

impl Kind {
    pub(super) fn from_code(code: u32) -> Result<Self, Fault> {
        Ok(match code {
            0 => Kind::Unsigned(1),
            1 => Kind::Signed(1),
            2 => Kind::Unsigned(2),
            3 => Kind::Signed(2),
            4 => Kind::Unsigned(4),
            5 => Kind::Signed(4),
            6 => Kind::Float(4),
            7 => Kind::Bool,
            8 => Kind::Text,
            9 => Kind::Array,
            10 => Kind::Unsigned(8),
            11 => Kind::Signed(8),
            12 => Kind::Float(8),
            _ => {
                return Err(format!(
                    "has a value of the unknown type {code}: it is damaged or newer than this program"
                ));
            }
        })
    }

    /// The fewest bytes that a value takes.
    pub(super) fn least(self) -> usize {
        match self {
            Kind::Unsigned(n) | Kind::Signed(n) | Kind::Float(n) => n,
            Kind::Bool => 1,
            Kind::Text => 8,
            Kind::Array => 12,
        }
    }
}

/// A value, borrowed from a copy of the header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// f32 or f64.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(&'a str),
    /// Several values of one type.
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// Reads a value and steps after it. Arrays of arrays are refused: no known key has one.
    fn read(reader: &mut Reader<'a>, kind: Kind) -> Result<Self, Fault> {
        let mut number = |n: usize| -> Result<[u8; 8], Fault> {
            let mut wide = [0; 8];
            wide[..n].copy_from_slice(reader.take(n)?);
            Ok(wide)
        };
        Ok(match kind {
            Kind::Unsigned(n) => Value::Unsigned(u64::from_le_bytes(number(n)?)),
            Kind::Signed(n) => {
                let unused = 64 - 8 * n as u32;
                Value::Signed(i64::from_le_bytes(number(n)?) << unused >> unused)
            }
            Kind::Float(4) => Value::Float(f64::from(f32::from_bits(u64::from_le_bytes(number(4)?) as u32))),
            Kind::Float(_) => Value::Float(f64::from_le_bytes(number(8)?)),
            Kind::Bool => Value::Bool(number(1)?[0] != 0),
            Kind::Text => Value::Text(reader.text()?),
            Kind::Array => {
                let kind = Kind::from_code(reader.u32()?)?;
                if kind == Kind::Array {
                    return Err("has a list of lists among its values, which is not read".into());
                }
                let count = reader.count("elements of a list", kind.least())?;
                let start = reader.at();
                if kind == Kind::Text {
                    for _ in 0..count {
                        reader.text()?;
                    }
                } else {
                    reader.take(count * kind.least())?;
                }
                Value::Array(Array { kind, count, bytes: reader.since(start) })
            }
        })
    }

    /// Steps over a value, looking at numbers alone.
    pub(super) fn skip(reader: &mut Reader<'_>) -> Result<(), Fault> {
        match Kind::from_code(reader.u32()?)? {
            Kind::Text => reader.skip_text(),
            Kind::Array => {
                let kind = Kind::from_code(reader.u32()?)?;
                let count = reader.count("elements of a list", kind.least())?;
                match kind {
                    Kind::Text => (0..count).try_for_each(|_| reader.skip_text()),
                    // `read` refuses it.
                    Kind::Array => Err("has a list of lists".into()),
                    _ => reader.take(count * kind.least()).map(drop),
                }
            }
            kind => reader.take(kind.least()).map(drop),
        }
    }

    /// What it is, for messages.
    fn describe(&self) -> String {
        match self {
            Value::Unsigned(n) => n.to_string(),
            Value::Signed(n) => n.to_string(),
            Value::Float(x) => x.to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Text(text) => format!("'{}'", shown(text)),
            Value::Array(array) => format!("a list of {}", array.len()),
        }
    }
}

/// A list of values of one type.
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a> {
    kind: Kind,
    count: usize,
    bytes: &'a [u8],
}

impl std::fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Array({} x {:?})", self.count, self.kind)
    }
}

impl<'a> Array<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The elements in order. All have been checked when the file was opened.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes, 0);
        let kind = self.kind;
        (0..self.count).map_while(move |_| Value::read(&mut reader, kind).ok())
    }
}

/// All keys and values of a file.
#[derive(Clone, Debug)]
pub struct Metadata {
    path: PathBuf,
    /// The header: a copy, which nothing outside of this process can change.
    bytes: HostBytes,
    /// Key -> type of its value, and where that begins and ends.
    places: BTreeMap<String, (Kind, Range<usize>)>,
}

impl Metadata {
    /// Reads `count` keys and values and steps after them.
    pub(super) fn read(
        path: &Path,
        bytes: &HostBytes,
        reader: &mut Reader<'_>,
        count: usize,
    ) -> Result<Self, Fault> {
        let mut places = BTreeMap::new();
        for _ in 0..count {
            let key = reader.text()?.to_owned();
            let kind = Kind::from_code(reader.u32()?)?;
            let at = reader.at();
            Value::read(reader, kind).map_err(|why| format!("{why} (at the key '{}')", shown(&key)))?;
            if places.contains_key(&key) {
                return Err(format!("has the key '{}' twice", shown(&key)));
            }
            places.insert(key, (kind, at..reader.at()));
        }
        Ok(Self { path: path.into(), bytes: bytes.clone(), places })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All keys in the file's order, with the number of the value's type and the value's bytes.
    pub(super) fn stored(&self) -> impl Iterator<Item = (&str, u32, &[u8])> {
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_by_key(|(_, (_, place))| place.start);
        places.into_iter().filter_map(|(key, (_, place))| {
            let bytes = self.bytes.as_ref();
            // The type stands before the value.
            let kind = bytes.get(..place.start)?.last_chunk()?;
            Some((key.as_str(), u32::from_le_bytes(*kind), bytes.get(place.clone())?))
        })
    }

    /// All keys in the file's order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.stored().map(|(key, ..)| key)
    }

    /// The value of a key, or `None`.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        let (kind, place) = self.places.get(key)?;
        // It was read once already: of a list, which may be long, only the beginning is read again.
        let mut reader = Reader::new(self.bytes.as_ref(), place.start);
        if *kind != Kind::Array {
            return Value::read(&mut reader, *kind).ok();
        }
        let kind = Kind::from_code(reader.u32().ok()?).ok()?;
        let count = reader.count("elements of a list", kind.least()).ok()?;
        let bytes = self.bytes.as_ref().get(reader.at()..place.end)?;
        Some(Value::Array(Array { kind, count, bytes }))
    }

    /// An unsigned integer; `None` if the key is absent.
    ///
    /// # Errors
    /// Another type, or a negative number.
    pub fn integer(&self, key: &str) -> Result<Option<u64>, FormatError> {
        self.typed(key, "an integer from 0 on", |value| match value {
            Value::Unsigned(n) => Some(n),
            Value::Signed(n) => u64::try_from(n).ok(),
            _ => None,
        })
    }

    /// A number; `None` if the key is absent.
    ///
    /// # Errors
    /// Another type, an infinite number or NaN.
    pub fn number(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.typed(key, "a number", |value| match value {
            Value::Float(x) => Some(x).filter(|x| x.is_finite()),
            Value::Unsigned(n) => Some(n as f64),
            Value::Signed(n) => Some(n as f64),
            _ => None,
        })
    }

    /// A truth value; `None` if the key is absent.
    ///
    /// # Errors
    /// Another type.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.typed(key, "true or false", |value| if let Value::Bool(b) = value { Some(b) } else { None })
    }

    /// A text; `None` if the key is absent.
    ///
    /// # Errors
    /// Another type.
    pub fn text(&self, key: &str) -> Result<Option<&str>, FormatError> {
        self.typed(key, "a text", |value| if let Value::Text(text) = value { Some(text) } else { None })
    }

    /// A list; `None` if the key is absent.
    ///
    /// # Errors
    /// Another type.
    pub fn list(&self, key: &str) -> Result<Option<Array<'_>>, FormatError> {
        self.typed(key, "a list", |value| if let Value::Array(list) = value { Some(list) } else { None })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => {
                Err(self.fault(format!("has '{key}' = {}, where {expected} is needed", value.describe())))
            }
        }
    }

    /// The value that must be there, as one of the methods above gives it.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, FormatError> {
        value.ok_or_else(|| {
            self.fault(format!("lacks the key '{key}', without which the model cannot be run"))
        })
    }

    /// An error about this file.
    pub fn fault(&self, reason: String) -> FormatError {
        FormatError::Damaged { path: self.path.clone(), reason }
    }
}
