//! Arguments of `bench_model`, named as in llama-bench where it has them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::backend::cpu::Isa;
use crate::bench::Test;
use crate::cli::args::{BackendName, STYLES};
use crate::cli::kv::{combinations, kv_dtype};
use crate::cli::values::{self, at_least_one, isa, threads, weight_dtype, whole};
use crate::core::{DType, KvTypes};
use crate::engine::WeightDType;
use crate::models::NamedShape;

/// Measure how fast a model processes a prompt (pp) and generates tokens (tg).
///
/// Options with a list take several values, separated by commas; every combination is measured.
#[derive(Debug, Parser)]
#[command(name = "bench_model", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub model: ModelArgs,

    /// Formats of the weights: auto, f32, f16, bf16, q8_0, q4_k and so on, as generate --help lists them
    #[arg(long, value_name = "LIST", default_value = "auto", value_delimiter = ',', value_parser = weight_dtype)]
    weight_dtype: Vec<WeightDType>,

    /// With a block format, that format for the embedding and the output matrix too, which are q8_0 otherwise: as
    /// llama-quantize --pure
    #[arg(long, requires = "weight_dtype")]
    pure: bool,

    /// Types of stored keys and values: f32, f16, q8_0, q4_0
    #[arg(long, value_name = "LIST", default_value = "f16", value_delimiter = ',', value_parser = kv_dtype)]
    kv_type: Vec<DType>,

    /// Types of stored keys, in place of those of --kv-type
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = kv_dtype)]
    kv_type_k: Vec<DType>,

    /// Types of stored values, in place of those of --kv-type
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = kv_dtype)]
    kv_type_v: Vec<DType>,

    /// Lengths of prompts; 0 for none
    #[arg(short = 'p', long, value_name = "LIST", default_value = "512", value_delimiter = ',', value_parser = whole)]
    pub n_prompt: Vec<usize>,

    /// Numbers of tokens to generate one by one; 0 for none
    #[arg(short = 'n', long, value_name = "LIST", default_value = "128", value_delimiter = ',', value_parser = whole)]
    pub n_gen: Vec<usize>,

    /// A prompt and the generation after it as one measurement, like 512,128; may be given several
    /// times (also as -pg)
    #[arg(long, value_name = "PP,TG", value_parser = pair)]
    pub pg: Vec<(usize, usize)>,

    /// Numbers of tokens already in the cache
    #[arg(short = 'd', long, value_name = "LIST", default_value = "0", value_delimiter = ',', value_parser = whole)]
    pub n_depth: Vec<usize>,

    /// Runs of each measurement, after one warm-up run
    #[arg(short, long, value_name = "N", default_value = "5", value_parser = at_least_one)]
    pub repetitions: usize,

    /// Backend that runs the model
    #[arg(short, long, value_name = "NAME", default_value = "cpu")]
    pub backend: BackendName,

    /// OpenCL device: its number in `generate --list-devices`, or a part of its name
    #[arg(long, value_name = "N|NAME")]
    pub device: Option<String>,

    /// Threads of the cpu backend [default: the number of fast cores]
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', value_parser = threads)]
    pub threads: Vec<usize>,

    /// Instruction set of the cpu backend: scalar, avx2, avxvnni, avx512, avx512bf16 (not exact), amx, neon,
    /// dotprod, i8mm [default: the best exact one of this CPU]
    #[arg(long, value_name = "NAME", value_parser = isa)]
    pub isa: Option<Isa>,

    /// Tokens of the prompt that go through the model at once
    #[arg(long, value_name = "N", default_value = "256", value_parser = at_least_one)]
    pub prefill_chunk: usize,

    /// How to print: a table in Markdown, CSV, or a JSON array with the field names of llama-bench
    #[arg(short, long, value_name = "FORMAT", default_value = "md")]
    pub output: OutputFormat,

    /// No progress on standard error
    #[arg(short, long)]
    pub quiet: bool,
}

/// Which model; one of the two.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct ModelArgs {
    /// Directory of a Hugging Face checkpoint, the safetensors file in it, a GGUF file or a packed file
    #[arg(short, long, value_name = "PATH")]
    pub model_path: Option<PathBuf>,

    /// A model with random weights of this shape, which needs no download: llama3.2-1b, llama3.2-3b, demo
    #[arg(long, value_name = "NAME")]
    pub shape: Option<NamedShape>,
}

/// How the results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Md,
    Csv,
    Json,
}

const EXAMPLES: &str = "\
Examples:
  bench_model --shape llama3.2-1b --weight-dtype q4_0 -d 0,2048
  bench_model -m Llama-3.2-1B-Instruct -p 128,512 -n 64 -t 1,2 -o json";

impl Args {
    /// Reads the process's arguments. llama-bench's `-pg` is two letters after one dash, which would mean
    /// `-p g` here.
    pub fn from_process() -> Self {
        values::from(std::env::args_os().map(long_pg))
    }

    /// The formats of the weights, in the order of the table.
    pub fn weights(&self) -> Vec<WeightDType> {
        self.weight_dtype.iter().map(|wanted| wanted.pure(self.pure)).collect()
    }

    /// As which keys and values are stored, in the order of the table.
    pub fn kv_types(&self) -> Vec<KvTypes> {
        combinations(&self.kv_type, &self.kv_type_k, &self.kv_type_v)
    }

    /// What to measure, in the order of the table: by depth, then prompts, then single tokens, then both.
    pub fn tests(&self) -> Vec<Test> {
        let mut tests = Vec::new();
        for &depth in &self.n_depth {
            tests.extend(self.n_prompt.iter().map(|&prompt| Test { prompt, generated: 0, depth }));
            tests.extend(self.n_gen.iter().map(|&generated| Test { prompt: 0, generated, depth }));
            tests.extend(self.pg.iter().map(|&(prompt, generated)| Test { prompt, generated, depth }));
        }
        tests.retain(|t| t.tokens() > 0);
        tests
    }
}

fn long_pg(arg: OsString) -> OsString {
    if arg == "-pg" { "--pg".into() } else { arg }
}

fn pair(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once(',').and_then(|(p, g)| Some((p.parse().ok()?, g.parse().ok()?)));
    numbers.ok_or_else(|| "two whole numbers with a comma between them are needed, like 512,128".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(args: &[&str]) -> Result<Args, clap::Error> {
        let base = ["bench_model", "--shape", "demo"].into_iter().chain(args.iter().copied());
        Args::try_parse_from(base.map(|a| long_pg(a.into())))
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn tests_are_every_combination_without_the_empty_ones() {
        let args = parsed(&["-p", "0,8", "-n", "4", "-pg", "16,2", "-d", "0,32"]).unwrap();
        let names: Vec<String> = args.tests().iter().map(Test::to_string).collect();
        assert_eq!(names, ["pp8", "tg4", "pp16+tg2", "pp8 @ d32", "tg4 @ d32", "pp16+tg2 @ d32"]);
        let names: Vec<String> = parsed(&[]).unwrap().tests().iter().map(Test::to_string).collect();
        assert_eq!(names, ["pp512", "tg128"]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            &["-r", "0"][..],
            &["-t", "0"],
            &["-p", "x"],
            &["-pg", "5"],
            &["--prefill-chunk", "0"],
            &["--weight-dtype", "q4_0,q5"],
            &["--model-path", "x"],
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
        assert!(Args::try_parse_from(["bench_model"]).is_err());
        assert!(Args::try_parse_from(["bench_model", "--shape", "llama-70b"]).is_err());
    }
}
