//! `bench_model`: how fast a model takes in and makes tokens.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_rs2::cli::bench_model()
}
