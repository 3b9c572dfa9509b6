//! `--make-imatrix`: an importance matrix of a text.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::args::Args;
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::cli::interrupt;
use crate::cli::limits::granted_threads;
use crate::cli::notice::say;
use crate::cli::progress::Progress;
use crate::cli::prompt::from_reader;
use crate::engine::ModelFiles;
use crate::quantize::{Chunks, Importance, InputSums, collect};

/// Tokens below which a note says that more would be better.
const FEW: u64 = 8192;

/// Makes the importance matrix alone.
pub(super) fn only(args: &Args, model: &Path) -> Result<()> {
    ensure!(
        args.imatrix_output.is_some(),
        "say where the importance matrix is to be stored (-o FILE), or give a file to make of it and a type"
    );
    make(args, model).map(|_| ())
}

/// The importance matrix that is asked for, if one is; it is stored where that is asked for too.
pub(super) fn make(args: &Args, model: &Path) -> Result<Option<Importance>> {
    let Some(path) = &args.make_imatrix else { return Ok(None) };
    let sums = collected(args, model, path)?;
    let output = args.imatrix_output.as_deref();
    if let Some(output) = output {
        sums.write(output)?;
    }
    let tokens = u64::from(sums.chunks) * u64::from(sums.chunk_size);
    if !args.quiet {
        say(&format!(
            "importance of {} matrices by {tokens} tokens of '{}' in {} pieces{}",
            sums.tensors.len(),
            path.display(),
            sums.chunks,
            output.map_or(String::new(), |output| format!(", stored in '{}'", output.display()))
        ));
        if tokens < FEW {
            say(&format!(
                "note: {tokens} tokens are few; with some ten thousand the importance is more reliable"
            ));
        }
    }
    Ok(Some(sums.importance(output)))
}

fn collected(args: &Args, model: &Path, path: &Path) -> Result<InputSums> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open '{name}'"))?;
    let text = from_reader(file, &name)?;
    ensure!(!text.is_empty(), "'{name}' is empty; give a text of some ten thousand words");
    let files = ModelFiles::open(model)?;
    let usual = Chunks::default();
    let size = args.chunk_size.unwrap_or(usual.size.min(files.config.spec.max_positions));
    let chunks = Chunks { size, most: args.chunks.unwrap_or(usual.most) };
    let backend = CpuBackend::new(CpuOptions { threads: granted_threads(args.threads), isa: None })?;
    let mut progress = Progress::new("Reading the text", args.quiet);
    let sums = collect(backend, files, (path, &text), chunks, &mut |done, total| {
        progress.set(done as u64, total as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.finish();
    Ok(sums?)
}
