//! A session with two backends: whose turn it is, and how that is found out.

use std::time::{Duration, Instant};

use super::EngineError;
use super::partner::{Hybrid, MoveStats, Side, Switch, Turn, Wanted};
use super::session::Session;
use crate::core::{Backend, Largest, Result, Top};
use crate::models::llama::NonFinite;

impl<B: Backend> Session<B> {
    /// Says which backend takes which pass of a session with two of them; does nothing with one.
    pub fn set_switch(&mut self, switch: Switch) {
        if let Some(hybrid) = &mut self.hybrid {
            hybrid.switch = switch;
        }
    }

    /// What was moved between the two backends for the last text.
    pub fn moved(&self) -> MoveStats {
        self.hybrid.as_ref().map(|hybrid| hybrid.moved).unwrap_or_default()
    }

    /// Takes in tokens after those held, on the backend whose turn it is.
    pub(super) fn pass(&mut self, turn: Turn, ids: &[u32], wanted: Wanted) -> Result<()> {
        let Self { backend, model, cache, workspace, hybrid, .. } = self;
        let Some(hybrid) = hybrid else { return Side { backend, model, cache, workspace }.pass(ids, wanted) };
        hybrid.bring(turn, backend, cache, ids.len())?;
        match turn {
            Turn::First => Side { backend, model, cache, workspace }.pass(ids, wanted)?,
            Turn::Second => {
                hybrid.partner.pass(ids, wanted)?;
                cache.advance(ids.len());
                hybrid.filled[1] = cache.len();
            }
        }
        Ok(())
    }

    /// Whose turn a prompt of so many tokens is.
    pub(super) fn turn_of_prompt(&mut self, tokens: usize) -> Turn {
        self.hybrid.as_mut().map_or(Turn::First, |hybrid| hybrid.of_prompt(tokens))
    }

    /// Whose turn it is after the tokens that are held.
    pub(super) fn turn_of_decode(&mut self) -> Turn {
        let held = self.cache.len();
        self.hybrid.as_mut().map_or(Turn::First, |hybrid| hybrid.of_decode(held))
    }

    /// Brings to the session's own cache what it lacks, so that it can be evicted from.
    pub(super) fn bring_home(&mut self) -> Result<()> {
        let Self { backend, cache, hybrid, .. } = self;
        let Some(hybrid) = hybrid else { return Ok(()) };
        hybrid.bring(Turn::First, backend, cache, 0)?;
        // The other one has to be filled anew.
        hybrid.filled[1] = 0;
        Ok(())
    }

    /// Times both backends for about `time`, and lets each do what it does faster; `None` with one backend. What is
    /// held of a text before is forgotten.
    ///
    /// # Errors
    /// What either backend reports.
    pub fn calibrate(&mut self, time: Duration) -> Result<Option<Calibration>, EngineError> {
        if self.hybrid.is_none() {
            return Ok(None);
        }
        let most = self.chunk.min(self.cache.max_len());
        let share = time / 8;
        let mut decode = [Duration::ZERO; 2];
        for turn in [Turn::First, Turn::Second] {
            // The first pass wakes up.
            self.time_pass(turn, 1)?;
            let begin = Instant::now();
            let mut least = self.time_pass(turn, 1)?;
            while begin.elapsed() < share {
                least = least.min(self.time_pass(turn, 1)?);
            }
            decode[turn as usize] = least;
        }
        // As many rows as fit the time that is left, a few at least.
        let (mut rows, mut prompt) = (1, decode);
        while rows < most && prompt.iter().sum::<Duration>() * 4 < share * 6 {
            rows = (4 * rows).min(most);
            for turn in [Turn::First, Turn::Second] {
                prompt[turn as usize] = self.time_pass(turn, rows)?;
            }
        }
        let begin = Instant::now();
        self.bring_home()?;
        let carried = begin.elapsed();
        self.forget();
        let found = Calibration::new(rows, prompt, decode, carried, most);
        self.set_switch(found.switch);
        Ok(Some(found))
    }

    /// How long a pass over so many tokens takes from an empty context until its likeliest token is known.
    fn time_pass(&mut self, turn: Turn, rows: usize) -> Result<Duration> {
        self.forget();
        let ids = vec![0; rows];
        let begin = Instant::now();
        self.pass(turn, &ids, Wanted::Last)?;
        self.largest_of(0)?;
        Ok(begin.elapsed())
    }

    /// The largest of the logits that the last pass has left in row `row`.
    pub(super) fn largest_of(&mut self, row: usize) -> Result<Largest> {
        let Self { backend, model, workspace, logits, hybrid, .. } = self;
        match hybrid {
            Some(Hybrid { turn: Turn::Second, partner, .. }) => partner.largest_of(row, logits),
            _ => model.largest_of(backend, row, workspace, logits),
        }
    }

    /// The `count` largest of them, in `top`.
    pub(super) fn top_of(&mut self, row: usize, count: usize, top: &mut Top) -> Result<()> {
        let Self { backend, model, workspace, logits, hybrid, .. } = self;
        match hybrid {
            Some(Hybrid { turn: Turn::Second, partner, .. }) => partner.top_of(row, count, logits, top),
            _ => model.top_of(backend, row, count, workspace, logits, top),
        }
    }

    /// All of them, in the session's own memory.
    pub(super) fn logits_of(&mut self, row: usize) -> Result<()> {
        let Self { backend, model, workspace, logits, hybrid, .. } = self;
        match hybrid {
            Some(Hybrid { turn: Turn::Second, partner, .. }) => partner.logits_of(row, logits),
            _ => model.logits_of(backend, row, workspace, logits),
        }
    }

    /// What either backend has found that is not finite.
    pub(super) fn non_finite(&mut self) -> Option<NonFinite> {
        let other = self.hybrid.as_mut().and_then(|hybrid| hybrid.partner.non_finite());
        self.workspace.non_finite().or(other)
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
    fn new(
        rows: usize,
        prompt: [Duration; 2],
        decode: [Duration; 2],
        carried: Duration,
        most: usize,
    ) -> Self {
        let behind = usize::from(decode[1] < decode[0]);
        // Seconds of a prompt of n tokens, and of carrying them to where the text goes on.
        let cost = |side: usize, n: usize| {
            let (one, all) = (decode[side].as_secs_f64(), prompt[side].as_secs_f64());
            let share = if rows > 1 { (n - 1) as f64 / (rows - 1) as f64 } else { 0.0 };
            let carry = if side == behind { 0.0 } else { carried.as_secs_f64() * n as f64 / rows as f64 };
            one + (all - one) * share + carry
        };
        let lengths = std::iter::successors(Some(most.max(1)), |&n| (n > 1).then_some(n / 2));
        let prompt_from = lengths.take_while(|&n| cost(1, n) < cost(0, n)).last();
        let switch = Switch {
            prompt: prompt_from.unwrap_or(usize::MAX),
            decode: if behind == 1 { 0 } else { usize::MAX },
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
}
