//! The table of `test_backend`.

use std::time::Duration;

use super::report::{BOUNDS, Setting};
use crate::oracle::{Case, Subject, Verdict};

/// What came of the cases of a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    cases: usize,
    failed: usize,
    nmse: f64,
    max: f64,
    time: Duration,
}

impl Summary {
    /// Counts one more.
    pub fn add(&mut self, verdict: &Verdict) {
        self.cases += 1;
        self.failed += usize::from(!verdict.passed);
        self.time += verdict.time;
        // A result that is not there is as far off as can be.
        let (nmse, max) = verdict.difference.map_or((f64::INFINITY, f64::INFINITY), |d| (d.nmse, d.max));
        self.nmse = self.nmse.max(nmse);
        self.max = self.max.max(max);
    }
}

/// Titles and widths of the columns.
const HEAD: [(&str, usize); 9] = [
    ("operator", 12),
    ("type", 4),
    ("shape", 14),
    ("device", 6),
    ("variant", 10),
    ("NMSE", 7),
    ("max error", 9),
    ("time", 9),
    ("result", 11),
];

fn line(cells: [String; 9]) -> String {
    let mut out = String::from("|");
    for (cell, (i, (_, width))) in cells.into_iter().zip(HEAD.into_iter().enumerate()) {
        let left = i < 5 || i == 8;
        out += &if left { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") };
    }
    out + "\n"
}

/// The lines above the rows.
pub fn head(setting: &Setting, subjects: &[Box<dyn Subject>]) -> String {
    let mut out = String::new();
    for s in subjects {
        out += &format!("{} {}: {}\n", s.backend(), s.variant(), s.device());
    }
    out += &format!("against the reference, {} shapes; what passes (NMSE, max error):\n", setting.shapes);
    for (name, bound) in BOUNDS {
        out += &match (bound.nmse, bound.max) {
            (0.0, _) => format!("{name} the same bits, "),
            (nmse, max) => format!("{name} {nmse:e} {max:e}, "),
        };
    }
    out.truncate(out.trim_end_matches([',', ' ']).len());
    let rules = HEAD.map(|(_, width)| "-".repeat(width));
    out + "\n\n" + &line(HEAD.map(|(title, _)| title.to_owned())) + &line(rules)
}

/// The row of a group of cases, which have operator and format in common.
pub fn row(group: &[Case], subject: &dyn Subject, summary: &Summary) -> String {
    let Some(first) = group.first() else { return String::new() };
    let shape = match group {
        [only] => format!("{} {}", only.work.shape(), only.values.name()),
        _ => format!("{} cases", group.len()),
    };
    let result = match summary.failed {
        0 => "ok".to_owned(),
        _ if summary.cases == 1 => "FAIL".to_owned(),
        n => format!("FAIL: {n}"),
    };
    line([
        first.work.operator().to_string(),
        first.work.dtype().map_or_else(|| "-".to_owned(), |d| d.to_string()),
        shape,
        subject.backend().to_owned(),
        subject.variant().to_owned(),
        small(summary.nmse),
        small(summary.max),
        format!("{:.2} ms", summary.time.as_secs_f64() * 1e3),
        result,
    ])
}

/// `0`, or two digits.
fn small(value: f64) -> String {
    if value == 0.0 || value.is_infinite() { value.to_string() } else { format!("{value:.1e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Difference;

    #[test]
    fn a_row_sums_up_its_cases() {
        let of = |passed, nmse, max| Verdict {
            passed,
            time: Duration::from_millis(2),
            difference: Some(Difference { nmse, max, worst: None, same_bits: false }),
            fault: None,
        };
        let mut summary = Summary::default();
        summary.add(&of(true, 1e-12, 3e-6));
        summary.add(&of(true, 2e-12, 1e-6));
        assert_eq!(
            (summary.failed, small(summary.nmse), small(summary.max)),
            (0, "2.0e-12".into(), "3.0e-6".into())
        );
        summary.add(&Verdict {
            passed: false,
            time: Duration::ZERO,
            difference: None,
            fault: Some(String::new()),
        });
        assert_eq!((summary.cases, summary.failed, small(summary.max)), (3, 1, "inf".into()));
        assert_eq!(summary.time, Duration::from_millis(4));
    }
}
