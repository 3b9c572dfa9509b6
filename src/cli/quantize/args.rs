//! Arguments of `quantize`.

use std::path::PathBuf;

use clap::Parser;

use crate::cli::args::STYLES;
use crate::cli::limits::wanted_threads;
use crate::core::DType;
use crate::quantize::budget::Size;
use crate::quantize::{Mix, Pattern};

/// Turn a model into a GGUF file with smaller weights, which this program and llama.cpp read alike; make an importance
/// matrix; or check a file.
///
/// Types of matrices follow llama.cpp's rules for the usual mixes. Keys and values of a GGUF file are kept. The output appears
/// whole or not at all.
#[derive(Debug, Parser)]
#[command(name = "quantize", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// GGUF file with the model, in one or several parts, or the directory of its checkpoint (safetensors)
    #[arg(value_name = "INPUT", required_unless_present = "check")]
    pub input: Option<PathBuf>,

    /// GGUF file to make
    #[arg(value_name = "OUTPUT", required_unless_present_any = ["check", "make_imatrix"])]
    pub output: Option<PathBuf>,

    /// Mix of types: F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q5_1, Q5_0, Q4_K_M, Q4_K_S, Q4_1, Q4_0, IQ4_NL, IQ4_XS,
    /// MXFP4_MOE, Q3_K_L, Q3_K_M, Q3_K_S, Q2_K, Q2_K_S, TQ2_0, TQ1_0
    #[arg(value_name = "TYPE", required_unless_present_any = ["check", "make_imatrix", "budget"], value_parser = mix)]
    pub mix: Option<Mix>,

    /// Importance matrix, from --make-imatrix or llama-imatrix: columns with large inputs get the smaller errors
    #[arg(long, value_name = "FILE", help_heading = "Quality")]
    pub imatrix: Option<PathBuf>,

    /// Make an importance matrix: let the model read this text, on the CPU. It is used for OUTPUT; without OUTPUT it is all
    /// that is made
    #[arg(long, value_name = "TEXT", conflicts_with = "imatrix", help_heading = "Quality")]
    pub make_imatrix: Option<PathBuf>,

    /// Store the importance matrix that is made in this GGUF file, which llama-quantize reads too
    #[arg(short = 'o', long, value_name = "FILE", requires = "make_imatrix", help_heading = "Quality")]
    pub imatrix_output: Option<PathBuf>,

    /// Tokens of a piece of the text, each of which is read from an empty context [default: 512]
    #[arg(long, value_name = "N", requires = "make_imatrix", value_parser = count, help_heading = "Quality")]
    pub chunk_size: Option<usize>,

    /// The most pieces of the text that are read [default: all]
    #[arg(long, value_name = "N", requires = "make_imatrix", value_parser = count, help_heading = "Quality")]
    pub chunks: Option<usize>,

    /// In place of TYPE the mix of types with the least divergence from the model in a file of at most this size, such as
    /// 700MB, or with so many bits for a weight, such as 4.5bpw. The model is run on the CPU for that
    #[arg(
        long,
        value_name = "SIZE",
        conflicts_with_all = ["mix", "pure", "tensor_type", "output_tensor_type", "token_embedding_type"],
        requires = "output",
        help_heading = "Quality"
    )]
    pub budget: Option<Size>,

    /// Text on which --budget compares predictions [default: that of --make-imatrix, else a built-in one]
    #[arg(long, value_name = "TEXT", requires = "budget", conflicts_with = "mix", help_heading = "Quality")]
    pub calibration: Option<PathBuf>,

    /// The mix's main type for all matrices
    #[arg(long, help_heading = "Types of tensors")]
    pub pure: bool,

    /// Type of the tensors whose names match a regular expression, such as 'ffn_down=q6_k'; may be repeated, the first
    /// that matches counts
    #[arg(long, value_name = "PATTERN=TYPE", value_parser = pattern, help_heading = "Types of tensors")]
    pub tensor_type: Vec<Pattern>,

    /// Type of the output matrix
    #[arg(long, value_name = "TYPE", value_parser = dtype, help_heading = "Types of tensors")]
    pub output_tensor_type: Option<DType>,

    /// Type of the embedding
    #[arg(long, value_name = "TYPE", value_parser = dtype, help_heading = "Types of tensors")]
    pub token_embedding_type: Option<DType>,

    /// Check a GGUF file instead: its structure, the values of all tensors, its tokenizer. Exit code 1 if something is
    /// wrong
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["input", "output", "mix", "imatrix", "make_imatrix", "pure", "tensor_type",
            "output_tensor_type", "token_embedding_type", "budget", "dry_run"],
        help_heading = "Checking"
    )]
    pub check: Option<PathBuf>,

    /// Print each tensor's type and the size, and write nothing
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,

    /// Print each tensor's type
    #[arg(short, long, help_heading = "Output")]
    pub verbose: bool,

    /// Print nothing but errors and warnings
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,

    /// Threads [default: as many as the process may use]
    #[arg(short, long, value_name = "N", value_parser = wanted_threads, help_heading = "Machine")]
    pub threads: Option<usize>,
}

const EXAMPLES: &str = "\
Examples:
  quantize SmolLM2-135M-F16.gguf SmolLM2-135M-Q4_K_M.gguf Q4_K_M
  quantize model-f16.gguf model-iq4_xs.gguf IQ4_XS --make-imatrix text.txt
  quantize model-f16.gguf --make-imatrix text.txt -o model.imatrix.gguf
  quantize model-f16.gguf model-q3_k_m.gguf Q3_K_M --imatrix model.imatrix.gguf
  quantize model-f16.gguf model.gguf Q4_K_M --tensor-type 'blk\\.[0-3]\\.ffn_down=q8_0' --output-tensor-type q8_0
  quantize SmolLM2-135M/ SmolLM2-135M-BF16.gguf BF16
  quantize model-f16.gguf model.gguf --budget 700MB --make-imatrix text.txt
  quantize --check model.gguf";

fn mix(text: &str) -> Result<Mix, String> {
    text.parse()
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "a number from 1 on is needed".to_owned())
}

/// A type that a tensor can be stored in.
fn dtype(text: &str) -> Result<DType, String> {
    let known: Vec<_> = DType::ALL.into_iter().filter(|d| d.is_float() || d.is_quantized()).collect();
    known.iter().copied().find(|d| d.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|d| d.name()).collect();
        format!("'{text}' is none of the types of tensors: {}", names.join(", "))
    })
}

fn pattern(text: &str) -> Result<Pattern, String> {
    // Patterns may have '=' in them.
    let (pattern, name) =
        text.rsplit_once('=').ok_or("a pattern and a type are needed, like 'ffn_down=q6_k'")?;
    if pattern.is_empty() {
        return Err("a pattern is needed before '=', like 'ffn_down=q6_k'".to_owned());
    }
    Pattern::new(pattern, dtype(name)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn values_are_read_and_refused() {
        let args =
            Args::try_parse_from(["quantize", "a", "b", "q4_k_m", "--tensor-type", "x=y=q6_k"]).unwrap();
        assert_eq!((args.mix.unwrap().name(), args.tensor_type.len()), ("Q4_K_M", 1));
        assert!(Args::try_parse_from(["quantize", "--check", "a"]).is_ok());
        for bad in [
            &["a", "b"][..],
            &["a", "b", "q9"],
            &["a", "b", "q4_k", "--tensor-type", "q6_k"],
            &["a", "b", "q4_k", "--tensor-type", "=q6_k"],
            &["a", "b", "q4_k", "--tensor-type", "(=q6_k"],
            &["a", "b", "q4_k", "--tensor-type", "a=i32"],
            &["a", "b", "q4_k", "--output-tensor-type", "q4_k_m"],
            &["a", "--check", "b"],
            &["a", "--make-imatrix", "t", "--imatrix", "i"],
            &["a", "b", "q4_k", "-o", "i"],
            &["a", "b", "q4_k", "--budget", "1GB"],
            &["a", "b", "--budget", "much"],
            &["a", "b", "q4_k", "--calibration", "t"],
            &["a", "--make-imatrix", "t", "-o", "i", "--chunks", "0"],
        ] {
            let all = std::iter::once("quantize").chain(bad.iter().copied());
            assert!(Args::try_parse_from(all).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn help_names_every_mix() {
        let help = Args::command().render_long_help().to_string();
        assert!(Mix::all().all(|mix| help.contains(mix.name())));
    }
}
