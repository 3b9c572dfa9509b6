//! `eval_model`: perplexity of a text, and how alike two models are.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_rs2::cli::eval_model()
}
