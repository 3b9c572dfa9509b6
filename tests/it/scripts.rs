//! The tests of the Python scripts (tests/scripts), which run the programs of this build.

use std::path::Path;
use std::process::Command;

use crate::skip::skipped;

#[test]
fn the_scripts_pass_their_tests() {
    let programs = Path::new(env!("CARGO_BIN_EXE_generate")).parent().unwrap();
    // That the other one is built too is what naming it asks for.
    assert!(Path::new(env!("CARGO_BIN_EXE_bench_model")).starts_with(programs));
    let mut command = Command::new("python3");
    command.args(["-B", "-m", "unittest", "discover", "-s", "tests/scripts"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("PYTHONPATH", "scripts").env("LLM_RS2_PROGRAMS", programs);
    let Ok(output) = command.output() else {
        skipped("the tests of the scripts", "there is no python3");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let last = said.trim_end().lines().last().unwrap_or_default();
    if last.contains("skipped=") {
        skipped("some tests of the scripts", &format!("a browser, matplotlib or jinja2 is missing: {last}"));
    }
}
