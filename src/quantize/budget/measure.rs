//! How far a model's predictions move when some of its matrices have other types.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::super::{Importance, QuantizeError};
use crate::core::{Backend, DType, HostTensor};
use crate::engine::{ModelFiles, Session, SessionOptions};
use crate::eval::{LogitDump, Sequence, Wanted, Windows, evaluate};
use crate::format::{FormatError, TensorSource};
use crate::models::{Family, WeightPlan};
use crate::quant::{dequantize_row, quantize_row_weighted, row_bytes};

/// Tokens of a text that predictions are compared on.
const TOKENS: usize = 512;

/// Tokens of a window.
const WINDOW: usize = 256;

/// The most probable tokens of each step, which are compared one by one; the others as one.
const TOP: usize = 200;

/// A text, and the file that it is from.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// For messages.
    pub path: &'a Path,
    /// What it says.
    pub content: &'a str,
}

/// What a model predicts for a text.
pub struct Measured {
    sequence: Sequence,
    windows: Windows,
    dump: LogitDump,
}

impl Measured {
    /// The predictions of a model as it is.
    ///
    /// # Errors
    /// A text of too few tokens, what the backend reports.
    pub fn of<B: Backend>(backend: B, files: ModelFiles, text: Text<'_>) -> Result<Self, QuantizeError> {
        let mut ids = files.encode_text(text.content)?;
        let prefix = files.bos.filter(|bos| ids.first() == Some(bos));
        if prefix.is_some() {
            ids.remove(0);
        }
        ids.truncate(TOKENS);
        if ids.len() < 64 {
            return Err(QuantizeError::Unsuitable {
                path: text.path.into(),
                reason: format!(
                    "has {} tokens, which are too few to compare predictions on: give a longer text",
                    ids.len()
                ),
            });
        }
        let size = WINDOW.min(files.config.spec.max_positions).max(2);
        let sequence = Sequence { prefix, ids, to_the_end: false };
        let windows = Windows::new(size, size - 1)?;
        let mut session = session(backend, files, size)?;
        let wanted = Wanted { top_k: Some(TOP), ..Wanted::default() };
        let evaluation = evaluate(&mut session, &sequence, windows, wanted, &mut |_, _| ())?;
        let none =
            || QuantizeError::Unsuitable { path: text.path.into(), reason: "was not predicted".into() };
        Ok(Self { sequence, windows, dump: evaluation.dump.ok_or_else(none)? })
    }

    /// The mean divergence of another form of the model from it, in nats.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn divergence<B: Backend>(&self, backend: B, files: ModelFiles) -> Result<f64, QuantizeError> {
        let mut session = session(backend, files, self.windows.size())?;
        let wanted = Wanted { against: Some((Path::new("the model"), &self.dump)), ..Wanted::default() };
        let evaluation = evaluate(&mut session, &self.sequence, self.windows, wanted, &mut |_, _| ())?;
        Ok(evaluation.agreement.map_or(f64::NAN, |agreement| agreement.mean_divergence()))
    }

    /// Tokens that are predicted.
    pub fn tokens(&self) -> usize {
        self.dump.steps.len()
    }
}

fn session<B: Backend>(backend: B, files: ModelFiles, tokens: usize) -> Result<Session, QuantizeError> {
    let options = SessionOptions {
        weights: WeightPlan::AsStored,
        kv_types: DType::F16.into(),
        max_seq_len: tokens,
        prefill_chunk: tokens,
        ..SessionOptions::default()
    };
    Ok(Session::load(backend, files, &options, &mut |_| ())?)
}

/// The model with some of its matrices in other types.
pub(super) fn replaced(
    mut files: ModelFiles,
    formats: &[(String, DType)],
    importance: Option<Arc<Importance>>,
) -> ModelFiles {
    let nothing: Box<dyn TensorSource> = Box::new(Nothing);
    let inner = std::mem::replace(&mut files.tensors, nothing);
    let family = files.config.family;
    files.tensors =
        Box::new(Replaced { inner, formats: formats.iter().cloned().collect(), importance, family });
    files
}

/// A source of tensors, of which some are converted when they are asked for.
struct Replaced {
    inner: Box<dyn TensorSource>,
    formats: HashMap<String, DType>,
    importance: Option<Arc<Importance>>,
    family: &'static Family,
}

impl Replaced {
    fn convert(&self, tensor: &HostTensor, dtype: DType) -> Result<HostTensor, QuantizeError> {
        let (rows, cols) = tensor.matrix_dims();
        let name = self.family.gguf_name(tensor.name());
        let importance = match (&self.importance, &name) {
            (Some(all), Some(name)) => all.of(name, 1, cols)?,
            _ => None,
        };
        let (from, to) = (row_bytes(tensor.dtype(), cols), row_bytes(dtype, cols));
        let mut bytes = vec![0; rows * to];
        let pairs = bytes.par_chunks_mut(to.max(1)).zip(tensor.bytes().par_chunks(from.max(1)));
        pairs.try_for_each_init(
            || vec![0.0; cols],
            |values, (out, row)| {
                dequantize_row(tensor.dtype(), row, values)?;
                quantize_row_weighted(dtype, values, importance, out)
            },
        )?;
        // Rows stay where they are.
        Ok(HostTensor::in_order(tensor.name(), dtype, tensor.shape(), tensor.order(), bytes.into())?)
    }
}

impl TensorSource for Replaced {
    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        let Some(tensor) = self.inner.get(name)? else { return Ok(None) };
        match self.formats.get(name) {
            Some(&dtype) if dtype != tensor.dtype() => {
                self.convert(&tensor, dtype).map(Some).map_err(|e| FormatError::Tensor {
                    path: self.inner.location(name).into(),
                    name: name.to_owned(),
                    reason: e.to_string(),
                })
            }
            _ => Ok(Some(tensor)),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.inner.names()
    }

    fn location(&self, name: &str) -> String {
        self.inner.location(name)
    }

    fn total_bytes(&self) -> u64 {
        self.inner.total_bytes()
    }
}

/// A source without tensors.
struct Nothing;

impl TensorSource for Nothing {
    fn get(&self, _: &str) -> Result<Option<HostTensor>, FormatError> {
        Ok(None)
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }

    fn location(&self, name: &str) -> String {
        name.to_owned()
    }

    fn total_bytes(&self) -> u64 {
        0
    }
}
