//! `eval_model`, from arguments to exit code.

mod args;
mod report;
mod tokens;

use std::io::stdout;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::args::Args;
use self::report::Report;
use super::args::BackendName;
use super::limits::granted_threads;
use super::notice::say;
use super::output::Stream;
use super::progress::Progress;
use super::run::exit_code;
use super::{devices, interrupt, values};
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::backend::reference::ReferenceBackend;
use crate::core::Backend;
use crate::engine::{ModelFiles, Session, SessionOptions};
use crate::eval::{LogitDump, Sequence, Wanted, Windows, evaluate};
use crate::host::{available_bytes, human_bytes};
use crate::kv::Eviction;

/// Tokens of a window unless the model was trained for fewer: as in llama.cpp.
const WINDOW: usize = 512;

/// Runs the program on the process's arguments.
pub fn eval_model() -> ExitCode {
    exit_code(run(&values::from_process::<Args>()).map(|()| ExitCode::SUCCESS))
}

fn run(args: &Args) -> Result<()> {
    interrupt::listen().context("cannot listen for Ctrl-C")?;
    args.backend.check_cpu_flags(args.isa.is_some() || args.threads.is_some())?;
    args.backend.check_device_flag("--device", args.device.is_some())?;
    // First what costs nothing to find wrong.
    let other = args.against.as_deref().map(LogitDump::read).transpose()?;
    let files = match &args.model_path {
        Some(path) => ModelFiles::open(path)?,
        None => {
            if !args.quiet {
                say("note: using the small built-in demo model; give another with --model-path");
            }
            ModelFiles::demo()?
        }
    };
    files.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    let sequence = tokens::read(args, &files)?;
    let trained = files.config.spec.max_positions;
    let eviction = args.eviction.settle(WINDOW.min(trained))?;
    let windows = match eviction {
        Some(_) if args.window.is_some() || args.stride.is_some() => bail!(
            "--window and --stride cut the text into pieces that each begin afresh, but with --eviction-policy it goes \
             through the model in one; leave them out (--eviction-window says how many tokens are held)"
        ),
        Some(_) => windows_of((sequence.ids.len() + usize::from(sequence.prefix.is_some())).max(2), None)?,
        None => windows(args, trained, &sequence)?,
    };
    let job = Job { args, files, sequence, windows, eviction, other };
    match args.backend {
        BackendName::Cpu => {
            job.run(CpuBackend::new(CpuOptions { threads: granted_threads(args.threads), isa: args.isa })?)
        }
        BackendName::Opencl => job.run(devices::open(devices::options(args.device.as_deref(), None))?),
        BackendName::Auto | BackendName::Hybrid => {
            bail!("choose a backend to measure: cpu, opencl or reference")
        }
        BackendName::Reference => job.run(ReferenceBackend),
    }
}

fn windows(args: &Args, trained: usize, sequence: &Sequence) -> Result<Windows> {
    let usual = if args.teacher_force.is_some() { sequence.ids.len() } else { WINDOW.min(trained) };
    let size = args.window.unwrap_or(usual.max(2));
    if size > trained {
        say(&format!(
            "warning: a window of {size} tokens goes beyond the {trained} that the model was trained for; expect \
             nonsense there"
        ));
    }
    windows_of(size, args.stride)
}

fn windows_of(size: usize, stride: Option<usize>) -> Result<Windows> {
    Ok(Windows::new(size, stride.unwrap_or((size / 2).max(1)))?)
}

struct Job<'a> {
    args: &'a Args,
    files: ModelFiles,
    sequence: Sequence,
    windows: Windows,
    eviction: Option<Eviction>,
    other: Option<LogitDump>,
}

impl Job<'_> {
    fn run<B: Backend>(self, backend: B) -> Result<()> {
        let Self { args, files, sequence, windows, eviction, other } = self;
        let model = files.origin.clone();
        let described = backend.describe();
        let weights = files.settle(args.weight_dtype.pure(args.pure), available_bytes())?;
        let options = SessionOptions {
            weights,
            kv_types: args.kv.types(),
            max_seq_len: windows.size(),
            eviction,
            prefill_chunk: args.prefill_chunk,
            lookup: 0,
            check_numerics: false,
        };
        let mut progress = Progress::new("Loading the model", args.quiet);
        let mut session = Session::load(backend, files, &options, &mut |p| progress.set(p.done, p.total))?;
        progress.finish();
        if !args.quiet {
            say(&format!(
                "{model}: {} weights, {}, {} keys and values | {described}",
                session.weights(),
                human_bytes(session.weight_bytes() as u64),
                args.kv.types()
            ));
        }
        let wanted = Wanted {
            top_k: args.dump_logits_topk,
            against: args.against.as_deref().map(Path::new).zip(other.as_ref()),
            segment: args.segment,
        };
        let start = Instant::now();
        let mut progress = Progress::new("Scoring", args.quiet);
        let evaluation = evaluate(&mut session, &sequence, windows, wanted, &mut |done, total| {
            progress.set(done as u64, total as u64);
        })?;
        progress.finish();
        let report = Report {
            model: &model,
            backend: &described,
            weights: session.weights().to_string(),
            args,
            tokens: sequence.ids.len(),
            windows,
            eviction,
            evicted: session.eviction_stats(),
            evaluation: &evaluation,
            time: start.elapsed(),
        };
        let text = if args.json() { serde_json::to_string(&report.json())? } else { report.text() };
        let mut out = Stream::new(Some(stdout()), true);
        let _ = out.write(&text);
        out.finish().context("cannot write the result to standard output")
    }
}
