//! What to keep.

use std::ops::Range;

/// Slots of a cache to keep: ascending ranges that do not overlap, none of them empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    ranges: Vec<Range<usize>>,
}

impl Plan {
    /// A plan that keeps nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the slots of `range` too, as far as they come after all that are kept already.
    pub fn keep(mut self, range: Range<usize>) -> Self {
        let end = self.ranges.last().map_or(0, |last| last.end);
        let range = range.start.max(end)..range.end;
        match self.ranges.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
        self
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// How many slots are kept.
    pub fn kept(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }
}
