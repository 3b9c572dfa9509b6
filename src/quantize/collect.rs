//! Making an importance matrix: a model reads a text, and the squares of what its matrices are given are added up.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{InputSums, QuantizeError};
use crate::backend::{InputObserver, Observed};
use crate::core::{Backend, DType};
use crate::engine::{ModelFiles, Session, SessionOptions};
use crate::models::WeightPlan;

/// How a text is cut into the pieces that a model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// Tokens of a piece, that before a text's first included.
    pub size: usize,
    /// The most pieces that are read.
    pub most: usize,
}

impl Default for Chunks {
    /// As llama-imatrix.
    fn default() -> Self {
        Self { size: 512, most: usize::MAX }
    }
}

impl Chunks {
    /// The pieces of a text, each beginning with `bos` where the text does. What is left at the end is no piece, unless it is
    /// all there is.
    pub fn of(self, ids: &[u32], bos: Option<u32>) -> Vec<Vec<u32>> {
        let size = self.size.min(ids.len()).max(1);
        let bos = bos.filter(|bos| ids.first() == Some(bos));
        let mut pieces: Vec<Vec<u32>> = ids.chunks_exact(size).take(self.most).map(<[u32]>::to_vec).collect();
        if let Some(bos) = bos {
            pieces.iter_mut().for_each(|piece| piece[0] = bos);
        }
        pieces
    }
}

/// Sums by the names that the forward pass has for its weights.
#[derive(Default)]
struct Sums(Mutex<BTreeMap<String, (Vec<f64>, u64)>>);

impl InputObserver for Sums {
    fn inputs(&self, weights: &[&str], inputs: &[f32], cols: usize) {
        let mut squares = vec![0.0; cols];
        for row in inputs.chunks_exact(cols) {
            for (sum, &x) in squares.iter_mut().zip(row) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        let count = (inputs.len() / cols) as u64;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for &weight in weights {
            // Without a new name for each piece of text.
            match all.get_mut(weight) {
                Some((sums, counted)) => {
                    sums.iter_mut().zip(&squares).for_each(|(sum, square)| *sum += square);
                    *counted += count;
                }
                None => {
                    all.insert(weight.to_owned(), (squares.clone(), count));
                }
            }
        }
    }
}

/// Lets the model read `text`, which is the content of the file `path`, on `backend`, and gives the sums for the matrices of
/// its layers. `progress` gets the number of pieces that are read, and of all.
///
/// # Errors
/// A model that has no names in GGUF files, a text without tokens, inputs that are not finite, what the backend reports;
/// `progress` that breaks off.
pub fn collect<B: Backend>(
    backend: B,
    files: ModelFiles,
    (path, text): (&Path, &str),
    chunks: Chunks,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<InputSums, QuantizeError> {
    let unsuitable = |reason: String| QuantizeError::Unsuitable { path: path.into(), reason };
    let family = files.config.family;
    let pieces = chunks.of(&files.encode_text(text)?, files.bos);
    if pieces.first().is_none_or(|piece| piece.len() < 2) {
        return Err(unsuitable("has fewer than two tokens: give a longer text".into()));
    }
    let size = pieces[0].len();
    let sums = Arc::new(Sums::default());
    let options = SessionOptions {
        weights: WeightPlan::AsStored,
        kv_types: DType::F16.into(),
        max_seq_len: size,
        prefill_chunk: size,
        ..SessionOptions::default()
    };
    let mut session = Session::load(Observed::new(backend, sums.clone()), files, &options, &mut |_| ())?;
    for (done, piece) in pieces.iter().enumerate() {
        if progress(done, pieces.len()).is_break() {
            return Err(QuantizeError::Interrupted);
        }
        // The last layer computes for those tokens alone whose logits are wanted.
        session.score(piece, 0, &mut |_, _| ())?;
    }
    drop(session);
    let mut tensors = BTreeMap::new();
    let found = std::mem::take(&mut *sums.0.lock().unwrap_or_else(PoisonError::into_inner));
    for (name, (squares, count)) in found {
        let Some(stored) = family.gguf_name(&name).filter(|stored| stored.starts_with("blk.")) else {
            continue;
        };
        if let Some(column) = squares.iter().position(|sum| !sum.is_finite()) {
            return Err(unsuitable(format!(
                "makes the model compute values that are no numbers (column {column} of the input of '{stored}'): the \
                 model's file is damaged, or its numbers are too large"
            )));
        }
        // Parts of one stored matrix have the same input.
        tensors.entry(stored).or_insert((squares, count));
    }
    let (chunks, chunk_size) = (pieces.len() as u32, size as u32);
    Ok(InputSums { tensors, text: path.into(), chunks, chunk_size })
}
