//! Two backends for the same sequences: the one that suits a pass takes it.
//!
//! Both hold the model, and each has pages of its own. The first one's counts (tokens held, position) are a sequence's; what
//! one lacks of the slots that the other has filled is brought over, in the backends' common form
//! ([`crate::core::Backend::kv_export`]), before its next pass. So positions stay what they are, and a move costs what is
//! new since the last one.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::runner::{Held, PageUse, Part, Runner, SequenceId, Stage, not_open};
use super::switch::{Calibration, MoveStats, Switch, Turn};
use crate::core::{KvLayout, KvTypes, Largest, Result, Top};
use crate::models::ModelSpec;
use crate::models::llama::NonFinite;

/// Two runners of one model. Until a [switch is set](Runner::set_switch), the first one makes all passes.
pub struct HybridRunner {
    first: Box<dyn Runner>,
    second: Box<dyn Runner>,
    switch: Switch,
    /// The one that made the last pass, and has its logits.
    turn: Turn,
    /// By the first runner's number.
    pairs: Vec<Option<Pair>>,
    moved: MoveStats,
    keys: Vec<u8>,
    values: Vec<u8>,
}

/// A sequence, as far as the two runners differ.
struct Pair {
    /// Its number there.
    second: SequenceId,
    /// The one that made its last pass.
    turn: Turn,
    /// The text has come to the length from which the second backend decodes.
    late: bool,
    /// So many of the first slots are filled as the text has it, in the first runner ([`ALL`]: whatever it holds) and in the
    /// second one.
    filled: [usize; 2],
}

/// The first runner lacks nothing.
const ALL: usize = usize::MAX;

impl HybridRunner {
    /// Two runners of the same model, with caches of the same types, that have no sequence yet.
    pub fn new(first: Box<dyn Runner>, second: Box<dyn Runner>) -> Self {
        Self {
            first,
            second,
            switch: Switch::at(usize::MAX),
            turn: Turn::First,
            pairs: Vec::new(),
            moved: MoveStats::default(),
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    fn pair(&mut self, id: SequenceId) -> Result<&mut Pair> {
        let open = self.pairs.len();
        self.pairs.get_mut(id.index()).and_then(Option::as_mut).ok_or(not_open(id, open))
    }

    fn add(&mut self, id: SequenceId, pair: Pair) {
        if self.pairs.len() <= id.index() {
            self.pairs.resize_with(id.index() + 1, || None);
        }
        self.pairs[id.index()] = Some(pair);
    }

    /// Which of the two takes a part.
    fn turn_of(&mut self, part: &Part<'_>) -> Result<Turn> {
        let (switch, held) = (self.switch, self.first.held(part.sequence)?.slots.len());
        let pair = self.pair(part.sequence)?;
        Ok(match part.stage {
            Stage::Score | Stage::Embed => Turn::First,
            Stage::Prompt { tokens } => {
                pair.late = false;
                switch.of_prompt(tokens)
            }
            Stage::Decode => switch.of_decode(held, &mut pair.late),
        })
    }

    /// Makes the runner whose turn it is hold all that a sequence has, with room for `more` tokens after it.
    fn bring(&mut self, id: SequenceId, turn: Turn, more: usize) -> Result<()> {
        let Held { slots, span, .. } = self.first.held(id)?;
        let (len, position, retained, span) = (slots.len(), slots.position(), slots.retained(), *span);
        let Pair { second, filled, turn: before, .. } = *self.pair(id)?;
        // The text may have been cut back since.
        let filled = filled.map(|filled| filled.min(len));
        let held = filled[turn as usize];
        // Which of the tokens were evicted does not matter to the second one.
        let evicted = |held| if held == position { 0 } else { position };
        // The first one has the counts, whichever computes.
        self.first.recount(id, (len, position), retained, more)?;
        if turn == Turn::Second {
            self.second.recount(second, (held, position), evicted(held), len - held + more)?;
            self.second.held_mut(second)?.span = span;
        }
        for layer in (0..self.first.layouts().len()).take_while(|_| held < len) {
            let (key, value) = self.first.layouts()[layer].slot_bytes();
            self.keys.resize(key * (len - held), 0);
            self.values.resize(value * (len - held), 0);
            let Self { first, second: other, keys: k, values: v, .. } = &mut *self;
            if turn == Turn::Second {
                first.export(id, layer, held..len, k, v)?;
                other.import(second, layer, k, v, held)?;
            } else {
                other.export(second, layer, held..len, k, v)?;
                first.import(id, layer, k, v, held)?;
            }
        }
        if turn == Turn::Second {
            self.second.recount(second, (len, position), evicted(len), more)?;
        }
        self.moved.moves += usize::from(turn != before && len > 0);
        self.moved.tokens += len - held;
        let pair = self.pair(id)?;
        pair.filled = if turn == Turn::First { [ALL, filled[1]] } else { [filled[0], len] };
        pair.turn = turn;
        Ok(())
    }

    /// A pass on one of the two.
    fn pass(&mut self, turn: Turn, parts: &[Part<'_>]) -> Result<()> {
        for part in parts {
            self.bring(part.sequence, turn, part.ids.len())?;
        }
        self.turn = turn;
        match turn {
            Turn::First => self.first.forward(parts),
            Turn::Second => {
                let there =
                    parts.iter().map(|part| Ok(Part { sequence: self.pair(part.sequence)?.second, ..*part }));
                let there = there.collect::<Result<Vec<_>>>()?;
                self.second.forward(&there)?;
                for part in parts {
                    let slots = &self.first.held(part.sequence)?.slots;
                    let (len, retained) = (slots.len() + part.ids.len(), slots.retained());
                    let position = slots.position() + part.ids.len();
                    self.first.recount(part.sequence, (len, position), retained, 0)?;
                    self.pair(part.sequence)?.filled[1] = len;
                }
                Ok(())
            }
        }
    }

    /// Brings to the first runner what it lacks of a sequence.
    fn bring_home(&mut self, id: SequenceId) -> Result<()> {
        self.bring(id, Turn::First, 0)
    }

    fn time(&mut self, id: SequenceId, most: usize, time: Duration) -> Result<Calibration> {
        let mut scratch = vec![0.0; self.spec().vocab_size];
        let share = time / 8;
        let mut decode = [Duration::ZERO; 2];
        for turn in [Turn::First, Turn::Second] {
            // The first pass wakes up.
            self.time_pass(id, turn, 1, &mut scratch)?;
            let begin = Instant::now();
            let mut least = self.time_pass(id, turn, 1, &mut scratch)?;
            while begin.elapsed() < share {
                least = least.min(self.time_pass(id, turn, 1, &mut scratch)?);
            }
            decode[turn as usize] = least;
        }
        // As many rows as fit the time that is left, a few at least.
        let (mut rows, mut prompt) = (1, decode);
        while rows < most && prompt.iter().sum::<Duration>() * 4 < share * 6 {
            rows = (4 * rows).min(most);
            for turn in [Turn::First, Turn::Second] {
                prompt[turn as usize] = self.time_pass(id, turn, rows, &mut scratch)?;
            }
        }
        let begin = Instant::now();
        self.bring_home(id)?;
        Ok(Calibration::new(rows, prompt, decode, begin.elapsed(), most))
    }

    /// How long a pass over so many tokens takes from an empty context until its likeliest token is known.
    fn time_pass(
        &mut self,
        id: SequenceId,
        turn: Turn,
        rows: usize,
        scratch: &mut [f32],
    ) -> Result<Duration> {
        self.clear(id);
        let ids = vec![0; rows];
        let part = Part { sequence: id, ids: &ids, wanted: 1, stage: Stage::Score };
        let begin = Instant::now();
        self.pass(turn, &[part])?;
        self.largest(0, scratch)?;
        Ok(begin.elapsed())
    }

    /// The one that has the logits of the last pass.
    fn last(&mut self) -> &mut dyn Runner {
        match self.turn {
            Turn::First => self.first.as_mut(),
            Turn::Second => self.second.as_mut(),
        }
    }
}

impl Runner for HybridRunner {
    fn spec(&self) -> &ModelSpec {
        self.first.spec()
    }

    fn weight_bytes(&self) -> usize {
        self.first.weight_bytes()
    }

    fn cache_bytes(&self) -> usize {
        self.first.cache_bytes() + self.second.cache_bytes()
    }

    fn chunk(&self) -> usize {
        self.first.chunk().min(self.second.chunk())
    }

    fn kv_types(&self) -> KvTypes {
        self.first.kv_types()
    }

    fn layouts(&self) -> &[KvLayout] {
        self.first.layouts()
    }

    fn open(&mut self, max_len: usize) -> Result<SequenceId> {
        let (id, second) = (self.first.open(max_len)?, self.second.open(max_len)?);
        self.add(id, Pair { second, turn: Turn::First, late: false, filled: [ALL, 0] });
        Ok(id)
    }

    fn close(&mut self, id: SequenceId) {
        if let Some(pair) = self.pairs.get_mut(id.index()).and_then(Option::take) {
            self.second.close(pair.second);
        }
        self.first.close(id);
    }

    fn fork(&mut self, id: SequenceId, position: usize) -> Result<Option<SequenceId>> {
        self.bring_home(id)?;
        let max_len = self.first.held(id)?.slots.max_len();
        let Some(fork) = self.first.fork(id, position)? else { return Ok(None) };
        let second = self.second.open(max_len)?;
        self.add(fork, Pair { second, turn: Turn::First, late: false, filled: [ALL, 0] });
        Ok(Some(fork))
    }

    fn held(&self, id: SequenceId) -> Result<&Held> {
        self.first.held(id)
    }

    fn held_mut(&mut self, id: SequenceId) -> Result<&mut Held> {
        self.first.held_mut(id)
    }

    fn accumulate_attention(&mut self, id: SequenceId, drafts: usize) -> Result<()> {
        self.first.accumulate_attention(id, drafts)
    }

    fn reserve_text(&mut self, id: SequenceId, more: usize) -> Result<()> {
        self.first.reserve_text(id, more)
    }

    fn reserve(&mut self, id: SequenceId, more: usize) -> Result<()> {
        self.first.reserve(id, more)
    }

    fn pages(&self) -> PageUse {
        self.first.pages()
    }

    fn clear(&mut self, id: SequenceId) {
        self.first.clear(id);
        if let Ok(pair) = self.pair(id) {
            (pair.filled, pair.turn) = ([ALL, 0], Turn::First);
        }
    }

    fn rewind(&mut self, id: SequenceId, position: usize) -> Result<()> {
        self.first.rewind(id, position)
    }

    fn retain(&mut self, id: SequenceId, keep: &[Range<usize>], more: usize) -> Result<()> {
        self.bring_home(id)?;
        // The other one has to be filled anew.
        self.pair(id)?.filled[1] = 0;
        self.first.retain(id, keep, more)
    }

    fn turn_prefix(&mut self, id: SequenceId, first: usize) -> Result<()> {
        self.bring_home(id)?;
        self.pair(id)?.filled[1] = 0;
        self.first.turn_prefix(id, first)
    }

    fn recount(
        &mut self,
        id: SequenceId,
        counts: (usize, usize),
        retained: usize,
        more: usize,
    ) -> Result<()> {
        self.first.recount(id, counts, retained, more)
    }

    fn export(
        &mut self,
        id: SequenceId,
        layer: usize,
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        self.bring_home(id)?;
        self.first.export(id, layer, slots, k, v)
    }

    fn import(&mut self, id: SequenceId, layer: usize, k: &[u8], v: &[u8], at: usize) -> Result<()> {
        self.first.import(id, layer, k, v, at)
    }

    fn forward(&mut self, parts: &[Part<'_>]) -> Result<()> {
        let mut turn = Turn::First;
        for part in parts {
            if self.turn_of(part)? == Turn::Second {
                turn = Turn::Second;
            }
        }
        self.pass(turn, parts)
    }

    fn logits(&mut self, row: usize, logits: &mut [f32]) -> Result<()> {
        self.last().logits(row, logits)
    }

    fn largest(&mut self, row: usize, scratch: &mut [f32]) -> Result<Largest> {
        self.last().largest(row, scratch)
    }

    fn top(&mut self, row: usize, count: usize, scratch: &mut [f32], top: &mut Top) -> Result<()> {
        self.last().top(row, count, scratch, top)
    }

    fn hidden(&mut self, row: usize, hidden: &mut [f32]) -> Result<()> {
        self.last().hidden(row, hidden)
    }

    fn widen_logits(&mut self, rows: usize) -> Result<()> {
        self.first.widen_logits(rows)
    }

    fn non_finite(&mut self) -> Option<NonFinite> {
        let other = self.second.non_finite();
        self.first.non_finite().or(other)
    }

    fn set_switch(&mut self, switch: Switch) {
        self.switch = switch;
    }

    fn calibrate(&mut self, most: usize, time: Duration) -> Result<Option<Calibration>> {
        let id = self.open(most)?;
        let found = self.time(id, most.min(self.chunk()), time);
        self.close(id);
        let found = found?;
        self.switch = found.switch;
        Ok(Some(found))
    }

    fn moved(&self) -> MoveStats {
        self.moved
    }
}
