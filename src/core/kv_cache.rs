//! Keys and values of the tokens seen so far.

mod transfer;

pub use transfer::KvRecords;

use std::ops::Range;

use super::kv_attention::AccumulatedAttention;
use super::{
    AttentionParams, Backend, Buffer, CoreError, KvLayer, KvLayout, KvTypes, Result, Tensor, UnrotatedPrefix,
};

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
    /// [`Self::position`] at the last [`Self::retain`].
    retained: usize,
    max_len: usize,
    prefix: Option<UnrotatedPrefix>,
    attention: Option<AccumulatedAttention>,
}

const GROWTH: usize = 256;

/// The most slots by which the cache grows at a time.
const STEP: usize = 4096;

/// The capacity that a cache of `capacity` slots grows to when it needs `need` of them, of at most `max_len`.
fn grown_capacity(capacity: usize, need: usize, max_len: usize) -> usize {
    let doubled = capacity.saturating_mul(2).min(capacity.saturating_add(STEP));
    let wanted = need.max(doubled);
    wanted.checked_next_multiple_of(GROWTH).unwrap_or(wanted).min(max_len)
}

/// The capacity that a cache had before it last grew, if it has come to hold `slots` one by one.
pub fn capacity_before(slots: usize) -> usize {
    match slots.saturating_sub(1) {
        last if last >= STEP => last / STEP * STEP,
        last if last >= GROWTH => GROWTH << (last / GROWTH).ilog2(),
        _ => 0,
    }
}

impl<B: Buffer> KvCache<B> {
    /// Slots that are taken at first, and the step in which the cache grows until doubling takes over.
    pub const GROWTH: usize = GROWTH;

    /// An empty cache that may grow up to `max_len` tokens. Memory is taken as it is needed.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] if keys or values cannot be stored in their type.
    pub fn new<K: Backend<Buffer = B>>(
        backend: &K,
        layers: usize,
        kv_heads: usize,
        head_dim: usize,
        types: KvTypes,
        max_len: usize,
    ) -> Result<Self> {
        types.check("the key/value cache")?;
        let layout = KvLayout { types, kv_heads, head_dim, capacity: 0 };
        let layers = (0..layers).map(|_| KvLayer::new(backend, &layout)).collect::<Result<_>>()?;
        Ok(Self { layers, layout, len: 0, position: 0, retained: 0, max_len, prefix: None, attention: None })
    }

    /// Makes room for `more` tokens after those held. Growing goes layer by layer, and takes the memory that one more
    /// layer had before.
    ///
    /// # Errors
    /// [`CoreError::CacheFull`] beyond `max_len`, [`CoreError::OutOfMemory`]. The contents stay as they were then, unless
    /// memory has run out on the way from layer to layer: that leaves an empty cache.
    pub fn reserve<K: Backend<Buffer = B>>(&mut self, backend: &K, more: usize) -> Result<()> {
        let full = CoreError::CacheFull { len: self.len, max: self.max_len, more };
        let need = match self.len.checked_add(more) {
            Some(n) if n <= self.max_len => n,
            _ => return Err(full),
        };
        if need <= self.layout.capacity {
            return Ok(());
        }
        let capacity = grown_capacity(self.layout.capacity, need, self.max_len);
        let all = 0..self.len;
        self.move_all(backend, std::slice::from_ref(&all), capacity)
    }

    /// Drops all tokens but those in the slots of `keep` (ascending, disjoint, within the slots held), which move
    /// together in their order, and leaves room for `more` after them. Memory that this does not need goes back to
    /// the system; [`Self::position`] stays, and so does each key's rotation.
    ///
    /// It takes the memory of one more layer meanwhile.
    ///
    /// # Errors
    /// [`CoreError::Mismatch`] for other ranges, [`CoreError::CacheFull`] if `more` do not fit after them,
    /// [`CoreError::OutOfMemory`] as [`Self::reserve`]. A backend that fails on its way leaves an empty cache.
    pub fn retain<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        keep: &[Range<usize>],
        more: usize,
    ) -> Result<()> {
        let (held, kept) = (self.len, self.check_ranges(keep)?);
        let need = kept.checked_add(more).filter(|&need| need <= self.max_len);
        let need = need.ok_or(CoreError::CacheFull { len: kept, max: self.max_len, more })?;
        let capacity = need.checked_next_multiple_of(Self::GROWTH).unwrap_or(need).min(self.max_len);
        self.move_all(backend, keep, capacity)?;
        self.retained = self.position;
        if let Some(attention) = &mut self.attention {
            attention.retain(held, keep);
        }
        Ok(())
    }

    /// Moves the slots of `keep` of each layer together, into layers of another capacity. Each goes into the memory of
    /// the layer before, or where that is of another size, into fresh memory.
    fn move_all<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        keep: &[Range<usize>],
        capacity: usize,
    ) -> Result<()> {
        let to = KvLayout { capacity, ..self.layout };
        let spare = KvLayer::new(backend, &to)?;
        self.move_layers(backend, keep, spare, to).inspect_err(|_| self.drop_all(backend))?;
        self.layout = to;
        self.len = keep.iter().map(ExactSizeIterator::len).sum();
        Ok(())
    }

    /// The layers are of two layouts if it fails on its way.
    fn move_layers<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        keep: &[Range<usize>],
        mut spare: KvLayer<B>,
        to: KvLayout,
    ) -> Result<()> {
        let last = self.layers.len().saturating_sub(1);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            backend.kv_repack(layer, &self.layout, keep, &mut spare, &to)?;
            std::mem::swap(layer, &mut spare);
            if to != self.layout && index < last {
                drop(spare);
                spare = KvLayer::new(backend, &to)?;
            }
        }
        Ok(())
    }

    /// Forgets everything and gives the memory back.
    fn drop_all<K: Backend<Buffer = B>>(&mut self, backend: &K) {
        self.clear();
        self.layout.capacity = 0;
        for layer in &mut self.layers {
            // An empty buffer should always be available; if not, the layer is refused when it is used next.
            if let Ok(empty) = KvLayer::new(backend, &self.layout) {
                *layer = empty;
            }
        }
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

    /// Counts `len` tokens, of which the caller knows that the slots hold them, of `position` seen: what was kept of a
    /// cache that another backend goes on with, or what [`Backend::kv_import`] has brought in from there.
    pub fn recount(&mut self, len: usize, position: usize) {
        debug_assert!(len <= self.layout.capacity && len <= position);
        (self.len, self.position) = (len, position);
    }

    /// Forgets everything; memory is kept for the next text.
    pub fn clear(&mut self) {
        self.len = 0;
        self.position = 0;
        self.retained = 0;
        if let Some(attention) = &mut self.attention {
            attention.clear();
        }
        if let Some(prefix) = &mut self.prefix {
            prefix.forget_from(0);
        }
    }

    /// Forgets the tokens from position `position` on, as if they had not been seen; memory is kept. Does nothing if
    /// no more than `position` were seen.
    ///
    /// They must have been added after the last [`Self::retain`]: what it has dropped does not come back.
    /// [`Self::can_rewind`] returns whether the cache is afterwards what it was then.
    pub fn rewind(&mut self, position: usize) {
        let forgotten = self.position.saturating_sub(position);
        debug_assert!(forgotten <= self.len);
        self.len = self.len.saturating_sub(forgotten);
        self.position -= forgotten;
        if let Some(prefix) = &mut self.prefix {
            prefix.forget_from(self.position);
        }
    }

    /// Whether nothing was evicted since `position` tokens were seen.
    pub fn can_rewind(&self, position: usize) -> bool {
        // Attention from tokens that are forgotten stays in the sums.
        position == self.position || self.attention.is_none() && position >= self.retained
    }

    /// How many tokens were seen at the last [`Self::retain`]; 0 where there was none.
    pub fn retained(&self) -> usize {
        self.retained
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
        let stored: usize = self.layers.iter().map(|l| l.k.size_bytes() + l.v.size_bytes()).sum();
        stored + self.prefix.as_ref().map_or(0, UnrotatedPrefix::size_bytes)
    }

    /// From now on the attention of each token is accumulated. [`Self::rewind`] takes back no more than `drafts`
    /// tokens of a pass.
    ///
    /// # Errors
    /// [`CoreError::Lacking`] if the backend does not compute it.
    pub fn accumulate_attention<K: Backend<Buffer = B>>(&mut self, backend: &K, drafts: usize) -> Result<()> {
        if let Some(layer) = self.layers.first() {
            let width = self.layout.kv_heads * self.layout.head_dim;
            let how = AttentionParams::of_head_dim(self.layout.head_dim);
            backend.attention_weights(&backend.tensor(0, width)?, layer, &self.layout, &how, 0, &mut [])?;
        }
        // Of a prompt's tokens the last layer computes the queries of the last one alone.
        self.attention = Some(AccumulatedAttention::new(self.layers.len().saturating_sub(1).max(1), drafts));
        Ok(())
    }

    /// Adds what the queries `q` of a layer, the first of them in slot `at`, attend to, if that is accumulated.
    ///
    /// # Errors
    /// As [`Backend::attention_weights`].
    pub fn add_attention<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        layer: usize,
        q: &Tensor<B>,
        how: &AttentionParams,
        at: usize,
    ) -> Result<()> {
        let Some(attention) = self.attention.as_mut().filter(|attention| attention.has(layer)) else {
            return Ok(());
        };
        let (stored, layout) = (&self.layers[layer], &self.layout);
        let weigh = |weights: &mut [f32]| backend.attention_weights(q, stored, layout, how, at, weights);
        attention.add(layer, (at, q.rows()), weigh)
    }

    /// The accumulated attention of each slot held since its token came, over all heads and all layers but the last
    /// (unless there is only one). Empty if it is not accumulated.
    pub fn accumulated_attention(&mut self) -> &[f64] {
        let len = self.len;
        self.attention.as_mut().map_or(&[], |attention| attention.total(len))
    }

    /// From now on the first `tokens` of each text are kept unrotated as well, in f32.
    pub fn keep_prefix(&mut self, tokens: usize) {
        let width = self.layout.kv_heads * self.layout.head_dim;
        self.prefix = Some(UnrotatedPrefix::new(self.layers.len(), tokens, width));
    }

    /// How many of the first tokens are kept unrotated.
    pub fn prefix_tokens(&self) -> usize {
        self.prefix.as_ref().map_or(0, UnrotatedPrefix::tokens)
    }

    /// Takes from the next tokens' keys, not rotated yet, and values what the prefix is to keep.
    ///
    /// # Errors
    /// As [`Backend::download`].
    pub fn capture_prefix<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        layer: usize,
        rows: (&Tensor<B>, &Tensor<B>),
    ) -> Result<()> {
        match &mut self.prefix {
            Some(prefix) => prefix.capture(backend, layer, rows, self.position),
            None => Ok(()),
        }
    }

    /// Brings the unrotated keys, and the values, of the first tokens `tokens` to the first rows of two tensors.
    ///
    /// # Errors
    /// As [`Backend::upload`].
    pub fn bring_prefix<K: Backend<Buffer = B>>(
        &self,
        backend: &K,
        layer: usize,
        tokens: Range<usize>,
        rows: (&mut Tensor<B>, &mut Tensor<B>),
    ) -> Result<()> {
        match &self.prefix {
            Some(prefix) => prefix.bring(backend, layer, tokens, rows),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capacity_before_is_the_one_that_growing_came_from() {
        let mut capacity = 0;
        let mut before = 0;
        for slots in 0..20_000 {
            if slots > capacity {
                before = capacity;
                capacity = grown_capacity(capacity, slots, usize::MAX);
            }
            assert_eq!(capacity_before(slots), before, "{slots}");
        }
        assert!(capacity_before(usize::MAX) > usize::MAX - 2 * STEP);
    }
}
