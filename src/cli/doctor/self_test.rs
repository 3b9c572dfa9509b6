//! Whether the CPU's kernels compute what the reference does: some cases of every operator, in every format, on every
//! instruction set. `test_backend` tries all of them.

use anyhow::{Context, Result};

use super::facts::Tested;
use crate::backend::cpu::{CpuBackend, CpuOptions, Isa};
use crate::oracle::{Case, InputRounding, ShapeList, Tested as Subject, Trial, cases};

/// Cases of an operator and format that are tried, spread over all of them.
const EACH: usize = 3;

pub fn cpu() -> Result<Vec<Tested>> {
    let all = cases(ShapeList::Quick);
    let some: Vec<&Case> = all
        .chunk_by(|a, b| (a.work.operator(), a.work.dtype()) == (b.work.operator(), b.work.dtype()))
        .flat_map(|group| group.iter().step_by(group.len().div_ceil(EACH)))
        .collect();
    let subjects = Isa::available().into_iter().map(|isa| {
        let backend = CpuBackend::new(CpuOptions { isa: Some(isa), ..CpuOptions::default() })?;
        let variant = isa.to_string();
        Ok(Subject { backend, device: String::new(), variant, rounding: InputRounding::Int8 })
    });
    let subjects: Vec<_> = subjects.collect::<Result<_>>()?;
    let mut found: Vec<Tested> = Isa::available()
        .iter()
        .map(|isa| Tested { set: isa.name(), cases: some.len(), failed: Vec::new() })
        .collect();
    for case in some {
        let trial = Trial::new(case).with_context(|| format!("cannot try {case}"))?;
        for (subject, found) in subjects.iter().zip(&mut found) {
            if !trial.check(subject).with_context(|| format!("the reference cannot compute {case}"))?.passed {
                found.failed.push(case.to_string());
            }
        }
    }
    Ok(found)
}
