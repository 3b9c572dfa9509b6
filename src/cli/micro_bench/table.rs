//! The results of `micro_bench`, as text and as JSON.

use serde_json::{Value, json};

use crate::bench::{Case, Figure, Limits};
use crate::cli::provenance;

/// What all rows have in common.
pub struct Setting<'a> {
    /// Processor.
    pub cpu: &'a str,
    /// Short name of the backend.
    pub backend: &'a str,
    /// Its own words: instruction set, threads.
    pub described: &'a str,
    /// Shape of the model.
    pub shape: &'a str,
    /// What the machine can do.
    pub limits: Limits,
    /// When it began.
    pub time: String,
}

/// Titles and widths of the columns.
const HEAD: [(&str, usize); 9] = [
    ("operator", 14),
    ("type", 4),
    ("depth", 5),
    ("rows", 4),
    ("time", 10),
    ("GB/s", 8),
    ("of read", 7),
    ("GOP/s", 8),
    ("of fma", 7),
];

fn line(cells: [String; 9]) -> String {
    let mut out = String::from("|");
    for (i, (cell, (_, width))) in cells.into_iter().zip(HEAD).enumerate() {
        out += &if i == 0 { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") };
    }
    out + "\n"
}

/// The lines above the rows.
pub fn head(s: &Setting<'_>) -> String {
    let Limits { threads, read, arithmetic, vectors } = s.limits;
    let plural = if threads == 1 { "" } else { "s" };
    let rules = HEAD.map(|(_, width)| format!("{}:", "-".repeat(width - 1)));
    format!(
        "{} at the shapes of {}, on {}\nlimits with {threads} thread{plural}: read {:.1} GB/s, \
         f32 multiply-add {:.1} GOP/s ({vectors})\n\n{}{}",
        s.described,
        s.shape,
        s.cpu,
        read / 1e9,
        arithmetic / 1e9,
        line(HEAD.map(|(title, _)| title.to_owned())),
        line(rules).replacen(" -------------:", " --------------", 1),
    )
}

/// One case.
pub fn row(s: &Setting<'_>, case: &Case, figure: &Figure) -> String {
    let none = || "-".to_owned();
    let share = |part: f64, of: f64| format!("{:.1} %", 100.0 * part / of);
    let arithmetic = figure.arithmetic();
    line([
        case.operator.name().to_owned(),
        case.dtype.map_or_else(none, |d| d.to_string()),
        case.depth.map_or_else(none, |d| d.to_string()),
        case.rows.to_string(),
        time(figure.seconds.median),
        format!("{:.2}", figure.read() / 1e9),
        share(figure.read(), s.limits.read),
        arithmetic.map_or_else(none, |a| format!("{:.2}", a / 1e9)),
        arithmetic.map_or_else(none, |a| share(a, s.limits.arithmetic)),
    ])
}

/// Everything as one object.
pub fn json(s: &Setting<'_>, rows: &[(Case, Figure)]) -> Value {
    let results: Vec<Value> = rows
        .iter()
        .map(|(case, figure)| {
            json!({
                "name": case.to_string(),
                "operator": case.operator.name(),
                "type": case.dtype.map(|d| d.name()),
                "depth": case.depth,
                "rows": case.rows,
                "repetitions": figure.repetitions,
                "median_ns": figure.seconds.median * 1e9,
                "min_ns": figure.seconds.min * 1e9,
                "bytes": figure.bytes,
                "operations": figure.operations,
                "gb_per_s": figure.read() / 1e9,
                "share_of_read": figure.read() / s.limits.read,
                "gop_per_s": figure.arithmetic().map(|a| a / 1e9),
                "share_of_multiply_add": figure.arithmetic().map(|a| a / s.limits.arithmetic),
            })
        })
        .collect();
    json!({
        "build_commit": provenance::COMMIT,
        "version": provenance::VERSION,
        "test_time": s.time,
        "cpu_info": s.cpu,
        "backend": s.backend,
        "backend_info": s.described,
        "shape": s.shape,
        "limits": {
            "threads": s.limits.threads,
            "read_gb_per_s": s.limits.read / 1e9,
            "multiply_add_gop_per_s": s.limits.arithmetic / 1e9,
            "multiply_add_vectors": s.limits.vectors,
        },
        "results": results,
    })
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.1} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Operator, Summary};
    use crate::core::DType;

    #[test]
    fn rates_and_shares_follow_from_the_median() {
        let limits = Limits { threads: 2, read: 20e9, arithmetic: 100e9, vectors: "avx2" };
        let setting = Setting {
            cpu: "CPU",
            backend: "cpu",
            described: "cpu: avx2, 2 threads",
            shape: "demo",
            limits,
            time: String::new(),
        };
        let case = Case { operator: Operator::LinearO, dtype: Some(DType::Q4_0), depth: None, rows: 1 };
        let seconds = Summary { mean: 1.0, deviation: 0.0, median: 2e-3, min: 1e-3 };
        let figure = Figure { seconds, repetitions: 5, bytes: 10_000_000, operations: 50_000_000 };
        let text = row(&setting, &case, &figure);
        let cells: Vec<&str> = text.split('|').map(str::trim).collect();
        assert_eq!(
            cells[1..10],
            ["linear_o", "q4_0", "-", "1", "2.00 ms", "5.00", "25.0 %", "25.00", "25.0 %"]
        );
        let all = json(&setting, &[(case, figure)]);
        assert_eq!(all["results"][0]["gb_per_s"], 5.0);
        assert_eq!(all["results"][0]["share_of_read"], 0.25);
        assert_eq!(all["results"][0]["depth"], Value::Null);
        let head = head(&setting);
        let widths: Vec<usize> = head.lines().skip(3).chain([text.trim_end()]).map(str::len).collect();
        assert_eq!(widths.len(), 3);
        assert!(widths.iter().all(|&w| w == widths[0]), "{widths:?}\n{head}{text}");
    }

    #[test]
    fn times_read_well() {
        let all = [3e-8, 4.25e-6, 0.0125, 2.0].map(time);
        assert_eq!(all, ["30.0 ns", "4.25 us", "12.50 ms", "2.00 s"]);
    }
}
