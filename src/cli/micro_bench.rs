//! `micro_bench`, from arguments to exit code.

mod args;
mod table;

use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::args::Args;
use self::table::Setting;
use super::args::BackendName;
use super::output::Stream;
use super::progress::Progress;
use super::run::exit_code;
use super::{devices, interrupt, provenance, values};
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::backend::reference::ReferenceBackend;
use crate::bench::{Budget, Case, Limits, Operator, last_level_cache, measure};
use crate::core::Backend;
use crate::host::most_threads;

/// Time for measuring what the machine can do.
const LIMITS_TIME: Duration = Duration::from_secs(2);

/// Runs the program on the process's arguments.
pub fn micro_bench() -> ExitCode {
    exit_code(run(&values::from_process::<Args>()).map(|()| ExitCode::SUCCESS))
}

fn run(args: &Args) -> Result<()> {
    interrupt::listen().context("cannot listen for Ctrl-C")?;
    args.backend.check_cpu_flags(args.isa.is_some() || args.threads.is_some())?;
    args.backend.check_device_flag("--device", args.device.is_some())?;
    let cases = args.cases();
    ensure!(
        !cases.is_empty(),
        "no case has a name with '{}' in it; the operators are {}",
        args.filter.join("' or '"),
        Operator::ALL.map(Operator::name).join(", ")
    );
    match args.backend {
        BackendName::Cpu => {
            let backend = CpuBackend::new(CpuOptions { threads: args.threads, isa: args.isa })?;
            let threads = backend.threads();
            measure_all(args, &cases, &backend, threads)
        }
        BackendName::Opencl => {
            let gpu = devices::open(devices::options(args.device.as_deref(), None))?;
            measure_all(args, &cases, &gpu, most_threads())
        }
        BackendName::Auto | BackendName::Hybrid => {
            bail!("choose a backend to measure: cpu, opencl or reference")
        }
        BackendName::Reference => measure_all(args, &cases, &ReferenceBackend, 1),
    }
}

fn measure_all<B: Backend>(args: &Args, cases: &[Case], backend: &B, threads: usize) -> Result<()> {
    let config = args.shape.decoder();
    let cpu = provenance::cpu_name();
    let described = backend.describe();
    let setting = Setting {
        cpu: &cpu,
        backend: backend.name(),
        described: &described,
        shape: args.shape.name(),
        limits: Limits::measure(threads, LIMITS_TIME),
        time: provenance::now(),
    };
    // Twice the cache: by the time that a weight's turn comes again, others have taken its place.
    let working_set = (2 * last_level_cache()).clamp(64 << 20, 512 << 20);
    let budget = Budget { time: args.time, ..Budget::default() };
    let mut out = Stream::new(Some(stdout()), true);
    if !args.json && out.write(&table::head(&setting)).is_break() {
        return out.finish().context("cannot write to standard output");
    }
    let mut figures = Vec::with_capacity(cases.len());
    // The table shows by itself how far it is.
    let mut progress = Progress::new("Measuring", !args.json);
    for (done, case) in cases.iter().enumerate() {
        progress.set(done as u64, cases.len() as u64);
        let figure = measure(backend, &config, case, budget, working_set)
            .with_context(|| format!("cannot measure {case}"))?;
        if !args.json && out.write(&table::row(&setting, case, &figure)).is_break() {
            break;
        }
        figures.push((*case, figure));
    }
    progress.finish();
    if args.json {
        let text = serde_json::to_string_pretty(&table::json(&setting, &figures))?;
        let _ = out.write(&text);
    }
    out.finish().context("cannot write to standard output")
}
