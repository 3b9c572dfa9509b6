//! `test_backend`, from arguments to exit code.

mod args;
mod report;
mod subjects;
mod table;

use std::io::stdout;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use self::args::Args;
use self::report::{Record, Setting};
use self::table::Summary;
use super::notice::say;
use super::output::Stream;
use super::progress::Progress;
use super::run::exit_code;
use super::{interrupt, provenance, values};
use crate::oracle::{Case, Operator, Subject, Trial};

/// Exit code where a backend that was asked for is not there.
const ABSENT: u8 = 2;

/// Failed cases that are listed one by one under a table.
const SHOWN: usize = 20;

/// Runs the program on the process's arguments.
pub fn test_backend() -> ExitCode {
    exit_code(run(&values::from_process::<Args>()))
}

fn run(args: &Args) -> Result<ExitCode> {
    interrupt::listen().context("cannot listen for Ctrl-C")?;
    let cases = args.cases();
    ensure!(
        !cases.is_empty(),
        "no case has a name with '{}' in it; the operators are {}",
        args.filter.join("' or '"),
        Operator::ALL.map(Operator::name).join(", ")
    );
    let subjects = match subjects::all(args)? {
        Ok(subjects) => subjects,
        Err(absent) => {
            say(&format!("error: {absent}"));
            return Ok(ExitCode::from(ABSENT));
        }
    };
    let setting =
        Setting { cpu: provenance::cpu_name(), time: provenance::now(), shapes: args.shapes.name() };
    let records = compare(args, &setting, &cases, &subjects)?;
    let failed = records.iter().filter(|r| !r.verdict.passed).count();
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tries all cases on all subjects and prints what comes of it.
fn compare<'a>(
    args: &Args,
    setting: &Setting,
    cases: &'a [Case],
    subjects: &'a [Box<dyn Subject>],
) -> Result<Vec<Record<'a>>> {
    let mut out = Stream::new(Some(stdout()), true);
    let mut closed = !args.json && out.write(&table::head(setting, subjects)).is_break();
    let mut records = Vec::new();
    // The table shows by itself how far it is.
    let mut progress = Progress::new("Comparing", !args.json);
    for group in groups(cases, args.verbose) {
        if closed {
            break;
        }
        let mut summaries = vec![Summary::default(); subjects.len()];
        for case in group {
            progress.set(records.len() as u64, (cases.len() * subjects.len()) as u64);
            let trial = Trial::new(case).with_context(|| format!("cannot try {case}"))?;
            for (subject, summary) in subjects.iter().zip(&mut summaries) {
                let subject = subject.as_ref();
                let verdict =
                    trial.check(subject).with_context(|| format!("the reference cannot compute {case}"))?;
                summary.add(&verdict);
                records.push(Record { case, subject, verdict });
            }
        }
        if !args.json {
            let mut rows = subjects.iter().zip(&summaries);
            closed = rows.any(|(s, summary)| out.write(&table::row(group, s.as_ref(), summary)).is_break());
        }
    }
    progress.finish();
    if args.json {
        let _ = out.write(&serde_json::to_string_pretty(&report::json(setting, subjects, &records))?);
    } else if !closed {
        let _ = out.write(&report::conclusion(&records, SHOWN));
    }
    out.finish().context("cannot write to standard output")?;
    Ok(records)
}

/// Cases that share a row of the table: those of one operator and format, or each for itself.
fn groups(cases: &[Case], each: bool) -> impl Iterator<Item = &[Case]> {
    cases.chunk_by(move |a, b| {
        !each && (a.work.operator(), a.work.dtype()) == (b.work.operator(), b.work.dtype())
    })
}
