//! The layout of the keys and the values of a head in memory.
//!
//! A head of a page is [`KvLayout::PAGE`] slots, in tiles of sixteen. A tile begins with the scales of its blocks, `[blocks][16]`, where it has any.
//! Then come the elements: of keys `[head_dim][16]`, so that a vector lane is a slot and scores need no sum across
//! lanes; of values `[16][head_dim]`. Where a byte holds two elements, bytes take the place of elements.
//!
//! What moves at once is a piece: up to 32 elements of one slot, the bytes of one block.

use std::ops::Range;

use crate::core::{BLOCK_LEN, DType, KvLayout, PageId};

/// Slots of a tile.
pub(super) const TILE: usize = 16;

/// The most bytes that a piece takes.
pub(super) const MOST_BYTES: usize = BLOCK_LEN * size_of::<f32>();

/// Whether a lane is a slot, or an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Keys,
    Values,
}

/// The keys or the values of a head: where its pieces are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    side: Side,
    head_dim: usize,
    kv_heads: usize,
    /// Bytes of one slot.
    pub slot_bytes: usize,
    /// Bytes of a scale, or 0.
    scale: usize,
    /// Bytes of a unit: an element, or two of them.
    unit: usize,
    /// Units of a full piece, and of a slot.
    units: (usize, usize),
}

impl Pieces {
    /// Those of `layout`.
    pub fn new(layout: &KvLayout, side: Side) -> Self {
        let dtype = if side == Side::Keys { layout.types.k } else { layout.types.v };
        let (scale, unit) = if dtype.is_quantized() { (2, 1) } else { (0, dtype.block_bytes()) };
        let full = if dtype == DType::Q4_0 { BLOCK_LEN / 2 } else { BLOCK_LEN };
        let slot_bytes = layout.head_bytes(dtype);
        let scales = scale * layout.head_dim.div_ceil(BLOCK_LEN);
        let units = (full, (slot_bytes - scales) / unit);
        Self { side, head_dim: layout.head_dim, kv_heads: layout.kv_heads, slot_bytes, scale, unit, units }
    }

    /// The bytes of a head of a page.
    pub fn head(self, page: PageId, head: usize) -> Range<usize> {
        let len = KvLayout::PAGE * self.slot_bytes;
        let at = (page.index() * self.kv_heads + head) * len;
        at..at + len
    }

    /// The first element of each piece and where its bytes are in a slot that is exported.
    pub fn each(self) -> impl Iterator<Item = Piece> {
        let full = self.scale + self.units.0 * self.unit;
        (0..self.head_dim.div_ceil(BLOCK_LEN)).map(move |index| {
            let elements = BLOCK_LEN.min(self.head_dim - index * BLOCK_LEN);
            let units = self.units.0.min(self.units.1 - index * self.units.0);
            Piece { index, elements, at: index * full, bytes: self.scale + units * self.unit }
        })
    }

    /// Where a piece of a slot has its scale and its first unit, and bytes from a unit to the next.
    fn place(self, slot: usize, piece: Piece) -> (usize, usize, usize) {
        let (tile, lane) = (slot / TILE * TILE * self.slot_bytes, slot % TILE);
        let units = tile + TILE * (self.slot_bytes - self.units.1 * self.unit);
        let before = piece.index * self.units.0;
        let (unit, step) = match self.side {
            Side::Keys => (before * TILE + lane, TILE),
            Side::Values => (lane * self.units.1 + before, 1),
        };
        (tile + (piece.index * TILE + lane) * self.scale, units + unit * self.unit, step * self.unit)
    }

    /// Stores the bytes of a piece in `slot` of the head of a page.
    pub fn put(self, head: &mut [u8], slot: usize, piece: Piece, bytes: &[u8]) {
        let (scale, units) = bytes.split_at(self.scale);
        let (scale_at, at, step) = self.place(slot, piece);
        head[scale_at..scale_at + self.scale].copy_from_slice(scale);
        match self.unit {
            1 => scatter::<1>(units, &mut head[at..], step),
            2 => scatter::<2>(units, &mut head[at..], step),
            _ => scatter::<4>(units, &mut head[at..], step),
        }
    }

    /// Reads what [`Self::put`] stored.
    pub fn take(self, head: &[u8], slot: usize, piece: Piece, bytes: &mut [u8]) {
        let (scale, units) = bytes.split_at_mut(self.scale);
        let (scale_at, at, step) = self.place(slot, piece);
        scale.copy_from_slice(&head[scale_at..scale_at + self.scale]);
        match self.unit {
            1 => gather::<1>(&head[at..], step, units),
            2 => gather::<2>(&head[at..], step, units),
            _ => gather::<4>(&head[at..], step, units),
        }
    }

    /// Copies `count` slots of head `head` from a slot on of one table of pages to a slot on of another, in ascending
    /// order: whole tiles where both begin one, else piece by piece.
    pub fn copy(
        self,
        all: &mut [u8],
        head: usize,
        (from, first): (&[PageId], usize),
        (to, at): (&[PageId], usize),
        count: usize,
    ) {
        let place = |pages: &[PageId], slot: usize| {
            (self.head(pages[slot / KvLayout::PAGE], head).start, slot % KvLayout::PAGE)
        };
        let mut done = 0;
        while done < count {
            let ((a, from), (b, to)) = (place(from, first + done), place(to, at + done));
            if from.is_multiple_of(TILE) && to.is_multiple_of(TILE) && count - done >= TILE {
                let source = a + from * self.slot_bytes;
                all.copy_within(source..source + TILE * self.slot_bytes, b + to * self.slot_bytes);
                done += TILE;
                continue;
            }
            let mut bytes = [0; MOST_BYTES];
            for piece in self.each() {
                self.take(&all[a..], from, piece, &mut bytes[..piece.bytes]);
                self.put(&mut all[b..], to, piece, &bytes[..piece.bytes]);
            }
            done += 1;
        }
    }
}

/// Up to 32 elements of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    index: usize,
    /// How many elements there are.
    pub elements: usize,
    /// Where it begins in an exported slot.
    pub at: usize,
    /// Its bytes there.
    pub bytes: usize,
}

impl Piece {
    /// Its elements among those of a head.
    pub fn range(self) -> Range<usize> {
        self.index * BLOCK_LEN..self.index * BLOCK_LEN + self.elements
    }
}

fn scatter<const N: usize>(units: &[u8], into: &mut [u8], step: usize) {
    for (unit, into) in units.as_chunks::<N>().0.iter().zip(into.chunks_mut(step)) {
        into[..N].copy_from_slice(unit);
    }
}

fn gather<const N: usize>(from: &[u8], step: usize, units: &mut [u8]) {
    for (unit, from) in units.as_chunks_mut::<N>().0.iter_mut().zip(from.chunks(step)) {
        unit.copy_from_slice(&from[..N]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::KvTypes;

    #[test]
    fn every_byte_has_a_place_of_its_own_and_comes_back_whichever_way_it_is_moved() {
        let slots = 2 * KvLayout::PAGE;
        let tables = [[1, 0], [0, 1]].map(|table| table.map(PageId::new));
        for dtype in [DType::F32, DType::F16, DType::Q8_0, DType::Q4_0] {
            for (side, dim) in [(Side::Keys, 3), (Side::Values, 3), (Side::Keys, 77), (Side::Values, 77)] {
                let layout = KvLayout { types: KvTypes::from(dtype), kv_heads: 2, head_dim: dim };
                let pieces = Pieces::new(&layout, side);
                let size = 2 * slots * pieces.slot_bytes;
                let at = |pages: &[PageId], slot: usize| (pieces.head(pages[slot / 64], 1), slot % 64);
                // The bits of each byte's number, one bit a memory: so no two bytes can share a place unnoticed.
                for bit in 0..size.ilog2() + 1 {
                    let value = |slot: usize, at: usize| ((slot * pieces.slot_bytes + at) >> bit & 1) as u8;
                    let mut all = vec![9; size];
                    for (slot, piece) in (0..slots).flat_map(|slot| pieces.each().map(move |p| (slot, p))) {
                        let bytes: Vec<u8> = (0..piece.bytes).map(|i| value(slot, piece.at + i)).collect();
                        let (head, slot) = at(&tables[0], slot);
                        pieces.put(&mut all[head], slot, piece, &bytes);
                    }
                    let kept = all.iter().filter(|&&b| b != 9).count();
                    assert_eq!(
                        kept,
                        slots * pieces.slot_bytes,
                        "{dtype} {side:?} {dim}: the other head is left alone"
                    );
                    for (from, count, to) in
                        [(32, 96, 0), (16, 48, 0), (80, 40, 64), (5, 90, 3), (7, 0, 9), (70, 50, 1)]
                    {
                        let mut moved = all.clone();
                        pieces.copy(&mut moved, 1, (&tables[0], from), (&tables[0], to), count);
                        for (slot, piece) in (0..slots).flat_map(|s| pieces.each().map(move |p| (s, p))) {
                            let mut bytes = vec![7; piece.bytes];
                            let (head, place) = at(&tables[0], slot);
                            pieces.take(&moved[head], place, piece, &mut bytes);
                            let source =
                                if (to..to + count).contains(&slot) { slot - to + from } else { slot };
                            let right = (0..piece.bytes).map(|i| value(source, piece.at + i));
                            assert!(right.eq(bytes), "{dtype} {side:?} {dim}: {from}+{count} to {to}");
                        }
                    }
                    // From one page into the other one.
                    pieces.copy(&mut all, 1, (&tables[0], 3), (&tables[1], 10), 40);
                    let (head, place) = at(&tables[1], 49);
                    for piece in pieces.each() {
                        let mut bytes = vec![7; piece.bytes];
                        pieces.take(&all[head.clone()], place, piece, &mut bytes);
                        assert!(
                            (0..piece.bytes).map(|i| value(42, piece.at + i)).eq(bytes),
                            "{dtype} {side:?} {dim}"
                        );
                    }
                }
            }
        }
    }
}
