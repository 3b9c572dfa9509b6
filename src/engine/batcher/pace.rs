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
const WEIGHT: f64 = 0.2;

/// What passes have cost so far. It decides about time alone: a text is the same at any pace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Seconds of a pass without prompts; 0 while unknown.
    decoding: f64,
    /// Seconds that a token of a prompt adds to such a pass; 0 while unknown.
    token: f64,
}

fn mixed(old: f64, new: f64) -> f64 {
    if old == 0.0 { new } else { old + WEIGHT * (new - old) }
}

impl Pace {
    /// What a pass has cost.
    pub fn note(&mut self, decoding: usize, prompt_tokens: usize, time: Duration) {
        let time = time.as_secs_f64();
        match (decoding, prompt_tokens) {
            (0, 0) => {}
            (_, 0) => self.decoding = mixed(self.decoding, time),
            (0, tokens) if tokens >= LEAST && self.token == 0.0 => self.token = time / tokens as f64,
            (0, _) => {}
            (_, tokens) => {
                self.token = mixed(self.token, (time - self.decoding).max(0.0) / tokens as f64);
            }
        }
    }

    /// Tokens of prompts that may go into a pass with so many texts that are being generated, of `chunk` at most, while
    /// `prompts` texts are in their prompts. These get as much time as the others, so that a pass takes twice as long as one
    /// without a prompt; and more where they are more, as many times as they are.
    pub fn allowance(&self, chunk: usize, decoding: usize, prompts: usize) -> usize {
        if decoding == 0 {
            return chunk;
        }
        if self.decoding == 0.0 || self.token == 0.0 {
            return UNKNOWN.min(chunk);
        }
        let share = (prompts as f64 / decoding as f64).clamp(1.0, MOST_SHARE);
        let fits = share * self.decoding / self.token;
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

    #[test]
    fn a_pass_takes_as_much_as_it_may_last() {
        let millis = Duration::from_millis;
        let mut pace = Pace::default();
        assert_eq!(
            (pace.allowance(256, 0, 1), pace.allowance(256, 3, 1), pace.allowance(8, 3, 1)),
            (256, 32, 8)
        );
        pace.note(0, 100, millis(200));
        pace.note(1, 0, millis(50));
        assert_eq!(pace.allowance(256, 1, 1), 25);
        // As much time for each.
        assert_eq!([1, 2, 3, 100].map(|prompts| pace.allowance(256, 2, prompts)), [25, 25, 37, 200]);
        // Tokens come cheaper than was thought.
        for _ in 0..100 {
            pace.note(1, 50, millis(100));
        }
        assert!((49..=50).contains(&pace.allowance(256, 1, 1)));
        for _ in 0..100 {
            pace.note(1, 50, millis(5000));
        }
        assert_eq!(pace.allowance(256, 1, 1), LEAST);
        assert_eq!(pace.allowance(256, 0, 1), 256);
    }
}
