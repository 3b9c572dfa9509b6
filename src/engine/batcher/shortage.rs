//! What happens when the memory of keys and values does not suffice for all texts in progress.

use super::Batcher;
use crate::core::CoreError;
use crate::engine::EngineError;

/// Whether an error says that memory is short.
pub(super) fn is_one(error: &EngineError) -> bool {
    matches!(error, EngineError::Core(error) if is_shortage(error))
}

pub(super) fn is_shortage(error: &CoreError) -> bool {
    matches!(error, CoreError::CacheFull { .. } | CoreError::OutOfMemory { .. })
}

impl Batcher {
    /// Takes the memory that the prepared pass needs. Where there is none left, texts that have ended are forgotten first;
    /// then the texts that came last are interrupted, until it suffices for the others. The first that came is never
    /// interrupted, so that texts get done. Gives how many were interrupted.
    pub(super) fn secure_memory(&mut self) -> usize {
        let mut order: Vec<usize> = (0..self.active.len()).collect();
        order.sort_by_key(|&index| self.active[index].arrived);
        let mut interrupted = 0;
        for (place, &index) in order.iter().enumerate() {
            while self.active[index].goes_on() && self.active[index].generation.pending() > 0 {
                let text = &self.active[index];
                let Err(error) = self.runner.reserve(text.sequence.id, text.generation.pending()) else {
                    break;
                };
                if !is_shortage(&error) {
                    self.active[index].fault = Some(error.into());
                    break;
                }
                if self.prefixes.drop_oldest(self.runner.as_mut()) {
                    continue;
                }
                let last = order[place..].iter().rev().find(|&&other| self.active[other].goes_on());
                match last {
                    Some(&last) if last != index || place > 0 => {
                        let text = &mut self.active[last];
                        text.interrupted = true;
                        text.generation.interrupt();
                        self.runner.clear(text.sequence.id);
                        self.short = true;
                        interrupted += 1;
                    }
                    _ => self.active[index].fault = Some(error.into()),
                }
            }
        }
        interrupted
    }
}
