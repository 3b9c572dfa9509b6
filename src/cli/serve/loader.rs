//! Loads a model as the arguments say.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow, bail};

use super::args::Args;
use super::settings::Settings;
use crate::backend::cpu::CpuBackend;
use crate::backend::reference::ReferenceBackend;
use crate::chat::{ChatError, Date};
use crate::cli::args::BackendName;
use crate::cli::chat::format::{advise, source};
use crate::cli::devices::{self, Choice};
use crate::cli::notice::say;
use crate::cli::packing;
use crate::cli::progress::Progress;
use crate::cli::run::arithmetic;
use crate::cli::throttle::Throttle;
use crate::core::Backend;
use crate::engine::{
    Batcher, ChatFormat, DiskOptions, EngineError, Holding, ModelFiles, Origin, SessionOptions, TextLength,
};
use crate::grammar::Grammars;
use crate::host::human_bytes;
use crate::models::llama::{LoadProgress, parameter_count};
use crate::server::{Described, Embeddings, LoadError, Loader, Model};

/// What loads models while the server runs.
pub struct ModelLoader<'a> {
    args: &'a Args,
    throttle: Option<Throttle>,
}

/// A model that does not fit into memory beside what is there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct DoesNotFit(String);

fn does_not_fit(error: anyhow::Error) -> DoesNotFit {
    DoesNotFit(format!("{error:#}"))
}

impl<'a> ModelLoader<'a> {
    /// # Errors
    /// What of the limits cannot be on this machine.
    pub fn new(args: &'a Args) -> Result<Self> {
        Ok(Self { args, throttle: args.limits.throttle()? })
    }

    fn open(&self, path: Option<&Path>) -> Result<ModelFiles> {
        let args = self.args;
        match path {
            Some(path) => {
                let dtype = args.weight_dtype.pure(args.pure);
                packing::open(path, dtype, args.pack.pack_cache.as_ref(), args.pack.pack_verify, args.quiet)
            }
            None => Ok(ModelFiles::demo()?),
        }
    }

    fn load(&self, number: usize, path: Option<&Path>) -> Result<(Model, Batcher)> {
        let args = self.args;
        let files = self.open(path)?;
        let settings = Settings::new(args, &files)?;
        settings.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
        let job = Job { args, number, settings, files };
        let cpu = || CpuBackend::new(args.cpu.options());
        let options = || devices::options(args.device.as_deref(), args.pack.pack_cache.as_ref());
        match args.backend {
            BackendName::Cpu => job.run(cpu()?, Holding::InPlace),
            BackendName::Opencl => {
                let gpu = devices::open(options())?;
                let weights = job.files.weight_mix(job.settings.batch.session.weights)?;
                devices::check_memory(&gpu, &job.files.config.spec, &weights).map_err(does_not_fit)?;
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
}

impl Loader for ModelLoader<'_> {
    fn load(&mut self, number: usize, path: Option<&Path>) -> Result<(Model, Batcher), LoadError> {
        Self::load(self, number, path).map_err(|error| {
            let why = format!("{error:#}");
            if error.is::<DoesNotFit>() { LoadError::Memory(why) } else { LoadError::Other(why) }
        })
    }

    fn rest(&mut self, busy: Duration) {
        if let Some(throttle) = &mut self.throttle {
            throttle.rest(busy);
        }
    }
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
    number: usize,
    settings: Settings,
    files: ModelFiles,
}

impl Job<'_> {
    fn run<B: Backend + 'static>(self, backend: B, holding: Holding) -> Result<(Model, Batcher)> {
        let Self { args, number, settings, mut files } = self;
        // All texts together, as if they were one.
        let estimated =
            SessionOptions { max_seq_len: settings.batch.slots, eviction: None, ..settings.batch.session };
        let length = TextLength { prompt: 0, generated: None };
        args.limits.check_memory(&files, &estimated, holding, length).map_err(does_not_fit)?;
        if !packing::keep(&mut files, args.quiet)? {
            // They are converted in memory instead.
            args.limits.check_memory(&files, &estimated, holding, length).map_err(does_not_fit)?;
        }
        args.limits.lock(&files, &estimated, holding, args.quiet)?;
        // Rows from all over the weights are read for it.
        let model =
            args.kv_disk.as_ref().map(|_| files.identity(settings.batch.session.weights)).transpose()?;
        let origin = files.origin.clone();
        let eos = files.eos.clone();
        let (form, generation) = (files.prompt_form(), files.generation.clone());
        let (chat, template) = chat_format(args, &files)?;
        let (family, spec) = (files.config.family.name.to_owned(), files.config.spec.clone());
        let is_gguf = origin.ends_with(".gguf");
        let backend_described = backend.describe();
        let mut progress = Progress::new("Loading the model", args.quiet);
        let mut track = |p: LoadProgress| progress.set(p.done, p.total);
        let arithmetic = arithmetic(args.cpu.isa, backend.name());
        let mut batcher = Batcher::load(backend, files, settings.batch, &mut track)?;
        progress.finish();
        if let (Some(folder), Some(model)) = (&args.kv_disk, model) {
            let budget = (args.kv_disk_mb as u64).saturating_mul(1 << 20);
            let origin = Origin { model, arithmetic };
            batcher.keep_on_disk(&DiskOptions { folder: folder.clone(), budget, origin })?;
        }
        let described = Described {
            format: if is_gguf { "gguf" } else { "safetensors" },
            file: Path::new(&origin)
                .file_name()
                .map_or_else(|| origin.clone(), |name| name.to_string_lossy().into_owned()),
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
            number,
            described,
            grammars: Grammars::new(batcher.tokenizer(), &eos, batcher.limits().vocab),
            tokenizer: batcher.tokenizer(),
            form,
            chat,
            date: args.date,
            variables: args.chat_template_kwargs.clone().unwrap_or_default(),
            thinking: wanted_thinking(args).0,
            limits: batcher.limits(),
            eos,
            embeddings: Embeddings {
                pooling: args.pooling.unwrap_or(batcher.embedding_head().pooling_or_usual(spec.is_causal())),
                size: batcher.embedding_head().size(spec.hidden_size),
                at_once: (!spec.is_causal()).then_some(settings.batch.most_at_once()),
            },
            context: settings.batch.session.max_seq_len,
            generation,
            wishes: settings.wishes,
            sampling: settings.sampling,
            seed: settings.seed,
        };
        Ok((model, batcher))
    }
}
