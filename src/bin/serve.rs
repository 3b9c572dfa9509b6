//! The program `serve`.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_rs2::cli::serve()
}
