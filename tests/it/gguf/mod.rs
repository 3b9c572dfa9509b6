//! GGUF files against the checkpoints they were made from: the same configuration, the same bits, the same text.

mod bad;
mod big_endian;
mod export;
mod model;
mod others;
mod scales;
mod settings;
mod split;
mod tokenizer;
mod types;
mod vocabularies;
mod writer;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use writer::Gguf;

use crate::skip::shared;

/// A path under the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file in a directory of its own.
fn written(file: &Gguf) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, file.bytes()).unwrap();
    (dir, path)
}
