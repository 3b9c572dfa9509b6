//! Importance matrices: for each tensor the mean square of the inputs that its columns are multiplied with, as
//! llama.cpp's `llama-imatrix` stores them in a GGUF file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::QuantizeError;
use crate::core::{DType, HostBytes};
use crate::format::gguf::GgufFile;

/// Ends of the names of a tensor's sums of squares and of the numbers of inputs.
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// What the columns of a model's matrices are worth.
#[derive(Clone, Debug, Default)]
pub struct Importance {
    path: PathBuf,
    /// Tensor -> mean squares, for each expert those of all columns.
    means: BTreeMap<String, Vec<f32>>,
    /// The texts that it was made of, and in how many pieces.
    datasets: Option<String>,
    chunks: u32,
}

impl Importance {
    /// Reads a file.
    ///
    /// # Errors
    /// What the system answers; a file that is none of an importance matrix, or has numbers that are none.
    pub fn read(path: &Path) -> Result<Self, QuantizeError> {
        let unsuitable = |reason: String| QuantizeError::Unsuitable { path: path.into(), reason };
        if !GgufFile::is_at(path) && path.is_file() {
            return Err(unsuitable(
                "is no importance matrix in a GGUF file; make one with a newer llama-imatrix, or convert it with its \
                 option --output-format gguf"
                    .into(),
            ));
        }
        let file = GgufFile::open(path)?;
        let metadata = file.metadata();
        if metadata.text("general.type")? != Some("imatrix") {
            return Err(unsuitable(
                "is a GGUF file, but no importance matrix: give the output of llama-imatrix".into(),
            ));
        }
        let datasets = metadata.list("imatrix.datasets")?;
        let datasets = datasets.and_then(|list| match list.iter().next() {
            Some(crate::format::gguf::Value::Text(text)) => Some(text.to_owned()),
            _ => None,
        });
        let chunks = metadata.integer("imatrix.chunk_count")?.unwrap_or(0) as u32;
        let tensors: BTreeMap<String, _> = file.tensors().map(|t| (t.name.clone(), t)).collect();
        let mut means = BTreeMap::new();
        for (name, sums) in &tensors {
            let Some(weight) = name.strip_suffix(SUMS) else { continue };
            let counts = tensors.get(&format!("{weight}{COUNTS}")).ok_or_else(|| {
                unsuitable(format!("has '{name}' without '{weight}{COUNTS}': make the file again"))
            })?;
            if sums.dtype != Some(DType::F32) || counts.dtype != Some(DType::F32) {
                return Err(unsuitable(format!(
                    "has '{name}' in another type than F32: make the file again"
                )));
            }
            let (mut sums, counts) = (floats(&sums.bytes), floats(&counts.bytes));
            if counts.is_empty() || !sums.len().is_multiple_of(counts.len()) {
                return Err(unsuitable(format!(
                    "has {} sums but {} counts for '{weight}': make the file again",
                    sums.len(),
                    counts.len()
                )));
            }
            let cols = sums.len() / counts.len();
            for (means, &count) in sums.chunks_mut(cols.max(1)).zip(&counts) {
                if count > 0.0 {
                    means.iter_mut().for_each(|v| *v /= count);
                } else {
                    // An expert that no token went to.
                    means.fill(1.0);
                }
            }
            if let Some(bad) = sums.iter().find(|v| !v.is_finite() || **v < 0.0) {
                return Err(unsuitable(format!("has the value {bad} for '{weight}': make the file again")));
            }
            means.insert(weight.to_owned(), sums);
        }
        if means.is_empty() {
            return Err(unsuitable("has no sums of squares (NAME.in_sum2): make the file again".into()));
        }
        Ok(Self { path: path.into(), means, datasets, chunks })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of tensors that it has something about.
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Whether it has nothing.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    /// The text that it was made of, where the file says so, and in how many pieces.
    pub fn origin(&self) -> (Option<&str>, u32) {
        (self.datasets.as_deref(), self.chunks)
    }

    /// Mean squares for the columns of a tensor, `cols` for each of its `matrices`; `None` if nothing is known.
    ///
    /// # Errors
    /// Another number of columns: the matrix belongs to another model.
    pub fn of(&self, name: &str, matrices: usize, cols: usize) -> Result<Option<&[f32]>, QuantizeError> {
        let Some(means) = self.means.get(name) else { return Ok(None) };
        if means.len() != matrices * cols {
            return Err(QuantizeError::Unsuitable {
                path: self.path.clone(),
                reason: format!(
                    "has {} columns for '{name}', which has {}: it belongs to another model",
                    means.len(),
                    matrices * cols
                ),
            });
        }
        Ok(Some(means))
    }
}

fn floats(bytes: &HostBytes) -> Vec<f32> {
    bytes.as_ref().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}
