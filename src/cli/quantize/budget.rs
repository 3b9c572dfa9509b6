//! `--budget`: a plan by what is measured.

use std::cell::RefCell;
use std::fs::File;
use std::io::Stdout;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::args::Args;
use super::source::Source;
use super::{Made, imatrix, metadata, report};
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::cli::interrupt;
use crate::cli::limits::granted_threads;
use crate::cli::notice::say;
use crate::cli::output::Stream;
use crate::cli::progress::Progress;
use crate::cli::prompt::from_reader;
use crate::engine::{EngineError, ModelFiles};
use crate::format::gguf::{NewTensor, header};
use crate::host::human_bytes;
use crate::quantize::budget::{CALIBRATION, Size, Subject, Text};
use crate::quantize::{Importance, Mix, Plan};

/// Measures the model, and chooses the types.
pub(super) fn plan(
    args: &Args,
    input: &Path,
    source: &Source,
    size: Size,
    read: Option<Importance>,
    out: &mut Stream<Stdout>,
) -> Result<Made> {
    let importance = match read {
        None => imatrix::make(args, input)?,
        read => read,
    };
    let importance = importance.map(Arc::new);
    let given = args.calibration.as_deref().or(args.make_imatrix.as_deref());
    let content = given.map_or_else(|| Ok(CALIBRATION.to_owned()), content)?;
    let path = given.unwrap_or(Path::new("the built-in text"));
    let progress = RefCell::new(Progress::new("Measuring", args.quiet));
    let threads = granted_threads(args.threads);
    let subject = Subject {
        files: &|| Ok(ModelFiles::open(input)?),
        backend: &|| {
            let backend = CpuBackend::new(CpuOptions { threads, isa: None });
            Ok(backend.map_err(EngineError::from)?)
        },
        importance: importance.clone(),
        text: Text { path, content: &content },
        progress: &|done, all| {
            progress.borrow_mut().set(done as u64, all as u64);
            !interrupt::requested()
        },
    };
    let measured = subject.prices(&source.tensors);
    progress.borrow().finish();
    let (prices, measured) = measured?;
    // The main type is that of most bytes, which a first plan is made for: the keys are as long for any.
    let keys = metadata(source.keys(), Mix::of_type(None), importance.as_deref());
    let elements = source.tensors.iter().map(|t| t.dims.iter().product::<usize>() as u64).sum();
    let other = |plan: &Plan| -> Result<u64> {
        let tensors: Vec<NewTensor> = plan.tensors.iter().map(|t| t.tensor.clone()).collect();
        let (header, sizes) = header(input, &keys, &tensors)?;
        // Tensors begin at multiples of some bytes.
        let padding: u64 = sizes.iter().map(|n| n.next_multiple_of(keys.alignment()) - n).sum();
        Ok(header.len() as u64 + padding)
    };
    // What is beside the tensors hardly depends on their types: the most that padding can be.
    let (any, _) = prices.plan(input, &source.tensors, u64::MAX)?;
    let beside = other(&any)? + keys.alignment() * source.tensors.len() as u64;
    let (plan, expected) = prices.plan(input, &source.tensors, size.for_tensors(beside, elements))?;
    let found = subject.divergence(&measured, &prices.formats(&plan))?;
    if !args.quiet {
        for (group, divergence) in &prices.groups {
            let bytes: u64 = group
                .members
                .iter()
                .filter_map(|member| plan.tensors[member.index].tensor.bytes())
                .map(|bytes| bytes as u64)
                .sum();
            let mut types: Vec<_> = group
                .members
                .iter()
                .map(|m| plan.tensors[m.index].tensor.dtype.name().to_uppercase())
                .collect();
            types.sort();
            types.dedup();
            let line = format!(
                "{group}: {divergence:.6} in 3 bits; {} as {}\n",
                human_bytes(bytes),
                types.join(", ")
            );
            let _ = out.write(&line);
        }
        if args.verbose || args.dry_run {
            let _ = out.write(&report::tensors(&source.tensors, &plan));
        }
        let _ = out.write(&format!(
            "Mean divergence from the model on {} tokens of {}: {found:.6} nats ({expected:.6} were expected)\n",
            measured.tokens(),
            path.display()
        ));
    }
    if importance.is_none() && !args.quiet {
        say("note: without an importance matrix all columns count alike; --make-imatrix TEXT makes one");
    }
    let main = plan.shares().first().map(|share| share.0);
    let metadata = metadata(source.keys(), Mix::of_type(main), importance.as_deref());
    Ok(Made { plan, metadata, importance })
}

fn content(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open '{name}'"))?;
    from_reader(file, &name)
}
