//! Prompt lookup: drafts from what the text has said before.
//!
//! Where the last tokens have occurred before, what followed them then is a guess at what follows now (Saxena
//! 2023, "Prompt Lookup Decoding").

use super::drafter::Drafter;

/// Tokens that must agree before what followed is worth a guess: the longer of the two is looked up first.
const LONG: usize = 3;
const SHORT: usize = 2;

/// Agreement beyond this many tokens is not distinguished.
const LONGEST: usize = 8;

/// What each row after the first one adds to the cost of a pass, as a share of a pass over one row. Measured
/// for 2 to 12 rows of models in memory (0.15 to 0.3) and in cache (0.35).
const ROW_COST: f64 = 0.3;

/// What a draft must promise, in tokens per cost, before it is made; 1 is what no draft gives.
const WORTH: f64 = 1.1;

/// How much the last prediction counts in a rate of success.
const LEARNING: f64 = 1.0 / 16.0;

/// Where the end of the text was found before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    /// Position of the token that followed then.
    next: usize,
    /// Tokens that agree before it, up to [`LONGEST`].
    agree: usize,
}

/// Predicts a text's next tokens from its own past, and learns how far that can be trusted.
///
/// Every token that is chosen is compared with the prediction, whether it was drafted or not. So a pause costs
/// nothing and ends by itself, and how much is drafted follows from the text alone, never from a clock.
#[derive(Debug)]
pub(super) struct Lookup {
    most: usize,
    long: Occurrences<LONG>,
    short: Occurrences<SHORT>,
    found: Option<Match>,
    /// How often predictions came true, by the length of the agreement.
    rates: [f64; 4],
}

impl Lookup {
    /// Drafts of up to `most` tokens after `prompt`, at least one.
    pub fn new(most: usize, prompt: &[u32]) -> Self {
        let mut this = Self {
            most,
            long: Occurrences::default(),
            short: Occurrences::default(),
            found: None,
            rates: [0.2, 0.3, 0.5, 0.7],
        };
        (1..=prompt.len()).for_each(|end| this.index(&prompt[..end]));
        this.found = this.search(prompt);
        this
    }

    /// The length of draft, up to `room`, that promises the most tokens for the cost of its pass.
    fn worth_drafting(&self, agree: usize, room: usize) -> usize {
        let (mut best, mut length) = (WORTH, 0);
        let (mut reached, mut tokens, mut cost) = (1.0, 1.0, 1.0);
        for i in 0..room {
            reached *= self.rates[class(agree + i)];
            tokens += reached;
            cost += ROW_COST;
            if tokens / cost > best {
                (best, length) = (tokens / cost, i + 1);
            }
        }
        length
    }

    /// Notes what the last token of `history` followed.
    fn index(&mut self, history: &[u32]) {
        self.long.insert(history);
        self.short.insert(history);
    }

    /// The latest earlier occurrence of the end of `history`.
    fn search(&self, history: &[u32]) -> Option<Match> {
        let next = self.long.find(history).or_else(|| self.short.find(history))?;
        let pairs = history[..next].iter().rev().zip(history.iter().rev());
        Some(Match { next, agree: pairs.take(LONGEST).take_while(|(a, b)| a == b).count() })
    }
}

impl Drafter for Lookup {
    fn chosen(&mut self, history: &[u32]) {
        let Some(&id) = history.last() else { return };
        self.index(history);
        self.found = match self.found {
            Some(Match { next, agree }) => {
                let came_true = history.get(next) == Some(&id);
                let rate = &mut self.rates[class(agree)];
                *rate += (f64::from(u8::from(came_true)) - *rate) * LEARNING;
                if came_true {
                    Some(Match { next: next + 1, agree: (agree + 1).min(LONGEST) })
                } else {
                    self.search(history)
                }
            }
            None => self.search(history),
        };
    }

    fn propose(&mut self, history: &[u32], room: usize, draft: &mut Vec<u32>) {
        let Some(found) = self.found else { return };
        for i in 0..self.worth_drafting(found.agree, room.min(self.most)) {
            // After the end of the text its last stretch repeats itself.
            let after = (found.next + i).checked_sub(history.len());
            draft.push(after.map_or_else(|| history[found.next + i], |after| draft[after]));
        }
    }
}

/// The class of rates that an agreement of so many tokens belongs to.
fn class(agree: usize) -> usize {
    match agree {
        0..=2 => 0,
        3 => 1,
        4..LONGEST => 2,
        _ => 3,
    }
}

/// Where each run of `N` tokens last occurred with a token after it.
///
/// An open-addressed table of positions; the runs themselves are read from the text.
#[derive(Debug, Default)]
struct Occurrences<const N: usize> {
    /// The position after a run; 0 where there is none. The length is 0 or a power of two.
    slots: Vec<u32>,
    used: usize,
}

impl<const N: usize> Occurrences<N> {
    /// Notes the run before the last token of `history`, in place of an earlier one that is the same.
    fn insert(&mut self, history: &[u32]) {
        let Some(end) = history.len().checked_sub(1).filter(|&end| end >= N) else { return };
        let Ok(position) = u32::try_from(end) else { return };
        if 2 * (self.used + 1) > self.slots.len() {
            self.grow(history);
        }
        let slot = self.slot(history, end);
        self.used += usize::from(self.slots[slot] == 0);
        self.slots[slot] = position;
    }

    /// The position after the last noted run that is the same as the end of `history`.
    fn find(&self, history: &[u32]) -> Option<usize> {
        if self.slots.is_empty() || history.len() < N {
            return None;
        }
        let position = self.slots[self.slot(history, history.len())] as usize;
        (position > 0).then_some(position)
    }

    /// The slot that holds the run before position `end`, or the free one where it belongs.
    fn slot(&self, history: &[u32], end: usize) -> usize {
        let run = &history[end - N..end];
        let mask = self.slots.len() - 1;
        let hash = run.iter().fold(0u64, |h, &t| (h ^ u64::from(t)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut slot = (hash >> 32) as usize & mask;
        // At least half of the slots are free, so that this ends.
        loop {
            let at = self.slots[slot] as usize;
            if at == 0 || history[at - N..at] == *run {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Doubles the table.
    fn grow(&mut self, history: &[u32]) {
        let size = (2 * self.slots.len()).max(1024);
        let old = std::mem::replace(&mut self.slots, vec![0; size]);
        for position in old.into_iter().filter(|&p| p > 0) {
            let slot = self.slot(history, position as usize);
            self.slots[slot] = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By looking through the whole text.
    fn latest(history: &[u32], n: usize) -> Option<usize> {
        let end = history.len();
        (n..end).rev().find(|&p| end >= n && history[p - n..p] == history[end - n..])
    }

    #[test]
    fn the_latest_and_longest_occurrence_is_found() {
        let text = [7, 1, 2, 3, 9, 1, 2, 4, 8, 2, 5, 1, 2];
        assert_eq!(Lookup::new(4, &text).found, Some(Match { next: 7, agree: 2 }));
        // Three tokens beat two that are nearer.
        let text = [7, 1, 2, 3, 9, 1, 2, 4, 7, 1, 2];
        assert_eq!(Lookup::new(4, &text).found, Some(Match { next: 3, agree: 3 }));
        assert_eq!(Lookup::new(4, &[1, 2, 3, 4]).found, None);
        assert_eq!(Lookup::new(4, &[1]).found, None);
        assert!(draft(&mut Lookup::new(4, &[1]), &[1], 4).is_empty());
        assert_eq!(Lookup::new(4, &[]).found, None);
    }

    fn draft(lookup: &mut Lookup, history: &[u32], room: usize) -> Vec<u32> {
        let mut draft = Vec::new();
        lookup.propose(history, room, &mut draft);
        draft
    }

    #[test]
    fn drafts_continue_the_match_and_repeat_the_end_of_the_text() {
        let mut lookup = Lookup::new(6, &[1, 2, 3, 4, 5, 6, 1, 2, 3]);
        lookup.rates = [1.0; 4];
        assert_eq!(draft(&mut lookup, &[1, 2, 3, 4, 5, 6, 1, 2, 3], 3), [4, 5, 6]);
        let looping = [9, 1, 2, 1, 2, 1];
        let mut lookup = Lookup::new(6, &looping);
        lookup.rates = [1.0; 4];
        assert_eq!(draft(&mut lookup, &looping, 100), [2, 1, 2, 1, 2, 1]);
        assert!(draft(&mut lookup, &looping, 0).is_empty());
    }

    #[test]
    fn what_fails_is_not_drafted_and_what_comes_true_is_drafted_far() {
        // Every pair of tokens comes back with another token after it.
        let mut history = Vec::new();
        for i in 0..200 {
            history.extend([1, 2, 100 + i]);
        }
        let mut lookup = Lookup::new(8, &[]);
        for end in 1..=history.len() {
            lookup.chosen(&history[..end]);
            if end > 300 {
                assert!(draft(&mut lookup, &history[..end], 8).is_empty(), "at {end}");
            }
        }
        // A text that says the same again.
        let mut longest = 0;
        for id in (0..4).flat_map(|_| 1000..1060) {
            history.push(id);
            lookup.chosen(&history);
            longest = longest.max(draft(&mut lookup, &history, 8).len());
        }
        assert!(longest >= 6, "{longest}");
    }

    proptest! {
        #[test]
        fn the_table_finds_what_looking_through_the_text_finds(
            text in prop::collection::vec(0u32..6, 0..400),
            more in prop::collection::vec(0u32..1000, 0..2000),
        ) {
            let (mut long, mut short) = (Occurrences::<LONG>::default(), Occurrences::<SHORT>::default());
            let text = [text.clone(), more, text].concat();
            for end in 1..=text.len() {
                let history = &text[..end];
                long.insert(history);
                short.insert(history);
                if end % 7 == 0 || end < 50 {
                    prop_assert_eq!(long.find(history), latest(history, LONG), "{}", end);
                    prop_assert_eq!(short.find(history), latest(history, SHORT), "{}", end);
                }
            }
        }
    }
}
