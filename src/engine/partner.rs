//! Two backends for one text: the one that suits a pass takes it.
//!
//! Both hold the model, and each has a key/value cache of its own. The first one's counts (tokens held, position) are
//! the text's; what a cache lacks of the slots that the other has filled is brought over, in the backends' common form
//! (`Backend::kv_export`), before its next pass. So positions stay what they are, and a move costs what is new since the
//! last one.

use std::ops::Range;

use crate::core::{Backend, KvCache, Largest, Result, Top};
use crate::models::TextSpan;
use crate::models::llama::{Llama, NonFinite, Workspace};

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
    /// Takes in tokens after those held.
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

    /// See [`Workspace::set_span`].
    fn set_span(&mut self, span: TextSpan);

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
        self.cache.export_slots(&self.backend, layer, slots, k, v)
    }

    fn import(&mut self, layer: usize, k: &[u8], v: &[u8], at: usize) -> Result<()> {
        self.cache.import_slots(&self.backend, layer, k, v, at)
    }

    fn count(&mut self, len: usize, position: usize, more: usize) -> Result<()> {
        self.cache.recount(len, position);
        self.cache.reserve(&self.backend, more)
    }

    fn set_span(&mut self, span: TextSpan) {
        self.workspace.set_span(self.model.spec(), span);
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
    pub switch: Switch,
    layers: usize,
    /// Who made the last pass.
    pub turn: Turn,
    /// The text has come to the length from which the second backend decodes.
    late: bool,
    /// So many of the first slots are filled as the text has it, in the session's own cache ([`ALL`]: whatever it holds)
    /// and in the other one.
    pub filled: [usize; 2],
    pub moved: MoveStats,
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
        let layers = model.spec().layers.len();
        let cache = model.new_cache(&backend, cache.types(), cache.max_len())?;
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

    pub fn of_prompt(&mut self, tokens: usize) -> Turn {
        (self.late, self.moved) = (false, MoveStats::default());
        self.switch.of_prompt(tokens)
    }

    pub fn of_decode(&mut self, held: usize) -> Turn {
        self.switch.of_decode(held, &mut self.late)
    }

    /// Makes the cache of whose turn it is hold all that the text has, with room for `more` tokens after it. `first` is
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
        if turn == Turn::Second {
            self.partner.count(held, position, len - held + more)?;
        }
        for layer in (0..self.layers).take_while(|_| held < len) {
            let (key, value) = first.layout(layer).slot_bytes();
            self.keys.resize(key * (len - held), 0);
            self.values.resize(value * (len - held), 0);
            let (k, v) = (&mut self.keys, &mut self.values);
            if turn == Turn::Second {
                first.export_slots(backend, layer, held..len, k, v)?;
                self.partner.import(layer, k, v, held)?;
            } else {
                self.partner.export(layer, held..len, k, v)?;
                first.import_slots(backend, layer, k, v, held)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_has_come_to_the_length_does_not_go_back() {
        let switch = Switch { prompt: 100, decode: 8 };
        let mut late = false;
        let mut turn = |held| switch.of_decode(held, &mut late);
        assert_eq!([7, 8, 3].map(&mut turn), [Turn::First, Turn::Second, Turn::Second]);
        assert_eq!([99, 100].map(|n| switch.of_prompt(n)), [Turn::First, Turn::Second]);
    }
}
