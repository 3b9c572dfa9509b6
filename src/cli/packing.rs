//! Packed weights, as the user sees them: progress, notes, and `--pack-to`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use super::args::{Args, PackCacheArgs};
use super::notice::say;
use super::progress::Progress;
use crate::engine::{CachePlace, EngineError, LoadOptions, ModelFiles, PackObserver, WeightDType};
use crate::host::{available_bytes, human_bytes};

/// What is done when a model is used for the first time.
const ONCE: &str = "Packing the weights, once";

/// Shows how far packing has come.
struct Shown {
    progress: Progress,
    quiet: bool,
}

impl Shown {
    fn new(what: &'static str, quiet: bool) -> Self {
        Self { progress: Progress::new(what, quiet), quiet }
    }
}

impl PackObserver for Shown {
    fn packing(&mut self, done: u64, total: u64) {
        self.progress.set(done, total);
    }

    fn note(&mut self, text: &str) {
        if !self.quiet {
            self.progress.finish();
            say(&format!("note: {text}"));
        }
    }

    fn not_kept(&mut self, why: &str) {
        self.note(&format!(
            "the packed weights are not kept for the next start: {why}; --pack-cache names another directory, or 'off'"
        ));
    }
}

/// Opens a model, from the cache if it is there. What the cache lacks is for [`keep`].
pub fn load(args: &Args, path: &Path) -> Result<ModelFiles> {
    let PackCacheArgs { pack_cache, pack_verify } = &args.pack.cache;
    open(path, args.weights(), pack_cache.as_ref(), *pack_verify, args.quiet)
}

/// As [`load`], with weights in these formats.
pub fn open(
    path: &Path,
    weight_dtype: WeightDType,
    cache: Option<&CachePlace>,
    verify: bool,
    quiet: bool,
) -> Result<ModelFiles> {
    let cache = cache.cloned().unwrap_or(CachePlace::Automatic);
    let options = LoadOptions { weight_dtype, available: available_bytes(), cache, verify };
    Ok(ModelFiles::load(path, &options, &mut Shown::new(ONCE, quiet))?)
}

/// As [`ModelFiles::keep_packed`], watched.
pub fn keep(files: &mut ModelFiles, quiet: bool) -> Result<bool> {
    let mut shown = Shown::new(ONCE, quiet);
    let kept = files.keep_packed(&mut shown);
    shown.progress.finish();
    Ok(kept?)
}

/// `--pack-to`: writes the file and says how large it is.
pub fn pack(args: &Args, target: &Path) -> Result<ExitCode> {
    let start = Instant::now();
    let mut shown = Shown::new("Packing the weights", args.quiet);
    let (source, wanted, overwrite) = (args.model_path.as_deref(), args.weights(), args.pack.pack_overwrite);
    let packed = ModelFiles::pack(source, wanted, target, overwrite, &mut shown);
    shown.progress.finish();
    let (weights, bytes) = match packed {
        Err(e @ EngineError::FileExists { .. }) => {
            bail!("{e}; choose another name, or give --pack-overwrite")
        }
        other => other?,
    };
    if !args.quiet {
        say(&format!(
            "{}: {weights} weights, {} in {:.1} s; run it with --model-path {}",
            target.display(),
            human_bytes(bytes),
            start.elapsed().as_secs_f64(),
            target.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}
