//! Lines on standard error.

use std::io::{Write, stderr};

/// A line on standard error; where even that is closed it is dropped.
pub(super) fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// An error with its causes, each printed once: some name theirs themselves.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FormatError;

    #[test]
    fn a_cause_is_told_once() {
        let io = || std::io::Error::other("the disk is full");
        let twice = anyhow::Error::new(FormatError::Io { action: "write", path: "x".into(), source: io() });
        assert_eq!(sentence(&twice), "cannot write 'x': the disk is full");
        let chain = anyhow::Error::new(io()).context("nothing is saved");
        assert_eq!(sentence(&chain), "nothing is saved: the disk is full");
    }
}
