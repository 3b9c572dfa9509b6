//! `quantize`: GGUF files with smaller weights, and whether a file is in order.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_rs2::cli::quantize()
}
