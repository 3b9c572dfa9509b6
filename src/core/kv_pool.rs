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

impl KvShape {
    /// Slots that a layer holds of `slots` tokens that come in passes of up to `pass`: with a window no more than that, a
    /// pass and the pages at both ends.
    pub fn held(&self, slots: usize, pass: usize) -> usize {
        let most = |window: usize| window.saturating_add(pass).saturating_add(2 * KvLayout::PAGE);
        self.window.map_or(slots, |window| slots.min(most(window)))
    }

    /// How keys and values of these types are stored.
    pub fn layout(&self, types: KvTypes) -> KvLayout {
        KvLayout { types, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }
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
    /// How many sequences hold each page, of as many as every layer of the group has.
    users: Vec<u32>,
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
        for shape in shapes {
            let known = pool.groups.iter().position(|group| group.window == shape.window);
            pool.group_of.push(known.unwrap_or(pool.groups.len()));
            if known.is_none() {
                pool.groups.push(Group { window: shape.window, users: Vec::new() });
            }
            pool.layers.push(KvLayer::new(backend, shape.layout(types), 0)?);
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

    /// The layers of a group.
    pub fn layers_of(&self, group: usize) -> Vec<usize> {
        let all = self.group_of.iter().enumerate().filter(|(_, of)| **of == group);
        all.map(|(layer, _)| layer).collect()
    }

    /// The window of a group's layers.
    pub fn window(&self, group: usize) -> Option<usize> {
        self.groups[group].window
    }

    /// Slots that there is memory for in every layer that holds all tokens of a text.
    pub fn whole_capacity(&self) -> usize {
        let all = (0..self.groups.len()).filter(|&group| self.window(group).is_none());
        all.map(|group| self.capacity(group)).min().unwrap_or(self.most).min(self.most)
    }

    /// Slots that a group has memory for.
    pub fn capacity(&self, group: usize) -> usize {
        (self.groups[group].users.len() * KvLayout::PAGE).min(self.most.next_multiple_of(KvLayout::PAGE))
    }

    /// Pages that sequences hold and the most that they may hold, of the group of layers with the most in use.
    pub fn pages(&self) -> (usize, usize) {
        let used = |group: &Group| group.users.iter().filter(|users| **users > 0).count();
        (self.groups.iter().map(used).max().unwrap_or(0), pages_of(self.most))
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
        let Group { window, users } = &self.groups[group];
        let used = users.iter().filter(|users| **users > 0).count();
        let need = used.saturating_add(count);
        if need > users.len() {
            let most = pages_of(self.most);
            if need > most {
                let (len, max) = (used * KvLayout::PAGE, self.most);
                return Err(CoreError::CacheFull { len, max, more: count * KvLayout::PAGE });
            }
            let mut slots = grown(users.len() * KvLayout::PAGE, need * KvLayout::PAGE, self.most);
            if let Some(window) = window {
                // Such layers come to hold no more than their window, and a pass.
                slots = slots.min(window.saturating_add(KvLayout::PAGE)).max(need * KvLayout::PAGE);
            }
            self.resize(backend, group, pages_of(slots))?;
        }
        let users = &mut self.groups[group].users;
        let free = users.iter_mut().enumerate().filter(|(_, users)| **users == 0);
        table.extend(free.take(count).map(|(index, users)| {
            *users = 1;
            PageId::new(index)
        }));
        Ok(())
    }

    /// One more sequence holds these pages.
    pub fn share(&mut self, group: usize, pages: &[PageId]) {
        self.count(group, pages, |users| users.saturating_add(1));
    }

    /// A sequence lets go of pages: those that no other one holds are for others to take.
    pub fn give_back(&mut self, group: usize, pages: &[PageId]) {
        self.count(group, pages, |users| users.saturating_sub(1));
    }

    fn count(&mut self, group: usize, pages: &[PageId], counted: impl Fn(u32) -> u32) {
        let users = &mut self.groups[group].users;
        for page in pages.iter().filter(|page| **page != PageId::NONE) {
            debug_assert!(users.get(page.index()).is_some_and(|users| *users > 0), "{page:?} is taken");
            if let Some(users) = users.get_mut(page.index()) {
                *users = counted(*users);
            }
        }
    }

    /// Whether several sequences hold a page: what it stores must not change then.
    pub fn is_shared(&self, group: usize, page: PageId) -> bool {
        self.groups[group].users.get(page.index()).is_some_and(|users| *users > 1)
    }

    /// Gives memory back to the system, so that a group has no more than `slots` slots or what its last page needs.
    ///
    /// # Errors
    /// What the backend reports; no page that is taken is lost.
    pub fn shrink<K: Backend<Buffer = B>>(&mut self, backend: &K, group: usize, slots: usize) -> Result<()> {
        let users = &self.groups[group].users;
        let last = users.iter().rposition(|users| *users > 0).map_or(0, |last| last + 1);
        let pages = pages_of(slots).max(last);
        if pages < users.len() { self.resize(backend, group, pages) } else { Ok(()) }
    }

    /// All layers of a group, to so many pages. If one fails, the group has as many as each of them has.
    fn resize<K: Backend<Buffer = B>>(&mut self, backend: &K, group: usize, pages: usize) -> Result<()> {
        let of_group = self.layers_of(group);
        let Self { layers, groups, .. } = self;
        let done = of_group.iter().try_for_each(|&layer| layers[layer].resize(backend, pages));
        let least = of_group.iter().map(|&layer| layers[layer].pages).min().unwrap_or(0);
        groups[group].users.resize(least, 0);
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

    #[test]
    fn a_page_is_free_when_the_last_sequence_lets_go_of_it() {
        let b = &ReferenceBackend;
        let shapes = [KvShape { kv_heads: 1, head_dim: 2, window: None }];
        let mut pool = KvPool::new(b, &shapes, DType::F32.into(), 128).unwrap();
        let mut pages = Vec::new();
        pool.take(b, 0, 2, &mut pages).unwrap();
        pool.share(0, &pages[..1]);
        assert!(pool.is_shared(0, pages[0]) && !pool.is_shared(0, pages[1]));
        assert_eq!(pool.pages(), (2, 2));
        pool.give_back(0, &pages);
        assert_eq!(pool.pages(), (1, 2));
        let mut other = Vec::new();
        assert!(pool.take(b, 0, 2, &mut other).is_err(), "one sequence still holds the first page");
        pool.take(b, 0, 1, &mut other).unwrap();
        assert_eq!(other, pages[1..]);
        pool.give_back(0, &pages[..1]);
        pool.take(b, 0, 1, &mut other).unwrap();
        assert_eq!(other, [pages[1], pages[0]]);
    }
}
