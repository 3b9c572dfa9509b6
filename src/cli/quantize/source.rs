//! The model that a file is made of: a GGUF file, or the directory of a checkpoint.

use std::path::Path;

use anyhow::{Result, bail};

use crate::engine::Export;
use crate::format::gguf::{GgufFile, Metadata, StoredTensor, open_parts};

/// Keys and tensors of a model.
pub(super) struct Source {
    /// The first has the keys.
    files: Vec<GgufFile>,
    pub tensors: Vec<StoredTensor>,
    /// What a user should know.
    pub notes: Vec<String>,
}

impl Source {
    /// Opens a GGUF file, in one or several parts, or the directory of a checkpoint.
    ///
    /// # Errors
    /// A file that is none, a model that GGUF files have no form for.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let Export { file, tensors, notes } = Export::of(path)?;
            return Ok(Self { files: vec![file], tensors, notes });
        }
        if !GgufFile::is_at(path) && path.is_file() {
            bail!(
                "'{}' is no GGUF file; give one, for instance the F16 or BF16 file of the model, or the directory of its \
                 checkpoint",
                path.display()
            );
        }
        let files = open_parts(path)?;
        let tensors = files.iter().flat_map(GgufFile::tensors).collect();
        Ok(Self { files, tensors, notes: Vec::new() })
    }

    pub fn keys(&self) -> &Metadata {
        self.files[0].metadata()
    }
}
