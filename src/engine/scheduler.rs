//! Which sequences go through the model together.

use super::EngineError;
use super::generation::{Generation, Shared};
use super::request::Observer;
use super::runner::Part;
use super::sequence::Sequence;

/// A text in progress, with its sequence and its observer.
pub(super) struct Active<'a, 'r> {
    pub sequence: &'a mut Sequence,
    pub generation: &'a mut Generation<'r>,
    pub observer: &'a mut dyn Observer,
    /// The most tokens of it that the pass takes in.
    pub most: usize,
    /// What went wrong with this text alone.
    pub fault: Option<EngineError>,
}

/// One pass for all texts that have not ended: those that are generated take in their last tokens, and prompts as much
/// as there is room for. Then each chooses what follows. Nothing of a text depends on which others are in progress with it.
///
/// # Errors
/// What the backend reports of the pass. What goes wrong with one text is its [fault](Active::fault).
pub(super) fn step(shared: &mut Shared<'_>, active: &mut [Active<'_, '_>]) -> Result<(), EngineError> {
    prepare(shared, active);
    pass(shared, active)
}

/// Decides what goes through the model next.
pub(super) fn prepare(shared: &mut Shared<'_>, active: &mut [Active<'_, '_>]) {
    let mut room = shared.runner.chunk();
    // What is generated goes first, so that it does not wait for another text's prompt.
    for prompts in [false, true] {
        for one in active.iter_mut().filter(|one| one.generation.is_in_prompt() == prompts) {
            let most = room.min(one.most);
            one.fault = one.generation.prepare(shared, one.sequence, one.observer, most).err();
            room = room.saturating_sub(one.generation.pending());
        }
    }
}

/// The pass that was [prepared](prepare).
///
/// # Errors
/// As [`step`].
pub(super) fn pass(shared: &mut Shared<'_>, active: &mut [Active<'_, '_>]) -> Result<(), EngineError> {
    if let [one] = active {
        let part = one.generation.part(one.sequence.id).filter(|_| one.fault.is_none());
        let Some(part) = part else { return Ok(()) };
        shared.runner.forward(&[part])?;
        one.fault = one.generation.proceed(shared, one.sequence, one.observer, 0).err();
        return Ok(());
    }
    // Wanted rows side by side, as far as that can be: the last layer leaves out the others then.
    let takes_part = |one: &Active<'_, '_>| one.fault.is_none() && one.generation.pending() > 0;
    let mut order: Vec<usize> = (0..active.len()).filter(|&i| takes_part(&active[i])).collect();
    order.sort_by_key(|&i| active[i].generation.order());
    let parts: Vec<Part<'_>> =
        order.iter().filter_map(|&i| active[i].generation.part(active[i].sequence.id)).collect();
    if parts.is_empty() {
        return Ok(());
    }
    shared.runner.forward(&parts)?;
    let wanted: Vec<usize> = parts.iter().map(|part| part.wanted).collect();
    let mut row = 0;
    for (i, wanted) in order.into_iter().zip(wanted) {
        let one = &mut active[i];
        one.fault = one.generation.proceed(shared, one.sequence, one.observer, row).err();
        row += wanted;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
