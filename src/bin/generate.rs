//! `generate`: text from a Llama model.

use std::process::ExitCode;

fn main() -> ExitCode {
    std::process::ExitCode::SUCCESS
}
