//! Pages of keys and values that sequences share.

use super::{Backend, Buffer, CoreError, KvLayer, KvLayout, KvTypes, PageId, Result};

/// What a layer stores of a token, and of how many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Heads that are stored.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// How many slots a query sees at most, if not all: what is before them need not be held.
    pub window: Option<usize>,
}

/// The pages of all layers. Layers with the same window are a group: a page of a group is there in each of its layers, and
/// a sequence has a table of pages for each group. Memory is taken as it is needed.
#[derive(Debug)]
pub struct KvPool<B> {
    layers: Vec<KvLayer<B>>,
    /// The group of each layer.
    group_of: Vec<usize>,
    groups: Vec<Group>,
    /// The most slots that a group may have.
    most: usize,
}

/// Layers that share page numbers.
#[derive(Debug)]
struct Group {
    window: Option<usize>,
    /// Which pages are taken: as many as every layer of the group has.
    taken: Vec<bool>,
}

/// Slots that are taken at first, and the step in which a pool grows until doubling takes over.
pub(super) const GROWTH: usize = 256;

/// The most slots by which a pool grows at a time.
const STEP: usize = 4096;

/// The slots that a pool of `slots` grows to when it needs `need` of them, of at most `most`.
fn grown(slots: usize, need: usize, most: usize) -> usize {
    let doubled = slots.saturating_mul(2).min(slots.saturating_add(STEP));
    let wanted = need.max(doubled);
    wanted.checked_next_multiple_of(GROWTH).unwrap_or(wanted).min(most)
}

/// The slots that a pool had before it last grew, if one sequence has come to hold `slots` one by one.
pub fn capacity_before(slots: usize) -> usize {
    match slots.saturating_sub(1) {
        last if last >= STEP => last / STEP * STEP,
        last if last >= GROWTH => GROWTH << (last / GROWTH).ilog2(),
        _ => 0,
    }
}

/// Pages that hold so many slots.
pub(super) fn pages_of(slots: usize) -> usize {
    slots.div_ceil(KvLayout::PAGE)
}

impl<B: Buffer> KvPool<B> {
    /// An empty pool for layers of these shapes, of at most `most` slots.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] if keys or values cannot be stored in their type.
    pub fn new<K: Backend<Buffer = B>>(
        backend: &K,
        shapes: &[KvShape],
        types: KvTypes,
        most: usize,
    ) -> Result<Self> {
        types.check("the key/value cache")?;
        let mut pool = Self { layers: Vec::new(), group_of: Vec::new(), groups: Vec::new(), most };
        for &KvShape { kv_heads, head_dim, window } in shapes {
            let known = pool.groups.iter().position(|group| group.window == window);
            pool.group_of.push(known.unwrap_or(pool.groups.len()));
            if known.is_none() {
                pool.groups.push(Group { window, taken: Vec::new() });
            }
            pool.layers.push(KvLayer::new(backend, KvLayout { types, kv_heads, head_dim }, 0)?);
        }
        Ok(pool)
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The pages of a layer.
    pub fn layer(&self, layer: usize) -> &KvLayer<B> {
        &self.layers[layer]
    }

    /// The pages of a layer, to be written.
    pub fn layer_mut(&mut self, layer: usize) -> &mut KvLayer<B> {
        &mut self.layers[layer]
    }

    /// Number of groups: of tables that a sequence has.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The group of a layer.
    pub fn group_of(&self, layer: usize) -> usize {
        self.group_of[layer]
    }

    /// The window of a group's layers.
    pub fn window(&self, group: usize) -> Option<usize> {
        self.groups[group].window
    }

    /// Slots that a group has memory for.
    pub fn capacity(&self, group: usize) -> usize {
        (self.groups[group].taken.len() * KvLayout::PAGE).min(self.most.next_multiple_of(KvLayout::PAGE))
    }

    /// Memory taken, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.layers.iter().map(KvLayer::size_bytes).sum()
    }

    /// Takes `count` pages of a group and adds them to `table`: the free ones of the lowest numbers, so that the last ones
    /// can go back to the system. Grows if there are not enough, one buffer after the other.
    ///
    /// # Errors
    /// [`CoreError::CacheFull`] beyond what the pool may have, [`CoreError::OutOfMemory`]: nothing is taken then.
    pub fn take<K: Backend<Buffer = B>>(
        &mut self,
        backend: &K,
        group: usize,
        count: usize,
        table: &mut Vec<PageId>,
    ) -> Result<()> {
        let Group { window, taken } = &self.groups[group];
        let used = taken.iter().filter(|taken| **taken).count();
        let need = used.saturating_add(count);
        if need > taken.len() {
            let most = pages_of(self.most);
            if need > most {
                let (len, max) = (used * KvLayout::PAGE, self.most);
                return Err(CoreError::CacheFull { len, max, more: count * KvLayout::PAGE });
            }
            let mut slots = grown(taken.len() * KvLayout::PAGE, need * KvLayout::PAGE, self.most);
            if let Some(window) = window {
                // Such layers come to hold no more than their window, and a pass.
                slots = slots.min(window.saturating_add(KvLayout::PAGE)).max(need * KvLayout::PAGE);
            }
            self.resize(backend, group, pages_of(slots))?;
        }
        let taken = &mut self.groups[group].taken;
        let free = taken.iter_mut().enumerate().filter(|(_, taken)| !**taken);
        table.extend(free.take(count).map(|(index, taken)| {
            *taken = true;
            PageId::new(index)
        }));
        Ok(())
    }

    /// Gives pages back for others to take.
    pub fn give_back(&mut self, group: usize, pages: &[PageId]) {
        let taken = &mut self.groups[group].taken;
        for page in pages.iter().filter(|page| **page != PageId::NONE) {
            debug_assert_eq!(taken.get(page.index()), Some(&true), "{page:?} is taken");
            if let Some(taken) = taken.get_mut(page.index()) {
                *taken = false;
            }
        }
    }

    /// Gives memory back to the system, so that a group has no more than `slots` slots or what its last page needs.
    ///
    /// # Errors
    /// What the backend reports; no page that is taken is lost.
    pub fn shrink<K: Backend<Buffer = B>>(&mut self, backend: &K, group: usize, slots: usize) -> Result<()> {
        let taken = &self.groups[group].taken;
        let last = taken.iter().rposition(|taken| *taken).map_or(0, |last| last + 1);
        let pages = pages_of(slots).max(last);
        if pages < taken.len() { self.resize(backend, group, pages) } else { Ok(()) }
    }

    /// All layers of a group, to so many pages. If one fails, the group has as many as each of them has.
    fn resize<K: Backend<Buffer = B>>(&mut self, backend: &K, group: usize, pages: usize) -> Result<()> {
        let Self { layers, group_of, groups, .. } = self;
        let of_group = || group_of.iter().enumerate().filter(|(_, of)| **of == group).map(|(layer, _)| layer);
        let done = of_group().try_for_each(|layer| layers[layer].resize(backend, pages));
        let least = of_group().map(|layer| layers[layer].pages).min().unwrap_or(0);
        groups[group].taken.resize(least, false);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::ReferenceBackend;
    use crate::core::DType;

    #[test]
    fn the_capacity_before_is_the_one_that_growing_came_from() {
        let (mut capacity, mut before) = (0, 0);
        for slots in 0..20_000 {
            if slots > capacity {
                before = capacity;
                capacity = grown(capacity, slots, usize::MAX);
            }
            assert_eq!(capacity_before(slots), before, "{slots}");
        }
        assert!(capacity_before(usize::MAX) > usize::MAX - 2 * STEP);
    }

    #[test]
    fn pages_are_taken_from_the_front_and_memory_goes_back() {
        let b = &ReferenceBackend;
        let shape = |window| KvShape { kv_heads: 2, head_dim: 4, window };
        let shapes = [shape(None), shape(Some(100)), shape(None)];
        let mut pool = KvPool::new(b, &shapes, DType::F16.into(), 2000).unwrap();
        assert_eq!((pool.groups(), pool.group_of(1), pool.group_of(2)), (2, 1, 0));
        let (mut one, mut other) = (Vec::new(), Vec::new());
        pool.take(b, 0, 3, &mut one).unwrap();
        pool.take(b, 0, 2, &mut other).unwrap();
        assert_eq!((one.len(), pool.capacity(0), pool.capacity(1)), (3, 512, 0));
        assert_eq!(pool.size_bytes(), 2 * 512 * 2 * 2 * 4 * 2);
        pool.give_back(0, &one);
        one.clear();
        pool.take(b, 0, 1, &mut one).unwrap();
        assert_eq!((one[0], other[1]), (PageId::new(0), PageId::new(4)));
        // The last page that is taken bounds what can go back.
        pool.shrink(b, 0, 64).unwrap();
        assert_eq!(pool.capacity(0), 320);
        pool.give_back(0, &other);
        pool.shrink(b, 0, 64).unwrap();
        assert_eq!((pool.capacity(0), pool.size_bytes()), (64, 2 * 64 * 2 * 2 * 4 * 2));
        // A layer with a window does not grow by doubling beyond it.
        pool.take(b, 1, 2, &mut Vec::new()).unwrap();
        assert_eq!(pool.capacity(1), 192);
        let full = pool.take(b, 0, 32, &mut one).unwrap_err();
        assert!(matches!(full, CoreError::CacheFull { max: 2000, .. }), "{full}");
        assert_eq!(one.len(), 1);
        pool.take(b, 0, 31, &mut one).unwrap();
    }
}
