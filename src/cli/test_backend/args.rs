//! Arguments of `test_backend`.

use clap::{Parser, ValueEnum};

use crate::backend::cpu::Isa;
use crate::cli::args::STYLES;
use crate::cli::values::{isa, threads};
use crate::oracle::{Case, Operator, ShapeList, cases};

/// Compare every operation of a backend with plain reference loops, element by element, in every format, at real and
/// odd shapes, with ordinary and extreme numbers.
///
/// Exit code 0 if all results are within their bounds, 1 if any is not, 2 if a backend that was asked for is not there.
#[derive(Debug, Parser)]
#[command(name = "test_backend", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// Backends to test, separated by commas [default: all that are there]
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    pub backend: Vec<BackendChoice>,

    /// Instruction sets of the cpu backend, separated by commas [default: all that this CPU has and that give
    /// the same bits]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = isa)]
    pub isa: Vec<Isa>,

    /// Threads of the cpu backend [default: the number of fast cores]
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,

    /// OpenCL device: its number in `generate --list-devices`, or a part of its name
    #[arg(long, value_name = "N|NAME")]
    pub device: Option<String>,

    /// How many shapes: full has all of Llama 3.2 1B and long contexts, and takes minutes and 3 GB
    #[arg(long, value_name = "LIST", default_value = "quick")]
    pub shapes: Shapes,

    /// Only cases whose name holds one of these texts; a name is like 'linear q4_0 2048->512 x7 random' (seven rows)
    /// or 'attention f16 32/8x64 d511 x1 random' (32 query heads on 8 heads of 64, after 511 tokens)
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    pub filter: Vec<String>,

    /// A row for each case, not only for each operator and format
    #[arg(short, long, conflicts_with = "json")]
    pub verbose: bool,

    /// Print one JSON object, with every case, instead of a table
    #[arg(long)]
    pub json: bool,

    /// Make one operator of what is tested give a wrong element, to see that this is found
    #[arg(long, value_name = "OPERATOR", hide = true)]
    pub perturb: Option<Operator>,
}

const EXAMPLES: &str = "\
Examples:
  test_backend
  test_backend --filter attention,kv_ --isa avx2 -t 1 --verbose
  test_backend --shapes full --json";

/// What can be compared with the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// AVX2, AVX-512 or NEON on several threads
    Cpu,
    /// A GPU, or any other device with OpenCL
    #[value(name = "opencl")]
    OpenCl,
}

/// A [`ShapeList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shapes {
    /// Odd shapes, and real ones where they take a moment
    Quick,
    /// More, larger and longer ones
    Full,
}

impl Shapes {
    /// The name as it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Shapes::Quick => "quick",
            Shapes::Full => "full",
        }
    }
}

impl Args {
    /// The cases that the filter leaves.
    pub fn cases(&self) -> Vec<Case> {
        let mut all = cases(match self.shapes {
            Shapes::Quick => ShapeList::Quick,
            Shapes::Full => ShapeList::Full,
        });
        all.retain(|case| {
            let name = case.to_string();
            self.filter.is_empty() || self.filter.iter().any(|text| name.contains(text.as_str()))
        });
        all
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
    fn lists_and_names_are_read() {
        let args =
            Args::parse_from(["test_backend", "-b", "cpu,opencl", "--isa", "scalar", "--perturb", "rope"]);
        assert_eq!(args.backend, [BackendChoice::Cpu, BackendChoice::OpenCl]);
        assert_eq!((args.isa, args.perturb), (vec![Isa::Scalar], Some(Operator::Rope)));
        let args = Args::parse_from(["test_backend", "--filter", "glu silu 33 x1,rope 1x2 at 0 x1 large"]);
        let names: Vec<String> = args.cases().iter().map(Case::to_string).collect();
        assert_eq!(names.len(), 6);
        assert!(names.iter().any(|n| n == "glu silu 33 x1 negative-zero"), "{names:?}");
        assert!(Args::parse_from(["test_backend", "--filter", "no-such-case"]).cases().is_empty());
        for bad in [["-b", "reference"], ["--isa", "mmx"], ["--shapes", "huge"], ["--perturb", "matmul"]] {
            assert!(Args::try_parse_from(["test_backend", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }
}
