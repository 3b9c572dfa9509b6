//! A text that gives up its memory, and begins again.

use super::{Generation, Shared};
use crate::core::Result;
use crate::engine::sequence::Sequence;

impl Generation<'_> {
    /// Gives up what its sequence holds, for others to have the memory. [`Self::resume`] goes on with the same text.
    pub fn interrupt(&mut self) {
        self.is_pending = false;
        (self.intake, self.taken_in) = (self.history.len(), 0);
        self.chunk = 0..0;
        self.rows.clear();
        self.at = 0;
    }

    /// Goes on after an interruption, in a sequence that may hold a beginning of the text.
    ///
    /// # Errors
    /// No memory: it is still interrupted then.
    pub fn resume(&mut self, shared: &mut Shared<'_>, sequence: &mut Sequence) -> Result<()> {
        let runner = &mut *shared.runner;
        let mut taken_in = sequence.keep_common(runner, &self.history)?;
        if sequence.set_span(runner, self.history.len())? {
            sequence.forget(runner);
            taken_in = 0;
        }
        let (len, _) = sequence.counts(runner);
        let more = (self.history.len() - taken_in).min(sequence.max_len() - len);
        runner.reserve_text(sequence.id, more)?;
        sequence.seen.clear();
        self.taken_in = taken_in;
        Ok(())
    }
}
