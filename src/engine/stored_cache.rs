//! Keys and values in files: what has computed them, and how they come out of a sequence and into one.

use serde::{Deserialize, Serialize};

use super::runner::{Runner, SequenceId};
use super::saved::Origin;
use crate::core::{CoreError, Result};
use crate::format::session::SessionReader;
use crate::format::shown;

/// What has computed keys and values, as files say it: with another of these they would be others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Maker {
    /// [`Identity`](super::Identity), in hexadecimal digits.
    pub model: String,
    rows: String,
    weights: String,
    arithmetic: String,
    keys: String,
    values: String,
}

impl Maker {
    /// This model on this machine.
    pub fn new(runner: &dyn Runner, weights: String, origin: &Origin) -> Self {
        let types = runner.kv_types();
        let hex = |sum: u64| format!("{sum:016x}");
        Self {
            model: hex(origin.model.constants),
            rows: hex(origin.model.rows),
            weights,
            arithmetic: origin.arithmetic.clone(),
            keys: types.k.name().to_owned(),
            values: types.v.name().to_owned(),
        }
    }

    /// Whether it is the same as `here`.
    ///
    /// # Errors
    /// The first difference, as the rest of a sentence about the file that says it.
    pub fn check(&self, here: &Self) -> std::result::Result<(), String> {
        let values = |maker: &Self| {
            let Self { model, rows, weights, arithmetic, keys, values } = maker.clone();
            [model, weights, rows, arithmetic, keys, values]
        };
        let names = [
            "model",
            "format of the weights",
            "state of the weights",
            "arithmetic (backend or instruction set)",
            "type of keys",
            "type of values",
        ];
        for ((what, there), here) in names.into_iter().zip(values(self)).zip(values(here)) {
            if there != here {
                return Err(format!("was made with another {what}: {}, not {here}", shown(&there)));
            }
        }
        Ok(())
    }
}

/// What can go wrong while a sequence is filled.
pub(super) enum Fault {
    Core(CoreError),
    /// Of the file: the rest of a sentence about it.
    Read(String),
}

impl From<CoreError> for Fault {
    fn from(error: CoreError) -> Self {
        Self::Core(error)
    }
}

/// Fills the empty sequence `id` with what comes next in a file: the `held` tokens of each layer, keys before values. They are
/// what is left of `position` tokens, of which `retained` had been seen when some were evicted last.
///
/// # Errors
/// No memory, fewer bytes than there have to be, what the system answers.
pub(super) fn fill(
    runner: &mut dyn Runner,
    id: SequenceId,
    reader: &mut SessionReader,
    (held, position): (usize, usize),
    retained: usize,
) -> std::result::Result<(), Fault> {
    runner.recount(id, (0, 0), 0, held)?;
    for layer in 0..runner.layouts().len() {
        let (mut k, mut v) = runner.layouts()[layer].room(held)?;
        reader.fill(&mut k).and_then(|()| reader.fill(&mut v)).map_err(Fault::Read)?;
        runner.import(id, layer, &k, &v, 0)?;
    }
    Ok(runner.recount(id, (held, position), retained, 0)?)
}

/// The keys and the values of the first `held` tokens in a layer, as [`fill`] reads them.
///
/// # Errors
/// No memory, a device that fails.
pub(super) fn export(
    runner: &mut dyn Runner,
    id: SequenceId,
    layer: usize,
    held: usize,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut k, mut v) = runner.layouts()[layer].room(held)?;
    runner.export(id, layer, 0..held, &mut k, &mut v)?;
    Ok((k, v))
}
