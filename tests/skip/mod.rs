//! What a test does where something that it needs is missing. The library's own tests and those of tests/it share this.

#![allow(dead_code, reason = "neither of the two programs needs all of it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Reports that `test` is skipped, and what would have to be installed for it. With `LLM_RS2_REQUIRE=1`, as in CI, that
/// is a failure.
pub fn skipped(test: &str, missing: &str) {
    let required = std::env::var_os("LLM_RS2_REQUIRE").is_some_and(|value| !value.is_empty() && value != "0");
    assert!(!required, "{test} has to run, since LLM_RS2_REQUIRE is set, but {missing}");
    report("skipped", test, missing);
}

/// Reports that `test` does not apply to this machine: its processor lacks an instruction set, or emulates another.
pub fn inapplicable(test: &str, why: &str) {
    report("not for this machine", test, why);
}

fn report(what: &str, test: &str, why: &str) {
    // Straight to the descriptor: the harness hides what passing tests print.
    let _ = writeln!(std::io::stderr(), "{what}: {test}: {why}");
}

/// A path under `../shared`, the data that stands beside the repository; or `None`, and `test` is skipped.
pub fn shared(test: &str, path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if found.exists() {
        return Some(found);
    }
    skipped(test, &format!("../shared/{path} is absent"));
    None
}
