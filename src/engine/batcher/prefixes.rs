//! Texts that have ended, whose keys and values others can begin with.

use std::collections::HashMap;

use super::beginning::{Beginning, Salted};
use crate::core::{KvLayout, Result};
use crate::engine::runner::{Runner, SequenceId};

/// Ended texts, found by their first pages. A text is found by a hash of its salt and tokens, and used only if these
/// themselves are the same.
#[derive(Debug)]
pub(super) struct Prefixes {
    texts: HashMap<u64, Kept>,
    /// By the hash of the first page, the first two pages and so on: the texts that begin so.
    pages: HashMap<u64, Vec<u64>>,
    /// The most texts.
    most: usize,
    /// Counts uses.
    clock: u64,
}

/// A text that has ended.
#[derive(Debug)]
struct Kept {
    sequence: SequenceId,
    text: Salted,
    /// When it was last of use.
    used: u64,
    /// It is in a file, or is not to be.
    stored: bool,
}

impl Prefixes {
    /// None yet, and `most` at most.
    pub fn new(most: usize) -> Self {
        Self { texts: HashMap::new(), pages: HashMap::new(), most, clock: 0 }
    }

    /// How many texts are kept.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// The kept text that has the longest beginning in common with `wanted`, a page at least, and the length of that.
    pub fn longest(&mut self, wanted: Beginning<'_>) -> Option<(SequenceId, usize)> {
        // A text is there under each of its pages: after one that is missing none is to be found.
        let known = wanted.pages().map_while(|hash| self.pages.get(&hash)).last()?;
        let best = known.iter().filter_map(|number| {
            let text = self.texts.get(number)?;
            Some((text.text.all().common(wanted), text.used, *number))
        });
        let (length, _, number) = best.max()?;
        self.clock += 1;
        let text = self.texts.get_mut(&number)?;
        text.used = self.clock;
        (length >= KvLayout::PAGE).then_some((text.sequence, length))
    }

    /// A text that is in no file.
    pub fn unstored(&self) -> Option<(u64, SequenceId, &Salted)> {
        let mut texts = self.texts.iter();
        let (number, text) = texts.find(|(_, text)| !text.stored)?;
        Some((*number, text.sequence, &text.text))
    }

    /// A text by its number.
    pub fn text(&self, number: u64) -> Option<(SequenceId, &Salted)> {
        self.texts.get(&number).map(|text| (text.sequence, &text.text))
    }

    /// A text is in a file, or is not to be.
    pub fn set_stored(&mut self, number: u64) {
        if let Some(text) = self.texts.get_mut(&number) {
            text.stored = true;
        }
    }

    /// Keeps a text that has ended, whose tokens the sequence holds, and gives its number; or closes its sequence. Texts
    /// that it contains are needed no longer.
    pub fn keep(&mut self, runner: &mut dyn Runner, sequence: SequenceId, text: Salted) -> Option<u64> {
        let length = text.ids.len();
        // A beginning that was evicted from is of no use to others.
        let whole = runner.held(sequence).is_ok_and(|held| {
            held.slots.len() == length && held.slots.position() == length && held.slots.retained() == 0
        });
        let Some(last) = text.all().pages().last().filter(|_| whole && self.most > 0) else {
            runner.close(sequence);
            return None;
        };
        let contains = |kept: &Kept| {
            kept.text.all().starts_with(text.all()) && can_rewind(runner, kept.sequence, length)
        };
        let mut longer = self.pages.get(&last).into_iter().flatten().filter_map(|n| self.texts.get(n));
        if longer.any(contains) {
            runner.close(sequence);
            return None;
        }
        let contained = |kept: &Kept| {
            text.all().starts_with(kept.text.all()) && can_rewind(runner, sequence, kept.text.ids.len())
        };
        let shorter: Vec<u64> =
            self.texts.iter().filter(|(_, kept)| contained(kept)).map(|(number, _)| *number).collect();
        shorter.into_iter().for_each(|number| self.drop_text(runner, number));
        self.clock += 1;
        let number = self.clock;
        for hash in text.all().pages() {
            self.pages.entry(hash).or_default().push(number);
        }
        self.texts.insert(number, Kept { sequence, text, used: number, stored: false });
        while self.texts.len() > self.most {
            self.drop_oldest(runner);
        }
        Some(number)
    }

    /// Lets go of the text that was of no use for the longest time; false if there is none.
    pub fn drop_oldest(&mut self, runner: &mut dyn Runner) -> bool {
        let oldest = self.texts.iter().min_by_key(|(_, text)| text.used).map(|(number, _)| *number);
        oldest.is_some_and(|number| {
            self.drop_text(runner, number);
            true
        })
    }

    fn drop_text(&mut self, runner: &mut dyn Runner, number: u64) {
        let Some(kept) = self.texts.remove(&number) else { return };
        for hash in kept.text.all().pages() {
            if let Some(known) = self.pages.get_mut(&hash) {
                known.retain(|other| *other != number);
                if known.is_empty() {
                    self.pages.remove(&hash);
                }
            }
        }
        runner.close(kept.sequence);
    }
}

/// Whether a sequence can be gone on with from that position.
fn can_rewind(runner: &dyn Runner, sequence: SequenceId, position: usize) -> bool {
    runner.held(sequence).is_ok_and(|held| held.can_rewind(position))
}

/// A sequence that begins with the first `length` tokens of another one; `None` where that cannot be.
///
/// # Errors
/// No memory.
pub(super) fn fork(
    runner: &mut dyn Runner,
    sequence: SequenceId,
    length: usize,
) -> Result<Option<SequenceId>> {
    if can_rewind(runner, sequence, length) { runner.fork(sequence, length) } else { Ok(None) }
}
