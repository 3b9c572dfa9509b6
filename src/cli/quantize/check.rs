//! `--check`: what is wrong with a file, tensor by tensor.

use std::io::stdout;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::args::Args;
use crate::cli::interrupt;
use crate::cli::notice::say;
use crate::cli::output::Stream;
use crate::cli::progress::Progress;
use crate::format::gguf::{GgufFile, StoredTensor, open_parts};
use crate::host::{human_bytes, most_threads};
use crate::quantize::check::{Values, tokenizer};

/// Checks the file at `path`. The exit code is 1 if something is wrong with it.
pub(super) fn run(path: &Path, args: &Args) -> Result<ExitCode> {
    if !GgufFile::is_at(path) && path.is_file() {
        bail!("'{}' is no GGUF file", path.display());
    }
    // What is wrong with the structure is an error that names the place.
    let files = open_parts(path)?;
    let stored: Vec<StoredTensor> = files.iter().flat_map(GgufFile::tensors).collect();
    let threads = args.threads.unwrap_or_else(most_threads);
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start threads")?;
    let mut out = Stream::new(Some(stdout()), true);
    let (mut faults, mut remarks, mut unread) = (0, 0, 0);
    let width = stored.iter().map(|t| t.name.len()).max().unwrap_or(0);
    let total = stored.iter().map(|t| t.bytes.size() as u64).sum();
    let mut progress = Progress::new("Checking", args.quiet);
    let mut done = 0;
    for tensor in &stored {
        if interrupt::requested() {
            bail!("interrupted: '{}' was not checked to its end", path.display());
        }
        progress.set(done, total);
        done += tensor.bytes.size() as u64;
        let values = pool.install(|| Values::of(tensor))?;
        let (wrong, unusual) = values
            .as_ref()
            .map_or((Vec::new(), Vec::new()), |v| (v.faults(&tensor.name), v.remarks(&tensor.name)));
        unread += usize::from(values.is_none());
        faults += wrong.len();
        remarks += unusual.len();
        let shown = !wrong.is_empty() || (!args.quiet && (args.verbose || !unusual.is_empty()));
        if shown {
            progress.finish();
            let _ = out.write(&line(tensor, values.as_ref(), &wrong, &unusual, width));
        }
    }
    progress.finish();
    let keys = files[0].metadata();
    let embedding = stored.iter().find(|t| t.name == "token_embd.weight");
    let rows = embedding.and_then(|t| t.dims.iter().rev().nth(1).copied());
    // Files without a model, such as importance matrices, have no tokenizer.
    if embedding.is_some() || keys.text("tokenizer.ggml.model")?.is_some() {
        for fault in tokenizer(keys, rows)? {
            faults += 1;
            let _ = out.write(&format!("tokenizer: wrong: {fault}\n"));
        }
    }
    if unread > 0 {
        say(&format!(
            "warning: {unread} tensors are of types that are not read, and their values were not checked"
        ));
    }
    if !args.quiet {
        let verdict = match faults {
            0 => "in order".to_owned(),
            1 => "1 fault".to_owned(),
            n => format!("{n} faults"),
        };
        let _ = out.write(&format!(
            "'{}': {verdict}; {} tensors of {}, {remarks} remarks\n",
            path.display(),
            stored.len(),
            human_bytes(total)
        ));
    }
    out.finish().context("cannot write to standard output")?;
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(
    tensor: &StoredTensor,
    values: Option<&Values>,
    wrong: &[String],
    unusual: &[String],
    width: usize,
) -> String {
    let state = match (wrong.is_empty(), unusual.is_empty(), values) {
        (false, ..) => format!("wrong: {}", wrong.join("; ")),
        (true, false, _) => format!("unusual: {}", unusual.join("; ")),
        (true, true, Some(v)) => format!("in order: largest {:.4}, usual {:.4}", v.largest, v.rms),
        (true, true, None) => "not read".to_owned(),
    };
    format!("{:width$}  {:6}  {state}\n", tensor.name, tensor.type_name)
}
