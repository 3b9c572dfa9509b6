//! Looking for activations that are not finite: broken weights, or values that grew beyond f32 (or beyond f16, in
//! the cache).

use std::fmt;

use crate::core::{Backend, Result, Tensor};

/// Where a value was not finite first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonFinite {
    /// NaN or an infinity.
    pub value: f32,
    /// The layer, counted from 0 as in the names of tensors; `None` before the first and after the last one.
    pub layer: Option<usize>,
    /// The step in it, in words: `after attention`.
    pub place: &'static str,
    /// Position of the token in its text, from 0.
    pub position: usize,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.value.is_nan() { "NaN" } else { "an infinite value" };
        let Self { place, position, .. } = self;
        match self.layer {
            Some(layer) => write!(f, "{value} in layer {layer}, {place}, at position {position}"),
            None => write!(f, "{value} in {place}, at position {position}"),
        }
    }
}

/// Looks through activations on the host, row by row, until something is found.
pub(super) struct Watch {
    row: Vec<f32>,
    found: Option<NonFinite>,
    reported: bool,
    /// The position in its text of each row of the tensors that come.
    pub positions: Vec<usize>,
}

impl Watch {
    pub fn new() -> Self {
        Self { row: Vec::new(), found: None, reported: false, positions: Vec::new() }
    }

    /// What was found, once.
    pub fn report(&mut self) -> Option<NonFinite> {
        if self.reported {
            return None;
        }
        self.reported = self.found.is_some();
        self.found
    }
}

/// Looks through the rows in use of `x`, if there is a watch that has found nothing yet; else costs nothing.
pub(super) fn look<B: Backend>(
    watch: &mut Option<Watch>,
    backend: &B,
    x: &Tensor<B::Buffer>,
    layer: Option<usize>,
    place: &'static str,
) -> Result<()> {
    look_at(watch, backend, x, |row| row, layer, place)
}

/// As [`look`], where row `row` of `x` belongs to row `of(row)` of the pass.
pub(super) fn look_at<B: Backend>(
    watch: &mut Option<Watch>,
    backend: &B,
    x: &Tensor<B::Buffer>,
    of: impl Fn(usize) -> usize,
    layer: Option<usize>,
    place: &'static str,
) -> Result<()> {
    let Some(watch) = watch.as_mut().filter(|watch| watch.found.is_none()) else { return Ok(()) };
    watch.row.resize(x.cols(), 0.0);
    for row in 0..x.rows() {
        backend.download(x, row, &mut watch.row)?;
        if let Some(&value) = watch.row.iter().find(|v| !v.is_finite()) {
            let position = watch.positions.get(of(row)).copied().unwrap_or_default();
            watch.found = Some(NonFinite { value, layer, place, position });
            break;
        }
    }
    Ok(())
}
