//! Byte-pair merging: of all neighbours that may merge, those of the lowest rank do first, the leftmost of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::tables::Tables;

/// A token of the word and the bytes of text that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub id: u32,
    /// 0 once the one before has swallowed it.
    pub len: usize,
}

/// Neighbours, as a list within the list of symbols.
#[derive(Clone, Copy)]
struct Link {
    before: Option<usize>,
    after: Option<usize>,
}

/// Two neighbours that may merge: rank, position of the left one, both ids, and what they become. The queue gives
/// the lowest rank first; an entry whose ids are there no longer is passed over.
type Candidate = Reverse<(u32, usize, u32, u32, u32)>;

/// Merges the symbols of a word until no two neighbours merge.
pub(super) fn merge(tables: &Tables, mut symbols: Vec<Symbol>) -> Vec<Symbol> {
    let last = symbols.len().saturating_sub(1);
    let mut links: Vec<Link> = (0..symbols.len())
        .map(|i| Link { before: i.checked_sub(1), after: (i < last).then_some(i + 1) })
        .collect();
    let mut queue: BinaryHeap<Candidate> = BinaryHeap::new();
    let entry = |symbols: &[Symbol], left: usize, right: usize| {
        let (a, b) = (symbols[left].id, symbols[right].id);
        tables.merge(a, b).map(|(rank, result)| Reverse((rank, left, a, b, result)))
    };
    queue.extend((1..symbols.len()).filter_map(|right| entry(&symbols, right - 1, right)));
    while let Some(Reverse((_, left, a, b, result))) = queue.pop() {
        let Some(right) = links[left].after else { continue };
        if symbols[left].len == 0 || (symbols[left].id, symbols[right].id) != (a, b) {
            continue;
        }
        symbols[left] = Symbol { id: result, len: symbols[left].len + symbols[right].len };
        symbols[right].len = 0;
        let after = links[right].after;
        links[left].after = after;
        if let Some(after) = after {
            links[after].before = Some(left);
            queue.extend(entry(&symbols, left, after));
        }
        if let Some(before) = links[left].before {
            queue.extend(entry(&symbols, before, left));
        }
    }
    symbols.retain(|s| s.len > 0);
    symbols
}
