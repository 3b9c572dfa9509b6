//! Packed files that are kept between runs.

use std::fs;
use std::path::{Path, PathBuf};

use super::identity::{Identity, SECTION};
use super::seal::Seal;
use super::{CachePlace, PackObserver};
use crate::core::{DType, HostBytes, HostTensor, Order};
use crate::engine::EngineError;
use crate::engine::small_files::SmallFiles;
use crate::format::gguf::GgufFile;
use crate::format::packed::{BATCH, PackedFile, Packer};
use crate::format::{FormatError, OutputFile};
use crate::models::{ModelSpec, StoredTensors, WeightPlan};
use crate::tokenizer::Tokenizer;

/// Converting fewer stored bytes than this takes no noticeable time.
const WORTH_CONVERTING: u64 = 32 << 20;

/// Parsing a smaller tokenizer takes no noticeable time.
const WORTH_FLATTENING: usize = 1 << 20;

/// Bytes that a tokenizer takes while its quicker form is made, for each byte of its file: 7.5 for that of Llama 3.
const FLATTENED: usize = 8;

/// What a look into the cache gave.
pub(in crate::engine) enum Cached {
    /// Nothing is kept for this model.
    Nothing,
    /// The file for it, as it was found.
    Found(PackedFile),
    /// There is none yet.
    Missing(Missing),
}

/// A cached file that is to be made.
pub(in crate::engine) struct Missing {
    small: SmallFiles,
    identity: Identity,
    directories: Vec<PathBuf>,
    /// Empty where the weights can be used as they are stored: then only the tokenizer is kept.
    tensors: Vec<(HostTensor, DType)>,
    plan: Option<WeightPlan>,
}

/// Looks for the packed form of a checkpoint by `plan`. A file that cannot be used is to be
/// made again, with a note; for a checkpoint that is incomplete or does not fit its configuration nothing is kept,
/// and whoever loads it says why.
pub(in crate::engine) fn look_up(
    place: &CachePlace,
    tensors: &StoredTensors,
    spec: &ModelSpec,
    plan: WeightPlan,
    verify: bool,
    observer: &mut dyn PackObserver,
) -> Cached {
    let checkpoint = tensors.checkpoint();
    let directories = place.directories(checkpoint.dir());
    if directories.is_empty() {
        return Cached::Nothing;
    }
    // Those of a GGUF file take a moment to make, and the file itself stands for them.
    let small = match checkpoint.gguf().is_none().then(|| SmallFiles::of(checkpoint)).transpose() {
        Ok(small) => small,
        // What cannot be read here is reported by whoever needs it.
        Err(_) => return Cached::Nothing,
    };
    let Ok(tensors) = super::tensors(tensors, spec, plan) else { return Cached::Nothing };
    // Another type, or blocks that are not in tiles yet.
    let converted = |(tensor, dtype): &(HostTensor, DType)| {
        let as_read = (tensor.dtype(), tensor.order()) == (*dtype, Order::read_by_kernels(*dtype));
        !as_read && tensor.shape().dims().len() == 2
    };
    let stored: u64 = tensors.iter().filter(|t| converted(t)).map(|t| t.0.data().size() as u64).sum();
    let always = matches!(place, CachePlace::Directory(_));
    let weights = stored >= if always { 1 } else { WORTH_CONVERTING };
    let tokenizer = match &small {
        Some(small) => small.slow_tokenizer_bytes(),
        None => checkpoint.gguf().map_or(0, GgufFile::header_bytes),
    };
    if !weights && !always && tokenizer < WORTH_FLATTENING {
        return Cached::Nothing;
    }
    let (tensors, plan) = if weights { (tensors, Some(plan)) } else { (Vec::new(), None) };
    let Some(identity) = Identity::of(checkpoint, small.as_ref(), plan) else { return Cached::Nothing };
    for path in directories.iter().map(|dir| dir.join(&identity.file_name)) {
        if let Some(file) = usable(&path, &identity, verify, observer) {
            return Cached::Found(file);
        }
    }
    let Some(small) = small.or_else(|| SmallFiles::of(checkpoint).ok()) else { return Cached::Nothing };
    Cached::Missing(Missing { small, identity, directories, tensors, plan })
}

/// The file at `path`, if it is whole and was made from the files as they are now.
fn usable(
    path: &Path,
    identity: &Identity,
    verify: bool,
    observer: &mut dyn PackObserver,
) -> Option<PackedFile> {
    let again = |why: &str| format!("{why}; packing the model again");
    if !path.exists() {
        return None;
    }
    let file = match PackedFile::open(path) {
        Ok(file) => file,
        Err(e) => {
            observer.note(&again(&e.to_string()));
            return None;
        }
    };
    let source = file.section(SECTION);
    if source.as_ref().map(HostBytes::as_ref) != Some(identity.bytes.as_slice()) {
        observer.note(&again(&format!("'{}' was made from files that have changed", path.display())));
        return None;
    }
    // A file that was written into has another time; one that was copied may have, and proves to be whole.
    let sealed = Seal::of(&file).is_some_and(|seal| seal.is_on(path));
    if (verify || !sealed)
        && let Err(e) = file.verify()
    {
        observer.note(&again(&e.to_string()));
        return None;
    }
    if !sealed && let Some(seal) = Seal::of(&file) {
        seal.renew(path);
    }
    Some(file)
}

impl Missing {
    /// The files that it will hold beside the weights.
    pub fn small(&self) -> &SmallFiles {
        &self.small
    }

    /// The formats of the weights that the file will hold, if it will hold any.
    pub fn plan(&self) -> Option<WeightPlan> {
        self.plan
    }

    /// Bytes of memory that [`Self::make`] takes at most: a batch of converted weights, and the tokenizer being
    /// flattened.
    pub fn working_bytes(&self) -> u64 {
        let small: usize = self.small.iter().map(|(_, bytes)| bytes.len()).sum();
        let batch = if self.tensors.is_empty() { 0 } else { BATCH };
        (batch + FLATTENED * small) as u64
    }

    /// Makes the file and opens it. `None`, after a note, where that does not work: no place can be written, the
    /// disk is full. `None` too where the tokenizer is all that would be kept and has no quicker form.
    ///
    /// # Errors
    /// A tensor that has no packed form.
    pub fn make(
        self,
        tokenizer: &Tokenizer,
        observer: &mut dyn PackObserver,
    ) -> Result<Option<PackedFile>, EngineError> {
        let flat = tokenizer.flat_form();
        if flat.is_none() && self.tensors.is_empty() {
            return Ok(None);
        }
        let mut sections = self.small.into_sections(flat);
        let seal = Seal::now();
        sections.extend([(SECTION.to_owned(), self.identity.bytes), seal.section()]);
        let mut failure = None;
        let place = self.directories.iter().map(|dir| dir.join(&self.identity.file_name)).find_map(|path| {
            open(&path).map_err(|why| failure = Some(why)).ok().map(|output| (path, output))
        });
        let Some((path, output)) = place else {
            if let Some(why) = failure {
                observer.not_kept(&why.to_string());
            }
            return Ok(None);
        };
        let packer = Packer::new(sections, self.tensors)?;
        match super::write(packer, output, Some(seal), observer).and_then(|()| PackedFile::open(&path)) {
            Ok(file) => Ok(Some(file)),
            Err(e @ FormatError::Tensor { .. }) => Err(e.into()),
            Err(e) => {
                observer.not_kept(&e.to_string());
                Ok(None)
            }
        }
    }
}

/// Begins the file at `path`, in a directory that is made if need be.
fn open(path: &Path) -> Result<OutputFile, FormatError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|source| FormatError::Io {
            action: "make",
            path: dir.into(),
            source,
        })?;
    }
    OutputFile::create(path)
}
