//! `quantize`, from arguments to exit code.

mod args;
mod budget;
mod check;
mod imatrix;
mod report;
mod source;

use std::fs::canonicalize;
use std::io::{Stdout, stdout};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use self::args::Args;
use self::source::Source;
use super::notice::say;
use super::output::Stream;
use super::progress::Progress;
use super::run::exit_code;
use super::{interrupt, values};
use crate::core::CoreError;
use crate::format::FormatError;
use crate::format::gguf::{Metadata, NewMetadata, NewValue};
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
    match (&args.input, &args.output) {
        (Some(input), Some(output)) => convert(args, input, output)?,
        (Some(input), None) => imatrix::only(args, input)?,
        _ => bail!("a file to read, a file to make and a type are needed; --help has examples"),
    }
    Ok(ExitCode::SUCCESS)
}

fn convert(args: &Args, input: &Path, output: &Path) -> Result<()> {
    // First what costs nothing to find wrong.
    let read = args.imatrix.as_deref().map(Importance::read).transpose()?;
    let same = canonicalize(input).ok().zip(canonicalize(output).ok()).is_some_and(|(a, b)| a == b);
    ensure!(!same, "'{}' is to be read and written: give the output another name", input.display());
    let source = Source::open(input)?;
    source.notes.iter().for_each(|note| say(note));
    let mut out = Stream::new(Some(stdout()), true);
    let made = match (args.mix, args.budget) {
        (Some(mix), _) => by_mix(args, input, &source, mix, read, &mut out)?,
        (None, Some(size)) => budget::plan(args, input, &source, size, read, &mut out)?,
        (None, None) => bail!("a type is needed, such as Q4_K_M, or a size (--budget); --help has examples"),
    };
    if !args.dry_run {
        store(args, (input, output), &source, &made)?;
    }
    if !args.quiet {
        let _ = out.write(&report::summary(&source.tensors, &made.plan, (!args.dry_run).then_some(output)));
    }
    out.finish().context("cannot write to standard output")
}

/// What is to be written.
struct Made {
    plan: Plan,
    metadata: NewMetadata,
    importance: Option<Arc<Importance>>,
}

/// By the rules of a mix.
fn by_mix(
    args: &Args,
    input: &Path,
    source: &Source,
    mix: Mix,
    read: Option<Importance>,
    out: &mut Stream<Stdout>,
) -> Result<Made> {
    let choices = Choices {
        mix,
        pure: args.pure,
        patterns: args.tensor_type.clone(),
        output: args.output_tensor_type,
        embedding: args.token_embedding_type,
        weighted: read.is_some() || args.make_imatrix.is_some(),
    };
    let plan = Plan::new(input, &source.tensors, &ModelFacts::of(source.keys())?, &choices)?;
    if (args.verbose || args.dry_run) && !args.quiet {
        let _ = out.write(&report::tensors(&source.tensors, &plan));
    }
    let importance = match read {
        None if !args.dry_run => imatrix::make(args, input)?,
        read => read,
    };
    let metadata = metadata(source.keys(), mix, importance.as_ref());
    Ok(Made { plan, metadata, importance: importance.map(Arc::new) })
}

/// Writes the file.
fn store(args: &Args, (input, output): (&Path, &Path), source: &Source, made: &Made) -> Result<()> {
    let importance = made.importance.as_deref();
    let mut progress = Progress::new("Quantizing", args.quiet);
    let threads = args.threads.unwrap_or_else(most_threads);
    let written =
        write(output, &made.metadata, &source.tensors, &made.plan, importance, threads, &mut |step| {
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
    if let (Some(first), Some(importance)) = (written.unknown.first(), importance) {
        say(&format!(
            "warning: '{}' says nothing about {} of the {} tensors that were converted, such as '{first}': their \
             columns count alike",
            importance.path().display(),
            written.unknown.len(),
            written.converted
        ));
    }
    Ok(())
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
        if let Some(file) = importance.file() {
            new.set("quantize.imatrix.file", &NewValue::Text(file.to_string_lossy().into_owned()));
        }
        if let Some(dataset) = dataset {
            new.set("quantize.imatrix.dataset", &NewValue::Text(dataset.to_owned()));
        }
        new.set("quantize.imatrix.entries_count", &NewValue::U32(importance.len() as u32));
        new.set("quantize.imatrix.chunks_count", &NewValue::U32(chunks));
    }
    new
}
