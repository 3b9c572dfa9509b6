//! `serve`, from arguments to exit code.

mod args;
mod keys;
mod log;
mod settings;

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};

use self::args::Args;
use self::settings::Settings;
use super::args::BackendName;
use super::chat::format::{advise, source};
use super::devices::Choice;
use super::limits::granted_threads;
use super::notice::say;
use super::progress::Progress;
use super::run::exit_code;
use super::{devices, interrupt, packing, values};
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::backend::reference::ReferenceBackend;
use crate::chat::{ChatError, Date};
use crate::core::Backend;
use crate::engine::{Batcher, ChatFormat, EngineError, Holding, ModelFiles, TextLength};
use crate::host::human_bytes;
use crate::models::llama::parameter_count;
use crate::server::{self, Described, Http, Keys, Model};

/// Runs the program on the process's arguments.
pub fn serve() -> ExitCode {
    exit_code(run(&values::from_process::<Args>()).map(|()| ExitCode::SUCCESS))
}

fn run(args: &Args) -> Result<()> {
    interrupt::listen().context("cannot listen for Ctrl-C")?;
    args.backend.check_cpu_flags(args.isa.is_some() || args.threads.is_some())?;
    args.backend.check_device_flag("--device", args.device.is_some())?;
    if args.backend == BackendName::Hybrid {
        bail!("serve runs on one backend; choose cpu, opencl, auto or reference");
    }
    let variable = env::var(keys::VARIABLE).ok();
    let keys = Keys::new(keys::all(&args.api_key, args.api_key_file.as_deref(), variable.as_deref())?);
    if !args.host.is_loopback() && keys.are_none() {
        say(&format!(
            "warning: everybody who can reach {} can ask this server; give a key with --api-key-file or {}",
            args.host,
            keys::VARIABLE
        ));
    }
    // Before the model is loaded: what cannot be is reported at once.
    let address = SocketAddr::new(args.host, args.port);
    let listener = TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {address}; choose another --host or --port, or end what listens there")
    })?;
    let address = listener.local_addr().context("the system does not say where this server listens")?;
    let files = open(args)?;
    let settings = Settings::new(args, &files)?;
    settings.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    let limits = server::Settings {
        keys,
        origins: args.cors_origin.clone(),
        max_body: args.max_body_mb.saturating_mul(1 << 20),
        max_tokens: args.max_tokens,
        parallel: args.parallel,
        queue: args.queue,
        drain: Duration::from_secs(args.drain_seconds as u64),
    };
    // Before the backend binds this thread to the fast cores: HTTP needs none of these.
    let http = Http::start(listener, limits, log::log(args.log)).context("cannot start to listen")?;
    let job = Job { args, settings, files, http, address };
    let cpu = || CpuBackend::new(CpuOptions { threads: granted_threads(args.threads), isa: args.isa });
    let options = || devices::options(args.device.as_deref(), args.pack_cache.as_ref());
    match args.backend {
        BackendName::Cpu => job.run(cpu()?, Holding::InPlace),
        BackendName::Opencl => {
            let gpu = devices::open(options())?;
            let weights = job.files.weight_mix(job.settings.batch.session.weights)?;
            devices::check_memory(&gpu, &job.files.config.spec, &weights)?;
            let holding = devices::holding(&gpu);
            job.run(gpu, holding)
        }
        BackendName::Auto => {
            let weights = job.files.weight_mix(job.settings.batch.session.weights)?;
            match devices::choose(options(), cpu()?, &job.files.config.spec, &weights) {
                Choice::Cpu(cpu, _) => job.run(*cpu, Holding::InPlace),
                Choice::OpenCl(gpu, _) => {
                    let holding = devices::holding(&gpu);
                    job.run(*gpu, holding)
                }
            }
        }
        BackendName::Reference => job.run(ReferenceBackend, Holding::AsF32),
        BackendName::Hybrid => bail!("serve runs on one backend"),
    }
}

/// The model that is meant.
fn open(args: &Args) -> Result<ModelFiles> {
    match &args.model_path {
        Some(path) => {
            let dtype = args.weight_dtype.pure(args.pure);
            packing::open(path, dtype, args.pack_cache.as_ref(), args.pack_verify, args.quiet)
        }
        None => {
            if !args.quiet {
                say("note: using the small built-in demo model; give a real one with --model-path");
            }
            Ok(ModelFiles::demo()?)
        }
    }
}

/// What a model is called: its aliases, or the name of its file without what says the format.
fn names(args: &Args) -> Vec<String> {
    if !args.alias.is_empty() {
        return args.alias.clone();
    }
    let of_path = |path: &Path| {
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = whole.file_name()?.to_string_lossy().into_owned();
        let bare = [".gguf", ".safetensors", ".packed"].iter().find_map(|end| name.strip_suffix(end));
        Some(bare.map_or_else(|| name.clone(), str::to_owned))
    };
    vec![args.model_path.as_deref().and_then(of_path).unwrap_or_else(|| "demo".to_owned())]
}

/// How conversations become text; a model without a template has none, which a request hears.
fn chat_format(args: &Args, files: &ModelFiles) -> Result<(Result<ChatFormat, ChatError>, Option<String>)> {
    let own = &files.tokenizer_config.chat_templates;
    let named = args.chat_template.as_deref().map(|named| source(named, own)).transpose()?;
    let template = named.as_deref().or(own.default()).map(str::to_owned);
    let date = args.date.unwrap_or_else(Date::today);
    match ChatFormat::new(&files.tokenizer_config, named.as_deref(), date) {
        Ok(format) => {
            if let (Some(on), flag) = wanted_thinking(args) {
                format.switch(on).map_err(|error| anyhow!("{error}; leave out {flag}"))?;
            }
            Ok((Ok(format), template))
        }
        Err(EngineError::Chat(error)) if args.chat_template.is_none() => {
            say(&format!("warning: no conversations: {error}; --chat-template names one"));
            Ok((Err(error), None))
        }
        Err(error) => Err(advise(error)),
    }
}

fn wanted_thinking(args: &Args) -> (Option<bool>, &'static str) {
    match (args.think, args.no_think) {
        (true, _) => (Some(true), "--think"),
        (_, true) => (Some(false), "--no-think"),
        _ => (None, ""),
    }
}

struct Job<'a> {
    args: &'a Args,
    settings: Settings,
    files: ModelFiles,
    http: Http,
    address: SocketAddr,
}

impl Job<'_> {
    fn run<B: Backend>(self, backend: B, holding: Holding) -> Result<()> {
        let Self { args, settings, mut files, http, address } = self;
        // All texts together, as if they were one.
        let estimated = crate::engine::SessionOptions {
            max_seq_len: settings.batch.slots,
            eviction: None,
            ..settings.batch.session
        };
        let length = TextLength { prompt: 0, generated: None };
        args.limits.check_memory(&files, &estimated, holding, length)?;
        if !packing::keep(&mut files, args.quiet)? {
            // They are converted in memory instead.
            args.limits.check_memory(&files, &estimated, holding, length)?;
        }
        args.limits.lock(&files, &estimated, holding, args.quiet)?;
        let mut throttle = args.limits.throttle()?;
        let origin = files.origin.clone();
        let eos = files.eos.clone();
        let (form, generation) = (files.prompt_form(), files.generation.clone());
        let (chat, template) = chat_format(args, &files)?;
        let (family, spec) = (files.config.family.name.to_owned(), files.config.spec.clone());
        let is_gguf = origin.ends_with(".gguf");
        let backend_described = backend.describe();
        let mut progress = Progress::new("Loading the model", args.quiet);
        let mut track = |p: crate::models::llama::LoadProgress| progress.set(p.done, p.total);
        let mut batcher = Batcher::load(backend, files, settings.batch, &mut track)?;
        progress.finish();
        let described = Described {
            names: names(args),
            format: if is_gguf { "gguf" } else { "safetensors" },
            family,
            weights: batcher.weights().to_string(),
            weight_bytes: batcher.weight_bytes(),
            parameters: parameter_count(&spec),
            hidden_size: spec.hidden_size,
            layers: spec.layers.len(),
            trained: spec.max_positions,
            template,
            loaded: SystemTime::now(),
        };
        if !args.quiet {
            say(&format!(
                "{origin}: {} weights, {} | {backend_described} | {} texts at once, {} tokens each, {} in all",
                described.weights,
                human_bytes(described.weight_bytes as u64),
                args.parallel,
                settings.batch.session.max_seq_len,
                settings.batch.slots
            ));
        }
        let model = Model {
            described,
            tokenizer: batcher.tokenizer(),
            form,
            chat,
            date: args.date,
            thinking: wanted_thinking(args).0,
            limits: batcher.limits(),
            eos,
            context: settings.batch.session.max_seq_len,
            generation,
            wishes: settings.wishes,
            sampling: settings.sampling,
            seed: settings.seed,
        };
        let worker = http.loaded(model, batcher.load_now());
        let stop = http.stop();
        interrupt::wait_for_signal(Box::new(move || stop.now()));
        if !args.quiet {
            say(&format!("listening on http://{address}"));
        }
        worker.run(&mut batcher, |busy| {
            if let Some(throttle) = &mut throttle {
                throttle.rest(busy);
            }
        });
        http.join().context("HTTP has ended")?;
        if !args.quiet {
            say("ended");
        }
        Ok(())
    }
}
