//! The backends that are tested.

use anyhow::{Result, bail};

use super::args::{Args, BackendChoice};
use crate::backend::cpu::{CpuBackend, CpuOptions, Isa};
use crate::backend::opencl::{Device, OpenClBackend, OpenClOptions, Preset};
use crate::cli::{devices, provenance};
use crate::core::Backend;
use crate::oracle::{InputRounding, Operator, Perturbed, Subject, Tested};

/// Why a backend that was asked for cannot be tested.
pub type Absent = String;

/// All that are asked for, or the sentence about one that is not there.
///
/// # Errors
/// A backend that is there and does not start.
pub fn all(args: &Args) -> Result<Result<Vec<Box<dyn Subject>>, Absent>> {
    let mut choices = args.backend.clone();
    if choices.is_empty() {
        choices.push(BackendChoice::Cpu);
        if args.device.is_some() || Device::choose(None).is_ok() {
            choices.push(BackendChoice::OpenCl);
        }
    }
    let mut subjects = Vec::new();
    for choice in &choices {
        match choice {
            BackendChoice::Cpu => subjects.extend(cpu(args)?),
            BackendChoice::OpenCl => match Device::choose(args.device.as_deref()) {
                Ok(_) => subjects.extend(opencl(args)?),
                Err(e) => {
                    return Ok(Err(format!("the opencl backend is not there: {e}; or test --backend cpu")));
                }
            },
        }
    }
    if !choices.contains(&BackendChoice::OpenCl) && args.device.is_some() {
        bail!("--device is for the opencl backend, which --backend leaves out");
    }
    if !choices.contains(&BackendChoice::Cpu) && (args.threads.is_some() || !args.isa.is_empty()) {
        bail!("--isa and --threads are for the cpu backend, which --backend leaves out");
    }
    Ok(Ok(subjects))
}

/// The CPU, once with each instruction set.
fn cpu(args: &Args) -> Result<Vec<Box<dyn Subject>>> {
    let sets = if args.isa.is_empty() { Isa::available() } else { args.isa.clone() };
    let one = |isa: Isa| {
        let backend = CpuBackend::new(CpuOptions { threads: args.threads, isa: Some(isa) })?;
        let plural = if backend.threads() == 1 { "" } else { "s" };
        let device = format!("{}, {} thread{plural}", provenance::cpu_name(), backend.threads());
        let rounding = if isa.is_exact() { InputRounding::Int8 } else { InputRounding::Int8AndBf16 };
        Ok(subject(backend, device, isa.to_string(), rounding, args.perturb))
    };
    sets.into_iter().map(one).collect()
}

/// The device, once with each set of kernels that it has what they need for; its self-test does not choose here, since it
/// is these that are to be judged.
fn opencl(args: &Args) -> Result<Vec<Box<dyn Subject>>> {
    let device = Device::choose(args.device.as_deref())?;
    let all = [
        ("plain", Preset::Plain, true),
        ("fast", Preset::Fast, true),
        ("sub-groups", Preset::SubGroups, device.subgroups),
        ("int-dot", Preset::IntegerDot, device.has_dot_product()),
        ("images", Preset::Images, device.has_images()),
        ("fp16", Preset::Half, device.has_half()),
    ];
    let one = |(name, preset): (&str, _)| {
        let options = devices::options(args.device.as_deref(), None);
        let backend = OpenClBackend::new(OpenClOptions { preset: Some(preset), ..options })?;
        let device = backend.device().name.clone();
        let rounding = if backend.rounds_inputs() { InputRounding::Int8 } else { InputRounding::None };
        Ok(subject(backend, device, name.to_owned(), rounding, args.perturb))
    };
    all.into_iter().filter(|(.., there)| *there).map(|(name, preset, _)| one((name, preset))).collect()
}

/// A backend as it is, or with an operator made wrong.
fn subject<B: Backend>(
    backend: B,
    device: String,
    variant: String,
    rounding: InputRounding,
    perturb: Option<Operator>,
) -> Box<dyn Subject> {
    match perturb {
        None => Box::new(Tested { backend, device, variant, rounding }),
        Some(operator) => {
            Box::new(Tested { backend: Perturbed::new(backend, operator), device, variant, rounding })
        }
    }
}
