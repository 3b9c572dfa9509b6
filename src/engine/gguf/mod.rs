//! What a GGUF file says about its model, as the files that a Hugging Face directory would have for it. From there on
//! both are read alike, and the same values give the same bits.

mod config;
mod embedding;
mod export;
mod key;
mod pre_tokenizer;
mod rope;
mod special;
mod token_type;
mod tokenizer;
mod unused;

use serde_json::Value;

use super::small_files::SmallFiles;
use super::warning::ModelWarning;
use crate::format::gguf::GgufFile;
use crate::format::{FormatError, TensorSource};
pub(super) use embedding::DENSE;
pub use export::Export;
use special::SpecialIds;
use tokenizer::Vocabulary;

/// config.json, the tokenizer in its flat form, tokenizer_config.json and files of modules for a file, which may be the first of several: the
/// tensors are those of all.
///
/// # Errors
/// A sentence that names the file and the key that is missing, of another type, or not supported.
pub(super) fn small_files(file: &GgufFile, tensors: &dyn TensorSource) -> Result<SmallFiles, FormatError> {
    let bytes = |value: &Value| value.to_string().into_bytes();
    let vocabulary = Vocabulary::of(file.metadata())?;
    let files = vec![
        ("config.json", bytes(&config::config(file, tensors)?)),
        ("tokenizer_config.json", bytes(&tokenizer::tokenizer_config(&vocabulary)?)),
    ];
    let files = SmallFiles::new(files).with_tokenizer(tokenizer::tokenizer(&vocabulary)?);
    Ok(files.with(embedding::files(key::Keys::of(file.metadata())?, tensors)?))
}

/// What a user should know about a file although it can be used.
///
/// # Errors
/// As [`small_files`].
pub(super) fn warnings(file: &GgufFile) -> Result<Vec<ModelWarning>, FormatError> {
    let mut warnings = SpecialIds::of(file.metadata())?.warnings;
    warnings.extend(unused::warnings(key::Keys::of(file.metadata())?)?);
    Ok(warnings)
}

/// The model's dimensions alone, which are known at once.
///
/// # Errors
/// As [`small_files`].
pub(super) fn config_json(file: &GgufFile, tensors: &dyn TensorSource) -> Result<Vec<u8>, FormatError> {
    Ok(config::config(file, tensors)?.to_string().into_bytes())
}
