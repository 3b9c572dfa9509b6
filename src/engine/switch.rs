//! Which of two backends takes which pass, and how that is found out.

use std::time::Duration;

/// Which backend takes which pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Prompts of at least so many tokens go through the second backend.
    pub prompt: usize,
    /// After the prompt, tokens go through the second backend as soon as so many are held, to the end of the text.
    pub decode: usize,
}

impl Switch {
    /// The second backend from `tokens` tokens on.
    pub fn at(tokens: usize) -> Self {
        Self { prompt: tokens, decode: tokens }
    }

    pub(super) fn of_prompt(self, tokens: usize) -> Turn {
        if tokens >= self.prompt { Turn::Second } else { Turn::First }
    }

    /// `late` remembers that a text has come to the length: what eviction makes shorter does not go back.
    pub(super) fn of_decode(self, held: usize, late: &mut bool) -> Turn {
        *late |= held >= self.decode;
        if *late { Turn::Second } else { Turn::First }
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first one.
    #[default]
    First,
    /// The other one.
    Second,
}

/// What was moved between two backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoveStats {
    /// How often one went on with what the other had begun.
    pub moves: usize,
    /// Tokens whose keys and values were brought over.
    pub tokens: usize,
}

impl MoveStats {
    /// What was moved since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self { moves: self.moves - before.moves, tokens: self.tokens - before.tokens }
    }
}

/// What two backends took, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// The choice.
    pub switch: Switch,
    /// Tokens of the longest prompt that was timed.
    pub rows: usize,
    /// What each took for it.
    pub prompt: [Duration; 2],
    /// What each took for one token.
    pub decode: [Duration; 2],
}

impl Calibration {
    /// Chooses from times of one token and of `rows` tokens, between which time grows evenly with the tokens, and from
    /// the time that it takes to carry `rows` tokens from one to the other. Prompts are looked at up to `most` tokens.
    pub(super) fn new(
        rows: usize,
        prompt: [Duration; 2],
        decode: [Duration; 2],
        carried: Duration,
        most: usize,
    ) -> Self {
        let decoder = usize::from(decode[1] < decode[0]);
        // Seconds of a prompt of n tokens, and of carrying them to where the text goes on.
        let cost = |side: usize, n: usize| {
            let (one, all) = (decode[side].as_secs_f64(), prompt[side].as_secs_f64());
            let share = if rows > 1 { (n - 1) as f64 / (rows - 1) as f64 } else { 0.0 };
            let carry = if side == decoder { 0.0 } else { carried.as_secs_f64() * n as f64 / rows as f64 };
            one + (all - one) * share + carry
        };
        let lengths = std::iter::successors(Some(most.max(1)), |&n| (n > 1).then_some(n / 2));
        let prompt_from = lengths.take_while(|&n| cost(1, n) < cost(0, n)).last();
        let switch = Switch {
            prompt: prompt_from.unwrap_or(usize::MAX),
            decode: if decoder == 1 { 0 } else { usize::MAX },
        };
        Self { switch, rows, prompt, decode }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(all: [u64; 2]) -> [Duration; 2] {
        all.map(Duration::from_millis)
    }

    #[test]
    fn each_does_what_it_does_faster() {
        let choose = |prompt, decode, carried| {
            let carried = Duration::from_millis(carried);
            Calibration::new(129, ms(prompt), ms(decode), carried, 512).switch
        };
        let never = usize::MAX;
        // Faster at everything, or at nothing.
        assert_eq!(choose([400, 100], [10, 5], 0), Switch { prompt: 1, decode: 0 });
        assert_eq!(choose([100, 400], [5, 10], 0), Switch { prompt: never, decode: never });
        // Slow to begin with, but 40 ms for 128 tokens more against 128 ms: equal at 132 tokens.
        assert_eq!(choose([138, 140], [10, 100], 0), Switch { prompt: 128 * 2, decode: never });
        // What is carried back counts: 64 ms for 128 tokens halve what is gained.
        assert_eq!(choose([266, 138], [10, 10 + 1], 64), Switch { prompt: 4, decode: never });
        assert_eq!(choose([266, 138], [10, 10 + 1], 140), Switch { prompt: never, decode: never });
        // Decodes faster, but takes prompts slower: unless it takes longer to bring them over.
        assert_eq!(choose([100, 400], [10, 5], 0), Switch { prompt: never, decode: 0 });
        assert_eq!(choose([100, 400], [10, 5], 1000), Switch { prompt: 1, decode: 0 });
    }

    #[test]
    fn a_text_that_has_come_to_the_length_does_not_go_back() {
        let switch = Switch { prompt: 100, decode: 8 };
        let mut late = false;
        let mut turn = |held| switch.of_decode(held, &mut late);
        assert_eq!([7, 8, 3].map(&mut turn), [Turn::First, Turn::Second, Turn::Second]);
        assert_eq!([99, 100].map(|n| switch.of_prompt(n)), [Turn::First, Turn::Second]);
    }
}
