//! What can be wrong with a file of weights.

use std::io;
use std::path::PathBuf;

/// Errors of opening and reading files of weights. Each is one sentence that names the file, the value at
/// fault and, where there is one, the way on.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Nothing is at this path.
    #[error("'{path}' does not exist{note}")]
    NotFound {
        /// The path as it was given.
        path: PathBuf,
        /// More about it, or empty.
        note: String,
    },
    /// The system refused to open, inspect, read or map a file.
    #[error("cannot {action} '{path}': {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A pipe, a socket, a device or a directory where a regular file is needed.
    #[error("'{path}' is {kind}, not a regular file, and cannot be read")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A pipe, a socket, a device or a directory where a file is to be written.
    #[error("'{path}' is {kind}, not a regular file, and is not replaced")]
    NotReplaced {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A link to nothing where a file is to be written.
    #[error("'{path}' is a link to '{to}', which is missing; remove the link, or name the file itself")]
    LinkToNothing {
        /// The path.
        path: PathBuf,
        /// Where the link leads.
        to: PathBuf,
    },
    /// A file that another process works with.
    #[error("'{path}' is in use by another process")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// A text file that is larger than any honest one.
    #[error("'{path}' has {len} bytes, more than the {limit} that such a file may have")]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// Its length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// A file in a format that is not read.
    #[error("'{path}' is {what}; {way_on}")]
    OtherFormat {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
        /// What to do about it.
        way_on: String,
    },
    /// A directory without weights that can be read.
    #[error("'{dir}' holds no model.safetensors and no model.safetensors.index.json; {found}")]
    NoWeights {
        /// The directory.
        dir: PathBuf,
        /// What is there instead, and the way on.
        found: String,
    },
    /// A file that is not what the safetensors format asks for.
    #[error("'{path}' {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// One tensor's entry is wrong, or it cannot be used.
    #[error("tensor '{}' in '{path}' {reason}", shown(.name))]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The index of a sharded checkpoint is wrong.
    #[error("the index '{path}' {reason}")]
    Index {
        /// The index file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A string from a file, made fit for a message: control characters escaped, and cut if it is long.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 120;
    let mut out = String::new();
    for c in text.chars().take(MOST) {
        match c {
            '\'' | '"' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(MOST).is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_escaped_and_cut() {
        assert_eq!(shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(shown("[\"it's\"]"), "[\"it's\"]");
        assert_eq!(shown("model.embed_tokens.weight"), "model.embed_tokens.weight");
        assert_eq!(shown(&"x".repeat(120)), "x".repeat(120));
        assert_eq!(shown(&"é".repeat(1000)), format!("{}...", "é".repeat(120)));
    }
}
