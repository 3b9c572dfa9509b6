//! Two backends for one text: the one that suits a pass takes it.
//!
//! Both hold the model, and each has a key/value cache of its own. The first one's counts (tokens held, position) are
//! the text's; what a cache lacks of the slots that the other has filled is brought over, in the backends' common form
//! (`Backend::kv_export`), before its next pass. So positions stay what they are, and a move costs what is new since the
//! last one.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::EngineError;
use super::session::Session;
use crate::core::{Backend, KvCache, Largest, Result, Top};
use crate::models::llama::{Llama, NonFinite, Workspace};

/// Which backend takes which pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Prompts of at least so many tokens go through the second backend.
    pub prompt: usize,
    /// Behind the prompt, tokens go through the second backend as soon as so many are held, to the end of the text.
    pub decode: usize,
}

impl Switch {
    /// The second backend from `tokens` tokens on.
    pub fn at(tokens: usize) -> Self {
        Self { prompt: tokens, decode: tokens }
    }

    fn of_prompt(self, tokens: usize) -> Turn {
        if tokens >= self.prompt { Turn::Second } else { Turn::First }
    }

    /// `late` remembers that a text has come to the length: what eviction makes shorter does not go back.
    fn of_decode(self, held: usize, late: &mut bool) -> Turn {
        *late |= held >= self.decode;
        if *late { Turn::Second } else { Turn::First }
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// The session's own backend.
    #[default]
    First,
    /// The other one.
    Second,
}

/// What a pass leaves in the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// No logits.
    Nothing,
    /// Those of the last token.
    Last,
    /// Those of each.
    Each,
}

/// A backend with its model, cache and workspace.
pub(super) struct Side<'a, B: Backend> {
    pub backend: &'a B,
    pub model: &'a Llama<B>,
    pub cache: &'a mut KvCache<B::Buffer>,
    pub workspace: &'a mut Workspace<B>,
}

impl<B: Backend> Side<'_, B> {
    /// Takes in tokens behind those held.
    pub fn pass(&mut self, ids: &[u32], wanted: Wanted) -> Result<()> {
        let Self { backend, model, cache, workspace } = self;
        match wanted {
            Wanted::Nothing => model.prefill(backend, ids, cache, workspace, None),
            Wanted::Last => model.prefill_last(backend, ids, cache, workspace),
            Wanted::Each => model.decode_rows(backend, ids, cache, workspace),
        }
    }
}

/// The other backend of a session, whatever it is.
pub(super) trait Partner: Send {
    /// See [`Side::pass`].
    fn pass(&mut self, ids: &[u32], wanted: Wanted) -> Result<()>;

    /// See [`Llama::largest_of`].
    fn largest_of(&self, row: usize, scratch: &mut [f32]) -> Result<Largest>;

    /// See [`Llama::top_of`].
    fn top_of(&self, row: usize, count: usize, scratch: &mut [f32], top: &mut Top) -> Result<()>;

    /// See [`Llama::logits_of`].
    fn logits_of(&self, row: usize, logits: &mut [f32]) -> Result<()>;

    /// Keys and values of some slots of a layer, to the host.
    fn export(&self, layer: usize, slots: Range<usize>, k: &mut [u8], v: &mut [u8]) -> Result<()>;

    /// The same from the host, to the slots from `at` on.
    fn import(&mut self, layer: usize, k: &[u8], v: &[u8], at: usize) -> Result<()>;

    /// From now on the cache holds `len` tokens, of `position` seen, with room for `more`.
    fn count(&mut self, len: usize, position: usize, more: usize) -> Result<()>;

    /// See [`Workspace::non_finite`].
    fn non_finite(&mut self) -> Option<NonFinite>;

    /// Memory that keys and values take now, in bytes.
    fn cache_bytes(&self) -> usize;
}

/// A backend with all that is its own.
struct Whole<B: Backend> {
    backend: B,
    model: Llama<B>,
    cache: KvCache<B::Buffer>,
    workspace: Workspace<B>,
}

impl<B: Backend> Partner for Whole<B> {
    fn pass(&mut self, ids: &[u32], wanted: Wanted) -> Result<()> {
        let Self { backend, model, cache, workspace } = self;
        Side { backend, model, cache, workspace }.pass(ids, wanted)
    }

    fn largest_of(&self, row: usize, scratch: &mut [f32]) -> Result<Largest> {
        self.model.largest_of(&self.backend, row, &self.workspace, scratch)
    }

    fn top_of(&self, row: usize, count: usize, scratch: &mut [f32], top: &mut Top) -> Result<()> {
        self.model.top_of(&self.backend, row, count, &self.workspace, scratch, top)
    }

    fn logits_of(&self, row: usize, logits: &mut [f32]) -> Result<()> {
        self.model.logits_of(&self.backend, row, &self.workspace, logits)
    }

    fn export(&self, layer: usize, slots: Range<usize>, k: &mut [u8], v: &mut [u8]) -> Result<()> {
        self.backend.kv_export(self.cache.layer(layer), self.cache.layout(), slots, k, v)
    }

    fn import(&mut self, layer: usize, k: &[u8], v: &[u8], at: usize) -> Result<()> {
        let layout = *self.cache.layout();
        self.backend.kv_import(k, v, self.cache.layer_mut(layer), &layout, at)
    }

    fn count(&mut self, len: usize, position: usize, more: usize) -> Result<()> {
        self.cache.recount(len, position);
        self.cache.reserve(&self.backend, more)
    }

    fn non_finite(&mut self) -> Option<NonFinite> {
        self.workspace.non_finite()
    }

    fn cache_bytes(&self) -> usize {
        self.cache.size_bytes()
    }
}

/// What a session with two backends knows of the other one.
pub(super) struct Hybrid {
    pub partner: Box<dyn Partner>,
    switch: Switch,
    layers: usize,
    /// Who made the last pass.
    turn: Turn,
    /// The text has come to the length from which the second backend decodes.
    late: bool,
    /// So many of the first slots are filled as the text has it, in the session's own cache ([`ALL`]: whatever it holds)
    /// and in the other one.
    filled: [usize; 2],
    moved: MoveStats,
    keys: Vec<u8>,
    values: Vec<u8>,
}

/// The session's own cache lacks nothing.
const ALL: usize = usize::MAX;

/// What was moved between two backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoveStats {
    /// How often one went on with what the other had begun.
    pub moves: usize,
    /// Tokens whose keys and values were brought over.
    pub tokens: usize,
}

impl Hybrid {
    /// The other backend with its model, and memory as a session has it in `cache` and `workspace`.
    ///
    /// # Errors
    /// No memory.
    pub fn new<B: Backend, C: Backend + 'static>(
        backend: C,
        model: Llama<C>,
        cache: &KvCache<B::Buffer>,
        workspace: &Workspace<B>,
    ) -> Result<Self> {
        let layers = model.config().layers;
        let cache = model.new_cache(&backend, cache.layout().types, cache.max_len())?;
        let mut own = model.workspace(&backend, workspace.chunk(), workspace.logits_rows())?;
        if workspace.checks_numerics() {
            own.check_numerics();
        }
        Ok(Self {
            partner: Box::new(Whole { backend, model, cache, workspace: own }),
            switch: Switch::at(usize::MAX),
            layers,
            turn: Turn::First,
            late: false,
            filled: [ALL, 0],
            moved: MoveStats::default(),
            keys: Vec::new(),
            values: Vec::new(),
        })
    }

    /// Nothing is left of the text before.
    pub fn restart(&mut self) {
        (self.filled, self.turn) = ([ALL, 0], Turn::First);
    }

    fn of_prompt(&mut self, tokens: usize) -> Turn {
        (self.late, self.moved) = (false, MoveStats::default());
        self.switch.of_prompt(tokens)
    }

    fn of_decode(&mut self, held: usize) -> Turn {
        self.switch.of_decode(held, &mut self.late)
    }

    /// Makes the cache of whose turn it is hold all that the text has, with room for `more` tokens behind it. `first` is
    /// the session's own cache, whose counts are the text's.
    ///
    /// # Errors
    /// No memory, or what either backend reports.
    pub fn bring<B: Backend>(
        &mut self,
        turn: Turn,
        backend: &B,
        first: &mut KvCache<B::Buffer>,
        more: usize,
    ) -> Result<()> {
        let (len, position) = (first.len(), first.position());
        // The text may have been cut back since.
        let filled = self.filled.map(|filled| filled.min(len));
        let held = filled[turn as usize];
        // Whoever computes: it counts.
        first.reserve(backend, more)?;
        let layout = *first.layout();
        let (key, value) = layout.slot_bytes();
        self.keys.resize(key * (len - held), 0);
        self.values.resize(value * (len - held), 0);
        if turn == Turn::Second {
            self.partner.count(held, position, len - held + more)?;
        }
        for layer in (0..self.layers).take_while(|_| held < len) {
            let (k, v) = (&mut self.keys, &mut self.values);
            if turn == Turn::Second {
                backend.kv_export(first.layer(layer), &layout, held..len, k, v)?;
                self.partner.import(layer, k, v, held)?;
            } else {
                self.partner.export(layer, held..len, k, v)?;
                backend.kv_import(k, v, first.layer_mut(layer), &layout, held)?;
            }
        }
        if turn == Turn::Second {
            self.partner.count(len, position, more)?;
        }
        self.moved.moves += usize::from(turn != self.turn && len > 0);
        self.moved.tokens += len - held;
        self.filled = if turn == Turn::First { [ALL, filled[1]] } else { [filled[0], len] };
        self.turn = turn;
        Ok(())
    }
}

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

    /// Takes in tokens behind those held, on the backend whose turn it is.
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

    /// Whose turn it is behind the tokens that are held.
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

    #[test]
    fn a_text_that_has_come_to_the_length_does_not_go_back() {
        let switch = Switch { prompt: 100, decode: 8 };
        let mut late = false;
        let mut turn = |held| switch.of_decode(held, &mut late);
        assert_eq!([7, 8, 3].map(&mut turn), [Turn::First, Turn::Second, Turn::Second]);
        assert_eq!([99, 100].map(|n| switch.of_prompt(n)), [Turn::First, Turn::Second]);
    }
}
