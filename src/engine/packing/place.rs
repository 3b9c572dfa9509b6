//! Where packed files are kept.

use std::path::{Path, PathBuf};

use crate::host::cache_directory;

/// The folder beside a model.
const HIDDEN: &str = ".llm_rs2";

/// Where packed weights are kept between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CachePlace {
    /// Nowhere.
    #[default]
    Off,
    /// In a hidden folder beside the model where that can be written, else in the user's cache directory;
    /// and only for models that take long enough to load for it to matter.
    Automatic,
    /// In this directory, whatever the model.
    Directory(PathBuf),
}

impl CachePlace {
    /// The directory for what was compiled for a device: the user's own, whatever the model and its packed weights, since it
    /// is code. Nothing is kept where no packed weights are.
    pub fn device_directory(&self) -> Option<PathBuf> {
        if *self == CachePlace::Off { None } else { cache_directory().map(|dir| dir.join("opencl")) }
    }

    /// The directories to look in, the preferred one first.
    pub(super) fn directories(&self, model: &Path) -> Vec<PathBuf> {
        match self {
            CachePlace::Off => Vec::new(),
            CachePlace::Directory(dir) => vec![dir.clone()],
            CachePlace::Automatic => {
                [Some(model.join(HIDDEN)), cache_directory()].into_iter().flatten().collect()
            }
        }
    }
}
