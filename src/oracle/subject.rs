//! What is compared with the reference.

use std::time::Duration;

use super::execute;
use super::{Operands, Work};
use crate::core::{Backend, Result};

/// What linear layers do to their input before they multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputRounding {
    /// Nothing.
    None,
    /// For block formats they round it to int8 in blocks of 32 (`quant::activation`): the CPU's contract.
    Int8,
    /// The same, and for f16 and bf16 they round it and the weights to bf16.
    Int8AndBf16,
}

/// What a backend made of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The result, row by row.
    pub values: Vec<f32>,
    /// Length of a row.
    pub cols: usize,
    /// From the call until its result was on the host.
    pub time: Duration,
}

/// A backend on a device, in one of its variants.
pub trait Subject {
    /// The backend's short name.
    fn backend(&self) -> &str;

    /// What computes, for display.
    fn device(&self) -> &str;

    /// Instruction set, or features in use.
    fn variant(&self) -> &str;

    /// What its linear layers do to their input: the reference does the same.
    fn rounding(&self) -> InputRounding;

    /// Computes `work`.
    ///
    /// # Errors
    /// Whatever the backend reports, and a result of the wrong size.
    fn run(&self, work: &Work, operands: &Operands) -> Result<Outcome>;
}

/// Any backend as a [`Subject`].
pub struct Tested<B> {
    /// The backend.
    pub backend: B,
    /// See [`Subject::device`].
    pub device: String,
    /// See [`Subject::variant`].
    pub variant: String,
    /// See [`Subject::rounding`].
    pub rounding: InputRounding,
}

impl<B: Backend> Subject for Tested<B> {
    fn backend(&self) -> &str {
        self.backend.name()
    }

    fn device(&self) -> &str {
        &self.device
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn rounding(&self) -> InputRounding {
        self.rounding
    }

    fn run(&self, work: &Work, operands: &Operands) -> Result<Outcome> {
        execute::run(&self.backend, work, operands)
    }
}
