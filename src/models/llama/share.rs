//! Sequences that go through the model together.

use std::ops::{Deref, Range};

use crate::core::{Backend, KvObserver, KvSequence, Run};
use crate::models::TextSpan;

/// What one sequence takes in with a pass.
pub struct Share<'a, B: Backend> {
    /// Tokens after those that it holds.
    pub ids: &'a [u32],
    /// What follows from so many of the last ones is wanted.
    pub wanted: usize,
    /// That is what the last layer gives, and not the logits.
    pub hidden: bool,
    /// Where its keys and values are; grows by the tokens.
    pub sequence: &'a mut KvSequence,
    /// The span of its text.
    pub span: TextSpan,
    /// Follows it through attention.
    pub observer: Option<&'a mut dyn KvObserver<B>>,
}

impl<'a, B: Backend> Share<'a, B> {
    /// Tokens of a text of the span that the model was first trained for, which nothing observes.
    pub fn new(sequence: &'a mut KvSequence, ids: &'a [u32], wanted: usize) -> Self {
        Self { ids, wanted, hidden: false, sequence, span: TextSpan::Original, observer: None }
    }

    /// Its rows in the pass: those of all its tokens, of which the first one has row `first`.
    pub(super) fn rows(&self, first: usize) -> Range<usize> {
        first..first + self.ids.len()
    }

    /// The positions of its tokens in its text.
    pub(super) fn positions(&self) -> Range<usize> {
        let position = self.sequence.position();
        position..position + self.ids.len()
    }

    /// Rows from `first` on for those of its tokens that an operation is about, and the slot of the first of them.
    fn place(&self, first: usize, of: Of) -> (Range<usize>, usize) {
        let tokens = if of == Of::All { self.ids.len() } else { self.wanted };
        (first..first + tokens, self.sequence.len() + self.ids.len() - tokens)
    }

    /// Its run over the layers of a group, whose first row is `first`.
    fn run(&self, group: usize, first: usize, of: Of) -> Run<'_> {
        let (rows, at) = self.place(first, of);
        self.sequence.run(group, rows, at)
    }

    /// The same, with the sequence's observer.
    pub(super) fn watched_run(
        &mut self,
        group: usize,
        first: usize,
        of: Of,
    ) -> (Run<'_>, Option<&mut (dyn KvObserver<B> + '_)>) {
        let (rows, at) = self.place(first, of);
        let run = self.sequence.run(group, rows, at);
        (run, self.observer.as_deref_mut().map(|observer| observer as _))
    }
}

/// Which of a pass's tokens an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// All of them.
    All,
    /// Those that are wanted, which are rows by themselves then.
    Wanted,
}

/// The runs of all shares over the layers of a group. One share takes no memory.
pub(super) enum Runs<'a> {
    One([Run<'a>; 1]),
    Several(Vec<Run<'a>>),
}

impl<'a> Runs<'a> {
    pub fn new<B: Backend>(shares: &'a [Share<'_, B>], group: usize, of: Of) -> Self {
        let mut row = 0;
        let mut run = |share: &'a Share<'_, B>| {
            let run = share.run(group, row, of);
            row = run.rows.end;
            run
        };
        match shares {
            [one] => Self::One([run(one)]),
            several => Self::Several(several.iter().map(run).collect()),
        }
    }
}

impl<'a> Deref for Runs<'a> {
    type Target = [Run<'a>];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::One(run) => run,
            Self::Several(runs) => runs,
        }
    }
}
