//! OpenCL devices: listing them, opening the one that is meant, and choosing between it and the CPU.

use std::env;
use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use super::notice::{say, sentence, with_flags};
use super::output::Stream;
use crate::backend::cpu::CpuBackend;
use crate::backend::opencl::{Device, DeviceCache, DeviceKind, OpenClBackend, OpenClOptions};
use crate::bench::{Budget, Case, Operator, measure};
use crate::core::{Backend, DType, Remedy};
use crate::engine::{CachePlace, Holding, fits_device};
use crate::models::{Decoder, ModelSpec, WeightMix};

/// Names a kernel that is to compute wrongly: for tests of what should notice.
const PERTURB: &str = "LLM_RS2_OPENCL_PERTURB";

/// Takes the device for lost after so many kernels: for tests of what is left then.
const LOSE_AFTER: &str = "LLM_RS2_OPENCL_LOSE_AFTER";

/// `--list-devices`: one line a device on standard output.
pub fn list() -> Result<ExitCode> {
    let mut out = Stream::new(Some(stdout()), true);
    for (number, device) in Device::list()?.iter().enumerate() {
        if out.write(&format!("{number}: {device}\n")).is_break() {
            break;
        }
    }
    out.finish().context("cannot write the list to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The settings of the OpenCL backend. What is compiled is kept in the user's cache directory, unless `place` is none.
pub fn options(device: Option<&str>, place: Option<&CachePlace>) -> OpenClOptions {
    let directory = place.unwrap_or(&CachePlace::Automatic).device_directory();
    OpenClOptions {
        device: device.map(str::to_owned),
        cache: DeviceCache::new(directory),
        perturb: env::var(PERTURB).ok(),
        lose_after: env::var(LOSE_AFTER).ok().and_then(|n| n.parse().ok()),
        ..OpenClOptions::default()
    }
}

/// Opens the device that is meant, and reports what its self-test found.
pub fn open(options: OpenClOptions) -> Result<OpenClBackend> {
    let gpu = OpenClBackend::new(options)?;
    if let Some(warning) = gpu.warning() {
        say(&format!("warning: {warning}"));
    }
    Ok(gpu)
}

/// Refuses a model whose weights are larger than the device's memory.
pub fn check_memory(gpu: &OpenClBackend, spec: &ModelSpec, weights: &WeightMix) -> Result<()> {
    let device = gpu.device();
    fits_device(spec, weights, &device.name, device.memory)
        .map_err(|why| anyhow::Error::msg(with_flags(why, &[Remedy::WeightFormat])))
}

/// Where the cpu and a device beside it hold weights.
pub fn holding_beside_cpu(gpu: &OpenClBackend) -> Holding {
    if gpu.device().unified { Holding::InPlaceAndCopied } else { Holding::InPlace }
}

/// Where a device holds weights.
pub fn holding(gpu: &OpenClBackend) -> Holding {
    if gpu.device().unified { Holding::Copied } else { Holding::OnDevice }
}

/// What `--backend auto` comes to, and why.
pub enum Choice {
    /// The device.
    OpenCl(Box<OpenClBackend>, String),
    /// The processor.
    Cpu(Box<CpuBackend>, String),
}

/// Seconds that are spent on comparing; each of four measurements gets its share.
const CALIBRATION: Duration = Duration::from_secs(2);

/// Chooses between the device that `options` means and `cpu`: the first if there is one (a GPU, unless a device is
/// named), it computes rightly, and it is faster at decoding a model of this shape.
pub fn choose(options: OpenClOptions, cpu: CpuBackend, spec: &ModelSpec, weights: &WeightMix) -> Choice {
    if options.device.is_none() {
        match Device::choose(None) {
            Ok(device) if device.kind == DeviceKind::Cpu => {
                return Choice::Cpu(Box::new(cpu), "OpenCL knows no GPU here".to_owned());
            }
            Ok(_) => {}
            Err(e) => return Choice::Cpu(Box::new(cpu), e.to_string()),
        }
    }
    let opened = open(options).and_then(|gpu| check_memory(&gpu, spec, weights).map(|()| gpu));
    let gpu = match opened {
        Ok(gpu) => gpu,
        Err(e) => return Choice::Cpu(Box::new(cpu), sentence(&e)),
    };
    let name = gpu.device().name.clone();
    let like = Decoder::like(spec);
    let format = weights.formats().next().map_or(DType::F32, |(format, _)| format);
    let seconds = |r: Result<f64>| r.unwrap_or(f64::INFINITY);
    let (here, there) =
        (seconds(decode_time(&cpu, &like, format)), seconds(decode_time(&gpu, &like, format)));
    if there < here {
        Choice::OpenCl(Box::new(gpu), format!("{name} is {:.1} times as fast as the cpu", here / there))
    } else {
        Choice::Cpu(Box::new(cpu), format!("it is {:.1} times as fast as {name}", there / here))
    }
}

/// Seconds of the matrices of a feed-forward network for one token: most of what decode reads.
fn decode_time<B: Backend>(backend: &B, decoder: &Decoder, format: DType) -> Result<f64> {
    let budget = Budget { time: CALIBRATION / 4, least: 3 };
    // Enough that the weights do not stay in a cache, as in a model.
    let working_set = 64 << 20;
    let mut total = 0.0;
    for operator in [Operator::LinearGateUp, Operator::LinearDown] {
        let case = Case { operator, dtype: Some(format), depth: None, rows: 1 };
        total += measure(backend, decoder, &case, budget, working_set)?.seconds.median;
    }
    Ok(total)
}
