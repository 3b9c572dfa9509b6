//! How keys and values of a layer are stored.

use std::fmt;
use std::ops::Range;

use super::{Backend, Buffer, CoreError, DType, Result};

/// As which keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvTypes {
    /// Type of the keys' elements.
    pub k: DType,
    /// Type of the values' elements.
    pub v: DType,
}

impl KvTypes {
    /// The types that keys and values can be stored in, in the order in which help texts list them.
    pub const STORED: [DType; 4] = [DType::F32, DType::F16, DType::Q8_0, DType::Q4_0];

    /// Checks that keys and values can be stored in these types.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`], naming `op`.
    pub fn check(self, op: &'static str) -> Result<()> {
        match [self.k, self.v].into_iter().find(|dtype| !Self::STORED.contains(dtype)) {
            Some(dtype) => Err(CoreError::Unsupported { op, dtype }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
impl KvTypes {
    /// Every type for both, and every pair of types.
    pub(crate) fn various() -> impl Iterator<Item = Self> {
        let mixed = [(DType::Q8_0, DType::Q4_0), (DType::F16, DType::Q8_0), (DType::Q4_0, DType::F32)];
        Self::STORED.map(Self::from).into_iter().chain(mixed.map(|(k, v)| Self { k, v }))
    }
}

impl From<DType> for KvTypes {
    /// The same type for keys and values.
    fn from(dtype: DType) -> Self {
        Self { k: dtype, v: dtype }
    }
}

impl fmt::Display for KvTypes {
    /// `f16`, or `q8_0/q4_0` where keys and values differ.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.k == self.v { self.k.fmt(f) } else { write!(f, "{}/{}", self.k, self.v) }
    }
}

/// What one layer's keys (and likewise its values) are, and how much room they have: head-major,
/// `[kv_heads][slots][head_dim]`, so that a head's keys are contiguous. Within a head a backend orders them as suits
/// its kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Types of the stored elements.
    pub types: KvTypes,
    /// Heads that are stored.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Slots (tokens) that there is room for.
    pub capacity: usize,
}

impl KvLayout {
    /// Slots that memory is taken for are a multiple of this, so that a backend may keep keys in tiles of as many.
    pub const TILE: usize = 16;

    /// Slots that memory is taken for.
    pub fn slots(&self) -> usize {
        self.capacity.next_multiple_of(Self::TILE)
    }

    /// Bytes of one head's elements of one slot, of keys or values that are stored as `dtype`. Blocks run along the
    /// elements of a head; a last one that is not full is stored short.
    pub fn head_bytes(&self, dtype: DType) -> usize {
        dtype.short_bytes_for(self.head_dim).unwrap_or(usize::MAX)
    }

    /// Elements of a buffer of keys or values that are stored as `dtype`; `None` if they do not fit in a `usize`.
    /// Of a block format it is as many as whole blocks of so many bytes have.
    pub fn elements(&self, dtype: DType) -> Option<usize> {
        let slots = self.capacity.checked_next_multiple_of(Self::TILE)?;
        let heads = self.kv_heads.checked_mul(slots)?;
        if !dtype.is_quantized() {
            return heads.checked_mul(self.head_dim);
        }
        let bytes = heads.checked_mul(self.head_bytes(dtype))?;
        bytes.div_ceil(dtype.block_bytes()).checked_mul(dtype.block_len())
    }

    /// Number of `slot` of `head` where slots are contiguous, head by head.
    pub fn row(&self, head: usize, slot: usize) -> usize {
        head * self.slots() + slot
    }

    /// Checks that `layer` is what this layout says, in types that keys and values are stored in.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`], [`CoreError::Mismatch`].
    pub fn check_layer<B: Buffer>(&self, op: &'static str, layer: &KvLayer<B>) -> Result<()> {
        self.types.check(op)?;
        for (buffer, dtype) in [(&layer.k, self.types.k), (&layer.v, self.types.v)] {
            if buffer.dtype() != dtype {
                return Err(CoreError::Unsupported { op, dtype });
            }
            let expected = self.elements(dtype).unwrap_or(usize::MAX);
            CoreError::expect_eq(op, "cache length", buffer.len(), expected)?;
        }
        Ok(())
    }

    /// Bytes that the keys and the values of one slot take when they are exported.
    pub fn slot_bytes(&self) -> (usize, usize) {
        let all = |dtype| self.kv_heads.saturating_mul(self.head_bytes(dtype));
        (all(self.types.k), all(self.types.v))
    }

    /// Checks the operands of [`Backend::kv_export`] and [`Backend::kv_import`]: `layer` is of this layout, has
    /// `count` slots from `at` on, and `k` and `v` are as long as these.
    ///
    /// # Errors
    /// As [`Self::check_layer`] and [`Self::check_slots`].
    pub fn check_transfer<B: Buffer>(
        &self,
        op: &'static str,
        layer: &KvLayer<B>,
        slots: &Range<usize>,
        (k, v): (&[u8], &[u8]),
    ) -> Result<()> {
        self.check_layer(op, layer)?;
        let count = slots.end.checked_sub(slots.start).unwrap_or(usize::MAX);
        self.check_slots(op, slots.start, count)?;
        let (keys, values) = self.slot_bytes();
        CoreError::expect_eq(op, "bytes of keys", k.len(), keys.saturating_mul(count))?;
        CoreError::expect_eq(op, "bytes of values", v.len(), values.saturating_mul(count))
    }

    /// The slots that `bytes` of exported keys fill from `at` on, for [`Self::check_transfer`].
    pub fn slots_of(&self, bytes: usize, at: usize) -> Range<usize> {
        at..at.saturating_add(bytes.checked_div(self.slot_bytes().0).unwrap_or(0))
    }

    /// Room for the exported keys and values of `count` slots.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`].
    pub(super) fn room(&self, count: usize) -> Result<(Vec<u8>, Vec<u8>)> {
        let room = |bytes: usize| -> Result<Vec<u8>> {
            let len = bytes.saturating_mul(count);
            let mut room = Vec::new();
            let refused = |_| CoreError::OutOfMemory { what: "a copy of the key/value cache", bytes: len };
            room.try_reserve_exact(len).map_err(refused)?;
            room.resize(len, 0);
            Ok(room)
        };
        let (k, v) = self.slot_bytes();
        Ok((room(k)?, room(v)?))
    }

    /// Checks that there are `count` slots from `at` on.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`].
    pub fn check_slots(&self, op: &'static str, at: usize, count: usize) -> Result<()> {
        match at.checked_add(count) {
            Some(end) if end <= self.capacity => Ok(()),
            end => Err(CoreError::Mismatch {
                op,
                what: "last slot",
                got: end.unwrap_or(usize::MAX),
                expected: self.capacity,
            }),
        }
    }

    /// Checks the operands of [`Backend::kv_repack`]: the slots of `keep` are there in `src`, which is of this layout,
    /// and fit into `dst`, which is of layout `to`.
    ///
    /// # Errors
    /// As [`Self::check_layer`] and [`Self::check_slots`].
    pub fn check_repack<B: Buffer>(
        &self,
        src: &KvLayer<B>,
        keep: &[Range<usize>],
        dst: &KvLayer<B>,
        to: &Self,
    ) -> Result<()> {
        let op = "kv_repack";
        self.check_layer(op, src)?;
        to.check_layer(op, dst)?;
        CoreError::expect_eq(op, "heads", to.kv_heads, self.kv_heads)?;
        CoreError::expect_eq(op, "head size", to.head_dim, self.head_dim)?;
        for (to, from) in [(to.types.k, self.types.k), (to.types.v, self.types.v)] {
            if to != from {
                return Err(CoreError::Unsupported { op, dtype: to });
            }
        }
        let mut kept = 0usize;
        for range in keep {
            let count = range.end.checked_sub(range.start).unwrap_or(usize::MAX);
            self.check_slots(op, range.start, count)?;
            kept = kept.saturating_add(count);
        }
        to.check_slots(op, 0, kept)
    }

    /// Bytes of one token's key and value in one layer.
    pub fn bytes_per_token(&self) -> usize {
        let (k, v) = self.slot_bytes();
        k.saturating_add(v)
    }
}

/// One layer's keys and values.
#[derive(Debug)]
pub struct KvLayer<B> {
    /// Keys, rotated to their positions.
    pub k: B,
    /// Values.
    pub v: B,
}

impl<B: Buffer> KvLayer<B> {
    /// A layer's cache that holds nothing.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`], or [`CoreError::Unsupported`] for a type that the backend cannot hold.
    pub fn new<K: Backend<Buffer = B>>(backend: &K, layout: &KvLayout) -> Result<Self> {
        let buffer = |dtype| {
            let refused = CoreError::OutOfMemory { what: "the key/value cache", bytes: usize::MAX };
            backend.alloc(dtype, layout.elements(dtype).ok_or(refused)?)
        };
        Ok(Self { k: buffer(layout.types.k)?, v: buffer(layout.types.v)? })
    }
}
