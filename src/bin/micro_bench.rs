//! `micro_bench`: how fast each operator is, against what the machine can do.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_rs2::cli::micro_bench()
}
