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
}

/// One pass for all texts that have not ended: those that are generated take in their last tokens, and prompts as much
/// as there is room for. Then each chooses what follows. Nothing of a text depends on which others are in progress with it.
///
/// # Errors
/// What the backend reports, logits that are not numbers.
pub(super) fn step(shared: &mut Shared<'_>, active: &mut [Active<'_, '_>]) -> Result<(), EngineError> {
    let mut room = shared.runner.chunk();
    // What is generated goes first, so that it does not wait for another text's prompt.
    for prompts in [false, true] {
        for one in active.iter_mut().filter(|one| one.generation.is_in_prompt() == prompts) {
            one.generation.prepare(shared, one.sequence, one.observer, room)?;
            room -= one.generation.pending();
        }
    }
    if let [one] = active {
        let Some(part) = one.generation.part(one.sequence.id) else { return Ok(()) };
        shared.runner.forward(&[part])?;
        return one.generation.proceed(shared, one.sequence, one.observer, 0);
    }
    // Wanted rows side by side, as far as that can be: the last layer leaves out the others then.
    let mut order: Vec<usize> = (0..active.len()).filter(|&i| active[i].generation.pending() > 0).collect();
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
        one.generation.proceed(shared, one.sequence, one.observer, row)?;
        row += wanted;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
