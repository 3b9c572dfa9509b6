//! What the engine needs of a model with its backend, whatever they are.

use std::ops::Range;
use std::time::Duration;

use super::switch::{Calibration, MoveStats, Switch};
use crate::core::{CoreError, KvLayout, KvSequence, KvTypes, Largest, Result, Top};
use crate::kv::Watched;
use crate::models::llama::NonFinite;
use crate::models::{ModelSpec, TextSpan};

/// A sequence of a [`Runner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceId(usize);

impl SequenceId {
    /// The sequence of that number.
    pub(super) fn new(index: usize) -> Self {
        Self(index)
    }

    /// Its number.
    pub(super) fn index(self) -> usize {
        self.0
    }
}

/// A sequence as its runner holds it.
#[derive(Debug)]
pub struct Held {
    /// Its slots.
    pub slots: KvSequence,
    /// What its eviction policy watches.
    pub watched: Watched,
    /// The span that its rotary embeddings are for.
    pub span: TextSpan,
}

impl Held {
    /// Whether it is afterwards what it was at `position` when it is cut back to there.
    pub fn can_rewind(&self, position: usize) -> bool {
        position == self.slots.position() || self.watched.can_rewind() && self.slots.can_rewind(position)
    }
}

/// Pages of 64 slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageUse {
    /// Pages that some sequence holds.
    pub used: usize,
    /// The most that there may be.
    pub most: usize,
}

/// What part of a text goes through the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Some of the `tokens` of a prompt that are new.
    Prompt {
        /// All of them.
        tokens: usize,
    },
    /// What was generated.
    Decode,
    /// A text that is scored.
    Score,
    /// A text whose hidden states are wanted in place of logits.
    Embed,
}

/// One sequence's part of a pass.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Which sequence.
    pub sequence: SequenceId,
    /// Tokens after those that it holds.
    pub ids: &'a [u32],
    /// The logits after so many of the last ones are wanted, or their hidden states.
    pub wanted: usize,
    /// What they are.
    pub stage: Stage,
}

/// A model whose passes a backend computes, with the keys and values of all sequences that go through it. Each sequence gets
/// the bits that it would get alone, whatever goes through the model with it.
///
/// A sequence that was not [opened](Self::open), or that was closed, is an error.
pub trait Runner: Send {
    /// What the model is made of.
    fn spec(&self) -> &ModelSpec;

    /// Memory that the prepared weights take, in bytes.
    fn weight_bytes(&self) -> usize;

    /// Memory that keys and values take now, in bytes.
    fn cache_bytes(&self) -> usize;

    /// The most tokens of a pass.
    fn chunk(&self) -> usize;

    /// Types of keys and values.
    fn kv_types(&self) -> KvTypes;

    /// What each layer stores of a token.
    fn layouts(&self) -> &[KvLayout];

    /// An empty sequence of up to `max_len` tokens.
    ///
    /// # Errors
    /// No memory.
    fn open(&mut self, max_len: usize) -> Result<SequenceId>;

    /// Lets go of a sequence.
    fn close(&mut self, id: SequenceId);

    /// A sequence that begins as another one does, up to position `position`, in the same memory until either writes there.
    /// `None` where that one cannot be cut back to there.
    ///
    /// # Errors
    /// No memory.
    fn fork(&mut self, id: SequenceId, position: usize) -> Result<Option<SequenceId>>;

    /// The sequence.
    ///
    /// # Errors
    /// It is not open.
    fn held(&self, id: SequenceId) -> Result<&Held>;

    /// The sequence, to change what is watched of it or its span. Its slots change by the methods of this trait alone.
    ///
    /// # Errors
    /// It is not open.
    fn held_mut(&mut self, id: SequenceId) -> Result<&mut Held>;

    /// From now on the attention that each of the sequence's tokens receives is accumulated; of a pass no more than `drafts`
    /// tokens are taken back.
    ///
    /// # Errors
    /// [`CoreError::Lacking`] if the backend does not compute it.
    fn accumulate_attention(&mut self, id: SequenceId, drafts: usize) -> Result<()>;

    /// Makes room for a text of `more` tokens that comes in several passes: see [`KvSequence::reserve_text`].
    ///
    /// # Errors
    /// No memory.
    fn reserve_text(&mut self, id: SequenceId, more: usize) -> Result<()>;

    /// Makes room for `more` tokens that come in the next pass: see [`KvSequence::reserve`]. The pass itself then needs no
    /// memory for them.
    ///
    /// # Errors
    /// [`CoreError::CacheFull`], [`CoreError::OutOfMemory`]: nothing has changed.
    fn reserve(&mut self, id: SequenceId, more: usize) -> Result<()>;

    /// Pages of keys and values that sequences hold, and the most that they may.
    fn pages(&self) -> PageUse;

    /// Forgets everything of the sequence.
    fn clear(&mut self, id: SequenceId);

    /// Forgets the tokens from position `position` on: see [`KvSequence::rewind`].
    ///
    /// # Errors
    /// It is not open.
    fn rewind(&mut self, id: SequenceId, position: usize) -> Result<()>;

    /// Drops all tokens but those in the slots of `keep`: see [`KvSequence::retain`].
    ///
    /// # Errors
    /// As there.
    fn retain(&mut self, id: SequenceId, keep: &[Range<usize>], more: usize) -> Result<()>;

    /// Rotates the keys of the tokens that are kept unrotated to the positions from `first` on.
    ///
    /// # Errors
    /// What the backend reports.
    fn turn_prefix(&mut self, id: SequenceId, first: usize) -> Result<()>;

    /// Makes room for `more` tokens after `len` held ones, of `position` seen, which [`Self::import`] fills in or has filled
    /// in: see [`KvSequence::recount`].
    ///
    /// # Errors
    /// Counts that contradict each other, no memory.
    fn recount(&mut self, id: SequenceId, counts: (usize, usize), retained: usize, more: usize)
    -> Result<()>;

    /// Keys and values of some slots of a layer, to the host: see [`crate::core::Backend::kv_export`].
    ///
    /// # Errors
    /// As there.
    fn export(
        &mut self,
        id: SequenceId,
        layer: usize,
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()>;

    /// The same from the host, to the slots from `at` on.
    ///
    /// # Errors
    /// As [`crate::core::Backend::kv_import`].
    fn import(&mut self, id: SequenceId, layer: usize, k: &[u8], v: &[u8], at: usize) -> Result<()>;

    /// Takes in the tokens of all parts, [`Self::chunk`] at most. Those that are wanted are rows afterwards, one part after the
    /// other.
    ///
    /// # Errors
    /// Ids outside of the vocabulary, a full sequence, what the backend reports.
    fn forward(&mut self, parts: &[Part<'_>]) -> Result<()>;

    /// All logits of row `row` of the last pass, `vocab_size` of them.
    ///
    /// # Errors
    /// There is no such row, or what the backend reports.
    fn logits(&mut self, row: usize, logits: &mut [f32]) -> Result<()>;

    /// The largest of them; `scratch` is as long as they are.
    ///
    /// # Errors
    /// As [`Self::logits`].
    fn largest(&mut self, row: usize, scratch: &mut [f32]) -> Result<Largest>;

    /// The `count` largest of them, in `top`; `scratch` is as long as they are.
    ///
    /// # Errors
    /// As [`Self::logits`].
    fn top(&mut self, row: usize, count: usize, scratch: &mut [f32], top: &mut Top) -> Result<()>;

    /// The hidden state of row `row` of the last pass, after the final norm: `hidden_size` elements.
    ///
    /// # Errors
    /// As [`Self::logits`].
    fn hidden(&mut self, row: usize, hidden: &mut [f32]) -> Result<()>;

    /// From now on logits of `rows` tokens are computed at once, so that the output matrix is not read for each of them.
    ///
    /// # Errors
    /// No memory.
    fn widen_logits(&mut self, rows: usize) -> Result<()>;

    /// A value that was not finite, if one was found since the last question and the runner looks for any; it is given once.
    fn non_finite(&mut self) -> Option<NonFinite>;

    /// Says which of two backends takes which pass; does nothing with one.
    fn set_switch(&mut self, _switch: Switch) {}

    /// Times two backends for about `time` with prompts of up to `most` tokens, and lets each do what it does faster; `None`
    /// with one.
    ///
    /// # Errors
    /// What either backend reports.
    fn calibrate(&mut self, _most: usize, _time: Duration) -> Result<Option<Calibration>> {
        Ok(None)
    }

    /// What was moved between two backends so far.
    fn moved(&self) -> MoveStats {
        MoveStats::default()
    }
}

/// The error for a sequence that is not open.
pub(super) fn not_open(id: SequenceId, open: usize) -> CoreError {
    CoreError::Mismatch { op: "a pass", what: "number of a sequence", got: id.index(), expected: open }
}
