//! Keys and values of the tokens of one sequence seen so far.

mod eviction;
mod transfer;

pub use transfer::KvRecords;

use std::ops::Range;

use super::kv_attention::AccumulatedAttention;
use super::kv_pool::{GROWTH, pages_of};
use super::{
    AttentionParams, Backend, Buffer, CoreError, KvLayer, KvLayout, KvPool, KvShape, KvTypes, PageId, Result,
    Run, Tensor, UnrotatedPrefix,
};

/// The cache of all layers, for one sequence: a pool of pages of its own, and the tables of those that it holds.
///
/// Two counts that must not be confused: [`Self::len`] is how many tokens are held (it can shrink when some
/// are evicted), [`Self::position`] is how many have been seen (it only grows). Keys are rotated by position.
#[derive(Debug)]
pub struct KvCache<B> {
    pool: KvPool<B>,
    types: KvTypes,
    /// The pages of each group of layers, by slot. Those wholly before a window are given back.
    tables: Vec<Vec<PageId>>,
    len: usize,
    position: usize,
    /// [`Self::position`] at the last [`Self::retain`].
    retained: usize,
    max_len: usize,
    prefix: Option<UnrotatedPrefix>,
    attention: Option<AccumulatedAttention>,
}

impl<B: Buffer> KvCache<B> {
    /// Slots that are taken at first, and the step in which the cache grows until doubling takes over.
    pub const GROWTH: usize = GROWTH;

    /// An empty cache for layers of these shapes that may grow up to `max_len` tokens. Memory is taken as it is needed.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] if keys or values cannot be stored in their type.
    pub fn new<K: Backend<Buffer = B>>(
        backend: &K,
        shapes: &[KvShape],
        types: KvTypes,
        max_len: usize,
    ) -> Result<Self> {
        let pool = KvPool::new(backend, shapes, types, max_len)?;
        let tables = vec![Vec::new(); pool.groups()];
        Ok(Self {
            pool,
            types,
            tables,
            len: 0,
            position: 0,
            retained: 0,
            max_len,
            prefix: None,
            attention: None,
        })
    }

    /// Makes room for `more` tokens after those held, and gives back the pages that no later token sees. Growing goes
    /// buffer by buffer, and takes the memory that one more of them had before.
    ///
    /// # Errors
    /// [`CoreError::CacheFull`] beyond `max_len`, [`CoreError::OutOfMemory`]. The contents stay as they were then.
    pub fn reserve<K: Backend<Buffer = B>>(&mut self, backend: &K, more: usize) -> Result<()> {
        let full = CoreError::CacheFull { len: self.len, max: self.max_len, more };
        let need = match self.len.checked_add(more) {
            Some(n) if n <= self.max_len => n,
            _ => return Err(full),
        };
        (0..self.tables.len()).try_for_each(|group| self.reserve_in(backend, group, need))
    }

    /// As [`Self::reserve`] for a text of `more` tokens that comes in several passes: room in the layers that will hold all of
    /// it, while those with a window get theirs pass by pass.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn reserve_text<K: Backend<Buffer = B>>(&mut self, backend: &K, more: usize) -> Result<()> {
        let full = CoreError::CacheFull { len: self.len, max: self.max_len, more };
        let need = self.len.checked_add(more).filter(|need| *need <= self.max_len).ok_or(full)?;
        for group in 0..self.tables.len() {
            if self.pool.window(group).is_none() {
                self.reserve_in(backend, group, need)?;
            }
        }
        Ok(())
    }

    fn reserve_in<K: Backend<Buffer = B>>(&mut self, backend: &K, group: usize, need: usize) -> Result<()> {
        self.give_back_before_window(group);
        let missing = pages_of(need).saturating_sub(self.tables[group].len());
        if missing == 0 {
            return Ok(());
        }
        self.pool.take(backend, group, missing, &mut self.tables[group])
    }

    /// Gives back the pages of a group that are wholly before the window of the next token.
    fn give_back_before_window(&mut self, group: usize) {
        let first = self.first_visible(group, self.len);
        for page in self.tables[group].iter_mut().take(first / KvLayout::PAGE) {
            self.pool.give_back(group, &[*page]);
            *page = PageId::NONE;
        }
    }

    /// The first slot that a token in slot `slot` sees in the layers of a group.
    fn first_visible(&self, group: usize, slot: usize) -> usize {
        let window = self.pool.window(group);
        window.map_or(0, |window| slot.saturating_add(1).saturating_sub(window))
    }

    /// The first slot whose page a group has not given back.
    fn first_held(&self, group: usize) -> usize {
        let given_back = self.tables[group].iter().take_while(|page| **page == PageId::NONE);
        given_back.count() * KvLayout::PAGE
    }

    /// Counts `tokens` that every layer has stored by now.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
        self.position += tokens;
        debug_assert!(self.is_reserved(self.len));
    }

    fn is_reserved(&self, slots: usize) -> bool {
        self.tables.iter().all(|table| pages_of(slots) <= table.len())
    }

    /// Counts `len` tokens, of which the caller knows that the slots hold them, of `position` seen: what was kept of a
    /// cache that another backend goes on with, or what [`Self::import_slots`] has brought in from there.
    pub fn recount(&mut self, len: usize, position: usize) {
        debug_assert!(self.is_reserved(len) && len <= position);
        (self.len, self.position) = (len, position);
    }

    /// Forgets everything; memory is kept for the next text.
    pub fn clear(&mut self) {
        self.len = 0;
        self.position = 0;
        self.retained = 0;
        for (group, table) in self.tables.iter_mut().enumerate() {
            self.pool.give_back(group, table);
            table.clear();
        }
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
    /// [`Self::can_rewind`] returns whether the cache is afterwards what it was then; those of the last pass can always
    /// be forgotten.
    pub fn rewind(&mut self, position: usize) {
        let forgotten = self.position.saturating_sub(position);
        debug_assert!(forgotten <= self.len);
        self.len = self.len.saturating_sub(forgotten);
        self.position -= forgotten;
        if let Some(prefix) = &mut self.prefix {
            prefix.forget_from(self.position);
        }
    }

    /// Whether nothing was evicted since `position` tokens were seen, and nothing given back that the next token would
    /// see then.
    pub fn can_rewind(&self, position: usize) -> bool {
        let slot = self.len.saturating_sub(self.position.saturating_sub(position));
        let held = |group| self.first_held(group) <= self.first_visible(group, slot);
        // Attention from tokens that are forgotten stays in the sums.
        let counts = self.attention.is_none() && position >= self.retained;
        position == self.position || counts && (0..self.tables.len()).all(held)
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

    /// Slots that there is memory for in every layer that holds all tokens.
    pub fn capacity(&self) -> usize {
        let all = (0..self.tables.len()).filter(|&group| self.pool.window(group).is_none());
        all.map(|group| self.pool.capacity(group)).min().unwrap_or(self.max_len).min(self.max_len)
    }

    /// Types of keys and values.
    pub fn types(&self) -> KvTypes {
        self.types
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.pool.layers()
    }

    /// What a layer stores of a token.
    pub fn layout(&self, layer: usize) -> &KvLayout {
        &self.pool.layer(layer).layout
    }

    /// The pages of a layer, and the table of those that hold this sequence's slots.
    pub fn layer(&self, layer: usize) -> (&KvLayer<B>, &[PageId]) {
        (self.pool.layer(layer), &self.tables[self.pool.group_of(layer)])
    }

    /// As [`Self::layer`], to be written.
    pub fn layer_mut(&mut self, layer: usize) -> (&mut KvLayer<B>, &[PageId]) {
        let table = &self.tables[self.pool.group_of(layer)];
        (self.pool.layer_mut(layer), table)
    }

    /// Memory taken, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.pool.size_bytes() + self.prefix.as_ref().map_or(0, UnrotatedPrefix::size_bytes)
    }

    /// Stores the rows of `k` and `v` in the slots from `at` on of a layer. There has to be [room](Self::reserve).
    ///
    /// # Errors
    /// As [`Backend::kv_append`].
    pub fn append<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        layer: usize,
        (k, v): (&Tensor<B>, &Tensor<B>),
        at: usize,
    ) -> Result<()> {
        let (stored, pages) = self.layer_mut(layer);
        backend.kv_append(k, v, stored, &[Run { rows: 0..k.rows(), pages, len: at }])
    }

    /// Attention of the rows of `q`, the first of them in slot `at`, over a layer.
    ///
    /// # Errors
    /// As [`Backend::attention`].
    pub fn attend<K: Backend<Buffer = B>>(
        &self,
        backend: &K,
        layer: usize,
        q: &Tensor<B>,
        how: &AttentionParams,
        at: usize,
        out: &mut Tensor<B>,
    ) -> Result<()> {
        let (stored, pages) = self.layer(layer);
        backend.attention(q, stored, how, &[Run { rows: 0..q.rows(), pages, len: at }], out)
    }

    /// From now on the attention of each token is accumulated. [`Self::rewind`] takes back no more than `drafts`
    /// tokens of a pass.
    ///
    /// # Errors
    /// [`CoreError::Lacking`] if the backend does not compute it.
    pub fn accumulate_attention<K: Backend<Buffer = B>>(&mut self, backend: &K, drafts: usize) -> Result<()> {
        if self.layers() > 0 {
            let (stored, pages) = self.layer(0);
            let how = AttentionParams::of_head_dim(stored.layout.head_dim);
            let nothing = Run { rows: 0..0, pages, len: 0 };
            backend.attention_weights(
                &backend.tensor(0, stored.layout.width())?,
                stored,
                &how,
                &nothing,
                &mut [],
            )?;
        }
        // Of a prompt's tokens the last layer computes the queries of the last one alone.
        self.attention = Some(AccumulatedAttention::new(self.layers().saturating_sub(1).max(1), drafts));
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
        let stored = self.pool.layer(layer);
        let run = Run { rows: 0..q.rows(), pages: &self.tables[self.pool.group_of(layer)], len: at };
        let weigh = |weights: &mut [f32]| backend.attention_weights(q, stored, how, &run, weights);
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
        let widths = (0..self.layers()).map(|layer| self.layout(layer).width()).collect();
        self.prefix = Some(UnrotatedPrefix::new(widths, tokens));
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
