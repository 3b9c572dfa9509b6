//! `quantize`, from arguments to exit code.

mod args;
mod check;
mod report;

use std::fs::canonicalize;
use std::io::stdout;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use self::args::Args;
use super::notice::say;
use super::output::Stream;
use super::progress::Progress;
use super::run::exit_code;
use super::{interrupt, values};
use crate::core::CoreError;
use crate::format::FormatError;
use crate::format::gguf::{GgufFile, Metadata, NewMetadata, NewValue, StoredTensor, open_parts};
use crate::host::most_threads;
use crate::quantize::{Choices, Importance, Mix, ModelFacts, Plan, QuantizeError, write};

/// Version of the block formats that files record (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: u32 = 2;

/// Runs the program on the process's arguments.
pub fn quantize() -> ExitCode {
    exit_code(run(&values::from_process::<Args>()))
}

fn run(args: &Args) -> Result<ExitCode> {
    interrupt::listen().context("cannot listen for Ctrl-C")?;
    if let Some(path) = &args.check {
        return check::run(path, args);
    }
    let (Some(input), Some(output), Some(mix)) = (&args.input, &args.output, args.mix) else {
        bail!("a file to read, a file to make and a type are needed; --help has examples")
    };
    convert(args, input, output, mix)?;
    Ok(ExitCode::SUCCESS)
}

fn convert(args: &Args, input: &Path, output: &Path, mix: Mix) -> Result<()> {
    // First what costs nothing to find wrong.
    let importance = args.imatrix.as_deref().map(Importance::read).transpose()?;
    let same = canonicalize(input).ok().zip(canonicalize(output).ok()).is_some_and(|(a, b)| a == b);
    ensure!(!same, "'{}' is to be read and written: give the output another name", input.display());
    ensure!(
        !input.is_dir(),
        "'{}' is a directory; give a GGUF file of the model (llama.cpp's convert_hf_to_gguf.py makes one of a checkpoint)",
        input.display()
    );
    if !GgufFile::is_at(input) && input.is_file() {
        bail!(
            "'{}' is no GGUF file; give one, for instance the F16 or BF16 file of the model",
            input.display()
        );
    }
    let files = open_parts(input)?;
    let keys = files[0].metadata();
    let stored: Vec<StoredTensor> = files.iter().flat_map(GgufFile::tensors).collect();
    let facts = ModelFacts::of(keys)?;
    let choices = Choices {
        mix,
        pure: args.pure,
        patterns: args.tensor_type.clone(),
        output: args.output_tensor_type,
        embedding: args.token_embedding_type,
        weighted: importance.is_some(),
    };
    let plan = Plan::new(input, &stored, &facts, &choices)?;
    let mut out = Stream::new(Some(stdout()), true);
    if (args.verbose || args.dry_run) && !args.quiet {
        let _ = out.write(&report::tensors(&stored, &plan));
    }
    if !args.dry_run {
        let metadata = metadata(keys, mix, importance.as_ref());
        let mut progress = Progress::new("Quantizing", args.quiet);
        let threads = args.threads.unwrap_or_else(most_threads);
        let written = write(output, &metadata, &stored, &plan, importance.as_ref(), threads, &mut |step| {
            progress.set(step.done, step.total);
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        progress.finish();
        let written = written.map_err(|e| in_file(input, e))?;
        if written.twice > 0 && !args.quiet {
            say(&format!(
                "note: {} of the {} tensors that were converted had been quantized before, and what was lost then does not \
                 come back: start from the F16 or BF16 file of the model where there is one",
                written.twice, written.converted
            ));
        }
        if let (Some(first), Some(importance)) = (written.unknown.first(), &importance) {
            say(&format!(
                "warning: '{}' says nothing about {} of the {} tensors that were converted, such as '{first}': their \
                 columns count alike",
                importance.path().display(),
                written.unknown.len(),
                written.converted
            ));
        }
    }
    if !args.quiet {
        let _ = out.write(&report::summary(&stored, &plan, (!args.dry_run).then_some(output)));
    }
    out.finish().context("cannot write to standard output")
}

/// An error with the file that a tensor is in.
fn in_file(path: &Path, error: QuantizeError) -> QuantizeError {
    match error {
        QuantizeError::Core(CoreError::BadTensor { name, reason }) => {
            QuantizeError::Format(FormatError::Tensor { path: path.into(), name, reason })
        }
        other => other,
    }
}

/// The keys of the new file: all of the old one's, but for what has changed.
fn metadata(keys: &Metadata, mix: Mix, importance: Option<&Importance>) -> NewMetadata {
    let mut new = NewMetadata::copied(keys);
    for key in ["split.no", "split.count", "split.tensors.count"] {
        new.remove(key);
    }
    new.set("general.quantization_version", &NewValue::U32(QUANTIZATION_VERSION));
    new.set("general.file_type", &NewValue::U32(mix.file_type()));
    if let Some(importance) = importance {
        let (dataset, chunks) = importance.origin();
        let name = importance.path().to_string_lossy().into_owned();
        new.set("quantize.imatrix.file", &NewValue::Text(name));
        if let Some(dataset) = dataset {
            new.set("quantize.imatrix.dataset", &NewValue::Text(dataset.to_owned()));
        }
        new.set("quantize.imatrix.entries_count", &NewValue::U32(importance.len() as u32));
        new.set("quantize.imatrix.chunks_count", &NewValue::U32(chunks));
    }
    new
}
