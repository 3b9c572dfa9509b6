//! `generate`: text from a language model.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_rs2::cli::generate()
}
