//! `bench_model`, from arguments to exit code.

mod args;
mod table;

use std::io::{Stdout, stdout};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use self::args::Args;
use self::table::{Row, Table, count};
use super::args::BackendName;
use super::progress::Progress;
use super::run::exit_code;
use super::{devices, interrupt, provenance};
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::backend::reference::ReferenceBackend;
use crate::bench::{ModelBench, Test};
use crate::core::{Backend, DType};
use crate::engine::{EngineError, ModelFiles, ModelRunner, Runner, RunnerSize, WeightDType, mix};
use crate::format::TensorSource;
use crate::host::{available_bytes, human_bytes};
use crate::kv::CacheShape;
use crate::models::llama::{Llama, parameter_count};
use crate::models::{ModelConfig, ModelSpec, RandomWeights, WeightMix, WeightPlan};

/// Runs the program on the process's arguments.
pub fn bench_model() -> ExitCode {
    exit_code(run(&Args::from_process()).map(|()| ExitCode::SUCCESS))
}

/// The model to measure.
struct Subject {
    name: String,
    family: &'static str,
    spec: ModelSpec,
    tensors: Box<dyn TensorSource>,
    /// The formats of the weights, in the order in which they were asked for.
    plans: Vec<(WeightPlan, WeightMix)>,
}

impl Subject {
    fn open(args: &Args, available: Option<u64>) -> Result<Self> {
        if let Some(path) = &args.model.model_path {
            let files = ModelFiles::open(path)?;
            let settle = |&wanted| {
                let plan = files.settle(wanted, available)?;
                Ok::<_, EngineError>((plan, files.weight_mix(plan)?))
            };
            let plans = args.weights().iter().map(settle).collect::<Result<_, _>>()?;
            let ModelFiles { origin: name, config, tensors, .. } = files;
            return Ok(Self { name, family: config.family.name, spec: config.spec, tensors, plans });
        }
        let Some(shape) = args.model.shape else { bail!("give a model with --model-path or --shape") };
        let ModelConfig { family, spec, .. } = ModelConfig::llama(&shape.decoder());
        let settle = |wanted: &WeightDType| {
            let plan = wanted.settle(&spec, DType::BF16, available)?;
            Ok((plan, mix(&spec, plan, &|_| DType::BF16)))
        };
        let plans = args.weights().iter().map(settle).collect::<Result<_, String>>();
        let plans = plans.map_err(anyhow::Error::msg)?;
        let tensors = Box::new(RandomWeights::new(&spec));
        Ok(Self { name: format!("random weights, {shape}"), family: family.name, spec, tensors, plans })
    }
}

fn run(args: &Args) -> Result<()> {
    interrupt::listen().context("cannot listen for Ctrl-C")?;
    args.backend.check_cpu_flags(args.isa.is_some() || !args.threads.is_empty())?;
    args.backend.check_device_flag("--device", args.device.is_some())?;
    let tests = args.tests();
    ensure!(!tests.is_empty(), "there is nothing to measure: -p, -n and --pg are all 0");
    let available = available_bytes();
    let subject = Subject::open(args, available)?;
    check(args, &subject, &tests, available)?;
    let mut job = Job { args, tests, subject, cpu: provenance::cpu_name() };
    let mut table = Table::new(stdout(), args.output);
    let outcome = match args.backend {
        BackendName::Cpu => job.run(&mut table, &|threads| {
            let backend = CpuBackend::new(CpuOptions { threads, isa: args.isa })?;
            let threads = backend.threads();
            Ok((backend, threads))
        }),
        BackendName::Opencl => {
            let make = || devices::open(devices::options(args.device.as_deref(), None));
            job.run(&mut table, &|_| Ok((make()?, 1)))
        }
        BackendName::Auto | BackendName::Hybrid => {
            bail!("choose a backend to measure: cpu, opencl or reference")
        }
        BackendName::Reference => job.run(&mut table, &|_| Ok((ReferenceBackend, 1))),
    };
    // Also after an error, so that the rows before it can be read.
    table.finish().context("cannot write the results to standard output")?;
    outcome
}

/// Refuses before anything is measured what could not be measured.
fn check(args: &Args, subject: &Subject, tests: &[Test], available: Option<u64>) -> Result<()> {
    let spec = &subject.spec;
    let limit = spec.max_positions;
    for test in tests {
        ensure!(
            test.positions() <= limit,
            "{test} needs {} positions, but {} has {limit}; choose a smaller depth or fewer tokens",
            test.positions(),
            subject.name
        );
    }
    let positions = most_positions(tests);
    for types in args.kv_types() {
        let shape = CacheShape { layers: spec.cache_shapes(), pass: args.prefill_chunk };
        let bytes = shape.bytes(types, positions, 0) as u64;
        if let Some(have) = available
            && bytes > have
        {
            bail!(
                "keys and values of {positions} tokens take {} as {types}, but only {} of memory is available",
                human_bytes(bytes),
                human_bytes(have)
            );
        }
    }
    Ok(())
}

fn most_positions(tests: &[Test]) -> usize {
    tests.iter().map(Test::positions).max().unwrap_or_default()
}

struct Job<'a> {
    args: &'a Args,
    tests: Vec<Test>,
    subject: Subject,
    cpu: String,
}

/// Makes a backend of so many threads and returns their number.
type Make<'a, B> = dyn Fn(Option<usize>) -> Result<(B, usize)> + 'a;

impl Job<'_> {
    fn run<B: Backend>(&mut self, table: &mut Table<Stdout>, make: &Make<'_, B>) -> Result<()> {
        let threads: Vec<Option<usize>> = match &self.args.threads[..] {
            [] => vec![None],
            list => list.iter().copied().map(Some).collect(),
        };
        for weights in &self.subject.plans {
            for &threads in &threads {
                let (backend, threads) = make(threads)?;
                if self.model(table, backend, threads, weights)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// All tests of one loaded model.
    fn model<B: Backend>(
        &self,
        table: &mut Table<Stdout>,
        mut backend: B,
        threads: usize,
        (plan, mix): &(WeightPlan, WeightMix),
    ) -> Result<ControlFlow<()>> {
        let Subject { name, family, spec, tensors, .. } = &self.subject;
        let mut progress = Progress::new("Loading the model", self.args.quiet);
        let (backend_name, described) = (backend.name(), backend.describe());
        let mut model = Llama::load(&backend, tensors.as_ref(), spec.clone(), *plan, &mut |p| {
            progress.set(p.done, p.total);
        })?;
        progress.finish();
        let params = parameter_count(spec);
        let model_type = format!("{family} {} {mix}", count(params));
        for kv in self.args.kv_types() {
            let positions = most_positions(&self.tests);
            let size = RunnerSize {
                kv_types: kv,
                slots: positions,
                chunk: self.args.prefill_chunk.min(positions),
                logits_rows: 1,
                check_numerics: false,
            };
            let mut runner = ModelRunner::new(backend, model, size)?;
            let weight_bytes = runner.weight_bytes();
            let mut bench = ModelBench::new(&mut runner, positions)?;
            for &test in &self.tests {
                let time = provenance::now();
                let mut progress = Progress::new("Measuring", self.args.quiet);
                let times = bench.run(test, self.args.repetitions, &mut |done, total| {
                    progress.set(done as u64, total as u64);
                })?;
                let end_ns = provenance::unix_ns();
                progress.finish();
                let row = Row {
                    filename: name,
                    model_type: &model_type,
                    model_size: weight_bytes,
                    params,
                    backend: backend_name,
                    described: &described,
                    cpu: &self.cpu,
                    threads,
                    chunk: self.args.prefill_chunk,
                    weights: mix,
                    kv,
                    time,
                    end_ns,
                    test,
                    times: &times,
                };
                if table.row(&row).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            drop(bench);
            (backend, model) = runner.into_parts();
        }
        Ok(ControlFlow::Continue(()))
    }
}
