//! `generate`: text from a Llama model.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_rs2::cli::generate()
}
