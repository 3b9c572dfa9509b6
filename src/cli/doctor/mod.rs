//! `generate --doctor`: what this machine is, whether it computes rightly, how fast it is about, and what to choose. A page
//! for the terminal, or with `--json` an object for a report (`docs/DOCTOR.md` describes it).

mod advice;
mod calibrate;
mod facts;
mod page;
mod self_test;

use std::io::stdout;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::facts::{Calibration, Cores, Facts, Instructions, Machine, Memory, OpenCl, Program, Zone};
use super::args::Args;
use super::output::Stream;
use super::progress::Progress;
use super::{devices, limits};
use crate::backend::cpu::CpuBackend;
use crate::backend::opencl::OpenClBackend;
use crate::core::DType;
use crate::engine::WeightDType;
use crate::host::{Thermal, available_bytes};
use crate::models::{NamedShape, TensorRole};

/// The model that speeds and advice are for.
const SHAPE: NamedShape = NamedShape::Llama32x1B;

/// Examines the machine and prints what it found.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.model_path.is_some() || args.pack.pack_to.is_some() || args.prompt.is_some() {
        bail!("--doctor looks at the machine and takes no model and no prompt; leave the other flags out");
    }
    let facts = examine(args)?;
    let text = if args.json { serde_json::to_string_pretty(&facts)? } else { page::page(&facts) };
    let mut out = Stream::new(Some(stdout()), true);
    let _ = out.write(&text);
    out.finish().context("cannot write to standard output")?;
    Ok(if facts.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn examine(args: &Args) -> Result<Facts> {
    const STEPS: u64 = 4;
    let mut progress = Progress::new("Looking at the machine", args.quiet);
    progress.set(0, STEPS);
    let cpu_self_test = self_test::cpu()?;
    progress.set(1, STEPS);
    let (mut opencl, gpu) = opencl(args);
    progress.set(2, STEPS);
    let decoder = SHAPE.decoder();
    let spec = decoder.spec();
    let plan = WeightDType::Auto.choose(&spec, DType::BF16, available_bytes());
    // The matrices of a layer are what is measured.
    let format = plan.format(TensorRole::Layer, DType::BF16, 256);
    let cpu = CpuBackend::new(args.cpu.options());
    let cpu = cpu.context("the CPU cannot be measured")?;
    let threads = cpu.threads();
    let cpu_speed = calibrate::speed(&cpu, &decoder, format).context("the CPU cannot be measured")?;
    progress.set(3, STEPS);
    let gpu_speed = match gpu.map(|gpu| calibrate::speed(&gpu, &decoder, format)) {
        Some(Ok(speed)) => Some(speed),
        Some(Err(e)) => {
            opencl.fault = Some(format!("the device could not be measured: {e}"));
            None
        }
        None => None,
    };
    progress.finish();
    let calibration = Calibration {
        shape: SHAPE.name(),
        weight_format: format.name(),
        method: calibrate::METHOD,
        cpu: cpu_speed,
        opencl: gpu_speed,
    };
    let advice = advice::advise(&spec, format, threads, &calibration, available_bytes());
    let zones = Thermal::find(&limits::thermal_root()).zones();
    Ok(Facts {
        schema: facts::SCHEMA,
        program: Program::this(),
        machine: Machine::this(),
        cores: Cores::this(),
        instructions: Instructions::this(),
        memory: Memory::now(),
        cpu_self_test,
        opencl,
        calibration,
        thermal_zones: zones.into_iter().map(|z| Zone { name: z.name, celsius: z.celsius }).collect(),
        advice,
    })
}

/// The OpenCL devices with the verdict on each, and the one that `-b opencl` would take, if it computes rightly.
fn opencl(args: &Args) -> (OpenCl, Option<OpenClBackend>) {
    let (mut found, meant) = OpenCl::list(args.device.as_deref());
    let mut chosen = None;
    for (number, device) in found.devices.iter_mut().enumerate() {
        let options = devices::options(Some(&number.to_string()), args.pack.cache.pack_cache.as_ref());
        match OpenClBackend::new(options) {
            Ok(gpu) => {
                device.self_test = facts::Verdict::of(gpu.warning());
                if meant == Some(number) {
                    chosen = Some(gpu);
                }
            }
            Err(e) => device.self_test = facts::Verdict { passed: false, detail: Some(e.to_string()) },
        }
    }
    (found, chosen)
}
