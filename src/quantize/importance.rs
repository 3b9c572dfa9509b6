//! Importance matrices: for each tensor the mean square of the inputs that its columns are multiplied with, as
//! llama.cpp's `llama-imatrix` stores them in a GGUF file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::QuantizeError;
use crate::core::{DType, HostBytes};
use crate::format::gguf::{GgufFile, GgufWriter, NewMetadata, NewTensor, NewValue};

/// Ends of the names of a tensor's sums of squares and of the numbers of inputs.
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// What the columns of a model's matrices are worth.
#[derive(Clone, Debug, Default)]
pub struct Importance {
    /// The file that it is in, or the text that it was made of.
    path: PathBuf,
    in_file: bool,
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
        Ok(Self { path: path.into(), in_file: true, means, datasets, chunks })
    }

    /// The file that it is in, or the text that it was made of.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that it is in, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        self.in_file.then_some(&*self.path)
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

/// Sums of squares of what a model's matrices were given while it read a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputSums {
    /// By the name of a matrix in a GGUF file: the sum of squares of each column's inputs, and the number of inputs.
    pub tensors: BTreeMap<String, (Vec<f64>, u64)>,
    /// The text.
    pub text: PathBuf,
    /// Pieces that it was read in.
    pub chunks: u32,
    /// Tokens of a piece.
    pub chunk_size: u32,
}

impl InputSums {
    /// Writes a file that llama-quantize reads like one of llama-imatrix.
    ///
    /// # Errors
    /// What the system answers; then there is no file.
    pub fn write(&self, path: &Path) -> Result<(), QuantizeError> {
        let mut keys = NewMetadata::default();
        keys.set("general.type", &NewValue::Text("imatrix".into()));
        keys.set("imatrix.datasets", &NewValue::Texts(vec![self.text.to_string_lossy().into_owned()]));
        keys.set("imatrix.chunk_count", &NewValue::U32(self.chunks));
        keys.set("imatrix.chunk_size", &NewValue::U32(self.chunk_size));
        let (mut tensors, mut values) = (Vec::new(), Vec::new());
        let mut add = |name: String, all: Vec<f32>| {
            tensors.push(NewTensor { name, dtype: DType::F32, dims: vec![1, all.len()] });
            values.push(all);
        };
        for (name, (squares, count)) in &self.tensors {
            add(format!("{name}{SUMS}"), squares.iter().map(|&v| v as f32).collect());
            add(format!("{name}{COUNTS}"), vec![*count as f32]);
        }
        let mut writer = GgufWriter::create(path, &keys, &tensors)?;
        for all in values {
            writer.write(&all.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        writer.finish()?;
        Ok(())
    }

    /// What the columns are worth by them, rounded as a file of them would be. `file` is where they are stored, if they are.
    pub fn importance(&self, file: Option<&Path>) -> Importance {
        let mean = |(name, (squares, count)): (&String, &(Vec<f64>, u64))| {
            let count = (*count).max(1) as f32;
            (name.clone(), squares.iter().map(|&v| v as f32 / count).collect())
        };
        Importance {
            path: file.unwrap_or(&self.text).into(),
            in_file: file.is_some(),
            means: self.tensors.iter().map(mean).collect(),
            datasets: Some(self.text.to_string_lossy().into_owned()),
            chunks: self.chunks,
        }
    }
}

fn floats(bytes: &HostBytes) -> Vec<f32> {
    bytes.as_ref().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}
