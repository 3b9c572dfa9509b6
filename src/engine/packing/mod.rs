//! Files of packed weights: made once, mapped afterwards. `format::packed` has the format; here is what goes into
//! such a file, where it is kept, and when it may be used.

mod cache;
mod identity;
mod place;
mod seal;

use std::path::Path;

use super::EngineError;
use super::small_files::SmallFiles;
use crate::core::{DType, HostTensor};
use crate::format::packed::Packer;
use crate::format::{FormatError, OutputFile, TensorSource};
use crate::models::llama::{find_tensor, tensor_specs};
use crate::models::{ModelSpec, WeightPlan};
use crate::tokenizer::Tokenizer;

pub(super) use cache::{Cached, Missing, look_up};
pub use place::CachePlace;
use seal::Seal;

/// Follows the making of a packed file.
pub trait PackObserver {
    /// `done` of `total` bytes are written.
    fn packing(&mut self, done: u64, total: u64);

    /// Something that the user should know although it is no error.
    fn note(&mut self, text: &str);

    /// Nothing is kept for the next start, and why.
    fn not_kept(&mut self, why: &str);
}

/// Without an observer.
impl PackObserver for () {
    fn packing(&mut self, _: u64, _: u64) {}

    fn note(&mut self, _: &str) {}

    fn not_kept(&mut self, _: &str) {}
}

/// The tensors of a model with the format that `plan` gives each.
pub(super) fn tensors(
    source: &dyn TensorSource,
    spec: &ModelSpec,
    plan: WeightPlan,
) -> Result<Vec<(HostTensor, DType)>, EngineError> {
    let find = |asked: crate::models::llama::TensorSpec| {
        let tensor = find_tensor(source, &asked.name, asked.shape)?;
        let format = plan.format(asked.role, tensor.dtype(), tensor.matrix_dims().1);
        Ok((tensor, format))
    };
    tensor_specs(spec).into_iter().map(find).collect()
}

/// What makes a file with all that a model needs.
pub(super) fn packer(
    small: SmallFiles,
    tokenizer: &Tokenizer,
    source: &dyn TensorSource,
    spec: &ModelSpec,
    plan: WeightPlan,
) -> Result<Packer, EngineError> {
    let flat = tokenizer.flat_form();
    Ok(Packer::new(small.into_sections(flat), tensors(source, spec, plan)?)?)
}

/// Writes a file to ship, and gives its length in bytes.
///
/// # Errors
/// A file that is there already, unless `overwrite` says that it may go; as [`OutputFile::create`].
pub(super) fn write_to(
    packer: Packer,
    path: &Path,
    overwrite: bool,
    observer: &mut dyn PackObserver,
) -> Result<u64, EngineError> {
    let output = OutputFile::create(path)?;
    if !overwrite && path.symlink_metadata().is_ok() {
        return Err(EngineError::FileExists { path: path.into() });
    }
    let len = packer.file_len();
    write(packer, output, None, observer)?;
    Ok(len)
}

/// Writes a packed file to its place, with the seal if it is to be kept.
fn write(
    packer: Packer,
    output: OutputFile,
    seal: Option<Seal>,
    observer: &mut dyn PackObserver,
) -> Result<(), FormatError> {
    let total = packer.file_len();
    packer.write(output.path(), output.file(), &mut |done| observer.packing(done, total))?;
    if let Some(seal) = seal {
        seal.put_on(output.file());
    }
    output.finish().map(drop)
}
