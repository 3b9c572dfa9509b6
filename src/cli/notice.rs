//! Lines for people on standard error.

use std::io::{Write, stderr};

/// A line on standard error; where even that is closed there is nobody left to tell.
pub(super) fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}
