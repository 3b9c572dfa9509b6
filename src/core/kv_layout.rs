//! How keys and values of a layer are stored: in pages.

use std::fmt;
use std::ops::Range;

use super::{AttentionParams, Backend, Buffer, CoreError, DType, Result, Tensor};

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

/// What one layer's keys (and likewise its values) are: pages of [`Self::PAGE`] slots, head-major within a page,
/// `[pages][kv_heads][PAGE][head_dim]`. Within a head of a page a backend orders them as suits its kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Types of the stored elements.
    pub types: KvTypes,
    /// Heads that are stored.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
}

impl KvLayout {
    /// Slots (tokens) of a page: those of an attention tile.
    pub const PAGE: usize = 64;

    /// Elements of a slot's keys, or values.
    pub fn width(&self) -> usize {
        self.kv_heads.saturating_mul(self.head_dim)
    }

    /// Bytes of one head's elements of one slot, of keys or values that are stored as `dtype`. Blocks run along the
    /// elements of a head; a last one that is not full is stored short.
    pub fn head_bytes(&self, dtype: DType) -> usize {
        dtype.short_bytes_for(self.head_dim).unwrap_or(usize::MAX)
    }

    /// Elements of a buffer of so many pages of keys or values that are stored as `dtype`; `None` if they do not fit in a
    /// `usize`. Of a block format it is as many as whole blocks of so many bytes have.
    pub fn elements(&self, dtype: DType, pages: usize) -> Option<usize> {
        let heads = pages.checked_mul(Self::PAGE)?.checked_mul(self.kv_heads)?;
        if !dtype.is_quantized() {
            return heads.checked_mul(self.head_dim);
        }
        let bytes = heads.checked_mul(self.head_bytes(dtype))?;
        bytes.div_ceil(dtype.block_bytes()).checked_mul(dtype.block_len())
    }

    /// Number of `slot` of `head` where slots are contiguous, page by page and head by head. `pages` has the page of
    /// each [`Self::PAGE`] slots.
    pub fn row(&self, pages: &[PageId], head: usize, slot: usize) -> usize {
        (pages[slot / Self::PAGE].index() * self.kv_heads + head) * Self::PAGE + slot % Self::PAGE
    }

    /// Bytes that the keys and the values of one slot take when they are exported.
    pub fn slot_bytes(&self) -> (usize, usize) {
        let all = |dtype| self.kv_heads.saturating_mul(self.head_bytes(dtype));
        (all(self.types.k), all(self.types.v))
    }

    /// Bytes of one token's key and value in one layer.
    pub fn bytes_per_token(&self) -> usize {
        let (k, v) = self.slot_bytes();
        k.saturating_add(v)
    }

    /// The slots that `bytes` of exported keys fill from `at` on, for [`KvLayer::check_transfer`].
    pub fn slots_of(&self, bytes: usize, at: usize) -> Range<usize> {
        at..at.saturating_add(bytes.checked_div(self.slot_bytes().0).unwrap_or(0))
    }

    /// Room for the exported keys and values of `count` slots.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`].
    pub fn room(&self, count: usize) -> Result<(Vec<u8>, Vec<u8>)> {
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
}

/// A page of a pool, in every layer of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(u32);

impl PageId {
    /// In the place of a page that was given back: nothing may read or write it.
    pub const NONE: Self = Self(u32::MAX);

    /// Page number `index`; [`Self::NONE`] if there can be none of that number.
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Its number.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Its number as kernels of a device read it.
    pub fn to_le_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

/// One sequence's share of a pass: which rows of the operands are its tokens, and where its keys and values are.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// Rows of the operands.
    pub rows: Range<usize>,
    /// The page of each [`KvLayout::PAGE`] slots, from slot 0 on.
    pub pages: &'a [PageId],
    /// The slot in which the first of the rows stands; each further row stands in the next one.
    pub len: usize,
}

impl Run<'_> {
    /// The slot after the last row's.
    pub fn end(&self) -> usize {
        self.len.saturating_add(self.rows.len())
    }
}

/// Pages of one layer's keys and values.
#[derive(Debug)]
pub struct KvLayer<B> {
    /// What they are.
    pub layout: KvLayout,
    /// How many pages there are.
    pub pages: usize,
    /// Keys, rotated to their positions.
    pub k: B,
    /// Values.
    pub v: B,
}

impl<B: Buffer> KvLayer<B> {
    /// So many pages of zeros.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`], or [`CoreError::Unsupported`] for a type that the backend cannot hold.
    pub fn new<K: Backend<Buffer = B>>(backend: &K, layout: KvLayout, pages: usize) -> Result<Self> {
        let buffer = |dtype| backend.alloc(dtype, Self::elements(&layout, dtype, pages)?);
        Ok(Self { layout, pages, k: buffer(layout.types.k)?, v: buffer(layout.types.v)? })
    }

    /// Adds pages, or drops the last ones, so that there are `pages`. One buffer after the other is there twice meanwhile.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`]: there are as many pages as before then.
    pub fn resize<K: Backend<Buffer = B>>(&mut self, backend: &K, pages: usize) -> Result<()> {
        let KvTypes { k, v } = self.layout.types;
        let len = |dtype, pages| Self::elements(&self.layout, dtype, pages);
        backend.resize(&mut self.k, len(k, pages)?)?;
        if let Err(error) = len(v, pages).and_then(|len| backend.resize(&mut self.v, len)) {
            backend.resize(&mut self.k, len(k, self.pages)?)?;
            return Err(error);
        }
        self.pages = pages;
        Ok(())
    }

    fn elements(layout: &KvLayout, dtype: DType, pages: usize) -> Result<usize> {
        let refused = CoreError::OutOfMemory { what: "the key/value cache", bytes: usize::MAX };
        // The last number stands for no page.
        layout.elements(dtype, pages).filter(|_| pages < u32::MAX as usize).ok_or(refused)
    }

    /// Memory taken, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.k.size_bytes() + self.v.size_bytes()
    }

    /// Checks that the buffers are what layout and number of pages say, in types that keys and values are stored in.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`], [`CoreError::Mismatch`].
    pub fn check(&self, op: &'static str) -> Result<()> {
        let types = self.layout.types;
        types.check(op)?;
        for (buffer, dtype) in [(&self.k, types.k), (&self.v, types.v)] {
            if buffer.dtype() != dtype {
                return Err(CoreError::Unsupported { op, dtype });
            }
            CoreError::expect_eq(
                op,
                "cache length",
                buffer.len(),
                Self::elements(&self.layout, dtype, self.pages)?,
            )?;
        }
        Ok(())
    }

    /// Checks that the slots `slots` of a sequence are in pages that there are.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`].
    pub fn check_slots(&self, op: &'static str, pages: &[PageId], slots: Range<usize>) -> Result<()> {
        let (first, end) = (slots.start / KvLayout::PAGE, slots.end.div_ceil(KvLayout::PAGE));
        if slots.start > slots.end || end > pages.len() {
            let expected = pages.len() * KvLayout::PAGE;
            return Err(CoreError::Mismatch { op, what: "last slot", got: slots.end, expected });
        }
        let absent = pages.get(first..end).unwrap_or_default().iter().find(|page| page.index() >= self.pages);
        match absent {
            Some(page) if !slots.is_empty() => {
                Err(CoreError::Mismatch { op, what: "page", got: page.index(), expected: self.pages })
            }
            _ => Ok(()),
        }
    }

    /// Checks the operands of an operation over `rows` rows: each run's rows are among them, and its slots from that on
    /// that `first` gives for it are in pages that there are.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`].
    pub fn check_runs(
        &self,
        op: &'static str,
        rows: usize,
        runs: &[Run<'_>],
        first: impl Fn(&Run<'_>) -> usize,
    ) -> Result<()> {
        for run in runs {
            let Range { start, end } = run.rows;
            if start > end || end > rows {
                return Err(CoreError::Mismatch { op, what: "last row of a run", got: end, expected: rows });
            }
            if start < end {
                self.check_slots(op, run.pages, first(run)..run.end())?;
            }
        }
        Ok(())
    }

    /// Checks the operands of [`Backend::kv_append`].
    ///
    /// # Errors
    /// As [`Self::check`] and [`Self::check_runs`].
    pub fn check_append(&self, k: &Tensor<B>, v: &Tensor<B>, runs: &[Run<'_>]) -> Result<()> {
        let op = "kv_append";
        CoreError::expect_eq(op, "value rows", v.rows(), k.rows())?;
        for source in [k, v] {
            CoreError::expect_eq(op, "columns", source.cols(), self.layout.width())?;
        }
        self.check(op)?;
        self.check_runs(op, k.rows(), runs, |run| run.len)
    }

    /// Checks the operands of [`Backend::attention`] and [`Backend::attention_weights`], and gives the query heads that
    /// read a head of the cache.
    ///
    /// # Errors
    /// As [`Self::check`] and [`Self::check_runs`].
    pub fn check_attention(
        &self,
        op: &'static str,
        q: &Tensor<B>,
        how: &AttentionParams,
        runs: &[Run<'_>],
    ) -> Result<usize> {
        let width = self.layout.width();
        CoreError::expect_eq(op, "part of a head group", q.cols() % width.max(1), 0)?;
        how.check(op)?;
        self.check(op)?;
        self.check_runs(op, q.rows(), runs, |run| how.visible(run.len, run.end()).start)?;
        Ok(q.cols().checked_div(width).unwrap_or(0))
    }

    /// Checks the operands of [`Backend::kv_export`] and [`Backend::kv_import`]: `slots` are in pages that there are, and
    /// `k` and `v` are as long as these.
    ///
    /// # Errors
    /// As [`Self::check`] and [`Self::check_slots`].
    pub fn check_transfer(
        &self,
        op: &'static str,
        pages: &[PageId],
        slots: &Range<usize>,
        (k, v): (&[u8], &[u8]),
    ) -> Result<()> {
        self.check(op)?;
        self.check_slots(op, pages, slots.clone())?;
        let (keys, values) = self.layout.slot_bytes();
        CoreError::expect_eq(op, "bytes of keys", k.len(), keys.saturating_mul(slots.len()))?;
        CoreError::expect_eq(op, "bytes of values", v.len(), values.saturating_mul(slots.len()))
    }

    /// Checks the operands of [`Backend::kv_copy`].
    ///
    /// # Errors
    /// As [`Self::check`] and [`Self::check_slots`].
    pub fn check_copy(
        &self,
        (from, first): (&[PageId], usize),
        (to, at): (&[PageId], usize),
        count: usize,
    ) -> Result<()> {
        let op = "kv_copy";
        self.check(op)?;
        self.check_slots(op, from, first..first.saturating_add(count))?;
        self.check_slots(op, to, at..at.saturating_add(count))
    }
}
