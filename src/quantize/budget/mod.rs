//! The mix of types for a size: what each group of matrices adds to the divergence from the model is measured, and the bits
//! go where they take most of it away.
//!
//! The matrices are put in groups by what they do and where they are (`groups`). Of each group it is measured how far the
//! model's predictions move when this group alone has few bits (`measure`). Within a group, and for other types, the
//! divergence is taken to grow with the weighted square of the error: near the model itself it does. Then a type is chosen for
//! each matrix (`choose`).

mod choose;
mod groups;
mod measure;
mod size;

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::plan::{Plan, Planned};
use super::rules::fitting;
use super::tensors::may_change;
use super::{Importance, QuantizeError};
use crate::core::{Backend, DType};
use crate::engine::ModelFiles;
use crate::format::gguf::{NewTensor, StoredTensor};
use crate::quant::{dequantize_row, quantize_row_weighted, row_bytes};
pub use choose::Choice;
pub use groups::Group;
pub use measure::{Measured, Text};
pub use size::Size;

/// A text for those who give none.
pub const CALIBRATION: &str = include_str!("calibration.txt");

/// What a group has while it is measured: few bits, so that its part is no rounding error, and not the fewest.
const MEASURED: DType = DType::Q3K;

/// What a matrix may get; for rows that are no whole blocks of 256 what is like it.
const CANDIDATES: [DType; 11] = [
    DType::Q2K,
    DType::Q3K,
    DType::Iq4Xs,
    DType::Q4_1,
    DType::Q4K,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q5K,
    DType::Q6K,
    DType::Q8_0,
    DType::F16,
];

/// Rows of a matrix whose error stands for that of all.
const ROWS: usize = 48;

/// What is known of a model: for each tensor of its file what it may become, at what price.
pub struct Prices {
    /// The groups, with the divergence that each adds in few bits.
    pub groups: Vec<(Group, f64)>,
    /// One for each stored tensor: its candidates.
    tensors: Vec<Vec<Choice>>,
}

/// Where a model is, and how it is opened and computed: again for each measurement.
pub struct Subject<'a, B> {
    /// Opens it.
    pub files: &'a dyn Fn() -> Result<ModelFiles, QuantizeError>,
    /// Makes the backend.
    pub backend: &'a dyn Fn() -> Result<B, QuantizeError>,
    /// What its columns are worth, if that is known.
    pub importance: Option<Arc<Importance>>,
    /// The text that predictions are compared on.
    pub text: Text<'a>,
    /// Gets how much of the work is done, of how much, and whether to go on.
    pub progress: &'a dyn Fn(usize, usize) -> bool,
}

impl<B: Backend> Subject<'_, B> {
    /// Measures all groups of the model with the tensors `stored`.
    ///
    /// # Errors
    /// A model that cannot be run, a text of too few tokens, work that is broken off.
    pub fn prices(&self, stored: &[StoredTensor]) -> Result<(Prices, Measured), QuantizeError> {
        let files = (self.files)()?;
        let (family, spec) = (files.config.family, files.config.spec.clone());
        let groups = groups::of(stored, family, &spec);
        let steps = groups.len() + 2;
        self.step(0, steps)?;
        let measured = Measured::of((self.backend)()?, files, self.text)?;
        let mut priced = Vec::with_capacity(groups.len());
        let mut tensors = vec![Vec::new(); stored.len()];
        for (done, group) in groups.into_iter().enumerate() {
            self.step(done + 1, steps)?;
            let formats: Vec<(String, DType)> = group
                .members
                .iter()
                .flat_map(|member| {
                    let dtype = fitting(MEASURED, stored[member.index].dims.last().copied().unwrap_or(0));
                    member.names.iter().map(move |name| (name.clone(), dtype))
                })
                .collect();
            let divergence = self.divergence(&measured, &formats)?;
            let importance = self.importance.as_deref();
            let errors: Vec<Errors> = group
                .members
                .par_iter()
                .map(|member| Errors::of(&stored[member.index], importance))
                .collect::<Result<_, _>>()?;
            let whole: f64 = errors.iter().map(|e| e.measured).sum();
            for (member, errors) in group.members.iter().zip(errors) {
                tensors[member.index] = errors.choices(divergence / whole.max(f64::MIN_POSITIVE));
            }
            priced.push((group, divergence));
        }
        Ok((Prices { groups: priced, tensors }, measured))
    }

    /// The mean divergence from the model, in nats, with some of its matrices in other types.
    ///
    /// # Errors
    /// As [`Self::prices`].
    pub fn divergence(&self, measured: &Measured, formats: &[(String, DType)]) -> Result<f64, QuantizeError> {
        let files = (self.files)()?;
        let files = measure::replaced(files, formats, self.importance.clone());
        measured.divergence((self.backend)()?, files)
    }

    fn step(&self, done: usize, all: usize) -> Result<(), QuantizeError> {
        if (self.progress)(done, all) { Ok(()) } else { Err(QuantizeError::Interrupted) }
    }
}

impl Prices {
    /// The mix of least divergence whose tensors take `bytes` at most, and that divergence in nats as far as it can be
    /// known before.
    ///
    /// # Errors
    /// A size that even the smallest types do not reach. `path` is the model's.
    pub fn plan(
        &self,
        path: &Path,
        stored: &[StoredTensor],
        bytes: u64,
    ) -> Result<(Plan, f64), QuantizeError> {
        let fixed: u64 = stored
            .iter()
            .zip(&self.tensors)
            .filter(|(_, choices)| choices.is_empty())
            .map(|(tensor, _)| tensor.bytes.as_ref().len() as u64)
            .sum();
        let open: Vec<&[Choice]> = self.tensors.iter().filter(|c| !c.is_empty()).map(Vec::as_slice).collect();
        let least: u64 = open.iter().map(|c| c.iter().map(|c| c.bytes).min().unwrap_or(0)).sum();
        let chosen = choose::choose(&open, bytes.saturating_sub(fixed)).filter(|_| fixed + least <= bytes);
        let Some(chosen) = chosen else {
            return Err(QuantizeError::Unsuitable {
                path: path.into(),
                reason: format!(
                    "has tensors that take {} bytes in the smallest types, which is more than the {bytes} that are left for \
                     them: give a larger budget",
                    fixed + least
                ),
            });
        };
        let divergence = open.iter().zip(&chosen).map(|(choices, &at)| choices[at].divergence).sum();
        let mut chosen = open.iter().zip(&chosen).map(|(choices, &at)| choices[at].dtype);
        let tensors = stored.iter().zip(&self.tensors).map(|(tensor, choices)| {
            let kept = tensor.dtype.unwrap_or(DType::F32);
            let dtype = if choices.is_empty() { kept } else { chosen.next().unwrap_or(kept) };
            let tensor = NewTensor { name: tensor.name.clone(), dtype, dims: tensor.dims.clone() };
            Planned { tensor, instead_of: None }
        });
        Ok((Plan { tensors: tensors.collect() }, divergence))
    }

    /// The matrices of a plan by the names of the forward pass, with their types.
    pub fn formats(&self, plan: &Plan) -> Vec<(String, DType)> {
        let members = self.groups.iter().flat_map(|(group, _)| &group.members);
        let of = |member: &groups::Member| {
            let dtype = plan.tensors[member.index].tensor.dtype;
            member.names.iter().map(|name| (name.clone(), dtype)).collect::<Vec<_>>()
        };
        members.flat_map(of).collect()
    }
}

/// Squares of a matrix's error in each type.
struct Errors {
    measured: f64,
    /// Type, bytes, error.
    candidates: Vec<(DType, u64, f64)>,
}

impl Errors {
    fn of(tensor: &StoredTensor, importance: Option<&Importance>) -> Result<Self, QuantizeError> {
        let cols = tensor.dims.last().copied().unwrap_or(0);
        let from = tensor.dtype.unwrap_or(DType::F32);
        let mut wanted: Vec<DType> = CANDIDATES.into_iter().map(|dtype| fitting(dtype, cols)).collect();
        // What is no smaller than it was is as it was.
        wanted.retain(|dtype| row_bytes(*dtype, cols) < row_bytes(from, cols));
        wanted.push(from);
        wanted.sort_by_key(|dtype| (row_bytes(*dtype, cols), dtype.name()));
        wanted.dedup();
        let importance = match importance {
            Some(all) => all.of(&tensor.name, 1, cols)?,
            None => None,
        };
        let size = row_bytes(from, cols);
        let rows = tensor.bytes.as_ref().len().checked_div(size).unwrap_or(0);
        let step = rows.div_ceil(ROWS).max(1);
        let error = |dtype: DType| -> Result<f64, QuantizeError> {
            if dtype == from {
                return Ok(0.0);
            }
            let (mut values, mut again) = (vec![0.0; cols], vec![0.0; cols]);
            let mut block = vec![0; row_bytes(dtype, cols)];
            let (mut sum, mut seen) = (0.0, 0);
            for row in (0..rows).step_by(step) {
                dequantize_row(from, &tensor.bytes.as_ref()[row * size..][..size], &mut values)?;
                quantize_row_weighted(dtype, &values, importance, &mut block)?;
                dequantize_row(dtype, &block, &mut again)?;
                for (at, (a, b)) in values.iter().zip(&again).enumerate() {
                    let weight = importance.map_or(1.0, |all| f64::from(all[at]));
                    sum += weight * f64::from(a - b) * f64::from(a - b);
                }
                seen += 1;
            }
            Ok(sum * rows as f64 / f64::from(seen.max(1)))
        };
        let bytes = |dtype| (row_bytes(dtype, cols) * rows) as u64;
        let measured = error(fitting(MEASURED, cols))?;
        let candidates = wanted.into_iter().map(|dtype| Ok((dtype, bytes(dtype), error(dtype)?)));
        Ok(Self { measured, candidates: candidates.collect::<Result<_, QuantizeError>>()? })
    }

    /// The types that are worth something, with the divergence that each unit of error stands for.
    fn choices(self, unit: f64) -> Vec<Choice> {
        let all = self.candidates.into_iter();
        all.map(|(dtype, bytes, error)| Choice { dtype, bytes, divergence: error * unit }).collect()
    }
}

/// Whether a tensor's type is chosen.
fn is_open(tensor: &StoredTensor) -> bool {
    may_change(&tensor.name, &tensor.dims) && tensor.dtype.is_some()
}
