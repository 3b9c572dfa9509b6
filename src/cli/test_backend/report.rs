//! What `test_backend` found, case by case.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::provenance;
use crate::oracle::{Bound, Case, Subject, Verdict};

/// Every bound by its name.
pub const BOUNDS: [(&str, Bound); 4] = [
    ("copies", Bound::EXACT),
    ("f32", Bound::F32),
    ("f16/bf16", Bound::HALF),
    ("quantized", Bound::QUANTIZED),
];

/// What all cases have in common.
pub struct Setting {
    /// Processor.
    pub cpu: String,
    /// When it began.
    pub time: String,
    /// Name of the list of shapes.
    pub shapes: &'static str,
}

/// A case on a subject.
pub struct Record<'a> {
    /// What was tried.
    pub case: &'a Case,
    /// On what.
    pub subject: &'a dyn Subject,
    /// What came of it.
    pub verdict: Verdict,
}

/// The lines under the table: what failed (up to `most` cases), and how many there were.
pub fn conclusion(records: &[Record<'_>], most: usize) -> String {
    let failed: Vec<&Record<'_>> = records.iter().filter(|r| !r.verdict.passed).collect();
    let mut out = String::from("\n");
    for record in failed.iter().take(most) {
        let _ = writeln!(out, "FAIL {}", sentence(record));
    }
    if failed.len() > most {
        let _ = writeln!(out, "and {} more, which --json lists", failed.len() - most);
    }
    let _ = writeln!(out, "{} passed, {} failed", records.len() - failed.len(), failed.len());
    out
}

fn sentence(record: &Record<'_>) -> String {
    let Record { case, subject, verdict } = record;
    let what = match (&verdict.fault, verdict.difference) {
        (Some(fault), _) => fault.clone(),
        (None, Some(d)) => {
            let bound = Bound::of(&case.work);
            let worst = d.worst.map_or_else(
                || "a zero has another sign".to_owned(),
                |(index, got, expected)| {
                    format!("element {index} is {got:e}, the reference has {expected:e}")
                },
            );
            format!("{worst}; NMSE {:.1e} of {:e}, max {:.1e} of {:e}", d.nmse, bound.nmse, d.max, bound.max)
        }
        (None, None) => "no result".to_owned(),
    };
    format!("{case} on {} {}: {what}", subject.backend(), subject.variant())
}

/// Everything as one object. What is infinite is `null`.
pub fn json(setting: &Setting, subjects: &[Box<dyn Subject>], records: &[Record<'_>]) -> Value {
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|s| json!({"backend": s.backend(), "variant": s.variant(), "device": s.device()}))
        .collect();
    let failed = records.iter().filter(|r| !r.verdict.passed).count();
    json!({
        "build_commit": provenance::COMMIT,
        "version": provenance::VERSION,
        "test_time": setting.time,
        "cpu_info": setting.cpu,
        "shapes": setting.shapes,
        "subjects": subjects,
        "bounds": BOUNDS.map(|(name, b)| json!({"for": name, "nmse": b.nmse, "max_error": b.max})),
        "passed": records.len() - failed,
        "failed": failed,
        "results": records.iter().map(result).collect::<Vec<_>>(),
    })
}

fn result(record: &Record<'_>) -> Value {
    let Record { case, subject, verdict } = record;
    let bound = Bound::of(&case.work);
    let worst = verdict.difference.and_then(|d| d.worst);
    json!({
        "name": case.to_string(),
        "operator": case.work.operator().name(),
        "type": case.work.dtype().map(|d| d.name()),
        "shape": case.work.shape(),
        "values": case.values.name(),
        "backend": subject.backend(),
        "variant": subject.variant(),
        "passed": verdict.passed,
        "nmse": verdict.difference.map(|d| d.nmse),
        "nmse_bound": bound.nmse,
        "max_error": verdict.difference.map(|d| d.max),
        "max_error_bound": bound.max,
        "worst": worst.map(|(index, got, expected)| json!({"index": index, "got": got, "expected": expected})),
        "fault": verdict.fault,
        "seconds": verdict.time.as_secs_f64(),
    })
}
