//! One case: what the reference says, and whether others agree.

use std::cell::OnceCell;
use std::time::Duration;

use super::execute;
use super::{Bound, Case, Difference, InputRounding, Operands, Outcome, Subject, Work};
use crate::backend::reference::ReferenceBackend;
use crate::core::{CoreError, Result};

/// A case with its operands and the reference's results, which are computed when they are first asked for.
pub struct Trial<'a> {
    case: &'a Case,
    operands: Operands,
    plain: OnceCell<Outcome>,
    /// With inputs rounded otherwise.
    otherwise: OnceCell<Outcome>,
}

/// What came of a case on a subject.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether the result is within its bound.
    pub passed: bool,
    /// From the call until its result was on the host; zero if there is none.
    pub time: Duration,
    /// How far the result is from the reference's; `None` if there is none of its size.
    pub difference: Option<Difference>,
    /// Why there is none.
    pub fault: Option<String>,
}

impl<'a> Trial<'a> {
    /// Makes the operands.
    ///
    /// # Errors
    /// No memory.
    pub fn new(case: &'a Case) -> Result<Self> {
        let operands = Operands::new(case)?;
        Ok(Self { case, operands, plain: OnceCell::new(), otherwise: OnceCell::new() })
    }

    /// Lets `subject` compute the case and judges it.
    ///
    /// # Errors
    /// Those of the reference. What the subject answers is part of the verdict.
    pub fn check(&self, subject: &dyn Subject) -> Result<Verdict> {
        let expected = self.expected(subject.rounding())?;
        let failed = |fault: String| Verdict {
            passed: false,
            time: Duration::ZERO,
            difference: None,
            fault: Some(fault),
        };
        let got = match subject.run(&self.case.work, &self.operands) {
            Ok(got) => got,
            Err(error) => return Ok(failed(error.to_string())),
        };
        if (got.values.len(), got.cols) != (expected.values.len(), expected.cols) {
            let size =
                CoreError::expect_eq("oracle", "result's length", got.values.len(), expected.values.len());
            return Ok(failed(
                size.err().map_or_else(|| "rows of another length".to_owned(), |e| e.to_string()),
            ));
        }
        let difference = Difference::between(&got.values, &expected.values, expected.cols);
        let passed = Bound::of(&self.case.work).admits(&difference);
        Ok(Verdict { passed, time: got.time, difference: Some(difference), fault: None })
    }

    fn expected(&self, rounding: InputRounding) -> Result<&Outcome> {
        let work = &self.case.work;
        let changed = matches!(work, Work::Linear { .. }) && self.operands.changes_with(rounding);
        // A format has but one way in which inputs may be rounded otherwise.
        let cell = if changed { &self.otherwise } else { &self.plain };
        if let Some(outcome) = cell.get() {
            return Ok(outcome);
        }
        let outcome = if changed {
            execute::run(&ReferenceBackend, work, &self.operands.rounded(rounding)?)?
        } else {
            execute::run(&ReferenceBackend, work, &self.operands)?
        };
        Ok(cell.get_or_init(|| outcome))
    }
}
