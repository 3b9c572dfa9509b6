//! The results of `bench_model` as a table, as CSV and as JSON.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::args::OutputFormat;
use crate::bench::{Summary, Test};
use crate::cli::output::Stream;
use crate::cli::provenance;
use crate::core::KvTypes;
use crate::models::WeightMix;

/// One measurement and all that it depends on.
pub struct Row<'a> {
    /// Path or name of the model.
    pub filename: &'a str,
    /// Its kind, size and format, in words.
    pub model_type: &'a str,
    /// Bytes of prepared weights.
    pub model_size: usize,
    /// Parameters.
    pub params: u64,
    /// Short name of the backend.
    pub backend: &'a str,
    /// Its own words: instruction set, threads.
    pub described: &'a str,
    /// Processor.
    pub cpu: &'a str,
    /// Threads that compute.
    pub threads: usize,
    /// Tokens of a prompt at once.
    pub chunk: usize,
    /// Format of the weights.
    pub weights: &'a WeightMix,
    /// Type of keys and values.
    pub kv: KvTypes,
    /// When it began.
    pub time: String,
    /// When its last run ended, in nanoseconds since 1970.
    pub end_ns: u64,
    /// What was measured.
    pub test: Test,
    /// How long each run took.
    pub times: &'a [Duration],
}

impl Row<'_> {
    /// Tokens a second of each run.
    fn rates(&self) -> Vec<f64> {
        self.times.iter().map(|&t| self.test.rate(t)).collect()
    }

    /// All fields; llama-bench's have its names and units.
    fn record(&self) -> Map<String, Value> {
        let samples_ns: Vec<u64> =
            self.times.iter().map(|t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX)).collect();
        let ns = Summary::of(&samples_ns.iter().map(|&ns| ns as f64).collect::<Vec<_>>());
        let samples_ts = self.rates();
        let ts = Summary::of(&samples_ts);
        let fields = json!({
            "build_commit": provenance::COMMIT,
            "version": provenance::VERSION,
            "cpu_info": self.cpu,
            "gpu_info": "",
            "backends": self.backend,
            "backend_info": self.described,
            "model_filename": self.filename,
            "model_type": self.model_type,
            "model_size": self.model_size,
            "model_n_params": self.params,
            "n_batch": self.chunk,
            "n_ubatch": self.chunk,
            "n_threads": self.threads,
            "type_w": self.weights.to_string(),
            "type_k": self.kv.k.name(),
            "type_v": self.kv.v.name(),
            "n_prompt": self.test.prompt,
            "n_gen": self.test.generated,
            "n_depth": self.test.depth,
            "test_time": self.time,
            "end_time_ns": self.end_ns,
            "avg_ns": ns.mean.round() as u64,
            "stddev_ns": ns.deviation.round() as u64,
            "avg_ts": ts.mean,
            "stddev_ts": ts.deviation,
            "median_ts": ts.median,
            "samples_ns": samples_ns,
            "samples_ts": samples_ts,
        });
        match fields {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn markdown(&self) -> String {
        let ts = Summary::of(&self.rates());
        let cells = [
            self.model_type.to_owned(),
            size(self.model_size),
            count(self.params),
            self.backend.to_owned(),
            self.threads.to_string(),
            self.kv.to_string(),
            self.test.to_string(),
            format!("{:.2} ± {:.2}", ts.mean, ts.deviation),
        ];
        line(&cells)
    }
}

/// Title, width, and whether numbers are in it, to be set flush right.
const COLUMNS: [(&str, usize, bool); 8] = [
    ("model", 22, false),
    ("size", 10, true),
    ("params", 8, true),
    ("backend", 9, false),
    ("threads", 7, true),
    ("kv", 4, true),
    ("test", 15, true),
    ("t/s", 17, true),
];

fn line(cells: &[String]) -> String {
    let mut out = String::from("|");
    for (cell, (_, width, right)) in cells.iter().zip(COLUMNS) {
        out += &if right { format!(" {cell:>width$} |") } else { format!(" {cell:<width$} |") };
    }
    out + "\n"
}

fn markdown_head() -> String {
    let titles = COLUMNS.map(|(title, ..)| title.to_owned());
    let rules = COLUMNS.map(
        |(_, width, right)| {
            if right { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
        },
    );
    line(&titles) + &line(&rules)
}

/// Bytes in powers of two, as llama-bench gives a model's size.
fn size(bytes: usize) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.2} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

/// Parameters: `1.24 B`, `1.44 M`.
pub fn count(params: u64) -> String {
    match params as f64 {
        n if n < 1e9 => format!("{:.2} M", n / 1e6),
        n => format!("{:.2} B", n / 1e9),
    }
}

/// The fields whose value is a list, which have no place in CSV.
fn is_list(value: &Value) -> bool {
    value.is_array()
}

fn csv<'a>(cells: impl Iterator<Item = &'a Value>) -> String {
    let quoted = |v: &Value| match v {
        Value::String(s) => format!("\"{}\"", s.replace('"', "\"\"")),
        other => format!("\"{other}\""),
    };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// Writes rows as they come.
pub struct Table<W: Write> {
    out: Stream<W>,
    format: OutputFormat,
    rows: usize,
}

impl<W: Write> Table<W> {
    pub fn new(out: W, format: OutputFormat) -> Self {
        Self { out: Stream::new(Some(out), true), format, rows: 0 }
    }

    /// Writes a row. `Break`: the reader is gone.
    pub fn row(&mut self, row: &Row<'_>) -> ControlFlow<()> {
        let first = self.rows == 0;
        self.rows += 1;
        let text = match self.format {
            OutputFormat::Md => {
                let head = if first { markdown_head() } else { String::new() };
                head + &row.markdown()
            }
            OutputFormat::Csv => {
                let record = row.record();
                let mut text = String::new();
                if first {
                    let names: Vec<Value> =
                        record.iter().filter(|(_, v)| !is_list(v)).map(|(k, _)| json!(k)).collect();
                    text += &csv(names.iter());
                }
                text + &csv(record.values().filter(|v| !is_list(v)))
            }
            OutputFormat::Json => {
                let text = serde_json::to_string_pretty(&Value::Object(row.record())).unwrap_or_default();
                let indented = text.replace('\n', "\n  ");
                format!("{}  {indented}", if first { "[\n" } else { ",\n" })
            }
        };
        self.out.write(&text)
    }

    /// Ends the table.
    ///
    /// # Errors
    /// What kept it from being written, unless that is a reader who has gone.
    pub fn finish(mut self) -> io::Result<()> {
        if self.format == OutputFormat::Json && self.rows > 0 {
            let _ = self.out.write("\n]\n");
        }
        if self.rows == 0 {
            return Ok(());
        }
        self.out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::DType;

    fn printed(format: OutputFormat) -> String {
        let times = [Duration::from_millis(100), Duration::from_millis(200)];
        let mut weights = WeightMix::default();
        weights.add(DType::Q4_0, 1);
        let mut text = Vec::new();
        let mut table = Table::new(&mut text, format);
        for depth in [0, 7] {
            let row = Row {
                filename: "a \"b\", c",
                model_type: "llama 1.24 B q4_0",
                model_size: 3 << 29,
                params: 1_235_814_400,
                backend: "cpu",
                described: "cpu: avx2, 2 threads",
                cpu: "CPU",
                threads: 2,
                chunk: 256,
                weights: &weights,
                kv: DType::F16.into(),
                time: "2026-01-01T00:00:00Z".to_owned(),
                end_ns: 1_767_225_600_000_000_000,
                test: Test { prompt: 0, generated: 10, depth },
                times: &times,
            };
            assert!(table.row(&row).is_continue());
        }
        table.finish().unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_table_for_people() {
        let text = printed(OutputFormat::Md);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        let cells: Vec<&str> = lines[3].split('|').map(str::trim).collect();
        // 10 tokens in 0.1 s and in 0.2 s: 100 and 50 a second, 35.36 being 50 / sqrt(2).
        assert_eq!(
            cells,
            [
                "",
                "llama 1.24 B q4_0",
                "1.50 GiB",
                "1.24 B",
                "cpu",
                "2",
                "f16",
                "tg10 @ d7",
                "75.00 ± 35.36",
                ""
            ]
        );
        let widths: Vec<usize> = lines.iter().map(|l| l.chars().count()).collect();
        assert!(widths.iter().all(|&w| w == widths[0]), "{widths:?}");
    }

    #[test]
    fn csv_quotes_and_has_a_cell_for_each_title() {
        let text = printed(OutputFormat::Csv);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("\"a \"\"b\"\", c\""), "{}", lines[1]);
        assert_eq!(lines[0].matches("\",\"").count(), 25);
        assert_eq!(lines[1].matches("\",\"").count(), 25);
    }

    #[test]
    fn json_is_one_array() {
        let all: Value = serde_json::from_str(&printed(OutputFormat::Json)).unwrap();
        assert_eq!(all.as_array().unwrap().len(), 2);
        assert_eq!(all[1]["avg_ts"], 75.0);
        assert_eq!(all[1]["avg_ns"], 150_000_000);
        assert_eq!(all[1]["end_time_ns"], 1_767_225_600_000_000_000_u64);
        assert_eq!(all[1]["stddev_ns"], 70_710_678);
        assert_eq!(all[1]["samples_ts"], json!([100.0, 50.0]));
        assert_eq!(all[1]["n_depth"], 7);
    }
}
