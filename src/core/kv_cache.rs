//! Keys and values of the tokens seen so far.

use std::ops::Range;

use super::{Backend, Buffer, CoreError, DType, Result};

/// What one layer's keys (and likewise its values) are, and how much room they have: head-major,
/// `[kv_heads][slots][head_dim]`, so that a head's keys are contiguous. Within a head a backend orders them as suits
/// its kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Type of the stored elements.
    pub dtype: DType,
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

    /// Elements of a buffer of this layout; `None` if they do not fit in a `usize`.
    pub fn elements(&self) -> Option<usize> {
        let slots = self.capacity.checked_next_multiple_of(Self::TILE)?;
        self.kv_heads.checked_mul(slots)?.checked_mul(self.head_dim)
    }

    /// Index of the first element of `slot` of `head` where the slots lie one behind the other.
    pub fn offset(&self, head: usize, slot: usize) -> usize {
        (head * self.slots() + slot) * self.head_dim
    }

    /// Checks that `buffer` is what this layout says, in a type that keys and values are stored in.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`], [`CoreError::Mismatch`].
    pub fn check_buffer(&self, op: &'static str, buffer: &impl Buffer) -> Result<()> {
        if !matches!(self.dtype, DType::F32 | DType::F16) || buffer.dtype() != self.dtype {
            return Err(CoreError::Unsupported { op, dtype: self.dtype });
        }
        CoreError::expect_eq(op, "cache length", buffer.len(), self.elements().unwrap_or(usize::MAX))
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
    /// As [`Self::check_buffer`] and [`Self::check_slots`].
    pub fn check_repack<B: Buffer>(
        &self,
        src: &KvLayer<B>,
        keep: &[Range<usize>],
        dst: &KvLayer<B>,
        to: &Self,
    ) -> Result<()> {
        let op = "kv_repack";
        for (buffer, layout) in [(&src.k, self), (&src.v, self), (&dst.k, to), (&dst.v, to)] {
            layout.check_buffer(op, buffer)?;
        }
        CoreError::expect_eq(op, "heads", to.kv_heads, self.kv_heads)?;
        CoreError::expect_eq(op, "head size", to.head_dim, self.head_dim)?;
        if to.dtype != self.dtype {
            return Err(CoreError::Unsupported { op, dtype: to.dtype });
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
        2 * self.kv_heads * self.dtype.bytes_for(self.head_dim).unwrap_or(usize::MAX / 4)
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
        let elements = layout
            .elements()
            .ok_or(CoreError::OutOfMemory { what: "the key/value cache", bytes: usize::MAX })?;
        Ok(Self { k: backend.alloc(layout.dtype, elements)?, v: backend.alloc(layout.dtype, elements)? })
    }
}

/// The cache of all layers.
///
/// Two counts that must not be confused: [`Self::len`] is how many tokens are held (it can shrink when some
/// are evicted), [`Self::position`] is how many have been seen (it only grows). Keys are rotated by position.
#[derive(Debug)]
pub struct KvCache<B> {
    layers: Vec<KvLayer<B>>,
    layout: KvLayout,
    len: usize,
    position: usize,
    max_len: usize,
}

impl<B: Buffer> KvCache<B> {
    /// Slots that are taken at first, and the step in which the cache grows until doubling takes over.
    pub const GROWTH: usize = 256;

    /// An empty cache that may grow up to `max_len` tokens. Memory is taken as it is needed.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] if `dtype` is no type that keys can be stored in.
    pub fn new<K: Backend<Buffer = B>>(
        backend: &K,
        layers: usize,
        kv_heads: usize,
        head_dim: usize,
        dtype: DType,
        max_len: usize,
    ) -> Result<Self> {
        if !matches!(dtype, DType::F32 | DType::F16) {
            return Err(CoreError::Unsupported { op: "the key/value cache", dtype });
        }
        let layout = KvLayout { dtype, kv_heads, head_dim, capacity: 0 };
        let layers = (0..layers)
            .map(|_| Ok(KvLayer { k: backend.alloc(dtype, 0)?, v: backend.alloc(dtype, 0)? }))
            .collect::<Result<_>>()?;
        Ok(Self { layers, layout, len: 0, position: 0, max_len })
    }

    /// Makes room for `more` tokens behind those held.
    ///
    /// # Errors
    /// [`CoreError::CacheFull`] beyond `max_len`, [`CoreError::OutOfMemory`]. The contents stay as they were.
    pub fn reserve<K: Backend<Buffer = B>>(&mut self, backend: &K, more: usize) -> Result<()> {
        let full = CoreError::CacheFull { len: self.len, max: self.max_len, more };
        let need = match self.len.checked_add(more) {
            Some(n) if n <= self.max_len => n,
            _ => return Err(full),
        };
        if need <= self.layout.capacity {
            return Ok(());
        }
        let doubled = self.layout.capacity.saturating_mul(2);
        let capacity = need
            .max(doubled.min(self.layout.capacity + 4096))
            .next_multiple_of(Self::GROWTH)
            .min(self.max_len);
        let keep = 0..self.len;
        self.repack(backend, std::slice::from_ref(&keep), capacity)
    }

    /// Rebuilds every layer with another capacity, keeping the slots in `keep` in that order.
    fn repack<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        keep: &[Range<usize>],
        capacity: usize,
    ) -> Result<()> {
        let to = KvLayout { capacity, ..self.layout };
        // All buffers are made before any is replaced: a refused allocation leaves the cache as it was.
        let mut fresh = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let mut repacked = KvLayer::new(backend, &to)?;
            backend.kv_repack(layer, &self.layout, keep, &mut repacked, &to)?;
            fresh.push(repacked);
        }
        self.layers = fresh;
        self.layout = to;
        self.len = keep.iter().map(ExactSizeIterator::len).sum();
        Ok(())
    }

    /// Drops all tokens but those in the slots of `keep` (ascending, disjoint, within the slots held), which move
    /// together in their order, and leaves room for `more` behind them. Memory that this does not need goes back to
    /// the system; [`Self::position`] stays, and so does each key's rotation.
    ///
    /// Where the capacity stays the same, it takes the memory of one more layer meanwhile.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] for other ranges, [`CoreError::CacheFull`] if `more` do not fit behind them,
    /// [`CoreError::OutOfMemory`]: the contents stay as they were then. A backend that fails on its way leaves an
    /// empty cache.
    pub fn retain<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        keep: &[Range<usize>],
        more: usize,
    ) -> Result<()> {
        let kept = self.check_ranges(keep)?;
        let need = kept.checked_add(more).filter(|&need| need <= self.max_len);
        let need = need.ok_or(CoreError::CacheFull { len: kept, max: self.max_len, more })?;
        let capacity = need.checked_next_multiple_of(Self::GROWTH).unwrap_or(need).min(self.max_len);
        if capacity != self.layout.capacity {
            return self.repack(backend, keep, capacity);
        }
        // Each layer moves into the memory of the one before it.
        let mut spare = KvLayer::new(backend, &self.layout)?;
        for layer in &mut self.layers {
            if let Err(error) = backend.kv_repack(layer, &self.layout, keep, &mut spare, &self.layout) {
                self.clear();
                return Err(error);
            }
            std::mem::swap(layer, &mut spare);
        }
        self.len = kept;
        Ok(())
    }

    /// How many slots `keep` has, if its ranges are ascending, disjoint and within the slots held.
    fn check_ranges(&self, keep: &[Range<usize>]) -> Result<usize> {
        let mut end = 0;
        for range in keep {
            let op = "keeping slots of the cache";
            if range.start < end {
                return Err(CoreError::Mismatch {
                    op,
                    what: "start of a range",
                    got: range.start,
                    expected: end,
                });
            }
            if range.end < range.start || range.end > self.len {
                return Err(CoreError::Mismatch {
                    op,
                    what: "end of a range",
                    got: range.end,
                    expected: self.len,
                });
            }
            end = range.end;
        }
        Ok(keep.iter().map(ExactSizeIterator::len).sum())
    }

    /// Counts `tokens` that every layer has stored by now.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
        self.position += tokens;
        debug_assert!(self.len <= self.layout.capacity);
    }

    /// Forgets everything; memory is kept for the next text.
    pub fn clear(&mut self) {
        self.len = 0;
        self.position = 0;
    }

    /// Forgets the tokens from position `position` on, as if they had not been seen; memory is kept. Does nothing if
    /// no more than `position` were seen.
    ///
    /// They must have been taken in behind the last [`Self::retain`]: what it has dropped does not come back.
    pub fn rewind(&mut self, position: usize) {
        let forgotten = self.position.saturating_sub(position);
        debug_assert!(forgotten <= self.len);
        self.len = self.len.saturating_sub(forgotten);
        self.position -= forgotten;
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens seen: the position of the next one.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The most tokens that may be held.
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// How a layer's buffers are laid out now.
    pub fn layout(&self) -> &KvLayout {
        &self.layout
    }

    /// The keys and values of a layer, to append to.
    pub fn layer_mut(&mut self, layer: usize) -> &mut KvLayer<B> {
        &mut self.layers[layer]
    }

    /// The keys and values of a layer.
    pub fn layer(&self, layer: usize) -> &KvLayer<B> {
        &self.layers[layer]
    }

    /// Memory taken, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.layers.iter().map(|l| l.k.size_bytes() + l.v.size_bytes()).sum()
    }
}
