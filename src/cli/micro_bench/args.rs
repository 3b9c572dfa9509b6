//! Arguments of `micro_bench`.

use std::time::Duration;

use clap::Parser;

use crate::backend::cpu::Isa;
use crate::bench::{Case, cases};
use crate::cli::args::{BackendName, STYLES};
use crate::cli::kv::kv_dtype;
use crate::cli::values::{isa, threads};
use crate::core::DType;
use crate::models::NamedShape;

/// Measure each operator of a forward pass at a model's real shapes, against what the machine can do.
///
/// Options with a list take several values, separated by commas; every combination is measured.
#[derive(Debug, Parser)]
#[command(name = "micro_bench", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// Model whose shapes are used: llama3.2-1b, llama3.2-3b, demo
    #[arg(long, value_name = "NAME", default_value = "llama3.2-1b")]
    pub shape: NamedShape,

    /// Only cases whose name holds one of these texts; a name is like 'linear_qkv q4_0 x1' (one row) or
    /// 'attention f16 d2048 x64' (64 rows after 2048 tokens)
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    pub filter: Vec<String>,

    /// Formats of the weights: f32, f16, bf16, q8_0, q4_0, q4_1, or any other that a GGUF file may hold, as q4_k
    #[arg(
        long,
        value_name = "LIST",
        default_value = "f32,f16,bf16,q8_0,q4_0,q4_1",
        value_delimiter = ',',
        value_parser = format
    )]
    pub weight_dtype: Vec<DType>,

    /// Types of stored keys and values: f32, f16, q8_0, q4_0
    #[arg(
        long,
        value_name = "LIST",
        default_value = "f16,f32",
        value_delimiter = ',',
        value_parser = kv_dtype
    )]
    pub kv_type: Vec<DType>,

    /// Numbers of tokens at once: 1 is decode, more is prefill
    #[arg(long, value_name = "LIST", default_value = "1,64,512", value_delimiter = ',', value_parser = rows)]
    pub rows: Vec<usize>,

    /// Numbers of tokens before those, for attention
    #[arg(
        short,
        long,
        value_name = "LIST",
        default_value = "512,2048,8192",
        value_delimiter = ',',
        value_parser = depth
    )]
    pub depth: Vec<usize>,

    /// Seconds to spend on each case; at least 5 measurements are made
    #[arg(long, value_name = "S", default_value = "0.3", value_parser = seconds)]
    pub time: Duration,

    /// Backend that runs the operators
    #[arg(short, long, value_name = "NAME", default_value = "cpu")]
    pub backend: BackendName,

    /// OpenCL device: its number in `generate --list-devices`, or a part of its name
    #[arg(long, value_name = "N|NAME")]
    pub device: Option<String>,

    /// Instruction set of the cpu backend [default: the best that this CPU has]
    #[arg(long, value_name = "NAME", value_parser = isa)]
    pub isa: Option<Isa>,

    /// Threads of the cpu backend [default: the number of fast cores]
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  micro_bench --filter linear,attention --rows 1
  micro_bench --weight-dtype q4_0 --isa avx2 -t 1 --json";

impl Args {
    /// The cases that the filter leaves.
    pub fn cases(&self) -> Vec<Case> {
        let mut all = cases(&self.weight_dtype, &self.kv_type, &self.rows, &self.depth);
        all.retain(|case| {
            let name = case.to_string();
            self.filter.is_empty() || self.filter.iter().any(|text| name.contains(text.as_str()))
        });
        all
    }
}

fn format(text: &str) -> Result<DType, String> {
    text.parse::<DType>().ok().filter(|dtype| dtype.is_weight()).ok_or_else(|| {
        let known: Vec<&str> = DType::ALL.iter().filter(|d| d.is_weight()).map(|d| d.name()).collect();
        format!("choose of {}", known.join(", "))
    })
}

fn rows(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=65_536) => Ok(n),
        _ => Err("a whole number from 1 to 65536 is needed".to_owned()),
    }
}

fn depth(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 0..=1_048_576) => Ok(n),
        _ => Err("a whole number from 0 to 1048576 is needed".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(s) if (0.0..=3600.0).contains(&s) => Ok(Duration::from_secs_f64(s)),
        _ => Err("a number of seconds from 0 to 3600 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn filters_choose_cases_by_parts_of_their_names() {
        let args = Args::parse_from(["micro_bench", "--filter", "linear_o q4_0 x1,attention f32 d512 x64"]);
        let names: Vec<String> = args.cases().iter().map(Case::to_string).collect();
        assert_eq!(names, ["attention f32 d512 x64", "linear_o q4_0 x1"]);
        assert_eq!(Args::parse_from(["micro_bench", "--filter", "nothing"]).cases(), []);
    }

    #[test]
    fn instruction_sets_are_read_by_name() {
        for isa in Isa::available() {
            let args = Args::parse_from(["micro_bench", "--isa", &isa.name().to_uppercase()]);
            assert_eq!(args.isa, Some(isa));
        }
    }
}
