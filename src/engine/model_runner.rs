//! A model on one backend.

use std::ops::Range;

use super::runner::{Held, PageUse, Part, Runner, SequenceId, Stage, not_open};
use crate::core::{Backend, KvLayout, KvPool, KvSequence, KvTypes, Largest, Result, Top};
use crate::kv::Watched;
use crate::models::llama::{Llama, NonFinite, Share, Workspace};
use crate::models::{ModelSpec, TextSpan};

/// How much memory a [`ModelRunner`] makes.
#[derive(Clone, Copy, Debug)]
pub struct RunnerSize {
    /// Types of stored keys and values.
    pub kv_types: KvTypes,
    /// The most slots of all sequences together, rounded up to whole pages.
    pub slots: usize,
    /// The most tokens of a pass.
    pub chunk: usize,
    /// Tokens whose logits are computed at once.
    pub logits_rows: usize,
    /// Look for values that are not finite after each step of each layer.
    pub check_numerics: bool,
}

/// A backend with a model, the pages of all sequences, and the memory of a pass.
pub struct ModelRunner<B: Backend> {
    backend: B,
    model: Llama<B>,
    types: KvTypes,
    layouts: Vec<KvLayout>,
    pool: KvPool<B::Buffer>,
    sequences: Vec<Option<Held>>,
    workspace: Workspace<B>,
}

impl<B: Backend> ModelRunner<B> {
    /// Makes all memory but that of keys and values, which grows as it is needed.
    ///
    /// # Errors
    /// No memory, or a type that keys or values cannot be stored in.
    pub fn new(backend: B, model: Llama<B>, size: RunnerSize) -> Result<Self> {
        let pool = model.new_pool(&backend, size.kv_types, size.slots)?;
        let mut workspace = model.workspace(&backend, size.chunk, size.logits_rows)?;
        if size.check_numerics {
            workspace.check_numerics();
        }
        let layouts = (0..pool.layers()).map(|layer| pool.layer(layer).layout).collect();
        let types = size.kv_types;
        Ok(Self { backend, model, types, layouts, pool, sequences: Vec::new(), workspace })
    }

    /// The backend and the model, without any sequence.
    pub fn into_parts(self) -> (B, Llama<B>) {
        (self.backend, self.model)
    }

    fn add(&mut self, held: Held) -> SequenceId {
        let free = self.sequences.iter().position(Option::is_none);
        let index = free.unwrap_or(self.sequences.len());
        match self.sequences.get_mut(index) {
            Some(place) => *place = Some(held),
            None => self.sequences.push(Some(held)),
        }
        SequenceId::new(index)
    }

    fn one(&mut self, id: SequenceId) -> Result<One<'_, B>> {
        let held = held_of(&mut self.sequences, id)?;
        Ok(One { backend: &self.backend, pool: &mut self.pool, held })
    }
}

/// A sequence, and what changes it.
struct One<'a, B: Backend> {
    backend: &'a B,
    pool: &'a mut KvPool<B::Buffer>,
    held: &'a mut Held,
}

impl<B: Backend> Runner for ModelRunner<B> {
    fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    fn weight_bytes(&self) -> usize {
        self.model.weight_bytes()
    }

    fn cache_bytes(&self) -> usize {
        let watched = self.sequences.iter().flatten().map(|held| held.watched.size_bytes());
        self.pool.size_bytes() + watched.sum::<usize>()
    }

    fn chunk(&self) -> usize {
        self.workspace.chunk()
    }

    fn kv_types(&self) -> KvTypes {
        self.types
    }

    fn layouts(&self) -> &[KvLayout] {
        &self.layouts
    }

    fn open(&mut self, max_len: usize) -> Result<SequenceId> {
        let slots = KvSequence::new(&self.pool, max_len);
        Ok(self.add(Held { slots, watched: Watched::default(), span: TextSpan::Original }))
    }

    fn close(&mut self, id: SequenceId) {
        if let Ok(One { pool, held, .. }) = self.one(id) {
            held.slots.clear(pool);
            self.sequences[id.index()] = None;
        }
    }

    fn fork(&mut self, id: SequenceId, position: usize) -> Result<Option<SequenceId>> {
        let One { pool, held, .. } = self.one(id)?;
        if !held.can_rewind(position) {
            return Ok(None);
        }
        let Some(slots) = held.slots.fork(pool, position, held.slots.max_len()) else { return Ok(None) };
        let mut watched = held.watched.clone();
        watched.rewind(position);
        let fork = Held { slots, watched, span: held.span };
        Ok(Some(self.add(fork)))
    }

    fn held(&self, id: SequenceId) -> Result<&Held> {
        let held = self.sequences.get(id.index()).and_then(Option::as_ref);
        held.ok_or(not_open(id, self.sequences.len()))
    }

    fn held_mut(&mut self, id: SequenceId) -> Result<&mut Held> {
        Ok(self.one(id)?.held)
    }

    fn accumulate_attention(&mut self, id: SequenceId, drafts: usize) -> Result<()> {
        let One { backend, pool, held } = self.one(id)?;
        if pool.layers() == 0 {
            return Ok(());
        }
        held.watched.accumulate_attention(backend, pool.layer(0), pool.layers(), drafts)
    }

    fn reserve_text(&mut self, id: SequenceId, more: usize) -> Result<()> {
        let One { backend, pool, held } = self.one(id)?;
        held.slots.reserve_text(backend, pool, more)
    }

    fn reserve(&mut self, id: SequenceId, more: usize) -> Result<()> {
        let One { backend, pool, held } = self.one(id)?;
        held.slots.reserve(backend, pool, more)
    }

    fn pages(&self) -> PageUse {
        let (used, most) = self.pool.pages();
        PageUse { used, most }
    }

    fn clear(&mut self, id: SequenceId) {
        if let Ok(One { pool, held, .. }) = self.one(id) {
            held.slots.clear(pool);
            held.watched.clear();
        }
    }

    fn rewind(&mut self, id: SequenceId, position: usize) -> Result<()> {
        let held = self.held_mut(id)?;
        held.slots.rewind(position);
        held.watched.rewind(position);
        Ok(())
    }

    fn retain(&mut self, id: SequenceId, keep: &[Range<usize>], more: usize) -> Result<()> {
        let One { backend, pool, held } = self.one(id)?;
        let before = held.slots.len();
        let retained = held.slots.retain(backend, pool, keep, more);
        match &retained {
            Ok(()) => held.watched.retain(before, keep),
            Err(_) if held.slots.is_empty() => held.watched.clear(),
            Err(_) => {}
        }
        retained
    }

    fn turn_prefix(&mut self, id: SequenceId, first: usize) -> Result<()> {
        let Self { backend, model, pool, sequences, workspace, .. } = self;
        let Held { slots, watched, span } = held_of(sequences, id)?;
        let tokens = watched.prefix_tokens();
        model.turn_prefix(backend, pool, slots, workspace, *span, (tokens, first), |layer| {
            watched.prefix(layer)
        })
    }

    fn recount(
        &mut self,
        id: SequenceId,
        (len, position): (usize, usize),
        retained: usize,
        more: usize,
    ) -> Result<()> {
        let One { backend, pool, held } = self.one(id)?;
        held.slots.recount(len, position, retained)?;
        held.slots.reserve(backend, pool, more)
    }

    fn export(
        &mut self,
        id: SequenceId,
        layer: usize,
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        let One { backend, pool, held } = self.one(id)?;
        held.slots.export_slots(backend, pool, layer, slots, k, v)
    }

    fn import(&mut self, id: SequenceId, layer: usize, k: &[u8], v: &[u8], at: usize) -> Result<()> {
        let One { backend, pool, held } = self.one(id)?;
        held.slots.import_slots(backend, pool, layer, k, v, at)
    }

    fn forward(&mut self, parts: &[Part<'_>]) -> Result<()> {
        let Self { backend, model, pool, sequences, workspace, .. } = self;
        // One sequence takes no memory.
        if let [part] = parts {
            let mut shares = [share(part, held_of(sequences, part.sequence)?)];
            return model.forward(backend, pool, &mut shares, workspace);
        }
        let open = sequences.len();
        let mut all: Vec<Option<&mut Held>> = sequences.iter_mut().map(Option::as_mut).collect();
        let shares = parts.iter().map(|part| {
            let held = all.get_mut(part.sequence.index()).and_then(Option::take);
            Ok(share(part, held.ok_or(not_open(part.sequence, open))?))
        });
        let mut shares = shares.collect::<Result<Vec<_>>>()?;
        model.forward(backend, pool, &mut shares, workspace)
    }

    fn logits(&mut self, row: usize, logits: &mut [f32]) -> Result<()> {
        self.model.logits_of(&self.backend, row, &mut self.workspace, logits)
    }

    fn largest(&mut self, row: usize, scratch: &mut [f32]) -> Result<Largest> {
        self.model.largest_of(&self.backend, row, &mut self.workspace, scratch)
    }

    fn top(&mut self, row: usize, count: usize, scratch: &mut [f32], top: &mut Top) -> Result<()> {
        self.model.top_of(&self.backend, row, count, &mut self.workspace, scratch, top)
    }

    fn hidden(&mut self, row: usize, hidden: &mut [f32]) -> Result<()> {
        self.model.hidden_of(&self.backend, row, &mut self.workspace, hidden)
    }

    fn widen_logits(&mut self, rows: usize) -> Result<()> {
        let Self { backend, model, workspace, .. } = self;
        if workspace.logits_rows() < rows.min(workspace.chunk()) {
            *workspace = workspace.with_logits_rows(backend, model.spec(), rows)?;
        }
        Ok(())
    }

    fn non_finite(&mut self) -> Option<NonFinite> {
        self.workspace.non_finite()
    }
}

/// The sequence of that number.
fn held_of(sequences: &mut [Option<Held>], id: SequenceId) -> Result<&mut Held> {
    let open = sequences.len();
    sequences.get_mut(id.index()).and_then(Option::as_mut).ok_or(not_open(id, open))
}

/// A part with the sequence that it belongs to.
fn share<'a, B: Backend>(part: &Part<'a>, held: &'a mut Held) -> Share<'a, B> {
    let Held { slots, watched, span } = held;
    let (ids, wanted, hidden) = (part.ids, part.wanted, part.stage == Stage::Embed);
    Share { ids, wanted, hidden, sequence: slots, span: *span, observer: Some(watched) }
}
