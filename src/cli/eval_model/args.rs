//! Arguments of `eval_model`.

use std::path::PathBuf;

use clap::Parser;

use crate::backend::cpu::Isa;
use crate::cli::args::{BackendName, STYLES};
use crate::cli::eviction::EvictionArgs;
use crate::cli::kv::KvArgs;
use crate::cli::limits::wanted_threads;
use crate::cli::values::{at_least_one, isa, weight_dtype};
use crate::engine::WeightDType;
use crate::eval::MOST_TOP;

/// Measure how likely a model finds a text (perplexity), and how alike two models or formats are at each of its tokens.
///
/// Every token is scored once, given the tokens before it in its window; a window begins with the model's begin-of-text
/// token. With --eviction-policy there are no windows: the text goes through the model in one piece, whatever its
/// length. The standard error takes tokens as independent.
#[derive(Debug, Parser)]
#[command(name = "eval_model", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a Hugging Face checkpoint, the safetensors file in it, a GGUF file, or one of generate --pack-to
    /// [default: the demo model inside the program]
    #[arg(short, long, value_name = "PATH", help_heading = "Model")]
    pub model_path: Option<PathBuf>,

    /// Format in which the weights are held and computed: auto, f32, f16, bf16, q8_0, q4_k and so on, as generate
    /// --help lists them
    #[arg(long, value_name = "TYPE", default_value = "auto", value_parser = weight_dtype, help_heading = "Model")]
    pub weight_dtype: WeightDType,

    /// With a block format as --weight-dtype, that format for the embedding and the output matrix too, which are q8_0
    /// otherwise
    #[arg(long, requires = "weight_dtype", help_heading = "Model")]
    pub pure: bool,

    #[command(flatten)]
    pub kv: KvArgs,

    /// The text, or '-' for standard input
    #[arg(short, long, value_name = "FILE", help_heading = "Text")]
    pub file: Option<PathBuf>,

    /// Token ids instead of a text, exactly these: a list like 1,15,7, or a file with such a list
    #[arg(long, value_name = "FILE|IDS", conflicts_with = "file", help_heading = "Text")]
    pub teacher_force: Option<String>,

    /// Tokens in a window [default: 512, or what the model was trained for if that is less; with
    /// --teacher-force as many as there are ids]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Text")]
    pub window: Option<usize>,

    /// Tokens from the start of one window to the start of the next [default: half a window]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Text")]
    pub stride: Option<usize>,

    #[command(flatten)]
    pub eviction: EvictionArgs,

    /// Also report the likelihood of each run of N tokens, in order: how it changes with the length of a text
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Output")]
    pub segment: Option<usize>,

    /// Add the top K tokens of each step, with their logits, to the JSON object (implies --json)
    #[arg(long, value_name = "K", value_parser = top_k, help_heading = "Output")]
    pub dump_logits_topk: Option<usize>,

    /// Compare with another run of the same text, of which --dump-logits-topk made the JSON
    #[arg(long, value_name = "JSON", help_heading = "Output")]
    pub against: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Print nothing but the result, errors and warnings
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,

    /// Backend that runs the model
    #[arg(short, long, value_name = "NAME", default_value = "cpu", help_heading = "Machine")]
    pub backend: BackendName,

    /// OpenCL device: its number in `generate --list-devices`, or a part of its name
    #[arg(long, value_name = "N|NAME", help_heading = "Machine")]
    pub device: Option<String>,

    /// Threads of the cpu backend; fewer where the process may use fewer cores [default: the number of fast cores]
    #[arg(short, long, value_name = "N", value_parser = wanted_threads, help_heading = "Machine")]
    pub threads: Option<usize>,

    /// Instruction set of the cpu backend [default: the best that this CPU has]
    #[arg(long, value_name = "NAME", value_parser = isa, help_heading = "Machine")]
    pub isa: Option<Isa>,

    /// Tokens that go through the model at once; changes memory and speed, never a figure
    #[arg(long, value_name = "N", default_value = "256", value_parser = at_least_one, help_heading = "Machine")]
    pub prefill_chunk: usize,
}

const EXAMPLES: &str = "\
Examples:
  eval_model -m Llama-3.2-1B -f wiki.test.raw
  eval_model -m Llama-3.2-1B -f wiki.test.raw --weight-dtype bf16 --dump-logits-topk 32 > bf16.json
  eval_model -m Llama-3.2-1B -f wiki.test.raw --weight-dtype q4_0 --against bf16.json
  eval_model -m Llama-3.2-1B -f book.txt --eviction-policy sliding --eviction-window 1024 --segment 4096
  eval_model -m Llama-3.2-1B --teacher-force 128000,791,4062 --dump-logits-topk 10";

impl Args {
    /// Whether the result is a JSON object.
    pub fn json(&self) -> bool {
        self.json || self.dump_logits_topk.is_some()
    }
}

fn top_k(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MOST_TOP).contains(&n) => Ok(n),
        _ => Err(format!("a whole number from 1 to {MOST_TOP} is needed")),
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
    fn values_are_read_and_refused() {
        let args = Args::parse_from(["eval_model", "-f", "a.txt", "--dump-logits-topk", "5"]);
        assert!(args.json() && !args.json);
        for bad in [
            &["--dump-logits-topk", "0"][..],
            &["--dump-logits-topk", "1001"],
            &["--window", "0"],
            &["--stride", "0"],
            &["-f", "a.txt", "--teacher-force", "1"],
        ] {
            assert!(Args::try_parse_from([&["eval_model"], bad].concat()).is_err(), "{bad:?}");
        }
    }
}
