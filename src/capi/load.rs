//! From options to a session.

use std::path::PathBuf;
use std::thread;

use super::model::Model;
use super::options::LoadOptions;
use super::status::{Failure, Status};
use super::text::optional;
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::backend::opencl::{DeviceCache, OpenClBackend, OpenClOptions};
use crate::backend::reference::ReferenceBackend;
use crate::core::{Backend, DType};
use crate::engine::{
    CachePlace, Fit, Holding, LoadOptions as FileOptions, ModelFiles, Session, SessionOptions, TextLength,
    WeightDType, default_context,
};
use crate::host::{available_bytes, most_threads};

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chosen {
    #[default]
    Cpu,
    OpenCl,
    Reference,
}

/// What is to be loaded, in values of our own.
#[derive(Debug)]
pub(super) struct Wanted {
    path: Option<PathBuf>,
    backend: Chosen,
    device: Option<String>,
    weights: WeightDType,
    kv: DType,
    cache: CachePlace,
    threads: Option<usize>,
    max_seq_len: Option<usize>,
    check_memory: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            path: None,
            backend: Chosen::default(),
            device: None,
            weights: WeightDType::Auto,
            kv: DType::F16,
            cache: CachePlace::Automatic,
            threads: None,
            max_seq_len: None,
            check_memory: true,
        }
    }
}

impl Wanted {
    /// What the options ask for.
    ///
    /// # Safety
    /// Every text in them is NULL or ended by a NUL.
    pub unsafe fn read(o: &LoadOptions) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for all texts.
        let text = |pointer, name: &str| unsafe { optional(pointer, name) };
        let default = Self::default();
        let number = |n: u32| (n > 0).then_some(n as usize);
        let unknown = |name: &str, value: &str| Failure::argument(format!("{name} '{value}' is unknown"));
        Ok(Self {
            path: text(o.model_path, "model_path")?.map(PathBuf::from),
            backend: match text(o.backend, "backend")? {
                None | Some("cpu") => Chosen::Cpu,
                Some("opencl") => Chosen::OpenCl,
                Some("reference") => Chosen::Reference,
                Some(other) => return Err(unknown("backend", other)),
            },
            device: text(o.device, "device")?.map(str::to_owned),
            weights: match text(o.weight_dtype, "weight_dtype")? {
                None => default.weights,
                Some(name) => {
                    name.parse().map_err(|why| Failure::argument(format!("weight_dtype '{name}': {why}")))?
                }
            },
            kv: match text(o.kv_type, "kv_type")? {
                None => default.kv,
                Some(name) => name.parse().map_err(|_| unknown("kv_type", name))?,
            },
            cache: match text(o.cache, "cache")? {
                None => default.cache,
                Some("off") => CachePlace::Off,
                Some("") => return Err(Failure::argument("cache is empty; give a directory or 'off'")),
                Some(dir) => CachePlace::Directory(dir.into()),
            },
            // More than there are cores for would wait for each other on one core.
            threads: number(o.threads).map(|n| n.min(most_threads())),
            max_seq_len: number(o.max_seq_len),
            check_memory: o.no_memory_check == 0,
        })
    }
}

/// Loads what is wanted.
pub(super) fn load(wanted: &Wanted) -> Result<Model, Failure> {
    let failed = |e| Failure::engine(Status::LoadFailed, &e);
    let core = |e: crate::core::CoreError| failed(e.into());
    let files = match &wanted.path {
        None => ModelFiles::demo().map_err(failed)?,
        Some(path) => {
            let options = FileOptions {
                weight_dtype: wanted.weights,
                available: available_bytes(),
                cache: wanted.cache.clone(),
                verify: false,
            };
            ModelFiles::load(path, &options, &mut ()).map_err(failed)?
        }
    };
    match wanted.backend {
        Chosen::Cpu => {
            let options = CpuOptions { threads: wanted.threads, isa: None };
            // A backend binds the thread that makes it to fast cores: that should not be one of the caller's.
            let made = thread::scope(|scope| scope.spawn(|| CpuBackend::new(options)).join());
            let cpu = made.map_err(|_| Failure::new(Status::Panicked, "the cpu backend cannot be made"))?;
            session(wanted, files, cpu.map_err(core)?, Holding::InPlace)
        }
        Chosen::OpenCl => {
            let options = OpenClOptions {
                device: wanted.device.clone(),
                cache: DeviceCache::new(wanted.cache.device_directory()),
                ..OpenClOptions::default()
            };
            let gpu =
                OpenClBackend::new(options).map_err(|e| Failure::new(Status::LoadFailed, e.to_string()))?;
            let holding = if gpu.device().unified { Holding::Copied } else { Holding::OnDevice };
            session(wanted, files, gpu, holding)
        }
        Chosen::Reference => session(wanted, files, ReferenceBackend, Holding::AsF32),
    }
}

fn session<B: Backend>(
    wanted: &Wanted,
    mut files: ModelFiles,
    backend: B,
    holding: Holding,
) -> Result<Model, Failure> {
    let failed = |e| Failure::engine(Status::LoadFailed, &e);
    let available = available_bytes();
    let options = SessionOptions {
        weights: files.plan(wanted.weights, available).map_err(failed)?,
        kv_types: wanted.kv.into(),
        max_seq_len: wanted.max_seq_len.unwrap_or_else(|| default_context(&files.config.spec)),
        ..SessionOptions::default()
    };
    // Of texts nothing is known yet: one that fills the context.
    let text = TextLength { prompt: options.prefill_chunk, generated: None };
    let check =
        |files: &ModelFiles| match Fit::of(files, &options, holding, text, available).map_err(failed)? {
            (Fit::No(unfit), _) if wanted.check_memory => {
                let why = format!("{}; no_memory_check loads it anyway", unfit.why);
                Err(Failure::new(Status::NoMemory, why))
            }
            _ => Ok(()),
        };
    check(&files)?;
    if !files.keep_packed(&mut ()).map_err(failed)? {
        // They are converted in memory instead.
        check(&files)?;
    }
    let (form, generation) = (files.prompt_form(), files.generation.clone());
    let session = Session::load(backend, files, &options, &mut |_| ()).map_err(failed)?;
    Ok(Model::new(session, form, generation))
}
