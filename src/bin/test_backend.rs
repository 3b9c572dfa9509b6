//! `test_backend`: every operation of a backend, compared with the reference.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_rs2::cli::test_backend()
}
