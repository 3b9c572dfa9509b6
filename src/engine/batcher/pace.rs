//! How much of the prompts goes through the model beside texts that are being generated.

use std::time::Duration;

/// The most times that prompts may take in a pass for what the texts that are being generated take: some of these have to go
/// on where many prompts wait.
const MOST_SHARE: f64 = 8.0;

/// Tokens of prompts beside others, while nothing is known of their cost.
const UNKNOWN: usize = 32;

/// The fewest tokens of prompts beside others, however long they take: prompts have to go on too.
const LEAST: usize = 4;

/// How much a new measurement counts.
const WEIGHT: f64 = 0.1;

/// A spread of rows below which nothing is learned of what a row costs.
const LEAST_SPREAD: f64 = 1e-6;

/// What passes have cost so far: a line through their times by their rows, the latest passes counting most. It decides
/// about time alone: a text is the same at any pace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Means of the rows of a pass, and of its seconds; 0 while unknown.
    rows: f64,
    time: f64,
    /// Variance of the rows, and covariance with the seconds.
    spread: f64,
    joint: f64,
    /// Seconds that a row adds to a pass; 0 while unknown.
    row: f64,
}

impl Pace {
    /// What a pass has cost that took in `rows` tokens.
    pub fn note(&mut self, rows: usize, time: Duration) {
        let (rows, time) = (rows as f64, time.as_secs_f64());
        if rows == 0.0 {
            return;
        }
        if self.rows == 0.0 {
            (self.rows, self.time) = (rows, time);
            return;
        }
        let (more_rows, more_time) = (rows - self.rows, time - self.time);
        self.rows += WEIGHT * more_rows;
        self.time += WEIGHT * more_time;
        self.spread = (1.0 - WEIGHT) * (self.spread + WEIGHT * more_rows * more_rows);
        self.joint = (1.0 - WEIGHT) * (self.joint + WEIGHT * more_rows * more_time);
        // Where all passes have as many rows, both fade alike, and what was known of a row stays.
        if self.spread > LEAST_SPREAD && self.joint > 0.0 {
            self.row = self.joint / self.spread;
        }
    }

    /// Tokens of prompts that may go into a pass with so many texts that are being generated, of `chunk` at most, while
    /// `prompts` texts are in their prompts. These get as much time as the others, so that a pass takes twice as long as one
    /// without a prompt; and more where they are more, as many times as they are.
    pub fn allowance(&self, chunk: usize, decoding: usize, prompts: usize) -> usize {
        if decoding == 0 {
            return chunk;
        }
        if self.row == 0.0 {
            return UNKNOWN.min(chunk);
        }
        let by_itself = (self.time - self.row * self.rows).max(0.0);
        let decoding = decoding as f64;
        let share = (prompts as f64 / decoding).clamp(1.0, MOST_SHARE);
        let fits = share * (by_itself + self.row * decoding) / self.row;
        (fits as usize).clamp(LEAST.min(chunk), chunk)
    }
}

/// What each text gets of an allowance, by its number and the tokens that it still has to take in. The first that came gets half,
/// so that it never waits for others; then those that need the least, which are done soonest. A text that is being generated
/// needs no share. With `at_once` a text gets all that it needs or nothing.
pub(super) fn shares(allowance: usize, texts: &[(u64, usize)], at_once: bool) -> Vec<usize> {
    let mut shares: Vec<usize> = texts.iter().map(|(_, left)| usize::from(*left == 0)).collect();
    let mut prompts: Vec<usize> = (0..texts.len()).filter(|&i| texts[i].1 > 0).collect();
    let mut room = allowance;
    let mut give = |index: usize, most: usize| {
        let need = texts[index].1 - shares[index];
        let more = match at_once {
            true if need > room => 0,
            true => need,
            false => need.min(most).min(room),
        };
        shares[index] += more;
        room -= more;
    };
    let first = prompts.iter().copied().min_by_key(|&i| texts[i].0);
    if let Some(first) = first {
        give(first, allowance.div_ceil(2));
    }
    prompts.sort_by_key(|&i| (texts[i].1, texts[i].0));
    prompts.into_iter().for_each(|index| give(index, usize::MAX));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_share_what_is_allowed() {
        assert_eq!(shares(100, &[], false), [0_usize; 0]);
        assert_eq!(shares(100, &[(0, 0), (1, 500)], false), [1, 100]);
        // Half for the first, the rest for the shortest.
        assert_eq!(shares(100, &[(3, 20), (1, 500), (2, 400)], false), [20, 50, 30]);
        assert_eq!(shares(100, &[(3, 20), (1, 500), (2, 0)], false), [20, 80, 1]);
        assert_eq!(shares(1, &[(0, 9), (1, 9)], false), [1, 0]);
        assert_eq!(shares(0, &[(0, 9), (1, 0)], false), [0, 1]);
    }

    #[test]
    fn a_text_that_goes_through_at_once_gets_all_or_nothing() {
        assert_eq!(shares(100, &[(2, 60), (1, 90), (3, 10)], true), [0, 90, 10]);
        assert_eq!(shares(100, &[(1, 60), (2, 90), (3, 30)], true), [60, 0, 30]);
    }

    /// After passes with so many rows, which take `fixed` milliseconds and two more for each row.
    fn after(passes: &[usize], fixed: u64) -> Pace {
        let mut pace = Pace::default();
        passes.iter().for_each(|&rows| pace.note(rows, Duration::from_millis(fixed + 2 * rows as u64)));
        pace
    }

    #[test]
    fn prompts_get_as_much_time_as_other_texts() {
        let pace = after(&[100, 1, 1, 40, 3, 256], 41);
        // 43 ms without a prompt, of which each token takes 2; with four texts 49.
        assert_eq!((pace.allowance(256, 1, 1), pace.allowance(256, 4, 1)), (21, 24));
        assert_eq!((pace.allowance(16, 1, 1), pace.allowance(256, 0, 5)), (16, 256));
        // Many that wait.
        assert_eq!([1, 2, 3].map(|prompts| pace.allowance(256, 2, prompts)), [22, 22, 33]);
        assert!((179..=180).contains(&pace.allowance(256, 2, 99)));
        // Nothing but rows costs anything.
        assert_eq!(after(&[9, 5, 7], 0).allowance(256, 1, 1), LEAST);
    }

    #[test]
    fn a_pace_is_known_from_passes_that_differ() {
        assert_eq!(after(&[], 40).allowance(256, 3, 1), UNKNOWN);
        assert_eq!(after(&[4, 4, 4], 40).allowance(256, 3, 1), UNKNOWN);
        assert_eq!(after(&[0, 0], 40).allowance(8, 3, 1), 8);
        // A long text alone teaches nothing of prompts, and what was known stays.
        let mut pace = after(&[256, 1], 41);
        (0..100_000).for_each(|_| pace.note(1, Duration::from_millis(43)));
        assert_eq!(pace.allowance(256, 1, 1), 21);
        // The machine becomes slower.
        (0..200).for_each(|i| {
            pace.note(1 + i % 2 * 30, Duration::from_millis(200 + 20 * (1 + i as u64 % 2 * 30)))
        });
        assert!((10..=12).contains(&pace.allowance(256, 1, 1)));
    }
}
